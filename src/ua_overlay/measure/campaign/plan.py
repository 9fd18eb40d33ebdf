"""In which order a campaign measures, and what of it is still to do. Pure."""
import re
from dataclasses import dataclass

from ua_overlay.measure.campaign import sample

_ATTEMPT = re.compile(r'~\d+$')
#: Seconds around a measurement: starting both ends, the counters, looking for a path.
AROUND = 2.0


@dataclass(frozen=True)
class Step:
    """One measurement: ``scenario`` and ``tool`` of the campaign, ``path`` raw or overlay, ``attempt`` from 1."""

    scenario: object
    tool: object
    path: str
    repetition: int
    attempt: int = 1

    @property
    def name(self):
        """What it measures, whatever the attempt."""
        return '{}+{}+{}+{}'.format(self.scenario.name, self.tool.name, self.path, self.repetition)

    @property
    def id(self):
        """Unique in a results directory, and fit for a file's name."""
        return self.name if self.attempt == 1 else '{}~{}'.format(self.name, self.attempt)

    @property
    def seconds(self):
        """About how long it takes."""
        return self.tool.duration + AROUND


def steps(campaign):
    """Every Step: within a repetition each tool on one path and on the other in turns (A-B-A-B), so that what changes
    in the network meanwhile is in both."""
    return [step for repetition in range(1, campaign.repetitions + 1) for step in round_of(campaign, repetition)]


def round_of(campaign, repetition):
    """The Steps of one repetition."""
    return [Step(scenario, tool, path, repetition)
            for scenario in campaign.scenarios
            for tool in scenario.tools
            for path in scenario.paths
            if path == sample.OVERLAY or _has_raw(campaign, scenario, tool)]


def _has_raw(campaign, scenario, tool):
    """Whether a tool can be used without the overlay: the graph of a video needs the addresses of both ends, and any
    port of each; so not where a router forwards some (``address`` of a scenario)."""
    return not tool.ros or tool.kind == sample.VIDEO and not scenario.address and all(
        campaign.hosts.get(end, {}).get('address') for end in (scenario.source, scenario.target))


def base_name(identity):
    """The name of a step from its id."""
    return _ATTEMPT.sub('', identity)


def remaining(steps, samples, again=False):
    """The steps that have no sample yet, in order.

    :param samples: dicts, as :func:`sample.read` returns them.
    :param again: measure those as well whose every sample failed or was excluded, as a further attempt.
    """
    attempts, good = {}, set()
    for each in samples:
        name = base_name(each['id'])
        attempts[name] = attempts.get(name, 0) + 1
        if each['status'] == sample.OK:
            good.add(name)
    found = []
    for step in steps:
        done = attempts.get(step.name, 0)
        if not done:
            found.append(step)
        elif again and step.name not in good:
            found.append(Step(step.scenario, step.tool, step.path, step.repetition, done + 1))
    return found


def time_left(ahead, done_planned, done_taken):
    """Seconds that the steps ``ahead`` will take, corrected by how much longer than planned the steps so far took.

    :param done_planned, done_taken: seconds of the steps that this run has done, planned and in truth.
    """
    ratio = max(1.0, done_taken / done_planned) if done_planned else 1.0
    return ratio * sum(step.seconds for step in ahead)


@dataclass(frozen=True)
class AtPlace:
    """How far a place is: numbers of its steps that are ok, of those that failed or were excluded, and the Steps that
    are still to take."""

    place: str
    good: int
    bad: int
    todo: tuple


def by_place(steps, samples):
    """[AtPlace] in the order of the campaign. :param steps: Steps. :param samples: as for :func:`remaining`."""
    states = {}
    for each in samples:
        name = base_name(each['id'])
        states[name] = states.get(name, False) or each['status'] == sample.OK
    found = []
    for place in dict.fromkeys(step.scenario.place for step in steps):
        here = [step for step in steps if step.scenario.place == place]
        known = [states[step.name] for step in here if step.name in states]
        found.append(AtPlace(place, known.count(True), known.count(False), tuple(remaining(here, samples))))
    return found
