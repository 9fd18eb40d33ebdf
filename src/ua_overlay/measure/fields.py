"""The readers of values that occur only in campaign files, built on system.schema. Pure."""
import re
from typing import Any, Dict, Mapping, NamedTuple

from ua_overlay.clock import parse_rate
from ua_overlay.errors import UsageError
from ua_overlay.system import schema

#: The longest single measurement, in seconds.
LONGEST = 7 * 86400.0

name = schema.text(re.compile(r'[A-Za-z0-9][A-Za-z0-9_.-]{0,63}'),
                   'a name of letters, digits, hyphens, dots and underscores')
#: An address, a name, or `user@host`. One that begins with a hyphen would be an option of ssh, ping or iperf3.
address = schema.text(re.compile(r'[A-Za-z0-9_\[][A-Za-z0-9_.:@\[\]-]*'), 'an address or a name')
#: In bit/s.
rate = schema.parsed(parse_rate, 'a rate, such as 50mbit')
#: The name of a congestion control of Linux.
congestion = schema.text(re.compile(r'[a-z0-9_]{1,15}'), 'a congestion control, such as cubic')


class CampaignError(UsageError):
    """The campaign is invalid; the sentence names the file and the position."""

    code = 'MEASURE_CAMPAIGN'


class Key(NamedTuple):
    """An optional key of a section: its default, as a user would write it, and the reader of its value."""

    default: Any
    read: schema.Reader[Any]


def read_keys(place: str, values: Mapping[str, Any], keys: Mapping[str, Key]) -> Dict[str, Any]:
    """Read each of ``keys`` from ``values``, or take its default. :raises schema.Invalid: as the readers."""
    return {key: each.read('{}.{}'.format(place, key), values.get(key, each.default)) for key, each in keys.items()}
