"""The agent (`ua-overlay robot agent`): the root service of a prepared robot.

It reconciles seven things for as long as it runs: tailscaled's operator, so that an unprivileged user may join and
leave; the names of the team in the hosts file, if MagicDNS fails; the addresses of the site in the egress rule; the
robot's home DERP on the server; the robot's identity on its disk; and, under systemd, the paths to peers, for which
tailscaled restarts after a logout, and the team that it remembers while the server is away, which it forgets in time.
"""
import threading
from typing import Callable, Dict

from ua_overlay import defaults
from ua_overlay.firewall import egress, egress_keeper
from ua_overlay.protocols import Say
from ua_overlay.rosenv.hosts import HostsKeeper
from ua_overlay.system.thread import SupervisedThread
from ua_overlay.system.units import systemd_runs
from ua_overlay.tailscale import map_stamp
from ua_overlay.tailscale.home_derp import HomeReporter
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.map_expiry import start_of, watch_expiry
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.old_paths import restart_daemon, watch_logouts
from ua_overlay.tailscale.operator import maintain_operator
from ua_overlay.tailscale.state_file import IdentityKeeper, path_of
from ua_overlay.trust.servers import remembered, resolve, servers_now

#: Name of a duty -> the loop that performs it until the agent's stop is set.
Duties = Dict[str, Callable[[], None]]


def duties(user: str, socket: str, stop: threading.Event, say: Say, ca_file: str = defaults.CA_FILE) -> Duties:
    """Return the agent's loops, each with a separate connection to tailscaled.

    :param user: who may join and leave.
    :param socket: path of tailscaled's LocalAPI.
    :param ca_file: the site's CA, which names its servers.
    """
    derp_map = remembered(LocalApi(socket).derp_map)
    names_api = LocalApi(socket)
    names = HostsKeeper(lambda: parse_status(names_api.status()), say=say)
    found = {
        'names': lambda: names.run(stop),
        'egress': lambda: egress_keeper.keep(
            egress.ROBOT, lambda: servers_now(derp_map(), ca_file) or None, resolve, stop, say, news=derp_map),
        'home': lambda: HomeReporter(LocalApi(socket), say).run(stop),
        'identity': lambda: IdentityKeeper(LocalApi(socket), lambda: path_of(socket), say).run(stop),
        'operator': lambda: maintain_operator(LocalApi(socket), user, stop, say)}
    if systemd_runs():
        found['paths'] = lambda: watch_logouts(LocalApi(socket), restart_daemon, stop, say)
        found['remembered team'] = lambda: watch_expiry(
            LocalApi(socket), lambda: map_stamp.read(defaults.STATE_DIR), lambda: start_of(socket), restart_daemon,
            stop, say)
    return found


def run(loops: Duties, say: Say) -> None:
    """Run all loops concurrently; return when the operator's loop ends.

    The others may be blocked by a resolver, so they run in daemon threads, which end with the process; the hosts file
    is written atomically. One that fails unexpectedly is started again; doctor reads back what each of them maintains,
    and so notices what is not maintained. When the operator's loop fails, the process ends, and systemd starts it anew.

    :param say: called with a sentence after each unexpected failure.
    """
    for name, loop in loops.items():
        if name != 'operator':
            SupervisedThread(name, loop, say).start()
    loops['operator']()
