"""A Sample, the record of one measurement, and its form as a JSON object. Pure.

docs/measure.md describes the file; the module of each tool lists its `values`.
"""
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Dict, List, Optional, Type

from ua_overlay import link_types
from ua_overlay.clock import format_rfc3339, from_unix, parse_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.measure import paths
from ua_overlay.measure.campaign import proof as proofs
from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.tools.registry import TOOLS
from ua_overlay.measure.tools.tool import Tool
from ua_overlay.protocols import Json, JsonObject

#: Version of the format; every sample has it as `schema`.
SCHEMA = 1
OK, FAILED, EXCLUDED = STATUSES = ('ok', 'failed', 'excluded')
#: Labels of a sample; '' for any link type.
EXPECTED = ('',) + link_types.CARRYING

_TEXTS = ('id', 'campaign', 'scenario', 'place', 'source', 'target', 'path', 'expected', 'started', 'tool', 'status',
          'problem')
_MAPPINGS = ('settings', 'values', 'cpu', 'proof', 'link', 'versions')
#: Values that are texts.
_WORDS = ('congestion',)
#: Settings that a report calculates with.
_NUMBERS = ('mtu', 'offered_bps')


class SampleError(OverlayError):
    """A line is not a sample, or the results cannot be read or written."""

    code = 'MEASURE_SAMPLE'


@dataclass
class Sample:
    """One measurement, whether it succeeded, failed or was excluded. Its fields are set during the measurement.

    :ivar id: unique in a results directory.
    :ivar source, target: names of hosts.
    :ivar path: 'raw' or 'overlay'.
    :ivar expected: the link type that the scenario expects, '' for any.
    :ivar started: RFC 3339, UTC, to the millisecond.
    :ivar tool: the kind of tool.
    :ivar duration: seconds.
    :ivar settings: the tool's settings in s, bit/s and bytes, and the MTU towards the target.
    :ivar values: the measured values; Tool.values has their units.
    :ivar cpu: `source_percent`, `target_percent`: busy share of all processors of the machine, 0 to 100.
    :ivar link: host -> the shape of its emulated link, in words: {'dev-1': {'delay': '5ms'}}.
    :ivar problem: why it failed or was excluded; a remark when it is ok; '' without either.
    :ivar versions: {program: version}, with `_target` behind the program for those of the target.
    """

    id: str
    campaign: str
    scenario: str
    place: str
    source: str
    target: str
    path: str
    expected: str
    repetition: int
    started: str
    tool: str
    duration: float = 0.0
    settings: Dict[str, Any] = field(default_factory=dict)
    values: Dict[str, Any] = field(default_factory=dict)
    cpu: Dict[str, Optional[float]] = field(default_factory=dict)
    proof: Proof = field(default_factory=Proof)
    link: Dict[str, Dict[str, str]] = field(default_factory=dict)
    status: str = FAILED
    problem: str = ''
    versions: Dict[str, str] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        return self.status == OK

    @property
    def raw(self) -> bool:
        """Whether it was measured without the overlay."""
        return self.path == paths.RAW

    @property
    def started_at(self) -> float:
        """Unix seconds of ``started``."""
        return parse_rfc3339(self.started).timestamp()

    def to_json(self) -> JsonObject:
        return dict(asdict(self), schema=SCHEMA, proof=self.proof.to_json())


def from_json(raw: Json) -> Sample:
    """The Sample in a JSON value. :raises ValueError: it is invalid; with half a sentence, as :func:`problem_of`."""
    problem = problem_of(raw)
    if problem:
        raise ValueError(problem)
    known = {each.name for each in fields(Sample)}
    return Sample(**dict({key: value for key, value in raw.items() if key in known},
                         proof=proofs.from_json(raw['proof'])))


def problem_of(raw: Json) -> str:
    """What is wrong with a JSON value that should be a sample, as half a sentence; '' for a valid one."""
    if not isinstance(raw, dict) or raw.get('schema') != SCHEMA:
        return 'its schema is not {}, which this program reads'.format(SCHEMA)
    for kind, keys in ((str, _TEXTS), (dict, _MAPPINGS), (int, ('repetition',)), ((int, float), ('duration',))):
        for key in keys:
            if not isinstance(raw.get(key), kind):
                return '{} is missing or of another type'.format(key)
    for key, choices in (('path', paths.PATHS), ('tool', TOOLS), ('status', STATUSES), ('expected', EXPECTED)):
        if raw[key] not in choices:
            return '{} is {!r}'.format(key, raw[key])
    try:
        parse_rfc3339(raw['started'])
    except ValueError:
        return 'started is {!r}, not a time as 2026-01-31T12:00:00.500Z'.format(raw['started'])
    problem = _problem_of_values(TOOLS[raw['tool']], raw['values']) if raw['status'] == OK else ''
    return problem or _problem_of_mappings(raw)


def _problem_of_values(tool: Type[Tool], values: JsonObject) -> str:
    missing = [key for key in tool.values if values.get(key) is None]
    if missing:
        return 'values has no {}'.format(', '.join(missing))
    for key, value in values.items():
        if key in _WORDS or value is None:
            continue
        numbers: List[Any] = value if isinstance(value, list) else [value]
        if (key in tool.series) != isinstance(value, list) or not all(map(_is_number, numbers)):
            return 'values.{} holds something else than numbers'.format(key)
    return ''


def _problem_of_mappings(raw: JsonObject) -> str:
    for key, value in raw['settings'].items():
        if isinstance(value, (dict, list)) or key in _NUMBERS and value is not None and not _is_number(value):
            return 'settings.{} is of another type'.format(key)
    if not all(value is None or _is_number(value) for value in raw['cpu'].values()):
        return 'cpu holds something else than numbers'
    for key, texts in [('versions', raw['versions'])] + [('link', shape) for shape in raw['link'].values()]:
        if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
            return '{} holds something else than texts'.format(key)
    return ''


def _is_number(value: Json) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def moment(seconds: float) -> str:
    """Format Unix seconds as in a sample: `2026-01-31T12:00:00.500Z`."""
    return format_rfc3339(from_unix(seconds), 3)
