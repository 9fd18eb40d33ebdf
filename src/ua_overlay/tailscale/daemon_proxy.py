"""Find the HTTP proxy through which tailscaled reaches its server (tailscale: net/tshttpproxy).

The service manager knows tailscaled's environment; where there is none, `robot prepare` found it in the process, and
the file of the egress rule keeps it.
"""
import socket
import struct
import time
from typing import Callable, Dict, List, Mapping, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.firewall import egress
from ua_overlay.firewall.egress_addresses import installed_settings
from ua_overlay.protocols import Clock, Environ
from ua_overlay.system import http_proxy
from ua_overlay.system.http_proxy import HttpProxy
from ua_overlay.tailscale.daemon_unit import DaemonUnit, read_unit

#: Seconds for which an answer is kept: it costs two programs, and tailscaled reads its environment at its start only.
_KEPT = 60.0


class DaemonProxies:
    """Finds the proxy of tailscaled for a server; a http_proxy.ProxyFor.

    :param environment: () -> tailscaled's environment, as far as this user may know it.
    """

    def __init__(self, environment: Optional[Callable[[], Mapping[str, str]]] = None,
                 clock: Clock = time.monotonic) -> None:
        self._environment = environment or read_environment
        self._clock = clock
        self._kept: Optional[Tuple[float, Mapping[str, str]]] = None

    def __call__(self, host: str, port: int) -> Optional[HttpProxy]:
        now = self._clock()
        kept = self._kept
        if kept is None or now - kept[0] > _KEPT:
            kept = (now, self._environment())
            self._kept = kept
        return http_proxy.proxy_for(kept[1], host, port)


def read_environment(unit: Callable[[], Optional[DaemonUnit]] = read_unit,
                     running: Optional[Callable[[], Environ]] = None) -> Environ:
    """Return tailscaled's environment, as far as this user may know it: {} if nothing is known.

    :param running: () -> that of the running process, {} unless this is root or the user who runs it (manage_daemon).
    """
    present = (running or running_environment)()
    if present:
        return present
    found = unit()
    if found is not None:
        return found.environ
    settings = installed_settings(egress.ROBOT)
    return {'HTTPS_PROXY': settings.proxies[0]} if settings and settings.proxies else {}


def runs_elsewhere(path: str = defaults.DAEMON_SOCKET) -> bool:
    """Return whether the process at a unix socket is outside this container: the kernel translates ids of processes,
    and one that is not visible in this PID namespace has none (pid_namespaces(7))."""
    return listening_process(path) == 0


def listening_process(path: str = defaults.DAEMON_SOCKET) -> Optional[int]:
    """Return the id of the process that answers at a unix socket, None if none does."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(2.0)
            connection.connect(path)
            # struct ucred, of the process that called listen (unix(7)).
            return int(struct.unpack('3i', connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0])
    except OSError:
        return None


def running_environment(path: str = defaults.DAEMON_SOCKET) -> Environ:
    """Return the environment of the process that answers at a LocalAPI socket; {} if it is unknown to this user."""
    pid = listening_process(path)
    try:
        return environment_of(pid) if pid else {}
    except OSError:
        return {}


def environment_of(pid: int) -> Dict[str, str]:
    """Return the environment of a process.

    :raises OSError: it is gone, or this user may not read it.
    """
    with open('/proc/{}/environ'.format(pid), 'rb') as stream:
        words = stream.read().decode('utf-8', 'replace').split('\0')
    return dict(word.split('=', 1) for word in words if '=' in word)


def proxies_of(environ: Mapping[str, str]) -> List[str]:
    """Return the URLs of the proxies in an environment, without user and password. Pure."""
    proxy = http_proxy.parse_proxy(http_proxy.variable(environ, 'HTTPS_PROXY'))
    return [proxy.url] if proxy else []


def unchanged_exceptions(environ: Mapping[str, str], added: Tuple[str, ...]) -> str:
    """Return NO_PROXY of an environment without the domains that `robot prepare` added. Pure."""
    words = http_proxy.variable(environ, 'NO_PROXY').split(',')
    return ','.join(word for word in words if word and word not in added)


#: That of the system's tailscaled.
daemon_proxies = DaemonProxies()
