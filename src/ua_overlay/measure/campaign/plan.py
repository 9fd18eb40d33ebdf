"""The order of a campaign's measurements, and those that are left. Pure."""
import re
from dataclasses import dataclass
from typing import Dict, List, Sequence, Set, Tuple

from ua_overlay.measure import paths
from ua_overlay.measure.campaign.campaign import Campaign, HostEntry, Scenario
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.tools.tool import Tool

_ATTEMPT = re.compile(r'~\d+$')
#: Seconds around a measurement: starting both ends, the counters, waiting for a link.
AROUND = 2.0


@dataclass(frozen=True)
class Step:
    """One measurement. ``path``: 'raw' or 'overlay'; ``attempt``: from 1."""

    scenario: Scenario
    tool: Tool
    path: str
    repetition: int
    attempt: int = 1

    @property
    def name(self) -> str:
        """Names the measurement; the same for every attempt."""
        return '{}+{}+{}+{}'.format(self.scenario.name, self.tool.name, self.path, self.repetition)

    @property
    def id(self) -> str:
        """Unique in a results directory, and fit for the name of a file."""
        return self.name if self.attempt == 1 else '{}~{}'.format(self.name, self.attempt)

    @property
    def seconds(self) -> float:
        """Its approximate duration."""
        return self.tool.duration + AROUND


def steps(campaign: Campaign) -> List[Step]:
    """Every Step, in order. Within a repetition each tool alternates between the paths (A-B-A-B), so that a change of
    the network affects both."""
    return [step for repetition in range(1, campaign.repetitions + 1) for step in round_of(campaign, repetition)]


def round_of(campaign: Campaign, repetition: int) -> List[Step]:
    """The Steps of one repetition."""
    return [Step(scenario, tool, path, repetition)
            for scenario in campaign.scenarios
            for tool in scenario.tools
            for path in scenario.paths
            if path == paths.OVERLAY or tool.runs_raw(_open_both_ways(campaign, scenario))]


def _open_both_ways(campaign: Campaign, scenario: Scenario) -> bool:
    """Whether each end reaches any port of the other without the overlay. If the scenario has its own address, a router
    forwards only some ports."""
    return not scenario.address and all(
        campaign.hosts.get(end, HostEntry()).address for end in (scenario.source, scenario.target))


def base_name(identity: str) -> str:
    """The name of a step from its id."""
    return _ATTEMPT.sub('', identity)


def remaining(steps: Sequence[Step], samples: Sequence[Sample], again: bool = False) -> List[Step]:
    """The steps that have no sample yet, in order.

    :param again: repeat the steps of which every sample failed or was excluded, as a further attempt.
    """
    attempts: Dict[str, int] = {}
    good: Set[str] = set()
    for each in samples:
        name = base_name(each.id)
        attempts[name] = attempts.get(name, 0) + 1
        if each.ok:
            good.add(name)
    left = []
    for step in steps:
        done = attempts.get(step.name, 0)
        if not done:
            left.append(step)
        elif again and step.name not in good:
            left.append(Step(step.scenario, step.tool, step.path, step.repetition, done + 1))
    return left


def time_left(ahead: Sequence[Step], done_planned: float = 0.0, done_taken: float = 0.0) -> float:
    """Seconds that the steps ``ahead`` will take, scaled by the actual over the planned time of the finished steps.

    :param done_planned, done_taken: planned and actual seconds of the finished steps.
    """
    ratio = max(1.0, done_taken / done_planned) if done_planned else 1.0
    return ratio * sum(step.seconds for step in ahead)


@dataclass(frozen=True)
class PlaceProgress:
    """The progress of a place: how many of its steps are ok, how many failed or were excluded, and which are left."""

    place: str
    good: int
    bad: int
    todo: Tuple[Step, ...]


def by_place(steps: Sequence[Step], samples: Sequence[Sample]) -> List[PlaceProgress]:
    """The progress of each place, in the order of the campaign."""
    ok: Dict[str, bool] = {}
    for each in samples:
        name = base_name(each.id)
        ok[name] = ok.get(name, False) or each.ok
    progress = []
    for place in dict.fromkeys(step.scenario.place for step in steps):
        here = [step for step in steps if step.scenario.place == place]
        done = [ok[step.name] for step in here if step.name in ok]
        progress.append(PlaceProgress(place, done.count(True), done.count(False), tuple(remaining(here, samples))))
    return progress
