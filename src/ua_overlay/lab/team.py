"""Set up a site and a team in a running lab, with the commands that a user types. Safe to repeat."""
import json
from typing import Dict, Iterable, List, Optional, Sequence, Set, Tuple

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab.fleet import SERVER_NAME, SITE_DIR, Fleet
from ua_overlay.lab.topology import Topology
from ua_overlay.lab.wait import wait
from ua_overlay.protocols import JsonObject, Progress
from ua_overlay.toolchain import locate

#: Seconds for a daemon to answer, and for a robot to have its peers.
PATIENCE = 120


def site_addresses(topology: Topology, server: str) -> Tuple[str, str, str]:
    """Return (public address, private address or '', router or '') of the site on the host ``server``.

    Behind a router the public address is the router's, which has to forward.

    :raises UsageError: there is no such host.
    """
    host = next((each for each in topology.hosts if each.name == server), None)
    if host is None:
        raise UsageError('The topology has no host {}; it has {}.'.format(
            server, ', '.join(each.name for each in topology.hosts) or 'none'), 'ua-overlay lab up --help')
    if host.behind:
        return topology.nat(host.behind).address, host.addresses[0], host.behind
    return host.addresses[0], '', ''


def chosen(topology: Topology, robots: Optional[Sequence[str]]) -> List[str]:
    """Return the names of ``robots`` in the topology's order; every robot's if ``robots`` is empty.

    :raises UsageError: naming a robot that does not exist.
    """
    names = [robot.name for robot in topology.robots]
    for name in robots or ():
        if name not in names:
            raise UsageError('The lab has no robot {}; it has {}.'.format(name, ', '.join(names) or 'none'))
    return [name for name in names if not robots or name in robots]


def environment_of(words: Sequence[str]) -> Dict[str, str]:
    """Return a dict of `NAME=VALUE` words. :raises UsageError: naming an invalid word."""
    for word in words:
        if '=' not in word[1:]:
            raise UsageError('{} is no NAME=VALUE.'.format(word), 'ua-overlay lab team --help')
    return dict(word.split('=', 1) for word in words)


class Team:
    """A team's robots in a lab.

    :param fleet: of a lab that is up.
    :param name: of the team.
    """

    def __init__(self, fleet: Fleet, name: str) -> None:
        self.fleet = fleet
        self.lab = fleet.lab
        self.name = name

    def start_site(self) -> None:
        """Start the site with its relay, and forward its ports on its router, unless the site runs."""
        public, private, router = site_addresses(self.lab.topology, self.fleet.server)
        if self.fleet.overlay(self.fleet.server, 'server', 'status', '--dir', SITE_DIR, '--json',
                              check=False).returncode == 0:
            return
        argv = ['server', 'init', '--dir', SITE_DIR, '--name', SERVER_NAME, '--address', public]
        self.fleet.overlay(self.fleet.server, *(argv + (['--private', private] if private else [])))
        if router:
            inside = str(self.lab.topology.nat(router).inside.network)
            self.lab.host(router).run(['nft', '-f', '-'], input=self.fleet.site('server', 'forwarding', '--beside',
                                                                                inside).stdout)
        self.fleet.start_server()

    def create(self) -> None:
        """Create the team, unless the site has it."""
        if self.name not in json.loads(self.fleet.site('server', 'status', '--json').stdout)['teams']:
            self.fleet.site('team', 'create', self.name)

    def join(self, robot: str, *options: str) -> bool:
        """Make a robot join the team, unless it has joined. Return whether it joined now.

        :param options: of `ua-overlay invite`, such as --master.
        """
        if self._status(robot).get('BackendState') == 'Running':
            return False
        self.fleet.overlay(robot, 'join', self.prepare(robot, *options), timeout=PATIENCE)
        return True

    def prepare(self, robot: str, *options: str) -> str:
        """Do everything before `join`; return the path of the robot's invitation. Parameters as :meth:`join`."""
        path = self.fleet.carry(robot, self.fleet.invite(self.name, robot, *options))
        self.fleet.prepare(robot, path)
        wait('tailscaled on ' + robot, lambda: self._status(robot), PATIENCE)
        # An emulated link carries its first packets later than a cable does, and the join needs the name server.
        wait('A name server on ' + robot,
             lambda: self.lab.host(robot).run(['getent', 'hosts', SERVER_NAME], check=False).returncode == 0,
             PATIENCE)
        return path

    def wait_peers(self, robots: Sequence[str]) -> None:
        """Return when each of ``robots`` has the others among its peers."""
        for robot in robots:
            self._wait_peers(robot, set(robots) - {robot})

    def _wait_peers(self, robot: str, others: Set[str]) -> None:
        wait('The whole team among the peers of ' + robot, lambda: self._peers(robot) >= others, PATIENCE, poll=0.5)

    def _peers(self, robot: str) -> Set[str]:
        return {peer['DNSName'].split('.')[0] for peer in (self._status(robot).get('Peer') or {}).values()}

    def _status(self, robot: str) -> JsonObject:
        """Return `tailscale status --json` of a robot, {} while tailscaled does not answer."""
        done = self.lab.host(robot).run([locate('tailscale'), 'status', '--json'], check=False,
                                        env=self.fleet.base_environment())
        try:
            status: JsonObject = json.loads(done.stdout)
            return status
        except ValueError:
            return {}


def bring_up(team: Team, robots: Sequence[str], progress: Progress, master: str = '', launched: Iterable[str] = ()
             ) -> None:
    """Start the site, create the team, make the robots join, and run overlay.launch on some.

    :param robots: names, in the order in which they join.
    :param master: the robot whose invitation makes it the team's master, '' for none.
    :param launched: robots that run overlay.launch; this needs the fleet's workspace.
    :raises OverlayError: a step failed.
    """
    if master and master not in robots:
        raise UsageError('{} is to be the master, but is none of the robots that join.'.format(master))
    with progress('The site on the host {}'.format(team.fleet.server)):
        team.start_site()
        team.create()
    for number, robot in enumerate(robots, 1):
        with progress('[{}/{}] {} joins the team {}'.format(number, len(robots), robot, team.name)):
            team.join(robot, *(['--master'] if robot == master else []))
    with progress('Each robot learns of the others'):
        team.wait_peers(robots)
    for robot in launched:
        with progress('overlay.launch on ' + robot):
            if team.fleet.workspace is None:
                raise OverlayError('overlay.launch needs the built package.', 'ua-overlay lab team --workspace DIR')
            if not team.lab.service_running(robot, 'overlay'):
                team.fleet.launch(robot)
