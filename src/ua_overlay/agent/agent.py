"""The agent (`ua-overlay robot agent`): the root service of a prepared robot.

It reconciles seven things for as long as it runs: tailscaled's operator, so that an unprivileged user may join and
leave; the names of the team in the hosts file, if MagicDNS fails; the addresses of the site in the egress rule; the
robot's home DERP on the server; the robot's identity on its disk; and, under systemd, the paths to peers, for which
tailscaled restarts after a logout, and the team that it remembers while the server is away, which it forgets in time.
"""
import socket as sockets
import threading
import time
from functools import partial
from typing import Callable, Dict, Optional

from ua_overlay import defaults
from ua_overlay.firewall import egress, egress_keeper
from ua_overlay.protocols import Clock, OnRound, Say
from ua_overlay.rosenv.hosts import HostsKeeper
from ua_overlay.system import duties as health
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

#: Name of a duty -> the loop that performs it until the agent's stop is set, and tells of each round.
Duties = Dict[str, Callable[[OnRound], None]]

#: Seconds without a round after which a duty hangs. The operator's waits a minute on the bus, the egress rule's half a
#: minute for each name that a dead name server does not answer; the others take seconds, and tell every few.
SILENT_AFTER, SILENT_AFTER_OF = 120.0, {'operator': 180.0, 'egress': 600.0}


def duties(user: str, socket: str, stop: threading.Event, say: Say, ca_file: str = defaults.CA_FILE) -> Duties:
    """Return the agent's loops, each with a separate connection to tailscaled.

    :param user: who may join and leave.
    :param socket: path of tailscaled's LocalAPI.
    :param ca_file: the site's CA, which names its servers.
    """
    derp_map = remembered(LocalApi(socket).derp_map)
    names_api = LocalApi(socket)
    found: Duties = {
        'names': lambda on_round: HostsKeeper(
            lambda: parse_status(names_api.status()), say=say, on_round=on_round).run(stop),
        'egress': lambda on_round: egress_keeper.keep(
            egress.ROBOT, lambda: servers_now(derp_map(), ca_file) or None, resolve, stop, say, news=derp_map,
            on_round=on_round),
        'home': lambda on_round: HomeReporter(LocalApi(socket), say, on_round=on_round).run(stop),
        'identity': lambda on_round: IdentityKeeper(
            LocalApi(socket), lambda: path_of(socket), say, on_round).run(stop),
        'operator': lambda on_round: maintain_operator(LocalApi(socket), user, stop, say, on_round)}
    if systemd_runs():
        found['paths'] = lambda on_round: watch_logouts(LocalApi(socket), restart_daemon, stop, say, on_round)
        found['remembered team'] = lambda on_round: watch_expiry(
            LocalApi(socket), lambda: map_stamp.read(defaults.STATE_DIR), lambda: start_of(socket), restart_daemon,
            stop, say, on_round=on_round)
    return found


def run(loops: Duties, say: Say, listening: Optional[sockets.socket] = None,
        clock: Clock = time.monotonic) -> None:
    """Run all loops concurrently; return when the operator's loop ends.

    They may be blocked by a resolver, so they run in daemon threads, which end with the process; the hosts file is
    written atomically. One that fails unexpectedly is started again.

    :param say: called with a sentence after each unexpected failure.
    :param listening: where doctor, status and /diagnostics ask for the health of the duties; None: nowhere.
    """
    known = health.Duties({name: SILENT_AFTER_OF.get(name, SILENT_AFTER) for name in loops}, clock)
    threads = {name: _start(name, loop, known, say) for name, loop in loops.items()}
    ended = threading.Event()
    if listening is not None:
        SupervisedThread('health', partial(_answer, listening, known, ended), say).start()
    threads['operator'].join()
    ended.set()


def _answer(listening: sockets.socket, known: health.Duties, ended: threading.Event) -> None:
    try:
        health.serve(listening, lambda: health.write_duties(known.list()))
    except OSError:
        if not ended.is_set():  # else its owner has shut it down
            raise


def _start(name: str, loop: Callable[[OnRound], None], known: health.Duties, say: Say) -> SupervisedThread:
    def failed(sentence: str) -> None:
        known.crash(name, sentence)
        say(sentence)

    return SupervisedThread(name, lambda: loop(partial(known.report, name)), failed).start()
