"""The common part of the tools that measure ROS: a program at each end prints one JSON object."""
import json
from typing import Any, Dict

from ua_overlay.measure.hosts.process import last_line
from ua_overlay.measure.tools.tool import Unmeasured


def last_json(text: str, host: str) -> Dict[str, Any]:
    """The last line that is a JSON object.

    :param host: where the program ran, for the sentence.
    :raises Unmeasured: there is none, or it has an `error`.
    """
    for line in reversed(text.splitlines()):
        if line.startswith('{'):
            answer: Dict[str, Any] = json.loads(line)
            if answer.get('error'):
                raise Unmeasured('ROS on {}: {}.'.format(host, answer['error']))
            return answer
    raise Unmeasured('The ROS program on {} printed no result: {}.'.format(host, last_line(text, 'no output')))
