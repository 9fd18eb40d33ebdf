"""The interface of a tool, for the campaign, the monitor and the report."""
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
    """The outcome of a measurement.

    :ivar payload: bytes that the tool counted between the hosts.
    :ivar remark: a remark on a good sample, for people; '' for none.
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

    :ivar name: its name in the campaign, which distinguishes several tools of one kind.
    :ivar settings: every key of ``keys``, in s, bit/s and bytes.
    :cvar kind: its name in campaign files and samples.
    :cvar title: its name in the tables of a report.
    :cvar keys: its keys in a campaign file.
    :cvar values: the `values` of an `ok` sample: name -> unit ('' for a count).
    :cvar series: those of its values that are lists of numbers; the others are numbers.
    :cvar metrics: the numbers that a report computes from the values; a monitor shows the first one.
    :cvar variant: settings that make two measurements different; the report compares only samples that agree in them.
    :cvar needs_ros: whether it runs in a ROS graph.
    :cvar compares_clocks: whether its values are differences of the clocks of two hosts.
    :cvar rate_name: name of the key `rate` in the settings of a sample.
    """

    name: str
    settings: Mapping[str, Any]

    kind: ClassVar[str]
    title: ClassVar[str]
    keys: ClassVar[Dict[str, Key]]
    values: ClassVar[Dict[str, str]]
    series: ClassVar[Tuple[str, ...]] = ()
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
        """Approximate bits that one measurement sends over the link, in the busier direction.

        :raises CampaignError: it would take the whole link, so a monitor must not use it.
        """

    def runs_raw(self, open_both_ways: bool) -> bool:
        """Whether the tool can measure without the overlay.

        :param open_both_ways: each host reaches any port of the other there, at an address that the campaign gives.
        """
        return not self.needs_ros

    def patience(self, slack: float = SLACK) -> float:
        """Seconds after which a measurement counts as stuck."""
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
        """`size 1000, rate 10`: the settings that distinguish a measurement. :param settings: of a sample."""
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
