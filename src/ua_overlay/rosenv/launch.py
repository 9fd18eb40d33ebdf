"""The process environment of a program in the team graph or the local graph, and the wait for the team graph."""
import os
import time
from typing import Callable, Dict, Optional, Sequence

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, Environ
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.master import MasterAnswer

#: Markers of the env hook (env-hooks/50.ua_overlay.sh): variable of ROS -> the variable with the value that the hook
#: set.
MARKERS = {'ROS_MASTER_URI': '_UA_OVERLAY_MASTER_URI', 'ROS_HOSTNAME': '_UA_OVERLAY_HOSTNAME',
           'ROS_IP': '_UA_OVERLAY_IP'}
BEFORE = '_UA_OVERLAY_BEFORE'
#: ROS's default master, as noted by the hook: the value is nobody's wish.
DEFAULT = '_UA_OVERLAY_DEFAULT'
#: Somebody asked for the team graph: a script that sources a workspace keeps it.
ASKED = '_UA_OVERLAY_ASKED'
#: What the hook sets in a start-up file until the first prompt.
PENDING = '_UA_OVERLAY_PENDING'


class MasterAbsent(OverlayError):
    """The team's environment or its master was not available in time."""

    code = 'NO_MASTER'


def without_overlay(environ: Environ) -> Dict[str, str]:
    """Return a copy of ``environ`` without any variable that chooses a graph or a name."""
    removed = set(envfile.KEYS) | set(MARKERS.values()) | {BEFORE, DEFAULT, ASKED, PENDING}
    return {key: value for key, value in environ.items() if key not in removed}


def team_environ(environ: Environ, variables: Environ) -> Dict[str, str]:
    """Return ``environ`` for the team graph. A script started with it keeps it when it sources the workspace; in an
    interactive shell, sourcing the workspace again updates it, as if the env hook had set it.

    :param variables: as :func:`ua_overlay.rosenv.envfile.read` returns them.
    """
    result = without_overlay(environ)
    result.update(variables)
    result.update({marker: variables[key] for key, marker in MARKERS.items() if key in variables})
    result.update({BEFORE: defaults.LOCAL_MASTER_URI, DEFAULT: defaults.LOCAL_MASTER_URI, ASKED: '1'})
    return result


def local_environ(environ: Environ, master: str = defaults.LOCAL_MASTER_URI) -> Dict[str, str]:
    """Return ``environ`` for the local graph, whose master is at ``master``. ROS_HOSTNAME=localhost makes the machine's
    host name irrelevant, and the env hook of a shell started with it keeps the chosen graph.
    """
    result = without_overlay(environ)
    result.update(ROS_MASTER_URI=master, ROS_HOSTNAME='localhost')
    return result


def starts_overlay(command: Sequence[str]) -> bool:
    """Return whether ``command`` is `roslaunch … ua_overlay overlay.launch …`, which belongs in the local graph."""
    pairs = zip(command, command[1:])
    return bool(command) and os.path.basename(command[0]) == 'roslaunch' and ('ua_overlay', 'overlay.launch') in pairs


def wait_for_team(read: Callable[[], Dict[str, str]], probe: Callable[[str], MasterAnswer],
                  timeout: Optional[float] = None, clock: Clock = time.monotonic,
                  sleep: Callable[[float], None] = time.sleep, interval: float = 0.2) -> Dict[str, str]:
    """Wait until there is an environment and its master answers; return its variables. Follow a master that moves
    meanwhile.

    :param read: returns the variables; raises EnvironmentMissing while there are none.
    :param probe: probes the master at a URI.
    :param timeout: seconds; None waits for ever.
    :raises MasterAbsent: the timeout is over; the sentence names what was missing.
    """
    began = clock()
    while True:
        try:
            variables = read()
            answer = probe(variables['ROS_MASTER_URI'])
            if answer.alive:
                return variables
            why = answer.why
        except envfile.EnvironmentMissing as error:
            why = error.sentence
        if timeout is not None and clock() - began >= timeout:
            raise MasterAbsent('The team graph did not come up within {:g} s: {}'.format(timeout, why),
                               'ua-overlay status')
        sleep(interval)
