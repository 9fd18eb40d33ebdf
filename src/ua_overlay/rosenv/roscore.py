"""The team's roscore: runs on the master robot, on the team port, only while the overlay name works there."""
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, Environ
from ua_overlay.rosenv.environment import NAME_UNRESOLVED, NO_OVERLAY, OK, TWO_MASTERS, RosEnvironment
from ua_overlay.rosenv.launch import without_overlay
from ua_overlay.rosenv.runner import Which
from ua_overlay.system.supervised import SIGINT_TIMEOUT, SIGTERM_TIMEOUT, Supervised

#: How many nodes the master notifies at once, and for how many seconds it waits for one. Its own defaults are for one
#: machine: 3 threads that wait for ever (rosmaster 1.15.15: NUM_WORKERS in master_api.py, main.py), so that three nodes
#: of a robot without power stall every new publisher of the team (ros_comm issue 1555). Each thread polls ten times a
#: second (threadpool.py); 32 of them cost less than 1 % of a core.
WORKERS, NOTIFY_TIMEOUT = 32, 3


@dataclass(frozen=True)
class RoscoreSpec:
    """What to run: URI of the master, its port, and this robot's (variable, value) for ROS."""

    uri: str
    port: int
    name: Tuple[str, str]


def desired_roscore(environment: Optional[RosEnvironment],
                    running: Optional[RoscoreSpec] = None) -> Optional[RoscoreSpec]:
    """Return the roscore that this robot must run, or None.

    :param running: the spec that runs now. A failing resolver, a stopped tailscaled and a second tagged robot neither
        start nor stop a roscore: a new roscore is a new graph for every robot of the team.
    """
    if environment is None:
        return None
    if environment.state == NO_OVERLAY:
        return None if environment.left else running
    if not environment.is_master:
        # A robot whose own name does not resolve still knows the master, so an unknown master means that there is none.
        return None
    variable = 'ROS_IP' if environment.addressing == defaults.ADDRESSES else 'ROS_HOSTNAME'
    spec = RoscoreSpec(environment.master_uri, urlsplit(environment.master_uri).port or defaults.TEAM_PORT,
                       (variable, environment.hostname))
    if environment.state == OK and environment.usable:
        return spec
    return running if running == spec and environment.state in (NAME_UNRESOLVED, TWO_MASTERS) else None


def roscore_environ(spec: RoscoreSpec, environ: Environ) -> Dict[str, str]:
    """Return the process environment of a team roscore, made from ``environ`` without the variables of another
    graph."""
    result = without_overlay(environ)
    result['ROS_MASTER_URI'] = spec.uri
    result[spec.name[0]] = spec.name[1]
    return result


def roscore_command(spec: RoscoreSpec, which: Which = shutil.which) -> List[str]:
    """Return the command line of a team roscore.

    :raises OverlayError: NO_ROS when there is no roscore on the PATH.
    """
    roscore = which('roscore')
    if roscore is None:
        raise OverlayError('The team master cannot start: there is no roscore on the PATH.',
                           'source the setup.bash of your ROS workspace', code='NO_ROS')
    return [roscore, '-p', str(spec.port), '-w', str(WORKERS), '-t', str(NOTIFY_TIMEOUT),
            '--sigint-timeout', str(SIGINT_TIMEOUT), '--sigterm-timeout', str(SIGTERM_TIMEOUT)]


class TeamRoscore(Supervised[RoscoreSpec]):
    """The roscore that is desired, supervised.

    Each start is a new process: roslaunch caches the machine's addresses, and one started before the overlay was up
    would take its own name for another machine's (rosgraph.network.get_local_addresses).
    """

    def __init__(self, log_path: Optional[str] = None, environ: Optional[Environ] = None, popen: Any = subprocess.Popen,
                 clock: Clock = time.monotonic, which: Which = shutil.which) -> None:
        super().__init__(log_path, environ, popen, clock)
        self._which = which

    def follow(self, environment: Optional[RosEnvironment]) -> None:
        """Run the roscore that ``environment`` requires of this robot, or stop it."""
        self.set_desired(desired_roscore(environment, self._desired))

    def command(self, spec: RoscoreSpec) -> List[str]:
        return roscore_command(spec, self._which)

    def environ(self, spec: RoscoreSpec, environ: Environ) -> Dict[str, str]:
        return roscore_environ(spec, environ)

    def refusal(self, detail: str) -> str:
        return 'The team master cannot start: {}.'.format(detail)

    def obituary(self, spec: RoscoreSpec, status: int, last_words: str) -> str:
        return 'The roscore of the team on port {} ended with status {}{}'.format(spec.port, status, last_words)
