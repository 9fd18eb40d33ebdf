"""The environment of programs, and the wait for the team graph."""
import pytest

from ua_overlay.rosenv import launch
from ua_overlay.rosenv.envfile import EnvironmentMissing
from ua_overlay.rosenv.master import MasterAnswer

TEAM = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}
SHELL = {'PATH': '/bin', 'ROS_MASTER_URI': 'http://192.168.1.5:11311', 'ROS_IP': '192.168.1.7'}


def test_the_team_environment_keeps_nothing_of_another_graph():
    assert launch.team_environ(SHELL, TEAM) == dict(
        TEAM, PATH='/bin', _UA_OVERLAY_MASTER_URI=TEAM['ROS_MASTER_URI'], _UA_OVERLAY_HOSTNAME=TEAM['ROS_HOSTNAME'],
        _UA_OVERLAY_BEFORE='http://localhost:11311', _UA_OVERLAY_DEFAULT='http://localhost:11311',
        _UA_OVERLAY_ASKED='1')


def test_the_local_environment_keeps_nothing_of_the_team():
    local = launch.local_environ(launch.team_environ(SHELL, TEAM))
    assert local == {'PATH': '/bin', 'ROS_MASTER_URI': 'http://localhost:11311', 'ROS_HOSTNAME': 'localhost'}


class World:
    """A clock that only sleeping moves; the env file and the master appear at given times."""

    def __init__(self, file_at, master_at):
        self.now, self.file_at, self.master_at = 0.0, file_at, master_at

    def sleep(self, seconds):
        self.now += seconds

    def read(self):
        if self.now < self.file_at:
            raise EnvironmentMissing('No file.')
        return TEAM

    def probe(self, uri):
        assert uri == TEAM['ROS_MASTER_URI']
        alive = self.now >= self.master_at
        return MasterAnswer(alive, why='' if alive else 'No master.')

    def wait(self, timeout):
        return launch.wait_for_team(self.read, self.probe, timeout, lambda: self.now, self.sleep)


def test_the_wait_ends_when_file_and_master_exist():
    world = World(3, 8)
    assert world.wait(None) == TEAM
    assert 8 <= world.now < 8.5


@pytest.mark.parametrize('file_at, master_at, why', [(99, 0, 'No file.'), (0, 99, 'No master.')])
def test_the_error_names_the_missing_part(file_at, master_at, why):
    world = World(file_at, master_at)
    with pytest.raises(launch.MasterAbsent) as caught:
        world.wait(5)
    assert caught.value.sentence == 'The team graph did not come up within 5 s: ' + why
    assert 5 <= world.now < 5.5
