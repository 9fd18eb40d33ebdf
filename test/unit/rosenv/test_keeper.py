"""The keeper: what follows what, when it looks again, and what it reports. Real processes are in test/lab."""
from collections import namedtuple

import pytest

from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.environment import Preferences
from ua_overlay.rosenv.keeper import (
    FAILED,
    NO_ROSCORE,
    OFF,
    PERIOD,
    PERIOD_RUNNING,
    PERIOD_STARTING,
    RUNNING,
    SILENCE,
    WAITING,
    EnvironmentKeeper,
)
from ua_overlay.rosenv.master import MasterAnswer
from ua_overlay.rosenv.names import NameReport
from ua_overlay.system import supervised

Node = namedtuple('Node', 'name dns_name addresses tags online')
Status = namedtuple('Status', 'state self_node peers')


def node(number, *tags, online=True):
    return Node('dev-{}'.format(number), 'dev-{}.overlay.internal.'.format(number), ('100.64.0.{}'.format(number),),
                ('tag:iris',) + tags, online)


class Child:
    """What rosenv.supervised.Supervised is to the keeper."""

    words = ('arm', 't.launch')

    def __init__(self):
        self.state, self.why, self.starts, self.running, self.followed = supervised.STOPPED, '', 0, None, []

    def follow(self, graph):
        if graph != (self.followed[-1] if self.followed else None):
            self.followed.append(graph)
        if self.state != supervised.WAITING:
            self.state = supervised.STOPPED if graph is None else supervised.RUNNING
        self.running = None if graph is None else namedtuple('Spec', 'graph')(graph)

    def set_desired(self, spec):
        self.followed.append(spec)

    def stop(self):
        self.state = supervised.STOPPED


class Leftovers:
    def __init__(self):
        self.clear = False

    def step(self):
        return self.clear


class World:
    def __init__(self, tmp_path, **options):
        self.now, self.answer, self.asked, self.reports = 100.0, MasterAnswer(True, 7, 'a'), [], []
        self.names, self.place = NameReport(True), envfile.Location(str(tmp_path / 'run'), True)
        self.keeper = EnvironmentKeeper(lambda: Preferences(), lambda: self.place, self, lambda uri: self.answer, None,
                                        self.reports.append, lambda: 0.0, clock=lambda: self.now, **options)

    def check(self, me, mates, addressing):
        self.asked.append((me.name, tuple(mate.name for mate in mates)))
        return self.names

    def look(self, after=0.0, masters=(1,), state='Running', gone=False, online=True):
        self.now += after
        nodes = [node(number, *(['tag:ros-master'] if number in masters else []), online=online)
                 for number in (1, 2, 3)]
        return self.keeper.step(None if gone else Status(state, nodes[2], tuple(nodes[:2])))


@pytest.fixture
def world(tmp_path):
    made = Child()
    world = World(tmp_path, runner=made)
    world.child = made
    return world


def test_follows_one_move_and_one_roscore_restart(world):
    report = world.look()
    assert (report.runner.state, report.runner.graph.run_id) == (RUNNING, 'a')
    assert report.runner.launch == ('arm', 't.launch')
    assert report.actual['ROS_MASTER_URI'] == 'http://dev-1.overlay.internal:11312'
    world.answer = MasterAnswer(True, 8, 'b')
    assert world.look(1).runner.graph.run_id == 'b'
    world.look(1, masters=())
    report = world.look(1, masters=(2,))
    assert report.actual['ROS_MASTER_URI'] == 'http://dev-2.overlay.internal:11312'
    assert 'dev-1' in report.runner.graph.uri and world.keeper.period(report) == PERIOD_STARTING
    world.answer = MasterAnswer(True, 9, 'c')
    assert 'dev-2' in world.look(2, masters=(2,)).runner.graph.uri
    assert len(world.child.followed) == 3


def test_tailscaled_gone_and_back_leaves_the_nodes_alone(world):
    world.look()
    for _ in range(10):
        report = world.look(5, gone=True)
    assert report.state == 'NO_OVERLAY' and report.actual == {}
    world.look(1, state='NoState')
    world.look(1, state='Starting')
    assert world.look(1).runner.state == RUNNING and len(world.child.followed) == 1


def test_leave_stops_them(world):
    world.look()
    world.look(1, state='Stopped')
    report = world.look(2, state='Stopped')
    assert (report.runner.state, report.runner.why) == (WAITING, 'This robot is not in the overlay.')
    assert world.child.followed[-1] is None


def test_leftovers_go_first(tmp_path):
    child, leftovers = Child(), Leftovers()
    world = World(tmp_path, runner=child, leftovers=leftovers)
    report = world.look()
    assert report.runner.state == WAITING and 'killed' in report.runner.why and child.followed == []
    assert world.keeper.period(report) == PERIOD_STARTING
    leftovers.clear = True
    assert world.look(0.5).runner.state == RUNNING


def test_crash_is_failed_and_looked_after_soon(world):
    world.child.state, world.child.why = supervised.WAITING, 'It ended.'
    report = world.look()
    assert (report.runner.state, report.runner.why) == (FAILED, 'It ended.')
    assert world.keeper.period(report) == PERIOD_STARTING


def test_silent_master_is_a_state_of_its_own(world):
    world.look()
    world.answer = MasterAnswer(False, why='No.')
    assert world.look(1).state == 'OK'
    report = world.look(SILENCE)
    assert report.state == NO_ROSCORE
    assert report.why == ('The master of team iris, dev-1, is online, but no roscore answers at '
                          'http://dev-1.overlay.internal:11312.')
    assert report.actual and report.runner.state == RUNNING
    assert world.look(1, online=False).state == 'MASTER_OFFLINE'
    world.answer = MasterAnswer(True, 7, 'a')
    assert world.look(1).state == 'OK' and len(world.child.followed) == 1


def test_new_master_has_its_own_time_to_start(world):
    world.look()
    world.answer = MasterAnswer(False, why='No.')
    world.look(4)
    assert world.look(1, masters=(2,)).state == 'OK'
    assert world.look(SILENCE - 0.1, masters=(2,)).state == 'OK'
    assert world.look(0.1, masters=(2,)).state == NO_ROSCORE


def test_names_are_asked_when_they_change_and_now_and_then(world):
    world.look()
    world.look(1)
    assert len(world.asked) == 1
    world.names = NameReport(True, ('dev-2.overlay.internal',), 'Deaf.')
    world.look(PERIOD)
    assert len(world.asked) == 2
    world.look(0.1)
    assert len(world.asked) == 3


def test_periods(tmp_path, world):
    report = world.look()
    assert world.keeper.period(report) == PERIOD_RUNNING
    alone = World(tmp_path / 'other')
    report = alone.look()
    assert (report.runner.state, alone.keeper.period(report)) == (OFF, PERIOD)
    alone.look(1, masters=())
    assert alone.keeper.period(alone.look(8, masters=())) == 2
    assert alone.keeper.period(alone.look(1.5, masters=())) == 0.5


def test_clean_stop(world):
    world.look()
    world.keeper.shut_down()
    assert world.child.followed[-1] is None
    with pytest.raises(envfile.EnvironmentMissing):
        envfile.read(world.place)
