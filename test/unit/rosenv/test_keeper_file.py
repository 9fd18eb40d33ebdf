"""The keeper as the only writer of the env file: when it is written, moved and removed, and what it reports of it."""
import os
from types import SimpleNamespace

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.environment import Preferences
from ua_overlay.rosenv.keeper import EnvironmentKeeper
from ua_overlay.rosenv.names import NameReport

SELF = SimpleNamespace(name='dev-1', dns_name='dev-1.overlay.internal', addresses=('100.64.0.1',), online=True,
                       tags=('tag:iris', 'tag:ros-master'))
RUNNING = SimpleNamespace(state='Running', self_node=SELF, peers=())
STOPPED = SimpleNamespace(state='Stopped', self_node=SELF, peers=())
VARIABLES = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-1.overlay.internal',
             'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-1'}


class World:
    def __init__(self, directory):
        self.location = envfile.Location(os.path.join(str(directory), 'run'), True)
        self.problem = None
        self.preferences = Preferences(team='iris')
        self.names = NameReport(True)
        self.alive = True
        self.asked = []
        self.reports = []
        self.roscore = []
        self.keeper = EnvironmentKeeper(
            lambda: self.preferences, self.locate, SimpleNamespace(check=lambda *args: self.names), self.probe,
            SimpleNamespace(follow=lambda desired: self.roscore.append(desired.is_master), why='',
                            stop=lambda: self.roscore.append('stopped')), self.reports.append, lambda: 1234.5)

    def locate(self):
        if self.problem is not None:
            raise self.problem
        return self.location

    def probe(self, uri):
        self.asked.append(uri)
        return SimpleNamespace(alive=self.alive, pid=1, run_id='x', why='')

    def file(self, location=None):
        try:
            return envfile.read(location or self.location)
        except OverlayError:
            return None

    def inode(self):
        return os.stat(self.location.path).st_ino


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_written_when_the_overlay_is_up_and_removed_when_it_is_not(world):
    report = world.keeper.step(RUNNING)
    assert world.file() == VARIABLES == report.actual
    assert (report.env_file, report.master_alive, report.problem) == (world.location.path, True, '')
    assert report.desired.stamp == 1234.5 and world.reports == [report]
    assert world.asked == [VARIABLES['ROS_MASTER_URI']]
    for gone in (STOPPED, None):
        report = world.keeper.step(gone)
        assert world.file() is None and report.actual == {} and not report.master_alive
        world.keeper.step(RUNNING)
        assert world.file() == VARIABLES


def test_not_written_again_when_nothing_changed(world):
    world.keeper.step(RUNNING)
    before = world.inode()
    world.keeper.step(RUNNING)
    assert world.inode() == before
    world.preferences = Preferences(team='iris', team_port=11399)
    world.keeper.step(RUNNING)
    assert world.inode() != before and world.file()['ROS_MASTER_URI'].endswith(':11399')


def test_written_again_when_somebody_removed_it(world):
    world.keeper.step(RUNNING)
    os.unlink(world.location.path)
    world.keeper.step(RUNNING)
    assert world.file() == VARIABLES


def test_moves_when_its_place_does(world, tmp_path):
    """`robot prepare` made the shared place while the node ran: the old file would go on to be read by some shells."""
    world.keeper.step(RUNNING)
    old, world.location = world.location, envfile.Location(str(tmp_path / 'other'), True)
    report = world.keeper.step(RUNNING)
    assert report.env_file == world.location.path and world.file() == VARIABLES
    assert not os.path.exists(old.path)


def test_a_place_that_cannot_be_written_is_said_and_tried_again(world):
    with open(world.location.directory, 'w'):
        pass
    report = world.keeper.step(RUNNING)
    assert world.location.path in report.problem and 'Next: ' in report.problem
    assert (report.actual, report.env_file) == ({}, '') and report.desired.state == 'OK'
    os.unlink(world.location.directory)
    report = world.keeper.step(RUNNING)
    assert report.problem == '' and world.file() == VARIABLES


def test_no_place_at_all(world):
    world.problem = OverlayError('There is no place.', 'make one')
    assert world.keeper.step(RUNNING).problem == 'There is no place. Next: make one'
    assert world.keeper.remove_leftover() == 'There is no place. Next: make one'


def test_a_name_that_no_shell_may_see(world):
    """The server's names are clean; a server that is not must not end the keeper, nor reach a shell."""
    world.keeper.step(RUNNING)
    evil = SimpleNamespace(**dict(vars(SELF), dns_name='dev-1$(id).overlay.internal'))
    report = world.keeper.step(SimpleNamespace(state='Running', self_node=evil, peers=()))
    assert report.problem and report.actual == {}
    assert world.file() is None


def test_a_name_that_does_not_resolve_here(world):
    world.names = NameReport(False, why='It does not resolve.')
    report = world.keeper.step(RUNNING)
    assert world.file() is None and report.desired.state == 'NAME_UNRESOLVED' and world.asked == []


def test_the_roscore_follows(world):
    world.keeper.step(RUNNING)
    world.keeper.step(STOPPED)
    assert world.roscore == [True, False]


def test_a_leftover_goes(world):
    envfile.write(world.location, VARIABLES)
    assert world.keeper.remove_leftover() == ''
    assert world.file() is None
    assert world.keeper.remove_leftover() == ''


def test_a_clean_stop_leaves_no_environment(world):
    import threading
    thread = threading.Thread(target=world.keeper.run)
    thread.start()
    world.keeper.offer(RUNNING)
    for _ in range(1000):
        if world.reports:
            break
        threading.Event().wait(0.01)
    assert world.file() == VARIABLES
    world.keeper.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert world.file() is None and world.roscore[-1] == 'stopped'


def test_an_error_that_nobody_foresaw_leaves_no_environment_either(world):
    world.keeper.step(RUNNING)
    world.names = None  # AttributeError in the decision
    world.keeper._names = SimpleNamespace(check=lambda *args: 1 / 0)
    world.keeper._named = (None, 0.0, None)
    world.keeper.offer(RUNNING)
    with pytest.raises(ZeroDivisionError):
        world.keeper.run()
    assert world.file() is None
