"""The process environment of a program in the team graph or the local graph, and the wait for the former."""
import os
import time

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile

#: What the env hook remembers (env-hooks/50.ua_overlay.sh): variable of ROS -> marker.
MARKERS = {'ROS_MASTER_URI': '_UA_OVERLAY_MASTER_URI', 'ROS_HOSTNAME': '_UA_OVERLAY_HOSTNAME',
           'ROS_IP': '_UA_OVERLAY_IP'}
BEFORE = '_UA_OVERLAY_BEFORE'


class MasterAbsent(OverlayError):
    """The team's environment or its master did not come in time."""

    code = 'NO_MASTER'


def without_overlay(environ):
    """A copy of ``environ`` without any variable that says which graph or which name."""
    gone = set(envfile.KEYS) | set(MARKERS.values()) | {BEFORE}
    return {key: value for key, value in environ.items() if key not in gone}


def team_environ(environ, variables):
    """``environ`` in the team graph. A shell started in it is as if the env hook had set it: sourcing again updates it.

    :param variables: what :func:`ua_overlay.rosenv.envfile.read` returned.
    """
    result = without_overlay(environ)
    result.update(variables)
    result.update({marker: variables[key] for key, marker in MARKERS.items() if key in variables})
    result[BEFORE] = defaults.LOCAL_MASTER_URI
    return result


def local_environ(environ):
    """``environ`` in the local graph. ROS_HOSTNAME=localhost makes the machine's own host name irrelevant, and tells
    the env hook of a shell started in it that somebody has chosen."""
    result = without_overlay(environ)
    result.update(ROS_MASTER_URI=defaults.LOCAL_MASTER_URI, ROS_HOSTNAME='localhost')
    return result


def starts_overlay(command):
    """Whether ``command`` (list of str) is `roslaunch … ua_overlay overlay.launch …`: for the local graph only."""
    pairs = zip(command, command[1:])
    return bool(command) and os.path.basename(command[0]) == 'roslaunch' and ('ua_overlay', 'overlay.launch') in pairs


def wait_for_team(read, probe, timeout=None, clock=time.monotonic, sleep=time.sleep, interval=0.2):
    """Wait until there is an environment and its master answers; a master that moves meanwhile is followed.

    :param read: () -> variables; raises EnvironmentMissing while there are none.
    :param probe: URI -> :class:`ua_overlay.rosenv.master.MasterAnswer`.
    :param timeout: seconds or None for ever.
    :raises MasterAbsent: after the timeout, with what was missing.
    """
    end = None if timeout is None else clock() + timeout
    while True:
        try:
            variables = read()
            answer = probe(variables['ROS_MASTER_URI'])
            if answer.alive:
                return variables
            why = answer.why
        except envfile.EnvironmentMissing as error:
            why = error.sentence
        if end is not None and clock() >= end:
            raise MasterAbsent('The team graph was not there within {:g} s: {}'.format(timeout, why),
                               'ua-overlay status')
        sleep(interval)
