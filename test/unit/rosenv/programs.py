"""A team graph, and a world in which the programs of it are started."""
import io

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.rosenv.graph import Graph

VARIABLES = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:{}'.format(TEAM_PORT),
             'ROS_HOSTNAME': 'dev-3.overlay.internal',
             'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-3'}
GRAPH = Graph(tuple(sorted(VARIABLES.items())), 'a')
#: The environment of the overlay node, in the local graph.
LOCAL = {'PATH': '/bin', 'ROS_MASTER_URI': 'http://localhost:11311', 'ROS_HOSTNAME': 'localhost', 'ROS_IP': '10.0.2.15',
         'ROS_NAMESPACE': '/x', 'UA_OVERLAY_OWNER': '1:2'}


class Process:
    def __init__(self, command, **options):
        self.command, self.env, self.pid, self.returncode, self.stdin = command, options['env'], 7, None, io.BytesIO()

    def poll(self):
        return self.returncode


class World:
    """A supervised program, made by ``make(first, …)``, with a clock that stands still and processes that are none."""

    def __init__(self, make, first, **options):
        self.now, self.started = 0.0, []
        self.child = make(first, environ=LOCAL, popen=self.popen, clock=lambda: self.now, **options)

    def popen(self, command, **options):
        self.started.append(Process(command, **options))
        return self.started[-1]
