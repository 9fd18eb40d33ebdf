"""Which roscore is desired, and the life of its process. The real one is in test/lab/test_team_roscore.py."""
import io

import pytest

from ua_overlay.defaults import ADDRESSES
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv.environment import (
    MASTER_OFFLINE,
    NAME_UNRESOLVED,
    NO_MASTER,
    NO_OVERLAY,
    OK,
    TWO_MASTERS,
    RosEnvironment,
)
from ua_overlay.rosenv.roscore import RoscoreSpec, TeamRoscore, desired_roscore, roscore_command, roscore_environ
from ua_overlay.system.supervised import FIRST_PAUSE, LONGEST_PAUSE, RUNNING, STABLE_AFTER, STOPPED, STOPPING, WAITING

MINE = RosEnvironment(master_uri='http://dev-1.overlay.internal:11312', hostname='dev-1.overlay.internal',
                      master='dev-1', robot='dev-1', team='iris', state=OK, names_ok=True, usable=True)
SPEC = RoscoreSpec('http://dev-1.overlay.internal:11312', 11312, ('ROS_HOSTNAME', 'dev-1.overlay.internal'))


def variant(**changes):
    return RosEnvironment(**dict({name: getattr(MINE, name) for name in MINE.__dataclass_fields__}, **changes))


def test_only_a_master_with_a_resolved_name_runs_a_roscore():
    assert desired_roscore(MINE) == SPEC
    assert desired_roscore(None) is None
    assert desired_roscore(variant(robot='dev-2')) is None
    assert desired_roscore(variant(state=NAME_UNRESOLVED, usable=False)) is None
    assert desired_roscore(variant(state=MASTER_OFFLINE)) is None
    by_address = variant(master_uri='http://100.64.0.1:11400', hostname='100.64.0.1', addressing=ADDRESSES)
    assert desired_roscore(by_address) == RoscoreSpec('http://100.64.0.1:11400', 11400, ('ROS_IP', '100.64.0.1'))


@pytest.mark.parametrize('changes', [
    dict(state=NAME_UNRESOLVED, usable=False), dict(state=TWO_MASTERS), dict(state=NO_OVERLAY, master='', robot='')])
def test_conditions_that_neither_start_nor_stop_a_roscore(changes):
    assert desired_roscore(variant(**changes)) is None
    assert desired_roscore(variant(**changes), SPEC) == SPEC


@pytest.mark.parametrize('changes', [
    dict(master='dev-2', master_uri='http://dev-2.overlay.internal:11312'), dict(state=NO_OVERLAY, left=True),
    dict(state=NAME_UNRESOLVED, master='dev-2'), dict(state=NO_MASTER, master='', master_uri='', usable=False)])
def test_conditions_that_stop_a_roscore(changes):
    assert desired_roscore(variant(**changes), SPEC) is None


def test_the_environment_keeps_nothing_of_the_local_graph():
    found = roscore_environ(SPEC, {'PATH': '/bin', 'ROS_IP': '10.0.2.15', 'ROS_HOSTNAME': 'localhost',
                                   'ROS_MASTER_URI': 'http://localhost:11311'})
    assert found == {'PATH': '/bin', 'ROS_HOSTNAME': 'dev-1.overlay.internal', 'ROS_MASTER_URI': SPEC.uri}


def test_command():
    assert roscore_command(SPEC, lambda name: '/opt/' + name)[:3] == ['/opt/roscore', '-p', '11312']
    with pytest.raises(OverlayError) as caught:
        roscore_command(SPEC, lambda name: None)
    assert caught.value.code == 'NO_ROS' and 'setup.bash' in caught.value.next_command


class Process:
    """What subprocess.Popen would have returned; it ends when the test says so."""

    def __init__(self, command, **_):
        self.command, self.pid, self.returncode, self.stdin = command, 4711, None, io.BytesIO()

    def poll(self):
        return self.returncode


class World:
    def __init__(self, **options):
        self.now, self.started = 100.0, []
        self.roscore = TeamRoscore(environ={}, popen=self.popen, clock=lambda: self.now,
                                   **dict({'which': lambda name: '/opt/' + name}, **options))

    def popen(self, command, **options):
        self.started.append(Process(command, **options))
        return self.started[-1]

    def after(self, seconds):
        self.now += seconds
        return self.roscore.step()


def test_closing_the_pipe_stops_the_process():
    world = World()
    assert world.roscore.state == STOPPED
    world.roscore.follow(MINE)
    world.roscore.follow(MINE)
    assert (world.roscore.state, len(world.started)) == (RUNNING, 1)
    assert not world.started[0].stdin.closed
    world.roscore.follow(None)
    assert world.roscore.state == STOPPING and world.started[0].stdin.closed
    world.started[0].returncode = 0
    assert world.after(1) == STOPPED
    assert world.roscore.why == '' and world.roscore.pid is None


def test_a_new_name_starts_another_process_after_the_first_ended():
    world = World()
    world.roscore.follow(MINE)
    world.roscore.follow(variant(hostname='dev-1-1.overlay.internal',
                                 master_uri='http://dev-1-1.overlay.internal:11312'))
    assert world.after(1) == STOPPING and len(world.started) == 1
    world.started[0].returncode = 0
    assert world.after(1) == RUNNING and len(world.started) == 2


def test_a_stopping_roscore_is_desired_again():
    world = World()
    world.roscore.follow(MINE)
    world.roscore.follow(None)
    world.roscore.follow(MINE)
    world.started[0].returncode = 0
    assert world.after(0.1) == RUNNING and len(world.started) == 2


def test_the_pauses_grow_with_every_crash():
    world, pauses = World(), []
    world.roscore.follow(MINE)
    for _ in range(8):
        world.started[-1].returncode = 1
        assert world.after(0.5) == WAITING
        assert world.roscore.why == 'The roscore of the team on port 11312 ended with status 1.'
        died, count = world.now, len(world.started)
        while len(world.started) == count:
            world.after(0.5)
        pauses.append(world.now - died)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    assert (FIRST_PAUSE, LONGEST_PAUSE) == (1, 30)
    # It ran well for a while: the next crash is a first one.
    world.after(STABLE_AFTER)
    world.started[-1].returncode = 1
    world.after(0.5)
    assert world.after(FIRST_PAUSE) == RUNNING


def test_a_missing_ros_is_reported_and_retried():
    there = []
    world = World(which=lambda name: there[0] if there else None)
    world.roscore.follow(MINE)
    assert world.roscore.state == WAITING and 'no roscore on the PATH' in world.roscore.why
    there.append('/opt/roscore')
    assert world.after(FIRST_PAUSE) == RUNNING


def test_last_lines_of_roscore(tmp_path):
    world = World(log_path=str(tmp_path / 'log'))
    world.roscore.follow(MINE)
    (tmp_path / 'log').write_text('hello\nRLException: roscore cannot run as another roscore/master is already running.'
                                  '\nbye\n')
    world.started[0].returncode = 1
    world.after(0.1)
    assert 'already running' in world.roscore.why and str(tmp_path / 'log') in world.roscore.why


def test_an_undesired_roscore_may_crash():
    world = World()
    world.roscore.follow(MINE)
    world.started[0].returncode = 1
    world.roscore.follow(None)
    assert (world.roscore.state, world.roscore.why) == (STOPPED, '')
