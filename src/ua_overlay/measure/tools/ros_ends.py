"""The common part of the tools that measure ROS: a program at each end prints one JSON object."""
from typing import Any, Dict

from ua_overlay.measure.hosts.process import last_line
from ua_overlay.measure.tools.tool import Unmeasured
from ua_overlay.printable import printable
from ua_overlay.system import foreign_json


def last_json(text: str, host: str) -> Dict[str, Any]:
    """The last line that is a JSON object.

    :param host: where the program ran, for the sentence.
    :raises Unmeasured: there is none, or it has an `error`.
    """
    for line in reversed(text.splitlines()):
        if line.startswith('{'):
            try:
                answer = foreign_json.parse_object(line)
            except ValueError:
                break
            if answer.get('error'):
                raise Unmeasured('ROS on {}: {}.'.format(host, printable(answer['error'])))
            return answer
    raise Unmeasured('The ROS program on {} printed no result: {}.'.format(host, last_line(text, 'no output')))
