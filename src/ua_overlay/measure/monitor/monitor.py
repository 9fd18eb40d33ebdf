"""What a monitor does, and whether it may: probes again and again that leave the link to its users. Pure."""
from dataclasses import dataclass, replace

from ua_overlay.measure.campaign import plan, sample
from ua_overlay.measure.campaign.campaign import CampaignError
from ua_overlay.measure.report import stats

#: Share of the link that a single probe may take while it runs.
PEAK = 0.5
#: Seconds that the link gets at most to become what is expected.
LINK_TIMEOUT = 3.0
#: Bytes around the data of a packet on an Ethernet, in WireGuard.
_AROUND = stats.WIREGUARD_IPV4 + stats.ETHERNET
#: About what one call of a ROS service and its answer are, in bytes.
_CALL = 1000


@dataclass(frozen=True)
class MonitorPlan:
    """A checked monitor: a campaign of measure.campaign, ``seconds`` that a round of its probes takes at most about,
    and the ``share`` of the link's capacity in % that they take on average."""

    campaign: object
    seconds: float
    share: float

    @property
    def interval(self):
        """Seconds from the start of a round to the start of the next."""
        return self.campaign.monitor['interval']

    def steps(self, started):
        """The Steps of a round that starts at ``started`` (s since 1970), which is their repetition: no round of a
        monitor that was started again has the number of one before."""
        return plan.round_of(self.campaign, int(started))


def prepared(campaign):
    """The campaign, its links given less time to become what is expected: a monitor takes them as they are."""
    scenarios = tuple(replace(each, link_timeout=min(each.link_timeout, LINK_TIMEOUT)) for each in campaign.scenarios)
    return replace(campaign, scenarios=scenarios)


def bits(tool):
    """About what one probe with a tool puts on the wire in the direction that carries more, in bit."""
    settings = tool.settings
    if tool.kind in (sample.TCP, sample.UDP):
        return settings['rate'] * tool.duration / stats.overlay_efficiency()
    if tool.kind == sample.PING:
        return 8.0 * (settings['omit'] + settings['count']) * (settings['size'] + stats.UDP_IPV4 + _AROUND)
    if tool.kind == sample.SERVICE:
        return 8.0 * (settings['calls'] + settings['omit']) * _CALL
    messages = settings['seconds'] * settings['rate'] + settings['omit']
    return 8.0 * messages * (settings['size'] + _AROUND) / stats.overlay_efficiency()


def checked(campaign):
    """The MonitorPlan of a campaign.

    :raises CampaignError: it has no `monitor`, or its probes would take more of the link than that allows; the sentence
        says what would do.
    """
    limits = campaign.monitor
    if limits is None:
        raise CampaignError('{} has no section `monitor`: nothing is measured again and again unless it says '
                            'so.'.format(campaign.name), 'ua-overlay measure monitor --help')
    for tool in {tool.name: tool for scenario in campaign.scenarios for tool in scenario.tools}.values():
        _see_peak(tool, limits['capacity'])
    found = MonitorPlan(campaign, 0, 0)
    steps = found.steps(0)
    seconds = sum(step.seconds for step in steps)
    share = 100.0 * sum(bits(step.tool) for step in steps) / limits['interval'] / limits['capacity']
    if seconds > limits['interval']:
        raise CampaignError('monitor.interval: a round takes {:.0f} s, and the next would begin after {:.0f} s.'.format(
            seconds, limits['interval']))
    if share > limits['share']:
        raise CampaignError(
            'monitor: its probes would take {:.3g} % of the link on average, and {:.3g} % are allowed: let `interval` '
            'be {:.0f} s, or the probes be shorter or slower.'.format(
                share, limits['share'], limits['interval'] * share / limits['share'] + 0.5))
    return MonitorPlan(campaign, seconds, share)


def _see_peak(tool, capacity):
    if tool.kind == sample.VIDEO:
        raise CampaignError('tools.{}: a video is no probe; a monitor leaves the link to its users.'.format(tool.name))
    if tool.kind == sample.TCP and not tool.settings['rate']:
        raise CampaignError('tools.{}.rate is missing: without one TCP takes all of the link.'.format(tool.name))
    rate = bits(tool) / tool.duration
    if rate > PEAK * capacity:
        raise CampaignError('tools.{} would take {:.3g} % of the link while it runs, and {:.0f} % are allowed.'.format(
            tool.name, 100 * rate / capacity, 100 * PEAK))


def next_round(begin, interval, now):
    """When the next round begins (s on the clock of ``begin``): rounds that could not begin in time are left out."""
    return begin + interval * (int((now - begin) / interval) + 1)
