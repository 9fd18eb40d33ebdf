"""Read YAML that people write: fields, types and ranges, with errors that name the place in the file. Pure.

A reader is a function of (place, value) that returns the value, or raises :class:`Invalid`. A place is a path of
fields: 'nats.nat1.kind'.
"""
import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Pattern, Sequence, Type, TypeVar

import yaml

from ua_overlay.errors import OverlayError

Value = TypeVar('Value')
Reader = Callable[[str, Any], Value]
#: The top of the file, as a place.
TOP = 'the file'


class Invalid(Exception):
    """A YAML text is invalid; str() is a sentence without the name of the file. See :func:`errors_as`."""


def invalid(place: str, problem: str) -> Invalid:
    """Return the error for a value: 'PLACE: PROBLEM.'"""
    return Invalid('{}: {}.'.format(place, problem))


@contextlib.contextmanager
def errors_as(kind: Type[OverlayError], source: str = '', next_command: str = '') -> Iterator[None]:
    """Within this context, convert :class:`Invalid` to an OverlayError.

    :param kind: its class.
    :param source: name of the file; with '' the sentence begins with the place.
    """
    try:
        yield
    except Invalid as error:
        raise kind('{}: {}'.format(source, error) if source else str(error), next_command)


class _Loader(yaml.SafeLoader):
    """A loader that refuses duplicate keys (YAML 1.2, 3.2.1.1); PyYAML silently uses the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        lines: Dict[str, int] = {}
        for key, _ in node.value:
            name = getattr(key, 'value', None)
            line = key.start_mark.line + 1
            if isinstance(name, str) and name in lines:
                raise Invalid('{} is there twice, in lines {} and {}.'.format(name, lines[name], line))
            if isinstance(name, str):
                lines[name] = line
        result: Dict[Any, Any] = super().construct_mapping(node, deep)
        return result


def load(text: str) -> Any:
    """Return the value of a YAML text.

    :raises Invalid: it is not YAML, or a mapping has two fields of one name.
    """
    try:
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        raise Invalid('It is not YAML{}.'.format(' (line {})'.format(mark.line + 1) if mark else ''))
    except (ValueError, TypeError, AttributeError, RecursionError):
        # Errors inside PyYAML, for instance about text that looks like a date but is invalid.
        raise Invalid('It has an invalid value.')


def section(place: str, value: Any, required: Sequence[str] = (), optional: Optional[Sequence[str]] = None
            ) -> Dict[Any, Any]:
    """Read a mapping.

    :param value: None counts as an empty mapping where nothing is required.
    :param required: mandatory fields.
    :param optional: further fields that are allowed; None for any.
    """
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise invalid(place, 'a mapping is needed, not {!r}'.format(value))
    for key in sorted(set(required) - set(value)):
        raise invalid(place, '{} is missing'.format(key))
    if optional is not None:
        known = list(required) + list(optional)
        for key in value:
            if key not in known:
                raise invalid(place, '{} is unknown; known are {}'.format(key, ', '.join(sorted(known))))
    return value


def listing(place: str, value: Any) -> List[Any]:
    """Read a list; None counts as an empty one."""
    if value is not None and not isinstance(value, list):
        raise invalid(place, 'a list is needed, not {!r}'.format(value))
    return value or []


def version(value: Any, supported: int) -> None:
    """Refuse a file whose version is not ``supported``."""
    if value != supported:
        raise invalid('version', '{!r} is not supported; this program reads version {}'.format(value, supported))


def number(least: float, most: float) -> Reader[float]:
    """Read a number in a range."""
    def read(place: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise invalid(place, '{!r} is not a number from {:g} to {:g}'.format(value, least, most))
        return float(value)
    return read


def integer(least: int, most: int, multiple_of: int = 1) -> Reader[int]:
    """Read a whole number in a range."""
    def read(place: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(place, '{!r} is not a whole number from {} to {}'.format(value, least, most))
        if value % multiple_of:
            raise invalid(place, '{!r} is not a multiple of {}'.format(value, multiple_of))
        return int(value)
    return read


def choice(choices: Sequence[str]) -> Reader[str]:
    """Read one of some words."""
    def read(place: str, value: Any) -> str:
        if value not in choices:
            raise invalid(place, '{!r} is not one of {}'.format(value, ', '.join(filter(None, choices))))
        return str(value)
    return read


def text(pattern: Pattern[str], what: str) -> Reader[str]:
    """Read a text that matches a pattern as a whole.

    :param what: the expected kind of value: 'a host name'.
    """
    def read(place: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid(place, '{!r} is not {}'.format(value, what))
        return value
    return read


def is_port(value: Any) -> bool:
    """Return whether ``value`` is a port number (and not a boolean, to which YAML converts yes and no)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def flag(place: str, value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise invalid(place, '{!r} is neither true nor false'.format(value))
    return value


def parsed(parse: Callable[[str], Value], what: str) -> Reader[Value]:
    """Read a value with a parser.

    :param parse: raises ValueError.
    :param what: the expected kind of value: 'a rate such as 50mbit'.
    """
    def read(place: str, value: Any) -> Value:
        try:
            return parse(str(value))
        except ValueError:
            raise invalid(place, '{!r} is not {}'.format(value, what))
    return read


def optional(reader: Reader[Value], nothing: Value) -> Reader[Value]:
    """Read ``nothing`` as itself, and anything else with ``reader``."""
    def read(place: str, value: Any) -> Value:
        return nothing if value == nothing and type(value) is type(nothing) else reader(place, value)
    return read
