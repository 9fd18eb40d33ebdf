"""Join the team of an invitation, or come back to it: the use case behind `ua-overlay join` and the join service."""
import os
import pwd
import time
from datetime import datetime, timezone
from typing import Callable, Optional, Protocol, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.membership import identity, refusals
from ua_overlay.membership.outcome import Outcome, outcome_of
from ua_overlay.membership.settings import read_settings, write_settings
from ua_overlay.protocols import Clock, JsonObject, WallClock
from ua_overlay.tags import belonging, describe_belonging
from ua_overlay.tailscale.api import MembershipApi, MessageBus
from ua_overlay.tailscale.localapi import redact
from ua_overlay.tailscale.model import Status, parse_status
from ua_overlay.trust import ca_pin, invitation_file
from ua_overlay.trust.ca import trusts
from ua_overlay.trust.invitation import Invitation, check_usable, public_values
from ua_overlay.trust.probe import check_server
from ua_overlay.trust.verify import verify_node_key

#: Seconds after which a join that the server accepted but that did not come up is given up.
TIMEOUT = 60.0
#: Seconds that the agent has to set the operator again after a logout.
PERMISSION_WAIT = 3.0
#: Seconds that the server has to answer whether it knows a robot whose tailscaled reports that it runs.
VERIFY_WAIT = 3.0
#: Seconds for which a key is held back at most while the machine's interfaces change.
UNSTABLE_WAIT = 10.0
#: How often, and with how many seconds in between, the preferences of tailscaled are put back: its service manager may
#: just be starting it again.
PUT_BACK_ATTEMPTS, PUT_BACK_PAUSE = 5, 0.5


class VerifyNodeKey(Protocol):
    """trust.verify.verify_node_key: (url, CA as PEM text, node key, timeout) -> known, or None when that is unknown."""

    def __call__(self, url: str, ca_pem: str, node_key: str, timeout: float) -> Optional[bool]:
        ...


def user_name(uid: int) -> str:
    """Return the name by which tailscaled knows user ``uid`` as its operator; a number when the user has no name
    (containers).

    Never from the environment, where LOGNAME may be another's (sudo, su, a service).
    """
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Join:
    """One attempt. What it talks to is passed in.

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
    :param cancelled: asked about four times a second; True ends the attempt like an interrupt.
    :param trust: (CA as PEM text) -> None, makes tailscaled trust a CA where the caller can; None where only
        `robot prepare` can.
    :param unstable: () -> seconds until the machine's interfaces are stable (netmon.InterfaceWatcher.wait_left).
    :param fetch_ca: (server URL, pins) -> CA as PEM text (ca_pin.fetch).
    """

    def __init__(self, api: MembershipApi, ca_file: str, state_dir: str, now: WallClock = time.time,
                 clock: Clock = time.monotonic, sleep: Callable[[float], None] = time.sleep,
                 probe: Callable[[str, str], object] = check_server, uid: Optional[int] = None,
                 timeout: float = TIMEOUT, cancelled: Callable[[], bool] = lambda: False,
                 trust: Optional[Callable[[str], None]] = None, unstable: Callable[[], float] = lambda: 0.0,
                 fetch_ca: Callable[[str, str], str] = ca_pin.fetch, verify: VerifyNodeKey = verify_node_key) -> None:
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
        #: The server has accepted the key.
        self.accepted = False
        #: The server forgot this machine, and a new key is sent although there is a node key.
        self.replacing = False

    def __call__(self, path: str) -> Outcome:
        """Join with the invitation file ``path``, or come back to the kept identity when it is ''.

        :returns: Outcome with a code of Join.srv; an OverlayError becomes one.
        """
        try:
            return self._join(path)
        except OverlayError as error:
            return outcome_of(error)

    def _join(self, path: str) -> Outcome:
        invitation = invitation_file.read(path) if path else None
        status = self._status()
        own = status.self_node
        remembered = read_settings(self.state_dir).get('team', '')
        destination = _belonging(invitation) if invitation else ''
        step = identity.decide_join(status.have_node_key, status.state, own.online, own.tags, remembered, destination,
                                    own.user)
        present = belonging(own.tags, own.user)
        if step == identity.OTHER_TEAM:
            raise refusals.other_team(own.name, present or remembered, destination)
        if step != identity.SEND_KEY and self._forgotten(status):
            # tailscaled would report for ever that it runs: the server is believed, and only now is a key of use.
            if invitation is None:
                raise refusals.forgotten(own.name)
            self.replacing = True
            return self._register(invitation, path)
        if step == identity.ALREADY:
            return Outcome('ALREADY_JOINED', '{} is already in {}; nothing was changed.'.format(
                own.name, describe_belonging(present)), own.dns_name, own.addresses)
        if step == identity.RESUME:
            try:
                return self._resume(destination, status)
            except refusals.Forgotten:
                # Only now may a key be sent although the machine has a node key: the server does not know that one.
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
            with open(self.ca_file, encoding='ascii') as stream:
                trusted = stream.read()
        except (OSError, UnicodeDecodeError):
            return False
        return self.verify(self.api.prefs().get('ControlURL') or '', trusted, status.self_node.public_key,
                           timeout=VERIFY_WAIT) is False

    def _resume(self, destination: str, before: Status) -> Outcome:
        """Come back with the key that the machine has; nothing secret is sent."""
        prefs = self._check_permission(self.api.prefs())
        self.accepted = False
        try:
            with self.api.watch() as bus:
                if prefs.get('LoggedOut') or before.state == 'NeedsLogin':
                    # After a logout that did not reach the server, or when the server refused the identity of a
                    # robot that ran, tailscaled waits for a login by hand. Started afresh it asks with what is stored.
                    self.api.start(update_prefs=dict(prefs, WantRunning=True, LoggedOut=False))
                else:
                    self.api.edit_prefs(WantRunning=True)
                # A robot that is running already gets no new map on request; the server only has to see it again.
                status = self._wait_joined(bus, '', need_map=before.state != 'Running')
            own = status.self_node
            present = belonging(own.tags, own.user)
            if destination and present != destination:
                raise refusals.other_team(own.name, present, destination)
        except BaseException as error:
            # A server that is late may still take the robot back, as the user asked for; the answer mentions it.
            if not prefs.get('WantRunning') and getattr(error, 'code', '') != 'TIMEOUT':
                fields = {name: prefs.get(name, False) for name in ('WantRunning', 'LoggedOut')}
                self._put_back(error, lambda: self.api.edit_prefs(**fields))
            raise
        return Outcome('OK', '{} is back in {} at {}.'.format(own.name, describe_belonging(present), own.addresses[0]),
                       own.dns_name, own.addresses)

    def _register(self, invitation: Invitation, path: str) -> Outcome:
        """Send the key, after everything that can fail without it."""
        check_usable(invitation, datetime.fromtimestamp(self.now(), timezone.utc))
        before = self._check_permission(self.api.prefs(), path)
        ca_pem, trusted = self._check_trust(invitation, path)
        self.probe(invitation.server_url, ca_pem)
        if not trusted and self.trust is not None:
            self.trust(ca_pem)
        self._wait_stable()
        # Based on the present ones: without NetfilterMode, for instance, it would switch the firewall rules off.
        prefs = dict(before, ControlURL=invitation.server_url, WantRunning=True, LoggedOut=False, CorpDNS=True,
                     Hostname=invitation.robot, AdvertiseTags=None)
        self.accepted = False
        try:
            with self.api.watch() as bus:
                self.api.start(auth_key=invitation.key, update_prefs=prefs)
                # With a node key there, forgotten or not, tailscaled registers at `start`. A login on top of that would
                # cut the registration off and begin another one, to which the server answers that the key was used.
                if not self.replacing:
                    self.api.login_interactive()
                status = self._wait_joined(bus, _belonging(invitation), invitation=invitation)
        except BaseException as error:
            # tailscaled would go on trying with the key for ever, and join behind the user's back much later. Once the
            # server has accepted the key it is spent, and going on is all that can still make use of it.
            if not self.accepted:
                self._put_back(error, lambda: self.api.start(update_prefs=before))
            raise
        own = status.self_node
        outcome = Outcome('OK', '{} joined {} at {}.'.format(
            own.name, describe_belonging(_belonging(invitation)), own.addresses[0]), own.dns_name, own.addresses)
        if own.name != invitation.robot:
            outcome = outcome.with_message(
                'The server named it {}, not {}: that name is taken, or the server knew this machine already.'.format(
                    own.name, invitation.robot))
        try:
            write_settings(self.state_dir, public_values(invitation))
        except OSError as error:
            outcome = outcome.with_message(
                'Its settings cannot be kept in {} ({}), so the team port is the default after a restart. Next: '
                'sudo ua-overlay robot prepare --user {}'.format(self.state_dir, error.strerror, self.user))
        return outcome

    def _status(self) -> Status:
        """Ask for the Status of this machine: without its peers, unless it is untagged and only they bring its user."""
        status = parse_status(self.api.status(peers=False))
        if status.self_node.tags or status.state != 'Running':
            return status
        return parse_status(self.api.status())

    def _wait_stable(self) -> None:
        """Wait while interfaces change: one that has just come up could cut off the answer to the registration, and
        the key would be spent.

        At most UNSTABLE_WAIT: a Wi-Fi that scans is never stable, and tailscaled copes with that.
        """
        deadline = self.clock() + UNSTABLE_WAIT
        while self.unstable() > 0.0 and self.clock() < deadline and not self.cancelled():
            self.sleep(0.1)

    def _put_back(self, error: BaseException, change: Callable[[], object]) -> None:
        """Undo with ``change()`` what was asked of tailscaled. When that fails too, ``error`` (what went wrong first)
        remains the answer and mentions it."""
        failure: Optional[OverlayError] = None
        for attempt in range(PUT_BACK_ATTEMPTS):
            if attempt:
                self.sleep(PUT_BACK_PAUSE)
            try:
                change()
                return
            except OverlayError as problem:
                failure = problem
        if isinstance(error, OverlayError) and failure is not None:
            error.sentence += (' The preferences of tailscaled could not be put back, so it may go on trying '
                               '({}).'.format(failure.sentence.rstrip('.')))

    def _wait_joined(self, bus: MessageBus, destination: str, need_map: bool = True,
                     invitation: Optional[Invitation] = None) -> Status:
        """Return the Status once the robot has joined.

        :param destination: where it is to belong (tags.belonging), or '' for anywhere.
        :param need_map: wait for a network map that is newer than the call: right after a start the status shows the
            old one as if all were well (1.100).
        :raises Refused: as soon as the server refuses, or when the time is over.
        """
        deadline = self.clock() + self.timeout
        while True:
            message = bus.next(timeout=0.25) or {}
            reason = identity.key_refusal(redact(message.get('ErrMessage') or ''))
            if invitation is None:
                if reason or message.get('BrowseToURL'):
                    raise refusals.forgotten('this robot')
            elif reason:
                raise refusals.key_refused(reason, invitation)
            if message.get('LoginFinished') is not None:
                self.accepted = True
            need_map = need_map and not message.get('SelfChange') and not message.get('NetMap')
            status = self._status()
            own = status.self_node
            if not need_map and own.addresses and identity.joined(status.state, own.online, own.tags, destination,
                                                                  own.user):
                return status
            # tailscaled reports that it does not trust the server, and would go on trying for ever.
            if not self.accepted and any('x509:' in text for text in status.health):
                raise refusals.certificate_not_trusted(invitation.server_url if invitation else '', self.user)
            if self.cancelled():
                raise refusals.cancelled()
            if self.clock() > deadline:
                raise refusals.too_late(self.timeout, status.health, invitation, self.accepted)

    def _check_permission(self, prefs: JsonObject, path: str = 'FILE') -> JsonObject:
        """Check that this user may change tailscaled: `robot prepare` made it the operator.

        A logout wipes the operator and the agent sets it again within a second, so that is waited for.

        :returns: the preferences, as they are when this user may change them.
        :raises Refused: this user is not the operator.
        """
        deadline = self.clock() + PERMISSION_WAIT
        while self.uid != 0 and prefs.get('OperatorUser') != self.user:
            if self.clock() > deadline:
                raise refusals.no_permission(self.user, path)
            self.sleep(0.1)
            prefs = self.api.prefs()
        return prefs

    def _check_trust(self, invitation: Invitation, path: str) -> Tuple[str, bool]:
        """Find the invitation's CA, which tailscaled must trust before it meets the server.

        :returns: (the CA as PEM text, whether tailscaled trusts it already).
        :raises Refused: it does not, and only `robot prepare` can change that.
        """
        try:
            with open(self.ca_file, encoding='ascii', errors='replace') as stream:
                trusted = stream.read()
        except OSError:
            trusted = ''
        ca_pem = invitation.ca_pem if not invitation.ca_sha256 else ca_pin.pick(invitation.ca_sha256, trusted)
        if ca_pem and trusts(trusted, ca_pem):
            return ca_pem, True
        if self.trust is None:
            raise refusals.ca_not_trusted(invitation.server_url, self.user, path)
        return ca_pem or self.fetch_ca(invitation.server_url, invitation.ca_sha256), False


def _belonging(invitation: Invitation) -> str:
    return invitation.user + '@' if invitation.user else invitation.team
