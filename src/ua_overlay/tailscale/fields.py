"""Read the fields of a JSON object that tailscaled sent: each function returns one type, or raises. Pure.

A missing field and `null` give the neutral value of the type, because the LocalAPI promises no stability. A value of
another type is an :class:`InvalidAnswer`: to guess what it means would publish the guess as a fact. Every text passes
through printable(), so whatever reads it may show it: a peer chooses its own host name and operating system.
"""
import socket
from typing import Any, List, Mapping, Optional, Tuple

from ua_overlay.clock import parse_go_time
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable

#: An object of JSON, not yet validated. Nothing but this module looks into one.
Fields = Mapping[str, Any]

#: Longest text, in characters.
LONGEST_TEXT = 2000
#: Greatest number: of Go's int64, and of uint64 in a ROS message.
GREATEST = 2**63 - 1
#: Unix seconds of the last moment of a ROS time (genpy: 32 bits).
LAST_MOMENT = 2.0**32 - 1

_NOTHING: Fields = {}


class InvalidAnswer(OverlayError):
    """tailscaled sent JSON that is not what its version promises."""

    code = 'DAEMON_ERROR'


def text(raw: Fields, name: str) -> str:
    """Return a text, '' without one."""
    value = raw.get(name)
    if value is None:
        return ''
    if not isinstance(value, str):
        raise _wrong(name, 'a text', value)
    return _shown(value)


def flag(raw: Fields, name: str) -> bool:
    """Return a boolean, False without one."""
    value = raw.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise _wrong(name, 'a boolean', value)
    return value


def count(raw: Fields, name: str) -> int:
    """Return a whole number from 0 to :data:`GREATEST`, 0 without one."""
    value = raw.get(name)
    if value is None:
        return 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong(name, 'a whole number', value)
    if not 0 <= value <= GREATEST:
        raise InvalidAnswer('tailscaled sent an invalid answer: {} is out of range.'.format(_shown(name)))
    return value


def seconds(raw: Fields, name: str) -> float:
    """Return a duration in seconds, 0.0 without one."""
    value = raw.get(name)
    if value is None:
        return 0.0
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        raise _wrong(name, 'a number', value)
    if not 0.0 <= value <= LAST_MOMENT:
        raise InvalidAnswer('tailscaled sent an invalid answer: {} is out of range.'.format(_shown(name)))
    return float(value)


def moment(raw: Fields, name: str) -> Optional[float]:
    """Return a time as Unix seconds; None without one, and for one that no ROS time can hold."""
    value = text(raw, name)
    try:
        parsed = parse_go_time(value)
    except ValueError:
        return None
    unix = None if parsed is None else parsed.timestamp()
    return unix if unix is not None and 0.0 < unix <= LAST_MOMENT else None


def texts(raw: Fields, name: str) -> Tuple[str, ...]:
    """Return a list of texts, () without one."""
    value = raw.get(name)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise _wrong(name, 'a list', value)
    for each in value:
        if not isinstance(each, str):
            raise _wrong(name, 'a list of texts', each)
    return tuple([_shown(each) for each in value])


def addresses(raw: Fields, name: str) -> Tuple[str, ...]:
    """Return a list of IP addresses as text, () without one."""
    found = texts(raw, name)
    for each in found:
        try:
            socket.inet_pton(socket.AF_INET6 if ':' in each else socket.AF_INET, each)
        except OSError:
            raise InvalidAnswer('tailscaled sent an invalid answer: {} is no address.'.format(
                _shown(each) or "''")) from None
    return found


def names(raw: Fields, name: str) -> Tuple[str, ...]:
    """Return the names in an object, sorted; () without one."""
    return tuple(sorted(map(_shown, mapping(raw, name))))


def mapping(raw: Fields, name: str) -> Fields:
    """Return an object, an empty one without one."""
    value = raw.get(name)
    if value is None:
        return _NOTHING
    return _object(name, value)


def objects(raw: Fields, name: str) -> List[Fields]:
    """Return the objects in a list, [] without one."""
    value = raw.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise _wrong(name, 'a list', value)
    return [_object(name, each) for each in value]


def members(raw: Fields, name: str) -> List[Fields]:
    """Return the objects in an object, without their names; [] without one."""
    return [_object(name, each) for each in mapping(raw, name).values()]


def _object(name: str, value: object) -> Fields:
    if not isinstance(value, dict):
        raise _wrong(name, 'an object', value)
    return value


def _shown(value: str) -> str:
    if len(value) <= LONGEST_TEXT and value.isascii() and value.isprintable():
        return value
    return printable(value, LONGEST_TEXT)


def _wrong(name: str, wanted: str, value: object) -> InvalidAnswer:
    return InvalidAnswer('tailscaled sent an invalid answer: {} is not {} but {}.'.format(
        _shown(name), wanted, _KINDS.get(type(value), 'a number')))


_KINDS = {str: 'a text', bool: 'a boolean', list: 'a list', dict: 'an object', type(None): 'null'}
