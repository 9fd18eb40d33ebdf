"""Word the next command of an error or a finding: a person copies it into a shell, so it must be one. Pure.

Advice is one or more command lines, each as it is typed, with what is not to be typed behind ` # `. Where a command
belongs to another machine, that comment names it: `ua-overlay server renew   # on the server`. test/unit/project/
test_advice.py parses every one of them.
"""
import shlex
from typing import Union

from ua_overlay.printable import printable

#: Longest value in a command line, in characters: a path may have 4096 bytes.
_LONGEST = 4096


def command(template: str, *values: Union[str, int]) -> str:
    """Return ``template`` (as for str.format) with every value quoted for a shell.

    A name with a space, a quote or a `$` stays one word; ordinary names, paths and numbers look as before.
    """
    return template.format(*(quoted(value) for value in values))


def quoted(value: Union[str, int]) -> str:
    """Return ``value`` as one word of a shell. A control character in it is escaped, as in every sentence."""
    return shlex.quote(printable(value, _LONGEST))
