"""The mirror: the overlay's topics in the team graph, as a child process in the team's environment."""
import re
import subprocess
import sys
import time
from dataclasses import dataclass

from ua_overlay.rosenv.runner import graph_environ
from ua_overlay.system.supervised import Supervised

MODULE = 'ua_overlay.nodes.mirror'


@dataclass(frozen=True)
class MirrorSpec:
    """graph.Graph to run in, and the socket at which the overlay node tells it what to say."""

    graph: object
    socket: str


def ros_name(robot):
    """A robot's overlay name as a ROS name: `dev-1` -> `dev_1`, `dev-1-1` -> `dev_1_1`, `7up` -> `R7up`.

    ROS names begin with a letter and know no hyphen (http://wiki.ros.org/Names). Overlay names are DNS labels in lower
    case, so no two of them become the same ROS name.
    """
    name = re.sub(r'[^A-Za-z0-9_]', '_', robot)
    return name if re.match(r'[A-Za-z]', name) else 'R' + name


class TeamMirror(Supervised):
    """The mirror, supervised.

    :param socket: path of the overlay node's socket (nodes.interface.MirrorServer).
    """

    def __init__(self, socket, log_path=None, environ=None, popen=subprocess.Popen, clock=time.monotonic):
        super().__init__(log_path, environ, popen, clock)
        self._socket = socket

    def follow(self, graph):
        """Take a new graph.Graph (or None) to run in, and :meth:`step`."""
        self.set_desired(None if graph is None else MirrorSpec(graph, self._socket))

    def command(self, spec):
        return [sys.executable, '-m', MODULE, spec.socket]

    def environ(self, spec, environ):
        return dict(graph_environ(spec.graph, environ), ROS_NAMESPACE='/' + ros_name(spec.graph.robot))

    def refusal(self, detail):
        return 'The mirror cannot start: {}.'.format(detail)

    def obituary(self, spec, status, last_words):
        return 'The mirror in the graph of {} ended with status {}{}'.format(spec.graph.uri, status, last_words)
