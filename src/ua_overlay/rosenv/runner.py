"""The team runner: the team's launch file as a child roslaunch in the team graph."""
import os
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Tuple

from ua_overlay.advice import command as command_line
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.protocols import Clock, Environ
from ua_overlay.rosenv.graph import Graph
from ua_overlay.rosenv.launch import team_environ
from ua_overlay.system import foreign_file, schema
from ua_overlay.system.supervised import SIGINT_TIMEOUT, SIGTERM_TIMEOUT, Supervised

#: Variables of the local graph's roslaunch that would change names or logs of the team's nodes.
LOCAL_ONLY = ('ROS_NAMESPACE', 'ROSLAUNCH_SSH_UNKNOWN')
#: The subreaper reads the nodes' output through a pipe, for which C and Python would keep lines back.
LINES = {'ROSCONSOLE_STDOUT_LINE_BUFFERED': '1', 'PYTHONUNBUFFERED': '1'}

#: The words after `roslaunch`.
Words = Tuple[str, ...]
#: Name of a program -> its path, or None (shutil.which).
Which = Callable[[str], Optional[str]]


@dataclass(frozen=True)
class LaunchSpec:
    """What to launch: the Graph to run in, and the words after `roslaunch`."""

    graph: Graph
    words: Words


def parse_team_launch(text: str) -> Words:
    """Parse `pkg/file.launch arg:=value` or `/path/file.launch …` into the words for roslaunch, () for an empty text.

    :raises UsageError: the text is neither.
    """
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise UsageError('team_launch {!r} cannot be read: {}.'.format(text, error), 'team_launch:=PACKAGE/FILE.launch')
    if not words:
        return ()
    what, arguments = words[0], words[1:]
    if os.path.isabs(what):
        head: Words = (what,)
    else:
        package, slash, name = what.partition('/')
        if not package or not slash or not name:
            raise UsageError('team_launch {!r} does not name the launch file of a package.'.format(what),
                             'team_launch:=PACKAGE/FILE.launch')
        head = (package, name)
    wrong = next((word for word in arguments if ':=' not in word), None)
    if wrong is not None:
        raise UsageError('team_launch has {!r} where only NAME:=VALUE may follow the file.'.format(wrong),
                         'team_launch:="PACKAGE/FILE.launch NAME:=VALUE"')
    return head + tuple(arguments)


def find_launch(argument: str, config: str) -> Words:
    """Return the words after `roslaunch`: of the launch argument, else of `team_launch` in the robot's file; () for
    none.

    :param config: path of the robot's file, which need not exist.
    :raises UsageError: when they are invalid.
    """
    if argument or not os.path.exists(config):
        return parse_team_launch(argument)
    try:
        data = schema.load(foreign_file.read_text(config))
    except OSError as error:
        raise UsageError('The configuration of this robot {} cannot be read: {}.'.format(config, error.strerror),
                         command_line('ls -l {}', config)) from error
    except schema.Invalid as error:
        raise UsageError('The configuration of this robot {} is invalid. {}'.format(config, error),
                         command_line('cat -v {}', config)) from None
    value = data.get('team_launch') or '' if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise UsageError('{} must contain team_launch: PACKAGE/FILE.launch.'.format(config),
        command_line('cat {}', config))
    return parse_team_launch(value)


def launch_command(spec: LaunchSpec, which: Which = shutil.which) -> List[str]:
    """Return the command line of a team's roslaunch; errors as :func:`roslaunch_command`."""
    return roslaunch_command(spec.words, which)


def roslaunch_command(words: Words, which: Which = shutil.which) -> List[str]:
    """Return the command line of a team's roslaunch with these words.

    Without `--wait`, roslaunch starts its own master when the URI is this robot's (measured).

    :raises OverlayError: NO_ROS when there is no roslaunch on the PATH.
    """
    roslaunch = which('roslaunch')
    if roslaunch is None:
        raise OverlayError('The team\'s nodes cannot start: there is no roslaunch on the PATH.',
                           'source the setup.bash of your ROS workspace', code='NO_ROS')
    return [roslaunch, '--wait', '--disable-title', '--sigint-timeout', str(SIGINT_TIMEOUT),
            '--sigterm-timeout', str(SIGTERM_TIMEOUT)] + list(words)


def graph_environ(graph: Graph, environ: Environ) -> Dict[str, str]:
    """Return the process environment of a program in ``graph``, made from ``environ`` of the local graph."""
    return {key: value for key, value in team_environ(environ, dict(graph.variables)).items() if key not in LOCAL_ONLY}


class TeamRunner(Supervised[LaunchSpec]):
    """The team's roslaunch, supervised.

    :param words: as :func:`parse_team_launch` returns them; not empty.
    """

    def __init__(self, words: Words, log_path: Optional[str] = None, environ: Optional[Environ] = None,
                 popen: Any = subprocess.Popen, clock: Clock = time.monotonic, which: Which = shutil.which) -> None:
        super().__init__(log_path, environ, popen, clock)
        self.words = words
        self._which = which

    def follow(self, graph: Optional[Graph]) -> None:
        """Run in ``graph`` from now on, or stop when it is None."""
        self.set_desired(None if graph is None else LaunchSpec(graph, self.words))

    def command(self, spec: LaunchSpec) -> List[str]:
        return launch_command(spec, self._which)

    def environ(self, spec: LaunchSpec, environ: Environ) -> Dict[str, str]:
        return dict(LINES, **graph_environ(spec.graph, environ))

    def refusal(self, detail: str) -> str:
        return 'The team\'s nodes cannot start: {}.'.format(detail)

    def obituary(self, spec: LaunchSpec, status: int, last_words: str) -> str:
        return 'The team\'s launch file {} ended with status {}{}'.format(
            '/'.join(word for word in spec.words if ':=' not in word), status, last_words)
