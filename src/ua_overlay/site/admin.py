"""Manage teams, users and robots: the administrator's operations on the server."""
import contextlib
import dataclasses
import time
from typing import Any, Callable, Collection, Dict, Iterator, List, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy, removal
from ua_overlay.headscale.api import Connect, HeadscaleApi
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import Team, User
from ua_overlay.protocols import Clock, JsonObject, UtcClock
from ua_overlay.relays.relay_states import relay_states
from ua_overlay.site import enforced, fleet
from ua_overlay.site.enforced import Enforced
from ua_overlay.site.site import SITE_FILE, Site
from ua_overlay.system import control_socket
from ua_overlay.system.replacement import Replacement
from ua_overlay.tags import team_of

#: Seconds to wait until Headscale has told a connected robot that its key has expired: it does so every 0.8 s
#: (tuning.batch_change_delay). The robot stays connected, and online for Headscale, so that says nothing.
NOTICE_TIMEOUT = 5.0
_NOTICE_PERIOD = 0.1
#: Seconds after which every change of before has been sent. Headscale counts changes of any kind: of a robot that has
#: just joined, others are on their way, and one of these is no notice.
NOTICE_SENT = 2 * 0.8
#: Seconds that the server may take for a reload and for the way back after its failure.
APPLY_TIMEOUT = 120.0


class TeamError(OverlayError):
    """A team does not exist, exists already, or is not empty."""

    code = 'TEAM'


class RobotError(OverlayError):
    """A robot does not exist, or exists already."""

    code = 'ROBOT'


class UserError(OverlayError):
    """A user does not exist."""

    code = 'USER'


class Admin:
    """The use cases around teams, users and robots.

    :param connect: opens the REST interface of the running server.
    :param ask: (socket path, operation) -> answer of the running server; raises control_socket.NotRunning.
    """

    def __init__(self, site: Site, connect: Connect, now: UtcClock,
                 ask: Callable[..., JsonObject] = control_socket.ask, clock: Clock = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:
        self.site = site
        self._connect = connect
        self._now = now
        self._ask = ask
        self._clock = clock
        self._sleep = sleep

    def client(self) -> HeadscaleApi:
        """Return the REST interface of the running server."""
        return self._connect()

    # ---- teams

    def team(self, name: str) -> Team:
        """Return the team called ``name``.

        :raises TeamError: there is no such team; the sentence lists the teams.
        """
        if name not in self.site.teams:
            teams = ', '.join(sorted(self.site.teams)) or 'none yet'
            raise TeamError('There is no team {} (teams: {}).'.format(name, teams),
                            self.site.command('team create {}'.format(name)))
        return self.site.teams[name]

    def create_team(self, team: Team) -> bool:
        """Add ``team``, and apply it in a running server; return whether one is running.

        :raises TeamError: the name is taken.
        """
        with self.site.changing():
            old = self.site.teams.get(team.name)
            if old is not None:
                raise TeamError('The team {} exists already (port {}, {}).'.format(old.name, old.port, old.addressing),
                                self.site.command('team list'))
            return self._apply(teams=dict(self.site.teams, **{team.name: team}))

    def remove_team(self, name: str) -> int:
        """Remove an empty team and revoke its unused invitations.

        :returns: the number of revoked invitations.
        :raises TeamError: it does not exist, has robots, or is named by a rule.
        """
        with self.site.changing():
            self.team(name)
            client = self._connect()
            members = [node.name for node in client.nodes() if team_of(node.tags) == name]
            if members:
                raise TeamError('The team {} has robots: {}.'.format(name, ', '.join(members)),
                                self.site.command('robot remove {}'.format(members[0])))
            rules = self._rules_about(name)
            if rules:
                raise TeamError('The team {} is named by {} in {}.'.format(
                    name, ', '.join(rules), self.site.path('site.yaml')), 'edit that, then {}'.format(
                        self.site.command('policy apply')))
            # Headscale accepts the registration with a key even if the policy no longer has its tag.
            tag, now = policy.team_tag(name), self._now()
            keys = [key for key in client.keys() if tag in key.tags and key.usable(now)]
            removal.revoke(client, [key.id for key in keys], self._now, self.site.command)
            try:
                self._apply(teams={other: team for other, team in self.site.teams.items() if other != name})
            except OverlayError as error:
                if not keys:
                    raise
                raise TeamError('{} The team {} stays, and its {} unused invitation(s) are revoked.'.format(
                    error.sentence, name, len(keys)), error.next_command, error.code) from error
            return len(keys)

    def _rules_about(self, team: str) -> List[str]:
        """Describe the rules of the site that name ``team``, for people."""
        rules = self.site.rules
        return (['the rule from {} to {}'.format(rule.source, rule.target) for rule in rules.talk
                 if team in (rule.source, rule.target)]
                + ['the user ' + name for name in sorted(rules.users) if team in rules.users[name].teams])

    def _apply(self, **parts: Any) -> bool:
        """Replace ``parts`` (fields of Rules) in the file, then in the running server; on failure restore the file.

        :returns: whether a server is running.
        """
        running = self.server_running()
        before = self.site.rules
        kept = Replacement(self.site.path(SITE_FILE))
        kept.hold()
        self.site.rules = dataclasses.replace(before, **parts)
        try:
            self.site.write_settings()
            if running:
                self.apply_policy()
            else:
                self.site.write_generated()
        except BaseException as error:
            self.site.rules = before
            kept.undo()
            if isinstance(error, control_socket.NoAnswer):
                raise self._settled(error) from error
            raise
        kept.keep()
        return running

    def _settled(self, error: OverlayError) -> OverlayError:
        """Tell the server to apply the previous rules after a change whose result is unknown; return the error."""
        back = '{} {} has the previous rules again'.format(error.sentence, SITE_FILE)
        try:
            self.apply_policy()
        except control_socket.NotRunning:
            return OverlayError('{}; the server reads them when it starts.'.format(back),
                                self.site.start_command(), error.code)
        except OverlayError as second:
            return OverlayError('{}, but which rules are in force is unknown: {}'.format(back, second.sentence),
                                self.site.command('policy show'), 'POLICY_UNKNOWN')
        return OverlayError('{}, and they are in force.'.format(back), error.next_command, error.code)

    # ---- users

    def set_user(self, user: User) -> bool:
        """Add a user, or change what the user's laptops may reach; return whether anything changed.

        :raises TeamError: one of the user's teams does not exist.
        """
        with self.site.changing():
            for name in user.teams:
                self.team(name)
            if self.site.rules.users.get(user.name) == user:
                # site.yaml says so; whether Headscale does, the server finds out.
                return self.server_running() and self.apply_policy()
            self._apply(users=dict(self.site.rules.users, **{user.name: user}))
            return True

    def remove_user(self, name: str) -> List[str]:
        """Remove a user from the site's rules, so that the user's laptops reach no robot; return the laptops' names.

        :raises UserError: there is no such user.
        """
        with self.site.changing():
            users = dict(self.site.rules.users)
            if users.pop(name, None) is None:
                raise UserError('The site has no user {} (users: {}).'.format(
                    name, ', '.join(sorted(users)) or 'none yet'), self.site.command('user list'))
            laptops = [node.name for node in self.laptops() if node.user == name] if self.server_running() else []
            self._apply(users=users)
            return laptops

    def set_cgnat_lans(self, on: bool) -> bool:
        """Let robots accept the overlay's range from their own networks, or not; return whether anything changed."""
        with self.site.changing():
            if self.site.rules.cgnat_lans == on:
                return self.server_running() and self.apply_policy()
            self._apply(cgnat_lans=on)
            return True

    # ---- policy

    def apply_policy(self) -> bool:
        """Make the running server apply the rules of site.yaml; return whether anything changed.

        :raises NotRunning: no server is running.
        :raises OverlayError: the rules were not applied; its sentence says which rules are in force, or that this is
            unknown.
        """
        return bool(self._ask(self.site.control_socket, 'reload', timeout=APPLY_TIMEOUT).get('changed', True))

    def enforced(self) -> Enforced:
        """Ask Headscale whether it enforces the site's rules."""
        try:
            client = self._connect()
        except OverlayError as error:
            return enforced.unknown(error)
        return enforced.ask(client, enforced.SiteFacts(self.site.rules, enforced.read_policy(self.site.policy_file)),
                            self.site.command('policy apply'))

    def server_running(self) -> bool:
        """Return whether this site's server is running."""
        try:
            self._ask(self.site.control_socket, 'ping')
        except control_socket.NotRunning:
            return False
        return True

    # ---- invitations

    def open_invitations(self) -> Dict[str, int]:
        """Return the number of usable invitations of each team."""
        counts: Dict[str, int] = {}
        now = self._now()
        for key in self._connect().keys():
            team = team_of(key.tags)
            if team and key.usable(now):
                counts[team] = counts.get(team, 0) + 1
        return counts

    def relays(self, report: JsonObject) -> List[Dict[str, Any]]:
        """Return a row for every relay of the site (see relay_states); ``report`` is the one of the server's own
        relay."""
        return relay_states(report, self.site.settings, self._connect().nodes())

    # ---- robots

    def robots(self, team: Optional[str] = None) -> List[Node]:
        """Return the robots of the site (nodes with a team's tag), or of one team, sorted by name.

        :raises TeamError: there is no such team.
        """
        if team is not None:
            self.team(team)
        robots = [node for node in self._connect().nodes() if team_of(node.tags)]
        return [node for node in robots if team is None or team_of(node.tags) == team]

    def sessions(self) -> JsonObject:
        """Return the nodes that are connected more than once (see sessions.SessionWatcher.report).

        :raises NotRunning: no server is running.
        """
        sessions: JsonObject = self._ask(self.site.control_socket, 'status')['headscale']['sessions']
        return sessions

    def laptops(self) -> List[Node]:
        """Return the machines of the site's users, sorted by name."""
        return [node for node in self._connect().nodes() if node.user]

    def remove_robot(self, name: str) -> Node:
        """Expire and delete the robot, or the user's laptop, ``name``; return the former node.

        :raises RobotError: there is none.
        """
        client = self._connect()
        robot = self._find(name, [node for node in client.nodes() if team_of(node.tags) or node.user])
        # Deletion alone does not end a connected robot's session (headscale 3410). Expiry of its key does: the robot is
        # told and goes offline. An unreachable robot learns of it when it reconnects.
        told = self._told(robot.id) if robot.online else 0
        client.expire_node(robot.id)
        expired = self._clock()
        while robot.online and self._clock() < expired + NOTICE_TIMEOUT and (
                self._clock() < expired + NOTICE_SENT or self._told(robot.id) <= told):
            self._sleep(_NOTICE_PERIOD)
        removal.delete(client, robot, self._now, self.site.command)
        return robot

    def _told(self, node_id: str) -> int:
        """Return how many changes Headscale has sent to a node since it started."""
        told = self.sessions().get('told')
        count = told.get(node_id, 0) if isinstance(told, dict) else 0
        return count if isinstance(count, int) else 0

    def _find(self, name: str, robots: Sequence[Node]) -> Node:
        """Return the robot called ``name``.

        :raises RobotError: there is none.
        """
        robot = next((node for node in robots if node.name == name), None)
        if robot is None:
            raise RobotError('The overlay has no robot {} (robots: {}).'.format(
                name, ', '.join(node.name for node in robots) or 'none'), self.site.command('robot list'))
        return robot

    def remove_absent(self, names: Collection[str]) -> None:
        """Delete the offline robots called ``names``, so that other hardware can take over their names."""
        client = self._connect()
        for node in client.nodes():
            if node.name in names and not node.online and (team_of(node.tags) or node.user):
                client.expire_node(node.id)
                removal.delete(client, node, self._now, self.site.command)

    def stale_robots(self, days: float, team: Optional[str] = None) -> List[Node]:
        """Return the robots that were last seen more than ``days`` days ago, sorted by name."""
        return fleet.stale(self.robots(team), self._now(), days)

    def prune(self, days: float) -> Iterator[Node]:
        """Delete every robot that was last seen more than ``days`` days ago; yield each after its removal.

        Check each again just before the removal, and keep a robot that has come back.
        """
        client = self._connect()
        for node in self.stale_robots(days):
            if any(each.id == node.id for each in self.stale_robots(days)):
                client.expire_node(node.id)
                removal.delete(client, node, self._now, self.site.command)
                yield node

    def move_robot(self, name: str, team: str) -> Tuple[Node, str, bool]:
        """Move the robot ``name`` to ``team``. It keeps name, address and key; its peers notice within two seconds.

        :returns: (the changed node, name of its former team, whether it was that team's master).
        :raises TeamError: there is no such team.
        :raises RobotError: there is no such robot.
        """
        self.team(team)
        robot = self._find(name, self.robots())
        before = team_of(robot.tags)
        if before == team:
            return robot, before, False
        moved = self._set_tags(self._connect(), robot, fleet.moved_tags(robot.tags, team))
        return moved, before, defaults.MASTER_TAG in robot.tags

    def move_master(self, team: str, name: str) -> Tuple[Node, List[str]]:
        """Make the robot ``name`` the only master of ``team``.

        The old master loses its tag before the new one gets it, so that there are never two.

        :returns: (the changed node, names of the previous masters).
        :raises TeamError: there is no such team.
        :raises RobotError: the team has no such robot.
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
                self._set_tags(client, node, [tag for tag in node.tags if tag != defaults.MASTER_TAG])
        if chosen not in before:
            try:
                chosen = self._set_tags(client, chosen, list(chosen.tags) + [defaults.MASTER_TAG])
            except OverlayError as error:
                raise OverlayError('Team {} has no master: moving it to {} failed. {}'.format(
                    team, name, error.sentence), self.site.command('team master {} {}'.format(team, name)))
        return chosen, [node.name for node in before]

    def _set_tags(self, client: HeadscaleApi, node: Node, tags: Sequence[str]) -> Node:
        """Replace the tags of ``node``, and read them back.

        Headscale changes its memory first and its database afterwards, and tells nobody if that fails
        (hscontrol/state/state.go: SetNodeTags, 0.29.3). So the way back sets the old tags, which mends its memory.

        :raises RobotError: the node has its old tags, or which ones is unknown.
        """
        try:
            client.set_tags(node.id, tags)
            changed = _by_id(client, node)
            if changed is not None and set(changed.tags) == set(tags):
                return changed
            problem = OverlayError('Headscale did not change the tags of {}.'.format(node.name),
                                   self.site.command('robot list'))
        except OverlayError as error:
            problem = error
        try:
            with contextlib.suppress(OverlayError):
                client.set_tags(node.id, node.tags)
            now = _by_id(client, node)
        except OverlayError:
            raise RobotError('{} Which tags {} has is unknown.'.format(problem.sentence, node.name),
                             self.site.command('robot list'))
        if now is None:
            raise RobotError('{} {} was removed meanwhile.'.format(problem.sentence, node.name),
                             self.site.command('robot list'))
        raise RobotError('{} {} {}.'.format(problem.sentence, node.name, 'has its old tags' if set(now.tags) == set(
            node.tags) else 'has the tags ' + ', '.join(now.tags)), problem.next_command)


def _by_id(client: HeadscaleApi, node: Node) -> Optional[Node]:
    """Return the present state of ``node``; None when Headscale does not know it."""
    return next((each for each in client.nodes() if each.id == node.id), None)
