"""Leave the team's network, and keep or give up the identity."""
import time
from typing import Callable

from ua_overlay.errors import OverlayError
from ua_overlay.membership.outcome import Outcome, Refused, outcome_of
from ua_overlay.membership.settings import forget_settings
from ua_overlay.protocols import Clock
from ua_overlay.tailscale.api import MembershipApi, StatusApi
from ua_overlay.tailscale.localapi import DaemonError
from ua_overlay.tailscale.model import Status, parse_status
from ua_overlay.tailscale.old_paths import keeps_old_paths

#: Seconds for tailscaled to finish leaving. Its own logout waits for the server without a limit.
TIMEOUT = 9.0
#: Seconds for a logout that follows a fresh start. A client that has just started looks the server's name up, and for
#: 5 s after the overlay went down it may ask the overlay's resolver, which has gone, for 10 s (Go reads resolv.conf
#: once in 5 s, and asks twice for 5 s: net/dnsclient_unix.go).
LOGOUT_AFTER_START = 20.0
#: Seconds for the agent to notice a logout and for tailscaled to restart.
RESTART = 6.0
#: Seconds for tailscaled to drop its node key after a logout.
_AFTER_LOGOUT = 2.0
#: Seconds between two checks.
_PAUSE = 0.1

Sleep = Callable[[float], None]


def leave(api: MembershipApi, forget: bool, state_dir: str, clock: Clock = time.monotonic,
          sleep: Sleep = time.sleep, restarts: bool = False) -> Outcome:
    """Leave the network.

    :param forget: False keeps the identity (`tailscale down`); True logs out and gives up the address.
    :param state_dir: where the settings of the invitation are. The hosts block and the env file follow tailscaled's
        state (rosenv.hosts, rosenv.keeper).
    :param restarts: whether the agent restarts tailscaled after a logout (tailscale.old_paths): return when it has, so
        that a join that follows at once does not meet the restart.
    :returns: an Outcome with a code of Leave.srv; OverlayErrors are converted to one.
    """
    try:
        return _leave(api, forget, state_dir, clock, sleep, restarts)
    except OverlayError as error:
        return outcome_of(error)


def _leave(api: MembershipApi, forget: bool, state_dir: str, clock: Clock, sleep: Sleep, restarts: bool) -> Outcome:
    deadline = clock() + TIMEOUT
    before = parse_status(api.status(peers=False))
    name = before.self_node.name or 'This robot'
    if not before.have_node_key:
        raise Refused('This robot is in no team, so there is nothing to leave.' + _forget(state_dir),
                      'ua-overlay join INVITATION', code='NOT_JOINED')
    if not forget:
        if before.state == 'Stopped':
            raise Refused('{} has already left; its identity is kept.'.format(name), 'ua-overlay join',
                          code='NOT_JOINED')
        api.edit_prefs(WantRunning=False)
        _wait(api, lambda status: status.state in ('Stopped', 'NoState', 'NeedsLogin'), deadline, clock, sleep)
        return Outcome('OK', '{} left and keeps its name and address. Come back with: ua-overlay join'.format(name))
    try:
        _logout(api, max(_PAUSE, deadline - clock()))
    except DaemonError as error:
        raise Refused('The server did not accept the logout, so {} stopped but is not forgotten yet: {}'.format(
            before.self_node.name or 'this robot', error.sentence),
            'when the server answers: ua-overlay leave --forget', code='FAILED')
    _wait(api, lambda status: not status.have_node_key, max(deadline, clock() + _AFTER_LOGOUT), clock, sleep)
    note = _forget(state_dir)
    note += old_paths_note(api, before, clock, sleep, restarts)
    return Outcome('OK', '{0} left and gave up its address.{1} Before it can join again, on the server: '
                         'ua-overlay robot remove {2}'.format(name, note, before.self_node.name or 'ROBOT'))


def old_paths_note(api: StatusApi, before: Status, clock: Clock, sleep: Sleep, restarts: bool) -> str:
    """Wait for the restart of tailscaled after it lost its node key; return '', or a sentence if nobody restarts it.

    :param before: while it had the key. The agent also restarts one that stopped after it ran, which only it knows.
    :param restarts: as for :func:`leave`.
    """
    if not keeps_old_paths(before.version) or not before.have_node_key:
        return ''
    if restarts and _restarted(api, clock, sleep) or not before.running:
        return ''
    return ' Restart tailscaled before it joins again: {} keeps old paths.'.format(before.version)


def _restarted(api: StatusApi, clock: Clock, sleep: Sleep) -> bool:
    """Wait for tailscaled to go and to come back; return whether it did within RESTART seconds."""
    deadline, gone = clock() + RESTART, False
    while clock() < deadline:
        try:
            api.status(peers=False)
            if gone:
                return True
        except OverlayError:
            gone = True
        sleep(_PAUSE)
    return False


def _logout(api: MembershipApi, timeout: float) -> None:
    try:
        api.logout(timeout=timeout)
    except DaemonError as error:
        if not error.status:
            raise
        # The cause is the memory of tailscaled's control client. After a logout that did not reach the server it has no
        # node key ("no nodekey to log out"). Or it still sends the pre-auth key of the join, which looks like a new
        # join to a server that forgot this robot ("authkey already used"). After a fresh start it has only the stored
        # identity.
        api.start()
        api.logout(timeout=LOGOUT_AFTER_START)


def _forget(state_dir: str) -> str:
    """Remove the settings; return '', or the failure as a sentence. The robot has left in either case."""
    try:
        forget_settings(state_dir)
    except OSError as error:
        return ' Its settings in {} could not be removed ({}).'.format(state_dir, error.strerror)
    return ''


def _wait(api: MembershipApi, condition: Callable[[Status], bool], deadline: float, clock: Clock,
          sleep: Sleep) -> None:
    """Wait until the Status meets ``condition``; raise Refused after ``deadline`` on ``clock``."""
    while not condition(parse_status(api.status(peers=False))):
        if clock() > deadline:
            raise Refused('tailscaled did not finish leaving within {:.0f} s.'.format(TIMEOUT), 'ua-overlay status',
                          code='FAILED')
        sleep(_PAUSE)
