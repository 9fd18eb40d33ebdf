"""What the server's administrator does with invitations: make, list, revoke."""
import datetime
from collections import namedtuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import policy
from ua_overlay.site.admin import RobotError, TeamError, UserError
from ua_overlay.site.invitation_list import OPEN, list_invitations
from ua_overlay.site.policy_applier import ensure_users
from ua_overlay.tags import team_of
from ua_overlay.trust import ca_pin, names
from ua_overlay.trust.invitation import Invitation

#: A machine to invite: its name, and whether it will carry the team's roscore.
Invitee = namedtuple('Invitee', 'name master')


class Inviter:
    """The use cases around invitations.

    :param site: the Site.
    :param connect: function() -> RestClient of the running server.
    :param invitation_log: invitation_log.InvitationLog.
    :param now: function() -> aware UTC datetime.
    """

    def __init__(self, site, connect, invitation_log, now):
        self.site = site
        self._connect = connect
        self._invitation_log = invitation_log
        self._now = now

    def invite(self, invitees, lifetime, team='', user='', force=False, pin_ca=False,
               replace=False):
        """Make an invitation with a fresh single-use key for each machine of ``invitees``, or none at all.

        :param invitees: list of Invitee.
        :param lifetime: seconds.
        :param team: name of the team that they join; or
        :param user: name of the person whose machines they are.
        :param force: also when a machine of that name is there.
        :param replace: robots of these names are there and their hardware is not: the caller removes them afterwards.
        :param pin_ca: the invitation carries the CA's SHA-256 instead of the CA.
        :returns: list of (Invitation, id of its key), in the order of ``invitees``.
        :raises TeamError, UserError, RobotError, UsageError: no such team or user; a name is taken or no name.
        """
        common = self._team_fields(team) if team else self._user_fields(user)
        client = self._connect()
        self._check(invitees, client, force, replace)
        user_id = None
        if user:
            ensure_users(client, self.site.rules)
            user_id = client.users()[user]
        with open(self.site.ca_file, encoding='ascii') as stream:
            ca_pem = stream.read()
        trust = {'ca_pem': '', 'ca_sha256': self._pins(ca_pem)} if pin_ca else {'ca_pem': ca_pem}
        created = self._now().replace(microsecond=0)
        expires = created + datetime.timedelta(seconds=lifetime)
        made = []
        try:
            for each in invitees:
                tags = [policy.team_tag(team)] if team else []
                key = client.create_key(tags + ([defaults.MASTER_TAG] if each.master else []), expires, user_id)
                invitation = Invitation(server_url=self.site.settings.url, key=key.key, robot=each.name,
                                        master=each.master, created=created, expires=expires, **dict(common, **trust))
                made.append((invitation, key.id))
                self._invitation_log.made(key.id, invitation)
        except BaseException:
            self.take_back([key_id for _, key_id in made])
            raise
        return made

    def _pins(self, ca_pem):
        pins = ca_pin.pins_of(ca_pem)
        if ' ' in pins:
            # The server shows the root that signs; a robot with that one alone is locked out when the next one does.
            raise UsageError('The site\'s CA is being changed: an invitation has to carry both certificates now.',
                             'the same command without --ca-sha256')
        return pins

    def _team_fields(self, name):
        if name not in self.site.teams:
            raise TeamError('There is no team {} (teams: {}).'.format(
                name, ', '.join(sorted(self.site.teams)) or 'none yet'),
                self.site.command('team create {}'.format(name)))
        team = self.site.teams[name]
        return {'team': name, 'team_port': team.port, 'addressing': team.addressing}

    def _user_fields(self, name):
        if name not in self.site.rules.users:
            raise UserError('The site has no user {} (users: {}).'.format(
                name, ', '.join(sorted(self.site.rules.users)) or 'none yet'),
                self.site.command('user set {} --teams {}'.format(
                    name, ','.join(sorted(self.site.teams)) or 'TEAM')))
        return {'user': name}

    def _check(self, invitees, client, force, replace):
        """Everything that can be wrong with the names, before the first key is made."""
        if not invitees:
            raise UsageError('Nobody is named who could be invited.', self.site.command('invite TEAM ROBOT'))
        asked = [names.check_robot(each.name) for each in invitees]
        for name in asked:
            if asked.count(name) > 1:
                raise UsageError('{} is named twice.'.format(name), 'a name of its own for each machine')
        if sum(each.master for each in invitees) > 1:
            raise UsageError('A team has one master, and several of these are marked as it.',
                             self.site.command('invite --help'))
        there = {node.name: node for node in client.nodes()}
        for name in asked:
            if name in there and replace:
                if there[name].online:
                    raise RobotError('{} is online, so its hardware is not gone.'.format(name),
                                     'switch it off, or {}'.format(self.site.command('robot remove {}'.format(name))))
            elif name in there and not force:
                raise RobotError(
                    'The overlay has a robot {} already ({}); a second one would be called {}-1.'.format(
                        name, _whose(there[name]), name),
                    'another name, --replace if its hardware is gone, {}, or --force'.format(
                        self.site.command('robot remove {}'.format(name))))

    def take_back(self, key_ids):
        """Revoke the keys of invitations that could not be handed out: nobody has them, so nobody shall use them."""
        client = self._connect()
        for key_id in key_ids:
            client.expire_key(key_id)
            self._invitation_log.revoked(key_id)

    def list(self):
        """Every invitation of the site: list of invitation_list.ListedInvitation, oldest first."""
        client = self._connect()
        return list_invitations(client.keys(), client.nodes(), self._invitation_log.records(), self._now())

    def revoke(self, what):
        """Make open invitations worthless.

        :param what: a machine's name (all its open invitations), or the id that `invite list` shows.
        :returns: list of the revoked ListedInvitation.
        :raises OverlayError: there is no open one; the sentence says what became of it.
        """
        known = [entry for entry in self.list() if what in (entry.key, entry.machine)]
        open_entries = [entry for entry in known if entry.state == OPEN]
        if not open_entries:
            raise _no_open_invitation(what, known[-1] if known else None, self.site.command)
        self.take_back([entry.key for entry in open_entries])
        return open_entries


def _no_open_invitation(what, last, command):
    if last is None:
        return OverlayError('There is no invitation {}.'.format(what), command('invite list'), code='NO_INVITATION')
    if last.used_by:
        return OverlayError('There is no open invitation {}: the last one was used by {}.'.format(what, last.used_by),
                            command('robot remove {}'.format(last.used_by)), code='NO_INVITATION')
    return OverlayError('There is no open invitation {}: the last one is {}.'.format(what, last.state),
                        command('invite list'), code='NO_INVITATION')


def _whose(node):
    return 'of user {}'.format(node.user) if node.user else 'team {}'.format(team_of(node.tags) or 'none')
