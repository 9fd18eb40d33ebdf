"""Restart tailscaled after it has logged out: from 1.101 on it would take old paths into the next network.

A logout replaces the record of the node before it clears the network map, so the WireGuard peers of the old map are not
removed (tailscale v1.102.5, ipn/ipnlocal/local.go: resetForProfileChangeLocked, setNetMapLocked; 1.100 removed them in
wgengine/userspace.go: Reconfig). A peer that is also in the next map keeps the endpoint of the last login: it learns no
new address, so the link never becomes direct, and the status calls it idle while it is in use (observed with 1.102.5).
WireGuard forgets such a peer nine minutes after its last handshake.

A logged-out robot has no links that a restart could cut. But one that keeps another login is not restarted: it may have
begun a new one (`robot prepare --take-over`, `tailscale login`), which is not saved yet, and a restart would return to
the old one (ipn/ipnlocal/profiles.go: newProfileManagerWithGOOS, SwitchToNewProfile).
"""
import logging
import subprocess
from typing import Callable

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import OnRound, Say, Stop
from ua_overlay.system.version import parse_version
from ua_overlay.tailscale.api import LogoutApi
from ua_overlay.tailscale.daemon_unit import UNIT
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.tailnet import parse_profiles

_LOG = logging.getLogger(__name__)

#: The first version that keeps its peers.
FIRST = (1, 101)
#: Seconds between two looks at the status.
PERIOD = 0.5
#: Seconds for systemd to stop and start tailscaled.
TIMEOUT = 30.0
#: What a person types where nothing restarts it.
COMMAND = 'sudo systemctl restart tailscaled'


def keeps_old_paths(version: str) -> bool:
    """Return whether a tailscaled of this version keeps its WireGuard peers when it logs out. Pure."""
    number = parse_version(version)
    return number is not None and number >= FIRST


def restart_daemon() -> None:
    """Restart tailscaled if systemd runs it. :raises OSError, subprocess.SubprocessError: systemd did not do it."""
    subprocess.run(['systemctl', 'try-restart', UNIT], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                   stderr=subprocess.PIPE, timeout=TIMEOUT, check=True)


def watch_logouts(api: LogoutApi, restart: Callable[[], None], stop: Stop, say: Say = _LOG.info,
                  on_round: OnRound = lambda problem: None) -> None:
    """Restart tailscaled after each logout, until ``stop`` is set.

    :param api: LocalAPI of root or the operator.
    :param restart: restarts tailscaled; raises OSError or SubprocessError.
    :param say: called with a sentence after each restart.
    """
    was_running, problem = False, ''
    while not stop.wait(PERIOD):
        on_round(problem)
        try:
            status = parse_status(api.status(peers=False))
            due = was_running and not status.have_node_key and keeps_old_paths(status.version) and not any(
                not each.current for each in parse_profiles(*api.profiles()))
        except OverlayError:
            was_running, problem = False, ''  # the next one is a fresh process
            continue
        if due:
            try:
                restart()
            except (OSError, subprocess.SubprocessError) as error:
                problem = 'tailscaled {} keeps old paths after a logout and could not be restarted: {}.'.format(
                    status.version, error)
                say('{} Next: {}'.format(problem, COMMAND))
            else:
                problem = ''
                say('tailscaled {} was restarted after a logout, because it would have kept old paths.'.format(
                    status.version))
        was_running = was_running or status.running
        if not status.have_node_key:
            was_running = False
