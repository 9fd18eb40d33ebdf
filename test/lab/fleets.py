"""Sites and robots that several files share, one after another in one pytest (groups.py)."""
import pytest
from follow import Follower
from places import INSTALL
from topologies import THREE_NATS, TWO_LANS, one_lan

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.lab.fleet import USER, Fleet

ROBOTS = ('dev-1', 'dev-2', 'dev-3')
#: Each team has a port of its own.
PORTS = {'iris': TEAM_PORT, 'blue': 11400}


class ThreeRobots(Fleet):
    """A site with the teams iris and blue, and three robots, each behind a router of its own.

    :ivar topics: robot -> Follower.
    """

    def start(self):
        self.start_site()
        for team, port in PORTS.items():
            self.site('team', 'create', team, '--team-port', str(port))
        for robot in ROBOTS:
            self.prepare(robot, self.carry(robot, self.invite('iris', robot), 'first.yaml'))
        self.topics = {robot: Follower(self, robot) for robot in ROBOTS}

    def arrange(self, robot, team, master=False):
        """Have a robot in ``team``, with overlay.launch on it; None: in no team, without overlay.launch.

        :param master: make it the team's master.
        """
        now = {row['robot']: row for row in self.robots()}.get(robot)
        if now and now['team'] != team:
            self.overlay(robot, 'leave', '--forget', user=USER)
            self.restart_daemon(robot)
            self.site('robot', 'remove', robot)
            now = None
        runs = self.lab.service_running(robot, 'overlay')
        if runs and team is None:
            self.lab.stop_service(robot, 'overlay')
        if team is None:
            return
        if not runs:
            self.launch(robot)
        if not now:
            answer = self.join(robot, self.carry(robot, self.invite(team, robot)))
            assert answer['code'] == 0, answer['message']
        if master and not (now and now['master']):
            self.site('team', 'master', team, robot)


@pytest.fixture(scope='session')
def three_robots(shared_lab, install):
    fleet = ThreeRobots(shared_lab(THREE_NATS, 'robots'), INSTALL)
    fleet.start()
    return fleet


@pytest.fixture(scope='session')
def two_lans(shared_lab, install):
    """A site with the team iris, and four robots of which nothing runs yet: dev-2 and dev-3 share a LAN."""
    fleet = Fleet(shared_lab(TWO_LANS, 'lans'), INSTALL)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    return fleet


@pytest.fixture(scope='session')
def one_lan_team(shared_lab, install):
    """The lab of a team of two robots that share a LAN, with overlay.launch on both; dev-2 is the master. Each file
    gives dev-1 the link that it needs."""
    fleet = Fleet(shared_lab(one_lan({'rate': '60mbit', 'delay': '10ms'}), 'measure', typed=True), INSTALL)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    fleet.enlist('dev-2', 'iris', '--master')
    fleet.enlist('dev-1', 'iris')
    return fleet.lab
