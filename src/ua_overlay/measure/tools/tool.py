"""What a tool is: everything that the campaign, the monitor and the report ask of it."""
import abc
import time
from dataclasses import dataclass, field
from typing import Any, Callable, ClassVar, Dict, Mapping, NamedTuple, Optional, Tuple

from ua_overlay.measure.fields import Key
from ua_overlay.measure.hosts.host import Host
from ua_overlay.measure.hosts.process import HostLost
from ua_overlay.measure.tools.metric import Metric, Values
from ua_overlay.protocols import Clock

#: Seconds beyond twice its time that a tool may need on a busy machine.
SLACK = 60.0


class Unmeasured(HostLost):
    """The tool gave no result; the sentence says why."""


class Result(NamedTuple):
    """What a tool measured.

    :ivar payload: bytes that it says went from one host to the other.
    :ivar remark: a sentence for people who read a good sample, ''.
    """

    values: Values
    payload: float
    remark: str = ''


@dataclass(frozen=True)
class Job:
    """One measurement.

    :ivar address: of the target, on the path that is measured.
    :ivar path: 'raw' or 'overlay'.
    :ivar versions: as in a sample: {program: version}, with `_target` behind it for those of the target.
    :ivar keep_answer: keeps the tool's own answer beside the samples; raises OSError when the disk is full.
    """

    source: Host
    target: Host
    address: str
    path: str
    repetition: int = 1
    slack: float = SLACK
    versions: Mapping[str, str] = field(default_factory=dict)
    keep_answer: Callable[[str], None] = lambda text: None
    clock: Clock = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True)
class Tool(abc.ABC):
    """A tool with its settings, as a campaign names it. Each kind of tool is a subclass, in its own module.

    :ivar name: in the campaign; several tools of one kind differ in it.
    :ivar settings: every key of ``keys``, in s, bit/s and bytes.
    :cvar kind: its name in campaign files and samples.
    :cvar title: what the tables of a report call it.
    :cvar keys: its keys in a campaign file.
    :cvar values: what an `ok` sample has in `values`: name -> unit ('' for a number of things).
    :cvar metrics: what a report makes of these; the first one is what a monitor shows.
    :cvar variant: settings of a sample that make two measurements different; the report never compares across them.
    :cvar needs_ros: whether it runs in a ROS graph.
    :cvar compares_clocks: whether its values are differences of the clocks of two hosts.
    :cvar rate_name: what the key `rate` is called in the settings of a sample.
    """

    name: str
    settings: Mapping[str, Any]

    kind: ClassVar[str]
    title: ClassVar[str]
    keys: ClassVar[Dict[str, Key]]
    values: ClassVar[Dict[str, str]]
    metrics: ClassVar[Tuple[Metric, ...]]
    variant: ClassVar[Tuple[str, ...]] = ()
    needs_ros: ClassVar[bool] = False
    compares_clocks: ClassVar[bool] = False
    rate_name: ClassVar[str] = 'rate'

    @property
    @abc.abstractmethod
    def duration(self) -> float:
        """Seconds that a measurement takes by itself."""

    @abc.abstractmethod
    def measure(self, job: Job) -> Result:
        """Take one measurement.

        :raises HostLost: a program did not start or end. :raises Unmeasured: there is no result.
        """

    @abc.abstractmethod
    def wire_bits(self) -> float:
        """About what one measurement puts on the link, in bits, in the direction that carries more.

        :raises CampaignError: it would take the whole link, so that a monitor must not use it.
        """

    def runs_raw(self, open_both_ways: bool) -> bool:
        """Whether it can measure without the overlay.

        :param open_both_ways: each host reaches any port of the other there, by an address that the campaign has.
        """
        return not self.needs_ros

    def patience(self, slack: float = SLACK) -> float:
        """Seconds after which a measurement that has not ended never will."""
        return 2 * self.duration + slack

    def sample_settings(self, clock_error_ms: Optional[float], mtu: Optional[int] = None) -> Dict[str, Any]:
        """`settings` of a sample."""
        settings = dict(self.settings, mtu=mtu)
        rate = settings.pop('rate', None)
        if rate is not None:
            settings[self.rate_name] = rate
        if self.needs_ros:
            settings['clock_error_ms'] = clock_error_ms
        return settings

    @classmethod
    def variant_of(cls, settings: Mapping[str, Any]) -> str:
        """`size 1000, rate 10`: what tells a measurement from others of this kind. :param settings: of a sample."""
        return ', '.join(_setting(key, settings[key]) for key in cls.variant
                         if settings.get(key) not in (None, '', False))


def _setting(key: str, value: Any) -> str:
    if value is True:
        return key
    if key == 'offered_bps':
        return 'offered {:g} Mbit/s'.format(value / 1e6)
    if isinstance(value, float):
        value = '{:.12g}'.format(value)
    return '{} {}'.format(key.replace('_hz', ''), value)
