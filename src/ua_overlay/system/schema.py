"""Read YAML that people write: fields, types and ranges, with errors that name the place in the file. Pure.

A reader is a function of (place, value) that returns the value, or raises :class:`Invalid`. A place is a path of
fields: 'nats.nat1.kind'.
"""
import contextlib
from typing import Any, Callable, Dict, Iterator, List, Optional, Pattern, Sequence, Type, TypeVar

import yaml

from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable

Value = TypeVar('Value')
Reader = Callable[[str, Any], Value]
#: The top of the file, as a place.
TOP = 'the file'
#: Longest text, in characters; most values in it, also after its aliases are resolved; deepest nesting. A site of a
#: thousand teams has 7,000 values in 90,000 characters. PyYAML needs half a second for such a text.
LONGEST, MOST_VALUES, DEEPEST = 512 * 1024, 20000, 40
#: Longest number or date, in characters: int() of a million digits takes minutes in Python 3.8.
_LONGEST_NUMBER = 60
_TEXTS = ('tag:yaml.org,2002:str', 'tag:yaml.org,2002:binary', 'tag:yaml.org,2002:merge')


class Invalid(Exception):
    """A YAML text is invalid; str() is a sentence without the name of the file. See :func:`errors_as`.

    :ivar line: its line if PyYAML names one, counted from 1.
    """

    def __init__(self, sentence: str, line: Optional[int] = None) -> None:
        super().__init__(sentence)
        self.line = line


def invalid(place: str, problem: str) -> Invalid:
    """Return the error for a value: 'PLACE: PROBLEM.'"""
    return Invalid('{}: {}.'.format(printable(place), problem))


def shown(value: object) -> str:
    """Return a foreign value for a sentence: its repr on one line, not longer than a line."""
    return printable(repr(value), 80)


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
    """A loader with limits, which refuses duplicate keys (YAML 1.2, 3.2.1.1); PyYAML silently uses the last one."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._values = 0
        self._depth = 0

    def compose_node(self, parent: Optional[yaml.Node], index: int) -> Optional[yaml.Node]:
        """Compose a value, within the limits (yaml.composer.Composer, PyYAML 5.3 to 6.0)."""
        self._values += 1
        if self._values > MOST_VALUES:
            raise _too_many()
        if self._depth >= DEEPEST:
            raise Invalid('It is nested deeper than {} levels.'.format(DEEPEST))
        self._depth += 1
        try:
            node: Optional[yaml.Node] = super().compose_node(parent, index)
        finally:
            self._depth -= 1
        return node

    def get_single_node(self) -> Optional[yaml.Node]:
        """Compose the document, and refuse one that grows too large when its aliases are resolved."""
        node: Optional[yaml.Node] = super().get_single_node()
        if node is not None and _count(node, {}) > MOST_VALUES:
            raise _too_many()
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> Dict[Any, Any]:
        lines: Dict[str, int] = {}
        for key, _ in node.value:
            name = getattr(key, 'value', None)
            line = key.start_mark.line + 1
            if isinstance(name, str) and name in lines:
                raise Invalid('{} is there twice, in lines {} and {}.'.format(printable(name, 60), lines[name], line))
            if isinstance(name, str):
                lines[name] = line
        result: Dict[Any, Any] = super().construct_mapping(node, deep)
        return result


def _too_many() -> Invalid:
    return Invalid('It has more than {} values.'.format(MOST_VALUES))


def _count(node: yaml.Node, counts: Dict[int, int]) -> int:
    """Return the number of values in ``node`` with its aliases resolved.

    :param counts: the known ones, by id of the node; 0 while one is being counted.
    :raises Invalid: it contains itself, or has a number that is too long.
    """
    if isinstance(node, yaml.ScalarNode):
        if node.tag not in _TEXTS and len(node.value) > _LONGEST_NUMBER:
            raise Invalid('It has an invalid value (line {}).'.format(node.start_mark.line + 1))
        return 1
    if id(node) not in counts:
        counts[id(node)] = 0
        inside = [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
        counts[id(node)] = 1 + sum(_count(each, counts) for each in inside)
    if not counts[id(node)]:
        raise Invalid('It has a value that contains itself (line {}).'.format(node.start_mark.line + 1))
    return counts[id(node)]


@contextlib.contextmanager
def _errors_of_yaml() -> Iterator[None]:
    try:
        yield
    except Invalid:
        raise
    except yaml.YAMLError as error:
        # PyYAML's error quotes the text, perhaps with a secret, so it must not be the cause of ours.
        mark = getattr(error, 'problem_mark', None)
        line = mark.line + 1 if mark else None
        raise Invalid('It is not YAML{}.'.format(' (line {})'.format(line) if line else ''), line) from None
    except Exception:  # of Python, inside PyYAML: chr() of an escape, a date that does not exist, a key that is a list
        raise Invalid('It has an invalid value.') from None


def load(text: str) -> Any:
    """Return the value of a YAML text: the only way in which the package reads one that somebody else may have made.

    :raises Invalid: it is not YAML, exceeds a limit of this module, or has a mapping with two fields of one name.
    """
    if len(text) > LONGEST:
        raise Invalid('It is longer than {} characters.'.format(LONGEST))
    with _errors_of_yaml():
        return yaml.load(text, Loader=_Loader)


def events(text: str) -> Iterator[yaml.Event]:
    """Yield the events of a YAML text, for a reader that constructs no value; see :func:`load`.

    :raises Invalid: it is not YAML, or too long.
    """
    if len(text) > LONGEST:
        raise Invalid('It is longer than {} characters.'.format(LONGEST))
    with _errors_of_yaml():
        yield from yaml.parse(text, Loader=yaml.BaseLoader)


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
        raise invalid(place, 'a mapping is needed, not {}'.format(shown(value)))
    for key in sorted(set(required) - set(value)):
        raise invalid(place, '{} is missing'.format(key))
    if optional is not None:
        known = list(required) + list(optional)
        for key in value:
            if key not in known:
                raise invalid(place, '{} is unknown; known are {}'.format(printable(key, 60), ', '.join(sorted(known))))
    return value


def listing(place: str, value: Any) -> List[Any]:
    """Read a list; None counts as an empty one."""
    if value is not None and not isinstance(value, list):
        raise invalid(place, 'a list is needed, not {}'.format(shown(value)))
    return value or []


def version(value: Any, supported: int) -> None:
    """Refuse a file whose version is not ``supported``."""
    if value != supported:
        raise invalid('version', '{} is not supported; this program reads version {}'.format(shown(value), supported))


def number(least: float, most: float) -> Reader[float]:
    """Read a number in a range."""
    def read(place: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= most:
            raise invalid(place, '{} is not a number from {:g} to {:g}'.format(shown(value), least, most))
        return float(value)
    return read


def integer(least: int, most: int, multiple_of: int = 1) -> Reader[int]:
    """Read a whole number in a range."""
    def read(place: str, value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise invalid(place, '{} is not a whole number from {} to {}'.format(shown(value), least, most))
        if value % multiple_of:
            raise invalid(place, '{} is not a multiple of {}'.format(shown(value), multiple_of))
        return int(value)
    return read


def choice(choices: Sequence[str]) -> Reader[str]:
    """Read one of some words."""
    def read(place: str, value: Any) -> str:
        if value not in choices:
            raise invalid(place, '{} is not one of {}'.format(shown(value), ', '.join(filter(None, choices))))
        return str(value)
    return read


def text(pattern: Pattern[str], what: str) -> Reader[str]:
    """Read a text that matches a pattern as a whole.

    :param what: the expected kind of value: 'a host name'.
    """
    def read(place: str, value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise invalid(place, '{} is not {}'.format(shown(value), what))
        return value
    return read


def is_port(value: Any) -> bool:
    """Return whether ``value`` is a port number (and not a boolean, to which YAML converts yes and no)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def flag(place: str, value: Any) -> bool:
    """Read true or false."""
    if not isinstance(value, bool):
        raise invalid(place, '{} is neither true nor false'.format(shown(value)))
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
            raise invalid(place, '{} is not {}'.format(shown(value), what))
    return read


def optional(reader: Reader[Value], nothing: Value) -> Reader[Value]:
    """Read ``nothing`` as itself, and anything else with ``reader``."""
    def read(place: str, value: Any) -> Value:
        return nothing if value == nothing and type(value) is type(nothing) else reader(place, value)
    return read
