"""The plan of a monitor, and the limits that leave the link to its users. Pure."""
from dataclasses import dataclass, replace
from typing import List

from ua_overlay.measure.campaign import plan
from ua_overlay.measure.campaign.campaign import Campaign, MonitorLimits
from ua_overlay.measure.campaign.plan import Step
from ua_overlay.measure.fields import CampaignError
from ua_overlay.measure.tools.tool import Tool

#: Share of the link that a single probe may take while it runs.
PEAK = 0.5
#: Seconds at most for the link to take the expected type.
LINK_TIMEOUT = 3.0


@dataclass(frozen=True)
class MonitorPlan:
    """A checked monitor.

    :ivar seconds: approximate longest duration of a round of its probes.
    :ivar share: % of the link's capacity that the probes take on average.
    """

    campaign: Campaign
    limits: MonitorLimits
    seconds: float
    share: float

    @property
    def interval(self) -> float:
        """Seconds from the start of a round to the start of the next."""
        return self.limits.interval

    def steps(self, started: float) -> List[Step]:
        """The Steps of a round.

        :param started: unix seconds. They are the repetition, so that a monitor that was started again never repeats
            the number of an earlier round.
        """
        return plan.round_of(self.campaign, int(started))


def prepared(campaign: Campaign) -> Campaign:
    """The campaign with short link timeouts: a monitor measures links as they are."""
    scenarios = tuple(replace(each, link_timeout=min(each.link_timeout, LINK_TIMEOUT)) for each in campaign.scenarios)
    return replace(campaign, scenarios=scenarios)


def checked(campaign: Campaign) -> MonitorPlan:
    """The MonitorPlan of a campaign.

    :raises CampaignError: it has no `monitor`, or its probes would take more of the link than that allows; the sentence
        says which interval would be allowed.
    """
    limits = campaign.monitor
    if limits is None:
        raise CampaignError('{} has no section `monitor`, so nothing is measured again and again.'.format(
            campaign.name), 'ua-overlay measure monitor --help')
    for tool in {tool.name: tool for scenario in campaign.scenarios for tool in scenario.tools}.values():
        _check_peak(tool, limits.capacity)
    steps = plan.round_of(campaign, 0)
    seconds = sum(step.seconds for step in steps)
    share = 100.0 * sum(step.tool.wire_bits() for step in steps) / limits.interval / limits.capacity
    if seconds > limits.interval:
        raise CampaignError('monitor.interval: a round takes {:.0f} s, and the next would begin after {:.0f} s.'.format(
            seconds, limits.interval))
    if share > limits.share:
        raise CampaignError(
            'monitor: its probes would take {:.3g} % of the link on average, and {:.3g} % are allowed: set `interval` '
            'to {:.0f} s, or make the probes shorter or slower.'.format(
                share, limits.share, limits.interval * share / limits.share + 0.5))
    return MonitorPlan(campaign, limits, seconds, share)


def _check_peak(tool: Tool, capacity: float) -> None:
    rate = tool.wire_bits() / tool.duration
    if rate > PEAK * capacity:
        raise CampaignError('tools.{} would take {:.3g} % of the link while it runs, and {:.0f} % are allowed.'.format(
            tool.name, 100 * rate / capacity, 100 * PEAK))


def next_round(begin: float, interval: float, now: float) -> float:
    """When the next round begins, in seconds on the clock of ``begin``; rounds that are late by now are left out."""
    return begin + interval * (int((now - begin) / interval) + 1)
