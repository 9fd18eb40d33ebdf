"""Join the team of an invitation, or rejoin it: the use case behind `ua-overlay join` and the join service."""
import os
import time
from datetime import datetime, timezone
from functools import partial
from typing import Callable, Optional, Protocol, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.membership import identity, refusals
from ua_overlay.membership.outcome import Outcome, outcome_of
from ua_overlay.membership.settings import read_settings, write_settings
from ua_overlay.protocols import Clock, JsonObject, WallClock
from ua_overlay.system import foreign_file
from ua_overlay.system.users import user_name
from ua_overlay.tags import belonging, describe_belonging
from ua_overlay.tailscale.api import MembershipApi, MessageBus
from ua_overlay.tailscale.daemon_proxy import daemon_proxies
from ua_overlay.tailscale.localapi import DaemonDenied, redact
from ua_overlay.tailscale.model import Status, parse_notice, parse_prefs, parse_status
from ua_overlay.trust import ca_pin, invitation_file
from ua_overlay.trust.ca import trusts
from ua_overlay.trust.invitation import Invitation, check_usable, public_values
from ua_overlay.trust.probe import check_server
from ua_overlay.trust.verify import verify_node_key

#: Seconds after which a join fails if the server accepted it but the overlay did not come up.
TIMEOUT = 60.0
#: Seconds that the agent may take to set the operator again after a logout.
PERMISSION_WAIT = 3.0
#: Seconds within which the server must answer whether it knows a robot whose tailscaled reports that it runs.
VERIFY_WAIT = 3.0
#: Longest delay of a key while the machine's interfaces change, in seconds.
UNSTABLE_WAIT = 10.0
#: Seconds within which another attempt to restore the preferences of tailscaled begins, and seconds between two: its
#: service manager may be restarting it.
PUT_BACK_WAIT, PUT_BACK_PAUSE = 2.0, 0.5


class VerifyNodeKey(Protocol):
    """trust.verify.verify_node_key: (url, CA as PEM text, node key, timeout) -> whether the server knows the key, None
    when that is unknown."""

    def __call__(self, url: str, ca_pem: str, node_key: str, timeout: float) -> Optional[bool]:
        ...


#: As tailscaled reaches the server: through its proxy, if it has one.
CHECK_SERVER: Callable[[str, str], object] = partial(check_server, proxies=daemon_proxies)
FETCH_CA: Callable[[str, str], str] = partial(ca_pin.fetch, proxies=daemon_proxies)
VERIFY_NODE_KEY: VerifyNodeKey = partial(verify_node_key, proxies=daemon_proxies)


class Join:
    """One attempt to join; its collaborators are passed in.

    :param ca_file: the CA that tailscaled trusts (written by `robot prepare`, or by a node that runs its own
        daemon).
    :param state_dir: where the settings are kept.
    :param now: for expiry.
    :param clock: for deadlines.
    :param sleep: waits some seconds.
    :param probe: (server URL, CA as PEM text) -> anything; raises OverlayError when the server does not answer as the
        site's (trust.probe.check_server).
    :param uid: of the user that joins; None for the user of this process.
    :param timeout: seconds for the overlay to come up.
    :param cancelled: called about four times a second; True ends the attempt like an interrupt.
    :param trust: (CA as PEM text) -> None, makes tailscaled trust a CA; None if only `robot prepare` can do that.
    :param unstable: () -> seconds until the machine's interfaces are stable (netmon.InterfaceWatcher.wait_left).
    :param lack_of_room: () -> why tailscaled cannot save what it gets, None if it can (tailscale.state_file).
    :param elsewhere: whether tailscaled runs on the host of this container (tailscale.daemon_proxy.runs_elsewhere).
    :param fetch_ca: (server URL, pins) -> CA as PEM text (ca_pin.fetch).
    """

    def __init__(self, api: MembershipApi, ca_file: str, state_dir: str, now: WallClock = time.time,
                 clock: Clock = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 probe: Callable[[str, str], object] = CHECK_SERVER, uid: Optional[int] = None,
                 timeout: float = TIMEOUT, cancelled: Callable[[], bool] = lambda: False,
                 trust: Optional[Callable[[str], None]] = None, unstable: Callable[[], float] = lambda: 0.0,
                 fetch_ca: Callable[[str, str], str] = FETCH_CA,
                 verify: VerifyNodeKey = VERIFY_NODE_KEY,
                 lack_of_room: Callable[[], Optional[OverlayError]] = lambda: None,
                 elsewhere: Callable[[], bool] = lambda: False) -> None:
        self.api = api
        self.ca_file = ca_file
        self.state_dir = state_dir
        self.now = now
        self.clock = clock
        self.sleep = sleep
        self.probe = probe
        self.uid = os.geteuid() if uid is None else uid
        self.user = user_name(self.uid)
        self.timeout = timeout
        self.cancelled = cancelled
        self.trust = trust
        self.unstable = unstable
        self.fetch_ca = fetch_ca
        self.verify = verify
        self.lack_of_room = lack_of_room
        self.elsewhere = elsewhere
        #: The server has accepted the key.
        self.accepted = False
        #: The server forgot this machine, so a new key is sent although the machine has a node key.
        self.replacing = False

    def __call__(self, path: str) -> Outcome:
        """Join with the invitation file ``path``, or resume the kept identity when it is ''.

        :returns: an Outcome with a code of Join.srv; OverlayErrors are converted to one.
        """
        try:
            outcome = self._join(path)
        except OverlayError as error:
            return outcome_of(error)
        lack = self.lack_of_room()  # tailscaled says that in its log only
        return outcome if lack is None else outcome.with_message(str(lack))

    def _join(self, path: str) -> Outcome:
        invitation = invitation_file.read(path) if path else None
        status = self._status()
        own = status.self_node
        kept = read_settings(self.state_dir)
        remembered = kept.get('team', '')
        destination = _belonging(invitation) if invitation else ''
        if status.have_node_key:
            control = parse_prefs(self.api.prefs()).control_url
            if identity.is_other_server(control, invitation.server_url if invitation else kept.get('server_url', '')):
                raise refusals.other_server(control, self.user, path)
        step = identity.decide_join(status.have_node_key, status.state, own.online, own.tags, remembered, destination,
                                    own.user)
        present = belonging(own.tags, own.user)
        if step != identity.SEND_KEY and self._forgotten(status):
            # tailscaled would report for ever that it runs. The server's answer decides, so the key is needed now.
            if invitation is None:
                raise refusals.forgotten(own.name)
            self.replacing = True
            return self._register(invitation, path)
        if step == identity.OTHER_TEAM and not status.refused:  # the server decides whether a refused robot has a team
            raise refusals.other_team(own.name, present or remembered, destination)
        if step == identity.ALREADY:
            return Outcome('ALREADY_JOINED', '{} is already in {}; nothing was changed.'.format(
                own.name, describe_belonging(present)), own.dns_name, own.addresses)
        if step in (identity.RESUME, identity.OTHER_TEAM):
            try:
                return self._resume(destination, status)
            except refusals.Forgotten:
                # Only in this case may a key be sent although the machine has a node key: the server does not know that
                # node key.
                if invitation is None:
                    raise
                self.replacing = True
        if invitation is None:
            raise refusals.no_identity()
        return self._register(invitation, path)

    def _forgotten(self, status: Status) -> bool:
        """Return whether tailscaled reports that it runs with a node key that its server does not know."""
        if status.state != 'Running':
            return False
        try:
            trusted = foreign_file.read_text(self.ca_file, encoding='ascii')
        except OSError:
            return False
        return self.verify(parse_prefs(self.api.prefs()).control_url, trusted, status.self_node.public_key,
                           timeout=VERIFY_WAIT) is False

    def _resume(self, destination: str, before: Status) -> Outcome:
        """Rejoin with the node key that the machine has; send no secret."""
        raw = self._check_permission()
        prefs = parse_prefs(raw)
        self.accepted = False
        try:
            with self.api.watch() as bus:
                if prefs.logged_out or before.state == 'NeedsLogin':
                    # After a logout that did not reach the server, or when the server refused the identity of a running
                    # robot, tailscaled waits for a manual login. A fresh start makes it register with the stored
                    # identity.
                    self.api.start(update_prefs=dict(raw, WantRunning=True, LoggedOut=False))
                else:
                    self.api.edit_prefs(WantRunning=True)
                # A running robot gets no new network map on request; it only has to become online again.
                status = self._wait_joined(bus, '', need_map=before.state != 'Running')
            own = status.self_node
            present = belonging(own.tags, own.user)
            if destination and present != destination:
                raise refusals.other_team(own.name, present, destination)
        except BaseException as error:
            # A slow server may still accept the robot later, which the user wants; the answer mentions it.
            if not prefs.want_running and getattr(error, 'code', '') != 'TIMEOUT':
                self._put_back(error, lambda: self.api.edit_prefs(WantRunning=prefs.want_running,
                                                                  LoggedOut=prefs.logged_out))
            raise
        return Outcome('OK', '{} is back in {} at {}.'.format(own.name, describe_belonging(present), own.addresses[0]),
                       own.dns_name, own.addresses)

    def _register(self, invitation: Invitation, path: str) -> Outcome:
        """Send the key, after every step that can fail without it."""
        check_usable(invitation, datetime.fromtimestamp(self.now(), timezone.utc))
        before = self._check_permission(path)
        ca_pem, trusted = self._check_trust(invitation, path)
        self.probe(invitation.server_url, ca_pem)
        if not trusted and self.trust is not None:
            self.trust(ca_pem)
        lack = self.lack_of_room()
        if lack is not None:
            raise refusals.no_room(lack)
        self._wait_stable()
        # Based on the current preferences: a missing NetfilterMode, for instance, would disable the firewall rules.
        prefs = dict(before, ControlURL=invitation.server_url, WantRunning=True, LoggedOut=False, CorpDNS=True,
                     Hostname=invitation.robot, AdvertiseTags=None)
        self.accepted = False
        try:
            with self.api.watch() as bus:
                self.api.start(auth_key=invitation.key, update_prefs=prefs)
                # With a node key, known to the server or not, tailscaled registers at `start`. An additional login
                # would abort that registration and begin another one, which the server refuses because the key was
                # used.
                if not self.replacing:
                    self.api.login_interactive()
                status = self._wait_joined(bus, _belonging(invitation), invitation=invitation)
        except BaseException as error:
            # Otherwise tailscaled would retry with the key for ever, and join much later without the user's knowledge.
            # Once the server has accepted the key, the key is spent, and only continuing can still use it.
            if not self.accepted:
                self._put_back(error, lambda: self.api.start(update_prefs=before))
            raise
        own = status.self_node
        outcome = Outcome('OK', '{} joined {} at {}.'.format(
            own.name, describe_belonging(_belonging(invitation)), own.addresses[0]), own.dns_name, own.addresses)
        if own.name != invitation.robot:
            outcome = outcome.with_message(
                'The server named it {0}, not {1}: that name is taken, or the server knew this machine already. If {0} '
                'is another robot, and this one a copy of its disk: ua-overlay leave --new-identity'.format(
                    own.name, invitation.robot))
        try:
            write_settings(self.state_dir, public_values(invitation))
        except OSError as error:
            outcome = outcome.with_message(
                'Its settings cannot be kept in {} ({}), so the team port is the default after a restart. Next: '
                'sudo ua-overlay robot prepare --user {}'.format(self.state_dir, error.strerror, self.user))
        return outcome

    def _status(self) -> Status:
        """Return the Status of this machine: without its peers, unless it is untagged, when only a status with peers
        has its user."""
        status = parse_status(self.api.status(peers=False))
        if status.self_node.tags or status.state != 'Running':
            return status
        return parse_status(self.api.status())

    def _wait_stable(self) -> None:
        """Wait while interfaces change: one that has just come up can interrupt the registration after the server has
        spent the key.

        Wait for at most UNSTABLE_WAIT: a Wi-Fi interface that scans is never stable, and tailscaled copes with that.
        """
        deadline = self.clock() + UNSTABLE_WAIT
        while self.unstable() > 0.0 and self.clock() < deadline and not self.cancelled():
            self.sleep(0.1)

    def _put_back(self, error: BaseException, change: Callable[[], object]) -> None:
        """Undo the changes to tailscaled with ``change()``. If that fails too, ``error`` (the first failure) remains
        the answer and mentions it."""
        deadline = self.clock() + PUT_BACK_WAIT
        while True:
            try:
                change()
                return
            except OverlayError as problem:
                failure = problem
            if self.clock() >= deadline:
                break
            self.sleep(PUT_BACK_PAUSE)
        if isinstance(error, OverlayError):
            error.sentence += (' The preferences of tailscaled could not be put back, so it may go on trying '
                               '({}).'.format(failure.sentence.rstrip('.')))

    def _wait_joined(self, bus: MessageBus, destination: str, need_map: bool = True,
                     invitation: Optional[Invitation] = None) -> Status:
        """Return the Status once the robot has joined.

        :param destination: the expected membership (tags.belonging), or '' for any.
        :param need_map: wait for a network map that is newer than the call: right after a start, the status still shows
            the old one (1.100).
        :raises Refused: the server refuses, or the time is over.
        """
        deadline = self.clock() + self.timeout
        while True:
            notice = parse_notice(bus.next(timeout=0.25) or {})
            reason = identity.key_refusal(redact(notice.error))
            if invitation is None:
                if reason or notice.login_url:
                    raise refusals.forgotten('this robot')
            elif reason:
                raise refusals.key_refused(reason, invitation)
            if notice.login_finished:
                self.accepted = True
            need_map = need_map and not notice.new_map
            status = self._status()
            own = status.self_node
            if not need_map and own.addresses and identity.joined(status.state, own.online, own.tags, destination,
                                                                  own.user):
                return status
            # tailscaled reports that it does not trust the server, and would retry for ever.
            if not self.accepted and any('x509:' in text for text in status.health):
                raise refusals.certificate_not_trusted(invitation.server_url if invitation else '', self.user)
            if self.cancelled():
                raise refusals.cancelled()
            if self.clock() > deadline:
                raise refusals.too_late(self.timeout, status.health, invitation, self.accepted)

    def _check_permission(self, path: str = 'FILE') -> JsonObject:
        """Check that this user may change tailscaled: `robot prepare` made it the operator.

        tailscaled decides, by a change of nothing: it compares user ids (ipn/ipnauth: IsReadonlyConn), and in a
        container a user has another name than on the host. A logout wipes the operator, and the agent sets it again
        within a second; wait for that.

        :returns: the preferences, read after this user was allowed to change them.
        :raises Refused: this user is not the operator.
        """
        deadline = self.clock() + PERMISSION_WAIT
        while True:
            try:
                return self.api.edit_prefs()
            except DaemonDenied:
                if self.clock() > deadline:
                    raise refusals.no_permission(self.user, self.uid, path, self.elsewhere()) from None
            self.sleep(0.1)

    def _check_trust(self, invitation: Invitation, path: str) -> Tuple[str, bool]:
        """Find the invitation's CA, which tailscaled must trust before it connects to the server.

        :returns: (the CA as PEM text, whether tailscaled trusts it already).
        :raises Refused: it does not, and only `robot prepare` can change that.
        """
        try:
            # A bundle may have comments in any encoding.
            trusted = foreign_file.read_text(self.ca_file, encoding='latin-1')
        except OSError:
            trusted = ''  # tailscaled does not trust it either
        ca_pem = invitation.ca_pem if not invitation.ca_sha256 else ca_pin.pick(invitation.ca_sha256, trusted)
        if ca_pem and trusts(trusted, ca_pem):
            return ca_pem, True
        if self.trust is None:
            raise refusals.ca_not_trusted(invitation.server_url, self.user, path)
        return ca_pem or self.fetch_ca(invitation.server_url, invitation.ca_sha256), False


def _belonging(invitation: Invitation) -> str:
    return invitation.user + '@' if invitation.user else invitation.team
