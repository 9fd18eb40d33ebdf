"""Join the team of an invitation, or come back to it: the use case behind `ua-overlay join` and the join service."""
import os
import pwd
import time
from datetime import datetime, timezone

from ua_overlay.errors import OverlayError
from ua_overlay.membership import identity
from ua_overlay.membership.outcome import Outcome, Refused, outcome_of
from ua_overlay.membership.settings import read_settings, write_settings
from ua_overlay.tags import belonging, describe_belonging
from ua_overlay.tailscale.localapi import redact
from ua_overlay.tailscale.model import parse_status
from ua_overlay.trust import ca_pin
from ua_overlay.trust import invitation as invitations
from ua_overlay.trust.ca import trusts
from ua_overlay.trust.probe import check_server
from ua_overlay.trust.verify import verify_node_key

#: Seconds after which a join that the server took but that did not come up is given up.
TIMEOUT = 60.0
#: Seconds that the agent is given to set the operator again after a logout.
PERMISSION_WAIT = 3.0
#: Seconds for which the server may take to say whether it knows a robot that says that it runs.
VERIFY_WAIT = 3.0
#: Seconds for which a key is held back at most while links change.
UNSTABLE_WAIT = 10.0
#: How often, and with how many seconds in between, tailscaled is asked to be as before: its service manager may just
#: be starting it again.
PUT_BACK_ATTEMPTS, PUT_BACK_PAUSE = 5, 0.5


def user_name(uid):
    """The name by which tailscaled knows user ``uid`` as its operator: never from the environment, where LOGNAME may
    be another's (sudo, su, a service). A number when the user has no name (containers)."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


class Forgotten(Refused):
    """The server does not know this machine's node key any more."""

    code = 'FORGOTTEN'


class Join:
    """One attempt. What it talks to is passed in.

    :param api: tailscale.localapi.LocalApi.
    :param ca_file: the CA that tailscaled trusts (written by `robot prepare`, or by a node that runs its own
        daemon).
    :param state_dir: where the settings are kept.
    :param now: Unix time; for expiry.
    :param clock: monotonic seconds; for deadlines.
    :param sleep: waits some seconds.
    :param probe: trust.probe.check_server; ``verify``: trust.verify.verify_node_key.
    :param uid: of the user that joins.
    :param trust: (PEM text) -> None, makes tailscaled trust a CA where the caller can; None: only `robot prepare` can.
    :param unstable: () -> seconds until the machine's interfaces are stable (netmon.InterfaceWatcher.wait_left).
    :param fetch_ca: ca_pin.fetch.
    :param cancelled: () -> bool; asked about four times a second, True ends the attempt like an interrupt.
    """

    def __init__(self, api, ca_file, state_dir, now=time.time, clock=time.monotonic, sleep=time.sleep,
                 probe=check_server, uid=None, timeout=TIMEOUT, cancelled=lambda: False, trust=None,
                 unstable=lambda: 0.0, fetch_ca=ca_pin.fetch, verify=verify_node_key):
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
        #: The server has taken the key.
        self.accepted = False
        #: The server forgot this machine, and a new key is sent although there is a node key.
        self.replacing = False

    def __call__(self, path):
        """Join with the invitation file ``path``, or come back to the kept identity when it is ''.

        :returns: Outcome with a code of Join.srv; never raises for what a user can meet.
        """
        try:
            return self._join(path)
        except OverlayError as error:
            return outcome_of(error)

    def _join(self, path):
        invitation = invitations.read(path) if path else None
        status = self._status()
        own = status.self_node
        remembered = read_settings(self.state_dir).get('team', '')
        destination = _belonging(invitation) if invitation else ''
        step = identity.decide_join(status.have_node_key, status.state, own.online, own.tags, remembered, destination,
                                    own.user)
        present = belonging(own.tags, own.user)
        if step == identity.OTHER_TEAM:
            raise _other_team(own.name, present or remembered, destination)
        if step != identity.SEND_KEY and self._forgotten(status):
            # tailscaled would say for ever that it runs: the server is believed, and only now is a key of use.
            if invitation is None:
                raise _unknown(own.name)
            self.replacing = True
            return self._register(invitation, path)
        if step == identity.ALREADY:
            return Outcome('ALREADY_JOINED', '{} is in {} already; nothing was changed.'.format(
                own.name, describe_belonging(present)), own.dns_name, own.addresses)
        if step == identity.RESUME:
            try:
                return self._resume(destination, status)
            except Forgotten:
                # Only now may a key be sent although the machine has a node key: the server does not know that one.
                if invitation is None:
                    raise
                self.replacing = True
        if invitation is None:
            raise Refused('This robot has no identity to come back to.', 'ua-overlay join INVITATION',
                          code='INVITATION_MISSING')
        return self._register(invitation, path)

    def _forgotten(self, status):
        """Whether a tailscaled that says that it runs has a node key that its server does not know."""
        if status.state != 'Running':
            return False
        try:
            with open(self.ca_file, encoding='ascii') as stream:
                trusted = stream.read()
        except (OSError, UnicodeDecodeError):
            return False
        return self.verify(self.api.prefs().get('ControlURL') or '', trusted, status.self_node.public_key,
                           timeout=VERIFY_WAIT) is False

    def _resume(self, destination, before):
        """Come back with the key that the machine has; nothing secret is sent."""
        prefs = self._check_permission(self.api.prefs())
        self.accepted = False
        try:
            with self.api.watch() as bus:
                if prefs.get('LoggedOut') or before.state == 'NeedsLogin':
                    # After a logout that did not reach the server, or when the server refused the identity of a
                    # robot that ran, tailscaled waits for a person. Started afresh it asks with what is stored.
                    self.api.start(update_prefs=dict(prefs, WantRunning=True, LoggedOut=False))
                else:
                    self.api.edit_prefs(WantRunning=True)
                # A robot that is running already gets no new map for the asking; it only has to be seen again.
                status = self._wait_joined(bus, '', need_map=before.state != 'Running')
            own = status.self_node
            present = belonging(own.tags, own.user)
            if destination and present != destination:
                raise _other_team(own.name, present, destination)
        except BaseException as error:
            # A server that is late may still take the robot back: that is what was asked for, and the answer says it.
            if not prefs.get('WantRunning') and getattr(error, 'code', '') != 'TIMEOUT':
                fields = {name: prefs.get(name, False) for name in ('WantRunning', 'LoggedOut')}
                self._put_back(error, lambda: self.api.edit_prefs(**fields))
            raise
        return Outcome('OK', '{} is back in {} at {}.'.format(own.name, describe_belonging(present), own.addresses[0]),
                       own.dns_name, own.addresses)

    def _register(self, invitation, path):
        """First join: everything that can go wrong without the key is tried before the key is sent."""
        invitations.check_usable(invitation, datetime.fromtimestamp(self.now(), timezone.utc))
        before = self._check_permission(self.api.prefs(), path)
        ca_pem, trusted = self._check_trust(invitation, path)
        self.probe(invitation.server_url, ca_pem)
        if not trusted:
            self.trust(ca_pem)
        self._wait_stable()
        # From what is there: a dict without NetfilterMode, say, would switch the firewall rules off.
        prefs = dict(before, ControlURL=invitation.server_url, WantRunning=True, LoggedOut=False, CorpDNS=True,
                     Hostname=invitation.robot, AdvertiseTags=None)
        self.accepted = False
        try:
            with self.api.watch() as bus:
                self.api.start(auth_key=invitation.key, update_prefs=prefs)
                # With a node key there, forgotten or not, tailscaled registers at `start`. A login on top of that would
                # cut the registration off and begin another one, which the server tells that the key was used.
                if not self.replacing:
                    self.api.login_interactive()
                status = self._wait_joined(bus, _belonging(invitation), invitation=invitation)
        except BaseException as error:
            # tailscaled would go on knocking with the key for ever, and join behind the user's back much later. Once
            # the server has taken the key it is spent, and going on is all that can still make use of it.
            if not self.accepted:
                self._put_back(error, lambda: self.api.start(update_prefs=before))
            raise
        own = status.self_node
        outcome = Outcome('OK', '{} joined {} at {}.'.format(
            own.name, describe_belonging(_belonging(invitation)), own.addresses[0]),
                          own.dns_name, own.addresses)
        if own.name != invitation.robot:
            outcome = outcome.with_message(
                'The server gave it the name {}, not {}: that one is taken, or the server knew this machine already.'
                .format(own.name, invitation.robot))
        try:
            write_settings(self.state_dir, invitations.settings(invitation))
        except OSError as error:
            outcome = outcome.with_message(
                'Its settings could not be kept in {} ({}), so the team port is the default after a restart. Next: '
                'sudo ua-overlay robot prepare --user {}'.format(self.state_dir, error.strerror, self.user))
        return outcome

    def _status(self):
        """The Status of this machine alone; whose an untagged one is, tailscaled tells only along with its peers."""
        status = parse_status(self.api.status(peers=False))
        if status.self_node.tags or status.state != 'Running':
            return status
        return parse_status(self.api.status())

    def _wait_stable(self):
        """A link that has just come up would take the answer to the registration along, and the key with it.

        Only so long: a Wi-Fi that scans is never stable, and tailscaled does not mind that.
        """
        deadline = self.clock() + UNSTABLE_WAIT
        while self.unstable() > 0.0 and self.clock() < deadline and not self.cancelled():
            self.sleep(0.1)

    def _put_back(self, error, change):
        """Undo with ``change()`` what was asked of tailscaled. When that fails too, ``error`` (what went wrong first)
        stays the answer and says so in addition."""
        for attempt in range(PUT_BACK_ATTEMPTS):
            if attempt:
                self.sleep(PUT_BACK_PAUSE)
            try:
                change()
                return
            except OverlayError as failure:
                last = failure
        if isinstance(error, OverlayError):
            error.sentence += ' tailscaled could not be put back as it was and may go on trying ({}).'.format(
                last.sentence.rstrip('.'))

    def _wait_joined(self, bus, destination, need_map=True, invitation=None):
        """Return the Status once the robot has joined.

        :param destination: where it shall belong (tags.belonging), or '' for anywhere.
        :param need_map: wait for a network map that is newer than the call: right after a start the status shows the
            old one as if all were well (1.100).
        :raises Refused: as soon as the server refuses, or when the time is over.
        """
        deadline = self.clock() + self.timeout
        while True:
            message = bus.next(timeout=0.25) or {}
            words = redact(message.get('ErrMessage') or '')
            refusal = identity.key_refusal(words)
            if (refusal or message.get('BrowseToURL')) and invitation is None:
                raise _unknown('this robot')
            if refusal:
                raise self._refused(refusal, invitation)
            if message.get('LoginFinished') is not None:
                self.accepted = True
            need_map = need_map and not message.get('SelfChange') and not message.get('NetMap')
            status = self._status()
            own = status.self_node
            if not need_map and own.addresses and identity.joined(status.state, own.online, own.tags, destination,
                                                                  own.user):
                return status
            self._check_health(status, invitation)
            if self.cancelled():
                raise Refused('The join was given up because the program that asked for it ended.', 'ua-overlay status',
                              code='FAILED')
            if self.clock() > deadline:
                raise self._too_late(status, invitation)

    def _check_health(self, status, invitation):
        """tailscaled itself says when it does not trust the server; it would keep trying for ever."""
        for text in status.health:
            if 'x509:' in text and not self.accepted:
                raise Refused('tailscaled does not trust the certificate of the server: it runs without the CA of {}.'
                              .format(invitation.server_url if invitation else 'the site'),
                              'sudo ua-overlay robot prepare --user {}'.format(self.user), code='NOT_PREPARED')

    def _too_late(self, status, invitation):
        seconds = '{:.0f} s'.format(self.timeout)
        health = '; '.join(redact(text) for text in status.health if 'stopped' not in text)
        because = ' (it says: {})'.format(health) if health else ''
        if invitation is None:
            return Refused('The server did not take this robot back within {}{}; tailscaled goes on trying.'.format(
                seconds, because), 'ua-overlay status', code='TIMEOUT')
        if self.accepted:
            return Refused('The server took the invitation (it is spent now) but the overlay did not come up within '
                           '{}{}; tailscaled goes on trying.'.format(seconds, because), 'ua-overlay status',
                           code='TIMEOUT')
        return Refused('The server did not answer the registration within {}{}; whether the invitation is spent, only '
                       'the server knows.'.format(seconds, because), 'on the server: ua-overlay robot list',
                       code='TIMEOUT')

    def _refused(self, refusal, invitation):
        anew = 'on the server: ' + invitation.again.replace(', on the server', '')
        name = invitation.robot
        if refusal == 'SPENT':
            return Refused('The server says that the invitation of {} was used already; it is spent.'.format(name),
                           anew, code='INVITATION_SPENT')
        if refusal == 'EXPIRED':
            # The server's word is the same for a key that ran out and for one that was revoked; the invitation's own
            # expiry was checked before, so here it was revoked (or the two clocks differ).
            return Refused('The server says that the invitation of {} was revoked; it was not used.'.format(name), anew,
                           code='INVITATION_REFUSED')
        return Refused('The server does not know the key of the invitation of {}: it was deleted there, or the '
                       'invitation is another site\'s; it was not used.'.format(name), anew, code='INVITATION_REFUSED')

    def _check_permission(self, prefs, path='FILE'):
        """`robot prepare` made this user the operator; without that tailscaled refuses every change.

        A logout wipes the operator and the agent sets it again within a second, so that is waited for.

        :returns: the preferences, as they are when this user may change them.
        """
        deadline = self.clock() + PERMISSION_WAIT
        while self.uid != 0 and prefs.get('OperatorUser') != self.user:
            if self.clock() > deadline:
                raise Refused('tailscaled does not let user {} change anything.'.format(self.user),
                              'sudo ua-overlay robot prepare --invitation {} --user {}'.format(path, self.user),
                              code='NOT_PREPARED')
            self.sleep(0.1)
            prefs = self.api.prefs()
        return prefs

    def _check_trust(self, invitation, path):
        """tailscaled must trust the invitation's CA before it meets the server.

        :returns: (the CA as PEM text, whether tailscaled trusts it already).
        """
        try:
            with open(self.ca_file, encoding='ascii', errors='replace') as stream:
                trusted = stream.read()
        except OSError:
            trusted = ''
        known = invitation.ca_pem if not invitation.ca_sha256 else ca_pin.pick(invitation.ca_sha256, trusted)
        if known and trusts(trusted, known):
            return known, True
        if self.trust is None:
            raise Refused('tailscaled does not trust the CA of {} yet.'.format(invitation.server_url),
                          'sudo ua-overlay robot prepare --invitation {} --user {}'.format(path, self.user),
                          code='NOT_PREPARED')
        return known or self.fetch_ca(invitation.server_url, invitation.ca_sha256), False


def _belonging(invitation):
    return invitation.user + '@' if invitation.user else invitation.team


def _unknown(name):
    return Forgotten('The server does not know {} any more.'.format(name),
                     'a new invitation, and: ua-overlay join INVITATION')


def _other_team(name, present, destination):
    return Refused('{} is in {}, not in {}; the invitation was not used.'.format(
        name or 'This robot', describe_belonging(present), describe_belonging(destination)),
        'on the server: ua-overlay robot list', code='OTHER_TEAM')
