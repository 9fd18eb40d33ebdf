"""One measurement between two hosts: wait for the link, run the tool between two readings of the counters, judge."""
import subprocess
import time
from typing import Any, Callable, Dict, Mapping, Optional, Protocol

from ua_overlay.errors import OverlayError
from ua_overlay.measure import paths
from ua_overlay.measure.campaign import proof, sample
from ua_overlay.measure.campaign.campaign import Campaign, Scenario
from ua_overlay.measure.campaign.plan import Step
from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.hosts.host import Host
from ua_overlay.measure.hosts.process import HostLost
from ua_overlay.measure.hosts.processor import busy_percent
from ua_overlay.measure.tools.tool import SLACK, Job
from ua_overlay.protocols import Clock, WallClock
from ua_overlay.tailscale import ping

#: Seconds that `tailscale ping` waits for an answer; seconds after which the program is ended.
PING_TIMEOUT, PING_PATIENCE = 3, 20.0
_PAUSE = 0.5


class AnswerStore(Protocol):
    """Keeps a tool's own answer: store.Store."""

    def keep_raw(self, identity: str, answer: str) -> None:
        """:raises OSError: the disk is full."""
        ...


def wait_for_link(source: Host, address: str, expected: str, patience: float, clock: Clock = time.monotonic,
                  sleep: Callable[[float], None] = time.sleep) -> str:
    """Ping until the link to ``address`` has the expected type (any, for ''), or ``patience`` seconds have passed.

    The sample is taken in either case, and its proof names the link type that it used. Returns the type that answered
    last, '' for none.
    """
    deadline = clock() + patience
    while True:
        _, output, _ = source.run(source.tailscale + ['ping', '-c', '1', '--timeout', '{}s'.format(PING_TIMEOUT),
                                                      address], PING_PATIENCE)
        kind = ping.parse_answers(output)
        if kind and kind == (expected or kind) or clock() > deadline:
            return kind
        sleep(_PAUSE)


class Measurement:
    """Takes the sample of one step.

    :param links: function -> {host: shape of its emulated link, in words}.
    :param versions: {host: {program: version}}.
    :param slack: seconds that a tool may need beyond twice its time.
    """

    def __init__(self, campaign: Campaign, hosts: Mapping[str, Host], store: AnswerStore,
                 links: Callable[[], Dict[str, Dict[str, str]]], versions: Mapping[str, Mapping[str, str]],
                 wall: WallClock = time.time, clock: Clock = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep, slack: float = SLACK) -> None:
        self.campaign = campaign
        self.hosts = hosts
        self.store = store
        self.links = links
        self.versions = versions
        self.wall, self.clock, self.sleep = wall, clock, sleep
        self.slack = slack

    def take(self, step: Step) -> Sample:
        """Take the sample of a step. A failure is a sample, too, with its reason."""
        scenario = step.scenario
        taken = Sample(
            id=step.id, campaign=self.campaign.name, scenario=scenario.name, place=scenario.place,
            source=scenario.source, target=scenario.target, path=step.path,
            expected=scenario.expected if step.path == paths.OVERLAY else '', repetition=step.repetition,
            started=sample.moment(self.wall()), tool=step.tool.kind,
            settings=step.tool.sample_settings(self.campaign.clock_error_ms), versions=self._versions(scenario))
        start = self.clock()
        try:
            taken.link = self.links()
            self._measure(step, taken)
        except OverlayError as error:
            taken.problem = error.sentence
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            taken.problem = '{} could not be measured: {}: {}.'.format(step.id, type(error).__name__, error)
        if taken.status == sample.FAILED:
            taken.duration = round(self.clock() - start, 3)
        return taken

    def _versions(self, scenario: Scenario) -> Dict[str, str]:
        versions = dict(self.versions.get(scenario.source, {}))
        versions.update((program + '_target', version)
                        for program, version in self.versions.get(scenario.target, {}).items())
        return versions

    def _measure(self, step: Step, taken: Sample) -> None:
        source, target = self.hosts[step.scenario.source], self.hosts[step.scenario.target]
        way = ''
        if step.path == paths.OVERLAY:
            address = target.overlay_address()
            way = wait_for_link(source, address, step.scenario.expected, step.scenario.link_timeout, self.clock,
                                self.sleep)
        else:
            address = raw_address(source, target, step.scenario.address)
        taken.settings['mtu'] = source.mtu(address)
        before = source.path_bytes(), source.processor_ticks(), target.processor_ticks()
        taken.started, start = sample.moment(self.wall()), self.clock()
        result = step.tool.measure(Job(
            source, target, address, step.path, step.repetition, self.slack, taken.versions,
            lambda answer: self.store.keep_raw(step.id, answer), self.clock, self.sleep))
        taken.duration = round(self.clock() - start, 3)
        after = source.path_bytes(), source.processor_ticks(), target.processor_ticks()
        counted = proof.moved(before[0], after[0])
        verdict, sentence = proof.judge(counted, step.path, taken.expected, result.payload)
        taken.values = result.values
        taken.proof = Proof(proof.counts(counted), verdict, way)
        taken.cpu = {'source_percent': busy_percent(before[1], after[1]),
                     'target_percent': busy_percent(before[2], after[2])}
        # Without a tailscaled there is nothing to prove about a raw path, which has its own address.
        good = verdict == proof.PROVEN or verdict == proof.UNKNOWN and taken.raw
        taken.status = sample.OK if good else sample.EXCLUDED
        taken.problem = sentence or (result.remark if good else '')
        apart = clocks_apart(result.values, self.campaign.clock_error_ms)
        if good and apart:
            taken.status, taken.problem = sample.EXCLUDED, apart


def raw_address(source: Host, target: Host, address: str) -> str:
    """The target's IP address on the raw path from the source. A name is resolved, as it may lead into the overlay.

    :param address: the scenario's; '' for the target's own.
    :raises HostLost: it is the target's address in the overlay. (A range is no test: LTE and other VPNs use the same.)
    """
    name = address or target.address
    number = source.numeric(name)
    if number == target.overlay_address():
        raise HostLost('The raw path to {} would go through the overlay: {} is {} on {}.'.format(
            target.name, name, number, source.name), 'address of {}, in the campaign'.format(target.name))
    return number


def clocks_apart(values: Mapping[str, Any], error: Optional[float]) -> str:
    """A sentence when a message has a negative age beyond the error of the clocks, else ''.

    :param error: `clock_error_ms` of the campaign.
    """
    youngest = min(values.get('age_ms') or [0.0])
    if error is None or youngest >= -error:
        return ''
    return 'A message arrived {:.3g} ms before it was sent: the clocks differ by more than the {:g} ms of ' \
           'clock_error_ms.'.format(-youngest, error)
