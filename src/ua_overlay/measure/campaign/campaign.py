"""What a campaign measures: a YAML file, checked, as plain values. No side effects."""
import re
from dataclasses import dataclass, field

from ua_overlay.clock import parse_rate
from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import sample
from ua_overlay.system import schema
from ua_overlay.system.schema import choice, flag, integer, number

VERSION = 1
_name = schema.text(re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,63}'),
                    'a name of letters, digits, hyphens, dots and underscores')
# A value that begins with a hyphen would be an option to ssh, ping and iperf3.
_reachable = schema.text(re.compile(r'[A-Za-z0-9_\[][A-Za-z0-9_.:@\[\]-]*'), 'an address or a name')
_congestion = schema.text(re.compile(r'[a-z0-9_]{1,15}'), 'a congestion control, such as cubic')
_rate = schema.parsed(parse_rate, 'a rate, such as 50mbit')
#: The longest single measurement.
LONGEST = 7 * 86400.0
#: Who starts iperf3's server: the campaign for each sample, or somebody before it.
STARTED, RUNNING = SERVERS = ('started', 'running')


class CampaignError(UsageError):
    """The campaign asks for something that makes no sense; the sentence names the file and the part."""

    code = 'MEASURE_CAMPAIGN'


@dataclass(frozen=True)
class Tool:
    """One way to measure. ``settings``: every key of its kind (see KEYS), numbers in s, bit/s and bytes."""

    name: str
    kind: str
    settings: dict

    @property
    def ros(self):
        return self.kind in (sample.TOPIC, sample.SERVICE, sample.VIDEO)

    @property
    def duration(self):
        """Seconds that a measurement takes by itself."""
        settings = self.settings
        if self.kind == sample.PING:
            return (settings['omit'] + settings['count']) * settings['interval']
        if self.kind == sample.SERVICE:
            # On a way of 50 ms and more a call takes a tenth of a second.
            return 5.0 + 0.1 * (settings['omit'] + settings['calls'])
        if self.kind == sample.TOPIC:
            return settings['seconds'] + 5.0
        if self.kind == sample.VIDEO:
            return settings['seconds'] + settings['omit'] / settings['rate'] + (15.0 if settings['hog'] else 10.0)
        return settings['seconds'] + settings['omit']


@dataclass(frozen=True)
class Scenario:
    """``source`` and ``target`` are hosts; ``expected`` a link type or ''; ``paths`` raw, overlay or both;
    ``link_timeout`` the seconds that the link gets to become what is expected; ``address``: where the target is on the
    raw path from there, '' for what its host says."""

    name: str
    place: str
    source: str
    target: str
    expected: str
    paths: tuple
    tools: tuple
    link_timeout: float = 30.0
    address: str = ''


@dataclass(frozen=True)
class Campaign:
    """A checked campaign. ``hosts``: name -> {address, ssh, overlay}, '' where not said; ``places``: name -> {name, and
    x and y or neither}.

    :ivar clock_error_ms: how far the hosts' clocks may differ, None when nobody said (one clock, or unknown).
    """

    name: str
    repetitions: int
    hosts: dict
    places: dict
    scenarios: tuple
    clock_error_ms: object = None
    #: Of `monitor`: every key of MONITOR; None where the campaign has none.
    monitor: object = None
    #: What it was read from.
    source: dict = field(default_factory=dict)


def parse(text, source='the campaign'):
    """Parse a campaign.

    :param text: YAML. :param source: its path, for the sentences.
    :raises CampaignError: one sentence that names the file and the part.
    """
    with schema.errors_as(CampaignError, source):
        return _campaign(schema.load(text))


def load(path):
    """Read a campaign. :raises CampaignError: as :func:`parse`, and when the file cannot be read."""
    try:
        with open(path, encoding='utf-8') as stream:
            return parse(stream.read(), path)
    except OSError as error:
        raise CampaignError('The campaign {} cannot be read: {}.'.format(path, error.strerror))
    except UnicodeDecodeError:
        raise CampaignError('The campaign {} is not UTF-8 text.'.format(path))


def changed(campaign, repetitions=None, seconds=None):
    """The campaign with another number of repetitions, or with other seconds for every tool that goes by seconds.

    None leaves it as it is. :raises CampaignError: that is none.
    """
    source = dict(campaign.source)
    if repetitions is not None:
        source['repetitions'] = repetitions
    if seconds is not None:
        source['tools'] = {name: dict(said or {}, seconds=seconds) if 'seconds' in _tool(name, said).settings else said
                           for name, said in source['tools'].items()}
    return from_mapping(source)


def from_mapping(data):
    """Check what a campaign file holds. :raises CampaignError: as :func:`parse`, without the file."""
    with schema.errors_as(CampaignError):
        return _campaign(data)


def _campaign(data):
    top = schema.section(schema.TOP, data, ('version', 'name', 'tools', 'scenarios'),
                         ('repetitions', 'hosts', 'places', 'clock_error_ms', 'monitor'))
    schema.version(top['version'], VERSION)
    hosts = {name: _host(name, value) for name, value in _named(top.get('hosts') or {}, 'hosts').items()}
    places = {name: _place(name, value) for name, value in _named(top.get('places') or {}, 'places').items()}
    tools = {name: _tool(name, value) for name, value in _named(top['tools'], 'tools').items()}
    scenarios = top['scenarios']
    if not isinstance(scenarios, list) or not scenarios:
        raise schema.invalid('scenarios', 'a list of at least one is needed')
    scenarios = tuple(_scenario('scenarios[{}]'.format(index), each, places, tools, hosts)
                      for index, each in enumerate(scenarios))
    names = [each.name for each in scenarios]
    for name in names:
        if names.count(name) > 1:
            raise schema.invalid('scenarios', '{} is there twice'.format(name))
    error = top.get('clock_error_ms')
    repetitions = integer(1, 100000)('repetitions', top.get('repetitions', 10))
    return Campaign(_name('name', top['name']), repetitions, hosts, places, scenarios,
                    error if error is None else number(0, 1e6)('clock_error_ms', error),
                    _monitor(top['monitor']) if 'monitor' in top else None, data)


def _monitor(value):
    fields = schema.section('monitor', value, ('capacity',), tuple(MONITOR))
    return {key: reader('monitor.' + key, fields.get(key, default)) for key, (default, reader) in MONITOR.items()}


def _host(name, value):
    fields = schema.section('hosts.' + name, value, (), ('address', 'ssh', 'overlay'))
    return {key: _reachable('hosts.{}.{}'.format(name, key), fields[key]) if key in fields else ''
            for key in ('address', 'ssh', 'overlay')}


def _place(name, value):
    fields = schema.section('places.' + name, value, (), ('name', 'x', 'y'))
    if ('x' in fields) != ('y' in fields):
        raise schema.invalid('places.' + name, 'x and y go together')
    found = {'name': str(fields.get('name', name))}
    found.update((key, number(-1e9, 1e9)('places.{}.{}'.format(name, key), fields[key])) for key in ('x', 'y')
                 if key in fields)
    return found


def _tool(name, value):
    fields = dict(schema.section('tools.' + name, value))
    kind = fields.pop('tool', name)
    if kind not in KEYS:
        raise schema.invalid('tools.{}.tool'.format(name), '{} is not a tool; there are {}'.format(
            kind, ', '.join(KEYS)))
    keys = KEYS[kind]
    for key in fields:
        if key not in keys:
            raise schema.invalid('tools.' + name, '{} is unknown; {} has {}'.format(key, kind, ', '.join(keys)))
    return Tool(name, kind, {key: reader('tools.{}.{}'.format(name, key), fields.get(key, default))
                             for key, (default, reader) in keys.items()})


def _scenario(where, value, places, tools, hosts):
    fields = schema.section(where, value, ('name', 'from', 'to'),
                            ('address', 'place', 'expected', 'paths', 'tools', 'link_timeout'))
    name = _name(where + '.name', fields['name'])
    place = fields.get('place', name)
    if places and place not in places:
        raise schema.invalid(where + '.place', 'there is no place {}; there are {}'.format(place, ', '.join(places)))
    paths = fields.get('paths', [sample.OVERLAY])
    if not isinstance(paths, list) or not paths or any(path not in sample.PATHS for path in paths):
        raise schema.invalid(where + '.paths', 'a list of {} is needed'.format(' and '.join(sample.PATHS)))
    chosen = fields.get('tools', list(tools))
    if not isinstance(chosen, list) or not chosen or any(tool not in tools for tool in chosen):
        raise schema.invalid(where + '.tools', 'a list of some of {} is needed'.format(', '.join(tools)))
    ends = [_name('{}.{}'.format(where, key), fields[key]) for key in ('from', 'to')]
    if ends[0] == ends[1]:
        raise schema.invalid(where, 'from and to are both {}'.format(ends[0]))
    address = _reachable(where + '.address', fields['address']) if 'address' in fields else ''
    if sample.RAW_PATH in paths and not (address or hosts.get(ends[1], {}).get('address')):
        raise schema.invalid(where, 'the raw path needs hosts.{}.address, where {} is without the overlay'.format(
            ends[1], ends[1]))
    return Scenario(name, _name(where + '.place', place), ends[0], ends[1],
                    choice(sample.EXPECTED)(where + '.expected', fields.get('expected', '')), tuple(paths),
                    tuple(tools[tool] for tool in chosen),
                    number(0, 3600)(where + '.link_timeout', fields.get('link_timeout', Scenario.link_timeout)),
                    address)


def _named(value, where):
    found = schema.section(where, value)
    for name in found:
        _name(where, name)
    return found


_IPERF = {'seconds': (120, number(1, LONGEST)), 'omit': (3, integer(0, 60)), 'server': (STARTED, choice(SERVERS)),
          'port': (5201, integer(1, 65535))}
#: kind -> key -> (default, reader). Congestion control is pinned: otherwise whatever a kernel
#: has as its default would be measured.
KEYS = {
    sample.TCP: dict(_IPERF, congestion=('cubic', _congestion), rate=(None, schema.optional(_rate, None))),
    sample.UDP: dict(_IPERF, rate=('10mbit', _rate)),
    sample.PING: {'count': (50, integer(2, 1000000)), 'interval': (0.2, number(0.002, 3600)),
                  'size': (56, integer(16, 65000)), 'omit': (1, integer(0, 10000))},
    sample.TOPIC: {'seconds': (10, number(1, LONGEST)), 'size': (1000, integer(16, 100000000)),
                   'rate': (10, number(0.01, 10000)), 'omit': (5, integer(0, 10000))},
    sample.SERVICE: {'calls': (50, integer(1, 1000000)), 'omit': (5, integer(0, 10000))},
    sample.VIDEO: {'encoding': ('jpeg', choice(('raw', 'jpeg'))), 'width': (1280, integer(64, 4096, 16)),
                   'height': (720, integer(64, 4096, 16)), 'rate': (30, number(0.5, 240)),
                   'seconds': (30, number(1, LONGEST)), 'omit': (30, integer(0, 10000)), 'hog': (False, flag),
                   'congestion': ('', schema.optional(_congestion, '')), 'nodelay': (False, flag)},
}

#: Keys of `monitor`, for `measure monitor`: interval in s from the start of a round to the next; capacity in bit/s that
#: the link has; share of it in % that the probes may take on average; how much of what was measured is kept.
MONITOR = {'interval': (300, number(5, 86400)), 'capacity': (None, _rate), 'share': (1, number(0.001, 10)),
           'keep_mb': (64, number(0.01, 100000)), 'keep_days': (90, number(0.001, 3650))}
