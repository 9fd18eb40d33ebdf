"""Start the overlay node, if none runs on this machine yet."""
import contextlib
import os
import signal
import sys
import time
from typing import Callable, List, Sequence

import rospy

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.nodes import arguments
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.local_graph import NODE
from ua_overlay.system import instance
from ua_overlay.system.instance import AlreadyRunning, Holder, Instance

WHAT = 'The overlay node'
LAUNCH_FILE = 'overlay.launch'
#: Seconds between two looks of a node that waits for its turn.
PERIOD = 1.0


def launches_only_the_node(command: Sequence[str]) -> bool:
    """Return whether a command line is a roslaunch of overlay.launch and of nothing else, so that it may end with the
    node. Pure."""
    files = [word for word in command[1:] if word.endswith(('.launch', '.xml', '.test')) and ':=' not in word]
    return bool(command) and os.path.basename(command[0]) == 'roslaunch' and \
        [os.path.basename(word) for word in files] == [LAUNCH_FILE]


def claim(holder: Callable[[], Holder], launcher: Sequence[str],
          end_launcher: Callable[[], object] = lambda: os.kill(os.getppid(), signal.SIGINT),
          sleep: Callable[[float], object] = time.sleep) -> Instance:
    """Become the only overlay node of this robot.

    Two of them would start everything twice and undo each other's work, whatever their names and masters are.

    :param holder: returns this process, as instance.myself.
    :param launcher: command line of the program that started it.
    :param end_launcher: called before AlreadyRunning is raised where the launcher has nothing else to do: it would
        start the node again and again.
    :raises AlreadyRunning: another one runs. A node of a larger launch file waits for its turn instead, since it would
        be started again every two seconds.
    """
    told = False
    while True:
        try:
            return _claim_once(holder())
        except AlreadyRunning as error:
            if launches_only_the_node(launcher):
                end_launcher()
                raise
            if not told:
                print('{} This one takes over when that one ends.'.format(error.sentence), file=sys.stderr, flush=True)
            told = True
            sleep(PERIOD)


def _claim_once(holder: Holder) -> Instance:
    try:
        location = envfile.locate()
        if location.personal:
            os.makedirs(location.directory, mode=0o755, exist_ok=True)
        directory = location.directory
    except (OSError, OverlayError):
        directory = '/nonexistent'  # there is nowhere to write; the node says so in its topic, and goes on
    node = Instance(directory, NODE, WHAT)
    for place in _run_directories():
        other = instance.read_holder(place, NODE)
        if other is not None:
            raise node.already(other)
    # Where another user owns the directory, the node says so in its topic.
    with contextlib.suppress(OSError):
        node.claim(holder)
    return node


def _run_directories() -> List[str]:
    """Return every directory in which a node of this robot may be: `robot prepare` makes another one while a node runs
    in its user's."""
    if os.environ.get('UA_OVERLAY_RUN_DIR'):
        return [os.environ['UA_OVERLAY_RUN_DIR']]
    personal = os.environ.get('XDG_RUNTIME_DIR')
    return [defaults.RUN_DIR] + ([os.path.join(personal, 'ua_overlay')] if personal else [])


def main() -> int:
    graph = os.environ.get('ROS_MASTER_URI', '')
    try:
        # First: a second node must change nothing, neither in the graph nor on the parameter server.
        parameters = arguments.parse(os.environ)
        if parameters.get('manage_daemon'):
            # `robot prepare` makes it where tailscaled is a system service.
            os.makedirs(defaults.RUN_DIR, mode=0o755, exist_ok=True)
        node = claim(lambda: instance.myself(graph), instance.launcher())
    except OverlayError as error:
        print(error, file=sys.stderr, flush=True)
        return error.exit_status
    from ua_overlay.nodes.overlay import OverlayNode
    rospy.init_node('ua_overlay')
    for name, value in parameters.items():
        rospy.set_param('~' + name, value)
    try:
        return OverlayNode().run()
    except OverlayError as error:
        rospy.logfatal(str(error))
        return error.exit_status
    finally:
        node.release()
