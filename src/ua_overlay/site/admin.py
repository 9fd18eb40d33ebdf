"""What the server's administrator does with teams, invitations and robots."""
import dataclasses
import time

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy
from ua_overlay.relays.relay_states import relay_states
from ua_overlay.site import fleet
from ua_overlay.system import control_socket
from ua_overlay.tags import team_of

#: How long to wait for a connected robot to hear that its key has expired, in seconds. It hears of it within one or
#: two; Headscale counts a robot as online for ten more.
NOTICE_TIMEOUT = 20.0


class TeamError(OverlayError):
    """A team that is missing, there already, or not empty."""

    code = 'TEAM'


class RobotError(OverlayError):
    """A robot that is missing or there already."""

    code = 'ROBOT'


class UserError(OverlayError):
    """A person that is missing."""

    code = 'USER'


class Admin:
    """The use cases of a site's administrator.

    :param site: the Site.
    :param connect: function() -> RestClient of the running server.
    :param now: function() -> aware UTC datetime.
    :param ask: function(socket path, operation) -> answer of the running server.
    """

    def __init__(self, site, connect, now, ask=control_socket.ask, clock=time.monotonic, sleep=time.sleep):
        self.site = site
        self._connect = connect
        self._now = now
        self._ask = ask
        self._clock = clock
        self._sleep = sleep

    def client(self):
        """A RestClient of the running server."""
        return self._connect()

    # ---- teams

    def team(self, name):
        """The Team called ``name``.

        :raises TeamError: there is none; the sentence lists those that are.
        """
        if name not in self.site.teams:
            known = ', '.join(sorted(self.site.teams)) or 'none yet'
            raise TeamError('There is no team {} (teams: {}).'.format(name, known),
                            self.site.command('team create {}'.format(name)))
        return self.site.teams[name]

    def create_team(self, team):
        """Add ``team`` (Team); a running server knows it when this returns. Returns whether one was running.

        :raises TeamError: the name is taken with other settings.
        """
        with self.site.changing():
            old = self.site.teams.get(team.name)
            if old is not None:
                raise TeamError('The team {} exists already (port {}, {}).'.format(old.name, old.port, old.addressing),
                                self.site.command('team list'))
            return self._apply(teams=dict(self.site.teams, **{team.name: team}))

    def remove_team(self, name):
        """Remove an empty team and revoke the invitations into it that were not used.

        :returns: the number of revoked invitations.
        :raises TeamError: unknown, or robots are in it.
        """
        with self.site.changing():
            self.team(name)
            client = self._connect()
            members = [node.name for node in client.nodes() if team_of(node.tags) == name]
            if members:
                raise TeamError('The team {} has robots: {}.'.format(name, ', '.join(members)),
                                self.site.command('robot remove {}'.format(members[0])))
            users = self._rules_about(name)
            if users:
                raise TeamError('The team {} is named by {} in {}.'.format(
                    name, ', '.join(users), self.site.path('site.yaml')), 'edit that, then {}'.format(
                        self.site.command('policy apply')))
            # Headscale lets a key register a machine even when its tag is in no policy any more.
            tag, now = policy.team_tag(name), self._now()
            keys = [key for key in client.keys() if tag in key.tags and key.usable(now)]
            for key in keys:
                client.expire_key(key.id)
            self._apply(teams={other: team for other, team in self.site.teams.items() if other != name})
            return len(keys)

    def _rules_about(self, team):
        """What names ``team`` in the site's rules, for people: a list of str."""
        rules = self.site.rules
        return (['the rule from {} to {}'.format(rule.source, rule.target) for rule in rules.talk
                 if team in (rule.source, rule.target)]
                + ['the user ' + name for name in sorted(rules.users) if team in rules.users[name].teams])

    def _apply(self, **parts):
        """Make ``parts`` (fields of Rules) the site's: the file first, then the running server; all or nothing."""
        running = self.server_running()
        before = self.site.rules
        self.site.rules = dataclasses.replace(before, **parts)
        try:
            self.site.write_settings()
            if running:
                self.apply_policy()
            else:
                self.site.write_generated()
        except BaseException:
            self.site.rules = before
            self.site.write_settings()
            raise
        return running

    # ---- users

    def set_user(self, user):
        """Add the person ``user`` (User), or change what their laptops may reach. Returns whether that changed.

        :raises TeamError: one of their teams is none of the site's.
        """
        with self.site.changing():
            for name in user.teams:
                self.team(name)
            if self.site.rules.users.get(user.name) == user:
                return False
            self._apply(users=dict(self.site.rules.users, **{user.name: user}))
            return True

    def remove_user(self, name):
        """Take a person out of the site's rules: their laptops reach nobody then. Returns the names of these.

        :raises UserError: unknown.
        """
        with self.site.changing():
            users = dict(self.site.rules.users)
            if users.pop(name, None) is None:
                raise UserError('The site has no user {} (users: {}).'.format(
                    name, ', '.join(sorted(users)) or 'none yet'), self.site.command('user list'))
            laptops = [node.name for node in self.laptops() if node.user == name] if self.server_running() else []
            self._apply(users=users)
            return laptops

    # ---- policy

    def apply_policy(self):
        """Have the running server put the rules of site.yaml in force; returns whether anything changed.

        :raises NotRunning: there is no running server.
        :raises OverlayError: why it could not; the policy in force is the one before.
        """
        return self._ask(self.site.control_socket, 'reload').get('changed', True)

    def server_running(self):
        """Whether a `server run` holds this site."""
        try:
            self._ask(self.site.control_socket, 'ping')
        except control_socket.NotRunning:
            return False
        return True

    # ---- invitations

    def open_invitations(self):
        """dict team -> number of invitations that can still be used."""
        counts, now = {}, self._now()
        for key in self._connect().keys():
            team = team_of(key.tags)
            if team and key.usable(now):
                counts[team] = counts.get(team, 0) + 1
        return counts

    def relays(self, report):
        """Every relay of the site as rows of plain values (see relay_states); ``report``: the server's own."""
        return relay_states(report, self.site.settings, self._connect().nodes())

    # ---- robots

    def robots(self, team=None):
        """The robots of the site (nodes with a team's tag), or of one team, as a list of Node sorted by name."""
        if team is not None:
            self.team(team)
        found = [node for node in self._connect().nodes() if team_of(node.tags)]
        return [node for node in found if team is None or team_of(node.tags) == team]

    def sessions(self):
        """Who is connected more than once, as the running server counts (see sessions.SessionWatcher.report)."""
        return self._ask(self.site.control_socket, 'status')['headscale']['sessions']

    def laptops(self):
        """The machines of the site's users, as a list of Node sorted by name."""
        return [node for node in self._connect().nodes() if node.user]

    def remove_robot(self, name):
        """Expire and forget the robot, or user's laptop, ``name``; returns the Node as it was.

        :raises RobotError: unknown.
        """
        client = self._connect()
        robots = [node for node in client.nodes() if team_of(node.tags) or node.user]
        chosen = [node for node in robots if node.name == name]
        if not chosen:
            raise RobotError('The overlay has no robot {} (robots: {}).'.format(
                name, ', '.join(node.name for node in robots) or 'none'), self.site.command('robot list'))
        # Deleting alone does not end a connected robot's session (headscale 3410). Expiring its key does, once the
        # robot has heard of it: it then goes offline. One that is out of reach learns it when it connects again.
        client.expire_node(chosen[0].id)
        deadline = self._clock() + NOTICE_TIMEOUT
        while any(node.online for node in client.nodes() if node.id == chosen[0].id) and self._clock() < deadline:
            self._sleep(0.5)
        client.delete_node(chosen[0].id)
        return chosen[0]

    def remove_absent(self, names):
        """Forget those robots called ``names`` that are there and offline: other hardware takes over their names."""
        client = self._connect()
        for node in client.nodes():
            if node.name in names and not node.online and (team_of(node.tags) or node.user):
                client.expire_node(node.id)
                client.delete_node(node.id)

    def stale_robots(self, days, team=None):
        """The robots that were not seen for ``days`` days, as a list of Node sorted by name."""
        return fleet.stale(self.robots(team), self._now(), days)

    def prune(self, days):
        """Forget every robot that was not seen for ``days`` days; yields each Node once it is gone.

        It is looked again before each: one that has come back stays.
        """
        client = self._connect()
        for node in self.stale_robots(days):
            if any(each.id == node.id for each in self.stale_robots(days)):
                client.expire_node(node.id)
                client.delete_node(node.id)
                yield node

    def move_robot(self, name, team):
        """Move the robot ``name`` to ``team``: it keeps name, address and key; its peers see it within two seconds.

        :returns: (Node as it is now, name of the team that it was in, whether it was that team's master).
        :raises TeamError, RobotError: no such team; no such robot.
        """
        self.team(team)
        robots = self.robots()
        chosen = next((node for node in robots if node.name == name), None)
        if chosen is None:
            raise RobotError('The overlay has no robot {} (robots: {}).'.format(
                name, ', '.join(node.name for node in robots) or 'none'), self.site.command('robot list'))
        before = team_of(chosen.tags)
        if before == team:
            return chosen, before, False
        moved = self._connect().set_tags(chosen.id, fleet.moved_tags(chosen.tags, team))
        return moved, before, defaults.MASTER_TAG in chosen.tags

    def move_master(self, team, name):
        """Make the robot ``name`` the master of ``team``: off the old one first, then on the new one, so that there are
        never two. A robot that is it already stays it, and any other loses the tag.

        :returns: (Node as it is now, names of those that were master before).
        :raises TeamError, RobotError: no such team; no such robot in it.
        """
        members = self.robots(team)
        chosen = next((node for node in members if node.name == name), None)
        if chosen is None:
            raise RobotError('Team {} has no robot {} (robots: {}).'.format(
                team, name, ', '.join(node.name for node in members) or 'none'), self.site.command('robot list'))
        client = self._connect()
        before = [node for node in members if defaults.MASTER_TAG in node.tags]
        for node in before:
            if node.id != chosen.id:
                client.set_tags(node.id, [tag for tag in node.tags if tag != defaults.MASTER_TAG])
        if chosen not in before:
            try:
                chosen = client.set_tags(chosen.id, list(chosen.tags) + [defaults.MASTER_TAG])
            except OverlayError as error:
                raise OverlayError('Team {} has no master now: {} did not become it. {}'.format(
                    team, name, error.sentence), self.site.command('team master {} {}'.format(team, name)))
        return chosen, [node.name for node in before]
