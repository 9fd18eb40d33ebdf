"""Parse JSON that comes from outside this process: whatever it is, the result is a value or a ValueError. Pure.

Python's parser alone raises RecursionError for JSON nested 100,000 deep, needs minutes for a number of a million
digits (quadratic in Python 3.8), and accepts NaN, Infinity and 1e999. Of `[[],[],…]` it makes 24 bytes for each byte.
"""
import json
import math
import re
from typing import Union

from ua_overlay.protocols import Json, JsonObject

#: Values in one text: the status of 10,000 peers has 400,000. A small one takes up to 72 bytes of memory.
MOST_VALUES = 1000000
#: Characters of the longest number that is read: 2**64 has 20, a float of Go at most 25.
_LONGEST_NUMBER = 60
_LONG_NUMBER = re.compile('[0-9]{%d}' % (_LONGEST_NUMBER + 1))


def parse(text: Union[str, bytes]) -> Json:
    """Return the value of a JSON text; bytes are UTF-8.

    :raises ValueError: it is not JSON (RFC 8259), nested too deep, has more than :data:`MOST_VALUES` values, or a
        number that no program means.
    """
    if isinstance(text, bytes):
        text = text.decode('utf-8')
    # No value but the first without one of these before it; those inside texts count as well.
    if text.count(',') + text.count('[') + text.count('{') > MOST_VALUES:
        raise ValueError('more than {} values'.format(MOST_VALUES))
    # A function for each whole number would double the cost of a status, so it is passed only where one is long.
    integer = _integer if _LONG_NUMBER.search(text) else int
    try:
        return json.loads(text, parse_int=integer, parse_float=_number, parse_constant=_constant)
    except RecursionError:
        raise ValueError('nested too deep') from None


def parse_object(text: Union[str, bytes]) -> JsonObject:
    """Return the value of a JSON text that must be an object.

    :raises ValueError: as :func:`parse`, and for any other value.
    """
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError('not an object')
    return value


def _integer(digits: str) -> int:
    if len(digits) > _LONGEST_NUMBER:
        raise ValueError('a number of {} digits'.format(len(digits)))
    return int(digits)


def _number(text: str) -> float:
    value = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        raise ValueError('a number that is too long or too large')
    return value


def _constant(name: str) -> float:
    raise ValueError('{} is not JSON'.format(name))
