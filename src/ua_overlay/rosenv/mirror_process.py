"""The mirror: the overlay's topics in the team graph, as a child process in the team's environment."""
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from ua_overlay.protocols import Clock, Environ
from ua_overlay.rosenv.graph import Graph
from ua_overlay.rosenv.runner import graph_environ
from ua_overlay.system.supervised import Supervised

MODULE = 'ua_overlay.nodes.mirror'


@dataclass(frozen=True)
class MirrorSpec:
    """The Graph to run in, and the socket through which the overlay node sends the messages to publish."""

    graph: Graph
    socket: str


def ros_name(robot: str) -> str:
    """Return a robot's overlay name as a ROS name: `dev-1` -> `dev_1`, `dev-1-1` -> `dev_1_1`, `7up` -> `R7up`.

    ROS names begin with a letter and have no hyphen (http://wiki.ros.org/Names). Overlay names are lower-case DNS
    labels, so different ones become different ROS names.
    """
    name = re.sub(r'[^A-Za-z0-9_]', '_', robot)
    return name if re.match(r'[A-Za-z]', name) else 'R' + name


class TeamMirror(Supervised[MirrorSpec]):
    """The mirror, supervised.

    :param socket: path of the overlay node's socket (nodes.interface.MirrorServer).
    """

    def __init__(self, socket: str, log_path: Optional[str] = None, environ: Optional[Environ] = None,
                 popen: Any = subprocess.Popen, clock: Clock = time.monotonic) -> None:
        super().__init__(log_path, environ, popen, clock)
        self._socket = socket

    def follow(self, graph: Optional[Graph]) -> None:
        """Run in ``graph`` from now on, or stop when it is None."""
        self.set_desired(None if graph is None else MirrorSpec(graph, self._socket))

    def command(self, spec: MirrorSpec) -> List[str]:
        return [sys.executable, '-m', MODULE, spec.socket]

    def environ(self, spec: MirrorSpec, environ: Environ) -> Dict[str, str]:
        return dict(graph_environ(spec.graph, environ), ROS_NAMESPACE='/' + ros_name(spec.graph.robot))

    def refusal(self, detail: str) -> str:
        return 'The mirror cannot start: {}.'.format(detail)

    def obituary(self, spec: MirrorSpec, status: int, last_words: str) -> str:
        return 'The mirror in the graph of {} ended with status {}{}'.format(spec.graph.uri, status, last_words)
