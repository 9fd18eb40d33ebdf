"""The arguments of overlay.launch, as values. Pure.

overlay.launch hands them over in the environment of the node, and the node sets its parameters itself once it is the
only one: roslaunch sets the parameters of a launch file before it starts the node, on the server that the first node
uses, so that a second launch would change the first one's.
"""
from typing import Any, Callable, Dict

from ua_overlay.advice import command
from ua_overlay.errors import UsageError
from ua_overlay.printable import printable
from ua_overlay.protocols import Environ

#: Variables are PREFIX + the name of the argument.
PREFIX = 'UA_OVERLAY_ARG_'


def _bool(text: str) -> bool:
    # As roslaunch converts a parameter of that type (roslaunch/loader.py: convert_value).
    if text.lower() not in ('true', 'false', '1', '0'):
        raise ValueError(text)
    return text.lower() in ('true', '1')


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise ValueError(text)
    return number


def _period(text: str) -> float:
    # Nothing that never comes (nan, inf), and nothing that takes a processor for itself.
    seconds = float(text)
    if not 0.1 <= seconds <= 600:
        raise ValueError(text)
    return seconds


#: Argument -> its type; all others are texts.
TYPES: Dict[str, Callable[[str], Any]] = {
    'team_port': _port, 'team_roscore': _bool, 'team_face': _bool, 'allow_remote_control': _bool,
    'manage_daemon': _bool, 'heal_links': _bool, 'heartbeat': _period, 'server_period': _period}
_WORDS: Dict[Callable[[str], Any], str] = {
    _port: "a port number (0: the team's)", _period: 'a number of seconds from 0.1 to 600', _bool: 'true or false'}


def parse(environ: Environ) -> Dict[str, Any]:
    """Return argument -> value, {} for a node that was not started by overlay.launch.

    :raises UsageError: a value has the wrong type.
    """
    values = {}
    for key, text in environ.items():
        if not key.startswith(PREFIX):
            continue
        name = key[len(PREFIX):]
        kind = TYPES.get(name, str)
        try:
            values[name] = kind(text)
        except ValueError:
            raise UsageError('{}:={} of overlay.launch is not {}.'.format(name, printable(text), _WORDS[kind]),
                             command('roslaunch ua_overlay overlay.launch --ros-args')) from None
    return values


def without(environ: Environ) -> Dict[str, str]:
    """Return ``environ`` without the arguments, for the node's own children."""
    return {key: value for key, value in environ.items() if not key.startswith(PREFIX)}
