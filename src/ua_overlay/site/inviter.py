"""Make, list and revoke invitations: the administrator's operations on the server."""
import datetime
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import policy, removal
from ua_overlay.headscale.api import Connect, HeadscaleApi
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rest import RestError
from ua_overlay.protocols import UtcClock
from ua_overlay.site.admin import RobotError, TeamError, UserError
from ua_overlay.site.invitation_list import OPEN, ListedInvitation, list_invitations
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.policy_applier import ensure_users
from ua_overlay.site.site import Site
from ua_overlay.system import foreign_file
from ua_overlay.tags import team_of
from ua_overlay.trust import ca_pin, names
from ua_overlay.trust.invitation import Invitation


class Invitee(NamedTuple):
    """A machine to invite."""

    name: str
    #: Whether it shall run the team's roscore.
    master: bool


class Inviter:
    """The use cases around invitations.

    :param connect: opens the REST interface of the running server.
    """

    def __init__(self, site: Site, connect: Connect, invitation_log: InvitationLog, now: UtcClock) -> None:
        self.site = site
        self._connect = connect
        self._invitation_log = invitation_log
        self._now = now

    def invite(self, invitees: Sequence[Invitee], lifetime: float, team: str = '', user: str = '',
               force: bool = False, pin_ca: bool = False, replace: bool = False) -> List[Tuple[Invitation, str]]:
        """Make an invitation with a new single-use key for each of ``invitees``, or for none.

        :param lifetime: seconds.
        :param team: name of the team that they join; exclusive with ``user``.
        :param user: name of the user who owns the machines.
        :param force: invite even if the overlay already has a machine of that name.
        :param pin_ca: the invitation carries the CA's SHA-256 instead of the CA.
        :param replace: the hardware of existing robots with these names is being replaced; the caller removes the old
            robots afterwards.
        :returns: the invitations, each with the id of its key, in the order of ``invitees``.
        :raises TeamError, UserError: there is no such team or user.
        :raises RobotError: a name is taken.
        :raises UsageError: a name is invalid or duplicate.
        """
        common = self._team_fields(team) if team else self._user_fields(user)
        client = self._connect()
        self._check(invitees, client, force, replace)
        user_id = None
        if user:
            ensure_users(client, self.site.rules)
            user_id = client.users()[user]
        ca_pem = foreign_file.read_text(self.site.ca_file)
        trust = {'ca_pem': '', 'ca_sha256': self._pins(ca_pem)} if pin_ca else {'ca_pem': ca_pem}
        created = self._now().replace(microsecond=0)
        expires = created + datetime.timedelta(seconds=lifetime)
        made: List[Tuple[Invitation, str]] = []
        try:
            for each in invitees:
                tags = [policy.team_tag(team)] if team else []
                key = client.create_key(tags + ([defaults.MASTER_TAG] if each.master else []), expires, user_id)
                invitation = Invitation(server_url=self.site.settings.url, key=key.key, robot=each.name,
                                        master=each.master, created=created, expires=expires, **dict(common, **trust))
                made.append((invitation, key.id))
                self._invitation_log.made(key.id, invitation)
        except BaseException as error:
            self._take_back_after(error, [key_id for _, key_id in made], created)
            raise
        return made

    def _take_back_after(self, error: BaseException, key_ids: Sequence[str], since: datetime.datetime) -> None:
        """Revoke the keys of invitations that were made before ``error``; if that fails, say both."""
        if isinstance(error, RestError):
            # Headscale may have made the key, and its answer was lost.
            self._invitation_log.lost((), since)
        try:
            self.take_back(key_ids)
        except OverlayError as second:
            before = getattr(error, 'sentence', None) or 'It was interrupted.'
            raise OverlayError('{} {}'.format(before, second.sentence), second.next_command, second.code) from error

    def _pins(self, ca_pem: str) -> str:
        pins = ca_pin.pins_of(ca_pem)
        if ' ' in pins:
            # The server sends only the signing root. A robot with only that root is locked out when the next one signs.
            raise UsageError('The site\'s CA is being changed: an invitation has to carry both certificates now.',
                             'the same command without --ca-sha256')
        return pins

    def _team_fields(self, name: str) -> Dict[str, Any]:
        if name not in self.site.teams:
            raise TeamError('There is no team {} (teams: {}).'.format(
                name, ', '.join(sorted(self.site.teams)) or 'none yet'),
                self.site.command('team create {}'.format(name)))
        team = self.site.teams[name]
        return {'team': name, 'team_port': team.port, 'addressing': team.addressing}

    def _user_fields(self, name: str) -> Dict[str, Any]:
        if name not in self.site.rules.users:
            raise UserError('The site has no user {} (users: {}).'.format(
                name, ', '.join(sorted(self.site.rules.users)) or 'none yet'),
                self.site.command('user set {} --teams {}'.format(
                    name, ','.join(sorted(self.site.teams)) or 'TEAM')))
        return {'user': name}

    def _check(self, invitees: Sequence[Invitee], client: HeadscaleApi, force: bool, replace: bool) -> None:
        """Check all names before the first key is created."""
        if not invitees:
            raise UsageError('No robots to invite.', self.site.command('invite TEAM ROBOT'))
        invited = [names.check_robot(each.name) for each in invitees]
        for name in invited:
            if invited.count(name) > 1:
                raise UsageError('{} is named twice.'.format(name), 'a different name for each machine')
        if sum(each.master for each in invitees) > 1:
            raise UsageError('Several machines are marked as the master, and a team has one.',
                             self.site.command('invite --help'))
        existing = {node.name: node for node in client.nodes()}
        for name in invited:
            if name in existing and replace:
                if existing[name].online:
                    raise RobotError('{} is online, so its hardware still exists.'.format(name),
                                     'switch it off, or {}'.format(self.site.command('robot remove {}'.format(name))))
            elif name in existing and not force:
                raise RobotError(
                    'The overlay has a robot {} already ({}); a second one would be called {}-1.'.format(
                        name, _owner_of(existing[name]), name),
                    'another name, --replace if its hardware no longer exists, {}, or --force'.format(
                        self.site.command('robot remove {}'.format(name))))

    def take_back(self, key_ids: Sequence[str]) -> None:
        """Revoke the keys of invitations that could not be delivered.

        :raises OverlayError: one is still usable; the log tells the running server to revoke it.
        """
        began = self._now()
        try:
            removal.revoke(self._connect(), key_ids, self._now, self.site.command, self._invitation_log.revoked)
        except OverlayError as error:
            self._invitation_log.lost(key_ids, began)
            raise OverlayError('{} The server revokes them as soon as it can.'.format(error.sentence),
                               error.next_command, error.code) from error

    def list(self) -> List[ListedInvitation]:
        """Return every invitation of the site, oldest first."""
        client = self._connect()
        return list_invitations(client.keys(), client.nodes(), self._invitation_log.records(), self._now())

    def revoke(self, what: str) -> List[ListedInvitation]:
        """Revoke open invitations.

        :param what: a machine's name (all its open invitations), or an id from `invite list`.
        :returns: the revoked invitations.
        :raises OverlayError: none is open (NO_INVITATION); the sentence has the state of the last one.
        """
        matching = [entry for entry in self.list() if what in (entry.key, entry.machine)]
        open_entries = [entry for entry in matching if entry.state == OPEN]
        if not open_entries:
            raise _no_open_invitation(what, matching[-1] if matching else None, self.site.command)
        self.take_back([entry.key for entry in open_entries])
        return open_entries


def _no_open_invitation(what: str, last: Optional[ListedInvitation], command: Callable[[str], str]) -> OverlayError:
    if last is None:
        return OverlayError('There is no invitation {}.'.format(what), command('invite list'), code='NO_INVITATION')
    if last.used_by:
        return OverlayError('There is no open invitation {}: the last one was used by {}.'.format(what, last.used_by),
                            command('robot remove {}'.format(last.used_by)), code='NO_INVITATION')
    return OverlayError('There is no open invitation {}: the last one is {}.'.format(what, last.state),
                        command('invite list'), code='NO_INVITATION')


def _owner_of(node: Node) -> str:
    return 'of user {}'.format(node.user) if node.user else 'team {}'.format(team_of(node.tags) or 'none')
