"""A campaign file (YAML), checked, as plain values. Pure except :func:`load`."""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

from ua_overlay.measure import fields, paths
from ua_overlay.measure.campaign import sample
from ua_overlay.measure.fields import CampaignError, Key
from ua_overlay.measure.tools.registry import TOOLS
from ua_overlay.measure.tools.tool import Tool
from ua_overlay.system import foreign_file, schema

VERSION = 1
#: `ssh` of a host on which the campaign cannot start programs.
NO_SSH = 'none'


@dataclass(frozen=True)
class HostEntry:
    """A host in a campaign. A key that the file leaves out is ''.

    :ivar address: its address on the raw path.
    :ivar ssh: `user@host`, :data:`NO_SSH`, or '' for this machine.
    :ivar overlay: its name or address in the overlay.
    """

    address: str = ''
    ssh: str = ''
    overlay: str = ''


@dataclass(frozen=True)
class Scenario:
    """A measured pair of hosts.

    :ivar place: key of the campaign's places, or the scenario's own name.
    :ivar source, target: names of the hosts.
    :ivar expected: a link type, or '' for any.
    :ivar paths: some of paths.PATHS.
    :ivar link_timeout: seconds for the link to take the expected type.
    :ivar address: the target's address on the raw path from the source; '' for the address of its host.
    """

    name: str
    place: str
    source: str
    target: str
    expected: str
    paths: Tuple[str, ...]
    tools: Tuple[Tool, ...]
    link_timeout: float = 30.0
    address: str = ''


@dataclass(frozen=True)
class MonitorLimits:
    """The section `monitor`, for `measure monitor`.

    :ivar interval: seconds from the start of a round of probes to the start of the next.
    :ivar capacity: bit/s that the link carries.
    :ivar share: % of the capacity that the probes may take on average.
    :ivar keep_mb, keep_days: size (megabytes) and age (days) beyond which samples are deleted.
    """

    interval: float
    capacity: float
    share: float
    keep_mb: float
    keep_days: float


@dataclass(frozen=True)
class Campaign:
    """A checked campaign.

    :ivar places: key -> {name, and x and y or neither}.
    :ivar clock_error_ms: how far the hosts' clocks may differ, None for unknown.
    :ivar monitor: None when the campaign has no such section.
    :ivar source: path of its file.
    """

    name: str
    repetitions: int
    hosts: Dict[str, HostEntry]
    places: Dict[str, Dict[str, Any]]
    scenarios: Tuple[Scenario, ...]
    clock_error_ms: Optional[float] = None
    monitor: Optional[MonitorLimits] = None
    source: Dict[str, Any] = field(default_factory=dict)

    def place_title(self, place: str) -> str:
        """The place's name for people."""
        return str(self.places.get(place, {}).get('name', place))


_MONITOR_KEYS = {
    'interval': Key(300, schema.number(5, 86400)), 'capacity': Key(None, fields.rate),
    'share': Key(1, schema.number(0.001, 10)), 'keep_mb': Key(64, schema.number(0.01, 100000)),
    'keep_days': Key(90, schema.number(0.001, 3650))}
_HOST_KEYS = ('address', 'ssh', 'overlay')


def parse(text: str, source: str = 'the campaign') -> Campaign:
    """Parse a campaign.

    :param text: YAML. :param source: its path, for the sentences.
    :raises CampaignError: naming the file and the position.
    """
    with schema.errors_as(CampaignError, source):
        return _campaign(schema.load(text))


def load(path: str) -> Campaign:
    """Read a campaign. :raises CampaignError: as :func:`parse`, and when the file cannot be read."""
    try:
        return parse(foreign_file.read_text(path), path)
    except OSError as error:
        raise CampaignError('The campaign {} cannot be read: {}.'.format(path, error.strerror))


def changed(campaign: Campaign, repetitions: Optional[int] = None, seconds: Optional[float] = None) -> Campaign:
    """The campaign with another number of repetitions, or other `seconds` for every tool that has such a key.

    None leaves it as it is. :raises CampaignError: the number is invalid.
    """
    source = dict(campaign.source)
    if repetitions is not None:
        source['repetitions'] = repetitions
    if seconds is not None:
        source['tools'] = {
            name: dict(value or {}, seconds=seconds) if 'seconds' in _tool(name, value).settings else value
            for name, value in source['tools'].items()}
    return from_mapping(source)


def from_mapping(data: Any) -> Campaign:
    """Check the content of a campaign file. :raises CampaignError: as :func:`parse`, without the file."""
    with schema.errors_as(CampaignError):
        return _campaign(data)


def _campaign(data: Any) -> Campaign:
    top = schema.section(schema.TOP, data, ('version', 'name', 'tools', 'scenarios'),
                         ('repetitions', 'hosts', 'places', 'clock_error_ms', 'monitor'))
    schema.version(top['version'], VERSION)
    hosts = {name: _host(name, value) for name, value in _named('hosts', top.get('hosts')).items()}
    places = {name: _place(name, value) for name, value in _named('places', top.get('places')).items()}
    tools = {name: _tool(name, value) for name, value in _named('tools', top['tools']).items()}
    clock_error = top.get('clock_error_ms')
    return Campaign(
        name=fields.name('name', top['name']),
        repetitions=schema.integer(1, 100000)('repetitions', top.get('repetitions', 10)),
        hosts=hosts,
        places=places,
        scenarios=_scenarios(top['scenarios'], places, tools, hosts),
        clock_error_ms=None if clock_error is None else schema.number(0, 1e6)('clock_error_ms', clock_error),
        monitor=_monitor(top['monitor']) if 'monitor' in top else None,
        source=data)


def _scenarios(value: Any, places: Dict[str, Dict[str, Any]], tools: Dict[str, Tool], hosts: Dict[str, HostEntry]
               ) -> Tuple[Scenario, ...]:
    if not schema.listing('scenarios', value):
        raise schema.invalid('scenarios', 'at least one is needed')
    scenarios = tuple(_scenario('scenarios[{}]'.format(number), each, places, tools, hosts)
                      for number, each in enumerate(value))
    names = [each.name for each in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise schema.invalid('scenarios', '{} is there twice'.format(name))
    return scenarios


def _scenario(where: str, value: Any, places: Dict[str, Dict[str, Any]], tools: Dict[str, Tool],
              hosts: Dict[str, HostEntry]) -> Scenario:
    entry = schema.section(where, value, ('name', 'from', 'to'),
                           ('address', 'place', 'expected', 'paths', 'tools', 'link_timeout'))
    name = fields.name(where + '.name', entry['name'])
    place = entry.get('place', name)
    if places and place not in places:
        raise schema.invalid(where + '.place', 'there is no place {}; there are {}'.format(place, ', '.join(places)))
    source, target = (fields.name('{}.{}'.format(where, key), entry[key]) for key in ('from', 'to'))
    if source == target:
        raise schema.invalid(where, 'from and to are both {}'.format(source))
    measured = _some(where + '.paths', entry.get('paths', [paths.OVERLAY]), paths.PATHS)
    address = fields.address(where + '.address', entry['address']) if 'address' in entry else ''
    if paths.RAW in measured and not (address or hosts.get(target, HostEntry()).address):
        raise schema.invalid(where, 'the raw path needs hosts.{}.address, where {} is without the overlay'.format(
            target, target))
    return Scenario(
        name=name,
        place=fields.name(where + '.place', place),
        source=source,
        target=target,
        expected=schema.choice(sample.EXPECTED)(where + '.expected', entry.get('expected', '')),
        paths=tuple(measured),
        tools=tuple(tools[tool] for tool in _some(where + '.tools', entry.get('tools', list(tools)), tuple(tools))),
        link_timeout=schema.number(0, 3600)(
            where + '.link_timeout', entry.get('link_timeout', Scenario.link_timeout)),
        address=address)


def _some(where: str, value: Any, of: Tuple[str, ...]) -> List[str]:
    chosen = schema.listing(where, value)
    if not chosen or any(each not in of for each in chosen):
        raise schema.invalid(where, 'a list of some of {} is needed'.format(', '.join(of)))
    return chosen


def _tool(name: str, value: Any) -> Tool:
    entry = dict(schema.section('tools.' + name, value))
    kind = entry.pop('tool', name)
    if kind not in TOOLS:
        raise schema.invalid('tools.{}.tool'.format(name), '{} is not a tool; there are {}'.format(
            kind, ', '.join(TOOLS)))
    keys = TOOLS[kind].keys
    for key in entry:
        if key not in keys:
            raise schema.invalid('tools.' + name, '{} is unknown; {} has {}'.format(key, kind, ', '.join(keys)))
    return TOOLS[kind](name, fields.read_keys('tools.' + name, entry, keys))


def _named(place: str, value: Any) -> Dict[str, Any]:
    """Read a mapping whose keys are names."""
    entries = schema.section(place, value)
    for name in entries:
        fields.name(place, name)
    return entries


def _host(name: str, value: Any) -> HostEntry:
    entry = schema.section('hosts.' + name, value, (), _HOST_KEYS)
    return HostEntry(**{key: fields.address('hosts.{}.{}'.format(name, key), entry[key])
                        for key in _HOST_KEYS if key in entry})


def _place(name: str, value: Any) -> Dict[str, Any]:
    entry = schema.section('places.' + name, value, (), ('name', 'x', 'y'))
    if ('x' in entry) != ('y' in entry):
        raise schema.invalid('places.' + name, 'x and y go together')
    coordinate = schema.number(-1e9, 1e9)
    place = {key: coordinate('places.{}.{}'.format(name, key), entry[key]) for key in ('x', 'y') if key in entry}
    return dict({'name': str(entry.get('name', name))}, **place)


def _monitor(value: Any) -> MonitorLimits:
    entry = schema.section('monitor', value, ('capacity',), tuple(_MONITOR_KEYS))
    return MonitorLimits(**fields.read_keys('monitor', entry, _MONITOR_KEYS))
