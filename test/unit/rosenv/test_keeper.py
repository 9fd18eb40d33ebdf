"""The keeper: the order of its steps, their delay, its files and reports. Real processes: test/lab."""
import os
import shutil
import socket
import threading
from collections import namedtuple
from dataclasses import replace
from types import SimpleNamespace

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.errors import OverlayError
from ua_overlay.lab.wait import wait
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.keeper import PERIOD, PERIOD_RUNNING, PERIOD_STARTING, SILENCE, EnvironmentKeeper
from ua_overlay.rosenv.master import MasterAnswer
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.rosenv.report import FAILED, NO_ROSCORE, NOT_WRITTEN, OFF, RUNNING, WAITING
from ua_overlay.system import supervised
from ua_overlay.system.thread import SupervisedThread
from unit.rosenv import nodes

URI = 'http://dev-1.overlay.internal:{}'.format(TEAM_PORT)


class Program:
    """A supervised program, as the keeper uses it."""

    words = ('arm', 't.launch')

    def __init__(self):
        self.state, self.why, self.starts, self.running, self.followed = supervised.STOPPED, '', 0, None, []

    def follow(self, graph):
        if graph != (self.followed[-1] if self.followed else None):
            self.followed.append(graph)
        if self.state != supervised.WAITING:
            self.state = supervised.STOPPED if graph is None else supervised.RUNNING
        self.running = None if graph is None else namedtuple('Spec', 'graph')(graph)

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

    def step(self, after=0.0, masters=(1,), state='Running', gone=False, online=True):
        self.now += after
        status = nodes.team_status(masters, offline=() if online else (1, 2), state=state)
        return self.keeper.step(None if gone else status)


@pytest.fixture
def world(tmp_path):
    made = Program()
    world = World(tmp_path, runner=made)
    world.program = made
    return world


def test_a_master_move_and_a_roscore_restart_are_followed(world):
    report = world.step()
    assert (report.runner.state, report.runner.graph.run_id) == (RUNNING, 'a')
    assert report.runner.launch == ('arm', 't.launch')
    assert report.actual['ROS_MASTER_URI'] == URI
    world.answer = MasterAnswer(True, 8, 'b')
    assert world.step(1).runner.graph.run_id == 'b'
    world.step(1, masters=())
    report = world.step(1, masters=(2,))
    assert report.actual['ROS_MASTER_URI'] == 'http://dev-2.overlay.internal:{}'.format(TEAM_PORT)
    assert 'dev-1' in report.runner.graph.uri and world.keeper.period(report) == PERIOD_STARTING
    world.answer = MasterAnswer(True, 9, 'c')
    assert 'dev-2' in world.step(2, masters=(2,)).runner.graph.uri
    assert len(world.program.followed) == 3


def test_a_restart_of_tailscaled_leaves_the_nodes_alone(world):
    world.step()
    for _ in range(10):
        report = world.step(5, gone=True)
    assert report.state == 'NO_OVERLAY' and report.actual == {}
    world.step(1, state='NoState')
    world.step(1, state='Starting')
    assert world.step(1).runner.state == RUNNING and len(world.program.followed) == 1


def test_leaving_stops_the_nodes(world):
    world.step()
    world.step(1, state='Stopped')
    report = world.step(2, state='Stopped')
    assert (report.runner.state, report.runner.why) == (WAITING, 'This robot is not in the overlay.')
    assert world.program.followed[-1] is None


def test_nothing_starts_before_leftovers_are_gone(tmp_path):
    program, leftovers = Program(), Leftovers()
    world = World(tmp_path, runner=program, leftovers=leftovers)
    report = world.step()
    assert report.runner.state == WAITING and 'killed' in report.runner.why and program.followed == []
    assert world.keeper.period(report) == PERIOD_STARTING
    leftovers.clear = True
    assert world.step(0.5).runner.state == RUNNING


def test_a_crash_is_reported_and_the_next_step_is_soon(world):
    world.program.state, world.program.why = supervised.WAITING, 'It ended.'
    report = world.step()
    assert (report.runner.state, report.runner.why) == (FAILED, 'It ended.')
    assert world.keeper.period(report) == PERIOD_STARTING


def test_a_silent_master_is_a_separate_state(world):
    world.step()
    world.answer = MasterAnswer(False, why='No.')
    assert world.step(1).state == 'OK'
    report = world.step(SILENCE)
    assert report.state == NO_ROSCORE
    assert report.why == ('The master of team iris, dev-1, is online, but no roscore answers at '
                          'http://dev-1.overlay.internal:{}.'.format(TEAM_PORT))
    assert report.actual and report.runner.state == RUNNING
    assert world.step(1, online=False).state == 'MASTER_OFFLINE'
    world.answer = MasterAnswer(True, 7, 'a')
    assert world.step(1).state == 'OK' and len(world.program.followed) == 1


def test_a_new_master_gets_its_own_startup_time(world):
    world.step()
    world.answer = MasterAnswer(False, why='No.')
    world.step(4)
    assert world.step(1, masters=(2,)).state == 'OK'
    assert world.step(SILENCE - 0.1, masters=(2,)).state == 'OK'
    assert world.step(0.1, masters=(2,)).state == NO_ROSCORE


def test_names_are_checked_on_change_and_periodically(world):
    world.step()
    world.step(1)
    assert len(world.asked) == 1
    world.names = NameReport(True, ('dev-2.overlay.internal',), 'Deaf.')
    world.step(PERIOD)
    assert len(world.asked) == 2
    world.step(0.1)
    assert len(world.asked) == 3


def test_delay_until_the_next_step(tmp_path, world):
    report = world.step()
    assert world.keeper.period(report) == PERIOD_RUNNING
    alone = World(tmp_path / 'other')
    report = alone.step()
    assert (report.runner.state, alone.keeper.period(report)) == (OFF, PERIOD)
    alone.step(1, masters=())
    assert alone.keeper.period(alone.step(8, masters=())) == 2
    assert alone.keeper.period(alone.step(1.5, masters=())) == 0.5


def test_a_clean_stop_stops_the_nodes_and_leaves_no_file(world):
    world.step()
    world.keeper.shut_down()
    assert world.program.followed[-1] is None
    with pytest.raises(envfile.EnvironmentMissing):
        envfile.read(world.place)


# --- the files of the run directory ---

OWN = nodes.me(1, nodes.MASTER)
ALONE = nodes.status(OWN)
STOPPED = nodes.status(OWN, state='Stopped')
VARIABLES = {'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'dev-1.overlay.internal',
             'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-1'}


class Alone:
    """A robot without team mates, which is the master."""

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
def alone(tmp_path):
    return Alone(tmp_path)


def test_the_env_file_exists_while_the_overlay_is_up(alone):
    report = alone.keeper.step(ALONE)
    assert alone.file() == VARIABLES == report.actual
    assert (report.env_file, report.master_alive, report.problem) == (alone.location.path, True, '')
    assert report.desired.stamp == 1234.5 and alone.reports == [report]
    assert alone.asked == [VARIABLES['ROS_MASTER_URI']]
    for gone in (STOPPED, None):
        report = alone.keeper.step(gone)
        assert alone.file() is None and report.actual == {} and not report.master_alive
        alone.keeper.step(ALONE)
        assert alone.file() == VARIABLES


def test_the_env_file_is_written_only_on_change(alone):
    alone.keeper.step(ALONE)
    before = alone.inode()
    alone.keeper.step(ALONE)
    assert alone.inode() == before
    alone.preferences = Preferences(team='iris', team_port=11399)
    alone.keeper.step(ALONE)
    assert alone.inode() != before and alone.file()['ROS_MASTER_URI'].endswith(':11399')


def test_a_removed_env_file_is_written_again(alone):
    alone.keeper.step(ALONE)
    os.unlink(alone.location.path)
    alone.keeper.step(ALONE)
    assert alone.file() == VARIABLES


@needs_root
@pytest.mark.fault('K3', 'The file system of /run/ua_overlay is full',
                   behaviour='nodes go on; shells get nothing rather than an old master',
                   reported='5 s: ros_environment NOT_WRITTEN, doctor', recovery='2 s',
                   lost='nothing')
def test_a_full_run_directory(alone, tmp_path):
    alone.keeper.step(ALONE)
    with small_file_system(tmp_path / 'full') as disk:
        alone.location = envfile.Location(str(tmp_path / 'full'), True)
        disk.fill()
        for _ in range(3):
            report = alone.keeper.step(ALONE)
            assert (report.state, report.actual, report.env_file) == (NOT_WRITTEN, {}, '')
            assert 'the file system {} is full'.format(disk.path) in report.why
            assert report.why.endswith(' Next: df -h ' + disk.path)
            assert alone.keeper.period(report) <= 2.0
        assert disk.names() == []
        disk.free()
        report = alone.keeper.step(ALONE)
        assert (report.state, report.problem) == ('OK', '') and report.actual == VARIABLES
        # A change of the master on a full disk: no shell may go to the old one.
        disk.fill()
        alone.preferences = Preferences(team_port=11400)
        report = alone.keeper.step(ALONE)
        assert report.state == NOT_WRITTEN and not os.path.exists(alone.location.path)
        disk.free()
        assert alone.keeper.step(ALONE).actual['ROS_MASTER_URI'].endswith(':11400')
        alone.keeper.remove_leftover()


def damaged(path, how):
    """Something else in the place of a file."""
    if how not in ('truncated', 'changed', 'not for others'):
        os.unlink(path)
    if how == 'truncated':
        os.truncate(path, 0)
    elif how == 'changed':
        with open(path, 'a') as stream:
            stream.write('x')
    elif how == 'not for others':
        os.chmod(path, 0o600)
    elif how == 'directory':
        os.mkdir(path)
    elif how == 'FIFO':
        os.mkfifo(path)
    elif how == 'socket':
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path)
    elif how == 'link':
        os.symlink('/etc/hostname', path)
    elif how == 'link to nothing':
        os.symlink('/nonexistent', path)


DAMAGES = ['truncated', 'changed', 'not for others', 'directory', 'FIFO', 'socket', 'link', 'link to nothing']


@pytest.mark.fault('K8', 'The env file is truncated or changed', behaviour='the node writes it again; the topic shows '
                   'what is in the file', reported='5 s: ros_environment', recovery='5 s', lost='nothing')
@pytest.mark.fault('K4', 'A directory, a pipe or a link in the place of the env file or preferences.json',
                   behaviour='the node replaces it', reported='5 s: ros_environment', recovery='5 s', lost='nothing')
@pytest.mark.parametrize('name', ['env', preferences_file.FILE_NAME])
@pytest.mark.parametrize('how', DAMAGES)
def test_damaged_files_are_mended(alone, name, how):
    alone.keeper.step(ALONE)
    path = alone.location.file(name)
    with open(path) as stream:
        good = stream.read()
    damaged(path, how)
    report = alone.keeper.step(ALONE)
    assert (report.problem, report.actual) == ('', VARIABLES) and alone.keeper.period(report) <= 5.0
    with open(path) as stream:
        assert stream.read() == good and not os.path.islink(path)


@pytest.mark.parametrize('how', DAMAGES)
def test_what_a_killed_node_left_is_removed_whatever_it_is(alone, how):
    alone.keeper.step(ALONE)
    damaged(alone.location.path, how)
    assert alone.keeper.remove_leftover() == '' and not os.path.lexists(alone.location.path)


def test_a_file_that_is_damaged_while_the_node_looks_is_reported(alone, monkeypatch):
    """Between the write and the report: the topic says what a shell gets."""
    alone.keeper.step(ALONE)
    real = envfile.holds
    monkeypatch.setattr(envfile, 'holds', lambda *args: real(*args) and not os.truncate(alone.location.path, 0))
    assert alone.keeper.step(ALONE).actual == {}


def test_a_directory_with_something_in_it_is_a_persons(alone):
    alone.keeper.step(ALONE)
    os.unlink(alone.location.path)
    os.makedirs(alone.location.path + '/x')
    report = alone.keeper.step(ALONE)
    assert report.problem.endswith('is a directory. Next: sudo rm -r ' + alone.location.path) and report.actual == {}
    shutil.rmtree(alone.location.path)
    assert alone.keeper.step(ALONE).actual == VARIABLES


def test_the_files_move_with_the_run_directory(alone, tmp_path):
    """`robot prepare` made the shared directory while the node ran: some shells would go on reading the old file."""
    alone.keeper.step(ALONE)
    old, alone.location = alone.location, envfile.Location(str(tmp_path / 'other'), True)
    report = alone.keeper.step(ALONE)
    assert report.env_file == alone.location.path and alone.file() == VARIABLES
    assert not os.path.exists(old.path)


def test_an_unwritable_directory_is_reported_and_retried(alone):
    with open(alone.location.directory, 'w'):
        pass
    report = alone.keeper.step(ALONE)
    assert alone.location.path in report.problem and 'Next: ' in report.problem
    assert (report.actual, report.env_file) == ({}, '') and report.desired.state == 'OK'
    os.unlink(alone.location.directory)
    report = alone.keeper.step(ALONE)
    assert report.problem == '' and alone.file() == VARIABLES


def test_no_run_directory(alone):
    alone.problem = OverlayError('There is no directory.', 'make one')
    assert alone.keeper.step(ALONE).problem == 'There is no directory. Next: make one'
    assert alone.keeper.remove_leftover() == 'There is no directory. Next: make one'


def test_unsafe_dns_name_never_reaches_a_shell(alone):
    """Whatever the server sends must neither end the keeper nor reach a shell."""
    alone.keeper.step(ALONE)
    evil = replace(OWN, dns_name='dev-1$(id).overlay.internal')
    report = alone.keeper.step(nodes.status(evil))
    assert report.problem and report.actual == {}
    assert alone.file() is None


def test_an_unresolved_own_name(alone):
    alone.names = NameReport(False, why='It does not resolve.')
    report = alone.keeper.step(ALONE)
    assert alone.file() is None and report.desired.state == 'NAME_UNRESOLVED' and alone.asked == []


def test_the_roscore_stops_with_the_overlay(alone):
    alone.keeper.step(ALONE)
    alone.keeper.step(STOPPED)
    assert alone.roscore == [True, False]


def test_the_files_of_a_predecessor_are_removed(alone):
    envfile.write(alone.location, VARIABLES)
    preferences_file.write(alone.location, Preferences())
    assert alone.keeper.remove_leftover() == ''
    assert alone.file() is None and os.listdir(alone.location.directory) == []
    assert alone.keeper.remove_leftover() == ''


def test_a_clean_stop_leaves_no_environment(alone):
    thread = threading.Thread(target=alone.keeper.run)
    thread.start()
    alone.keeper.offer(ALONE)
    for _ in range(1000):
        if alone.reports:
            break
        threading.Event().wait(0.01)
    assert alone.file() == VARIABLES
    alone.keeper.stop()
    thread.join(10)
    assert not thread.is_alive()
    assert alone.file() is None and alone.roscore[-1] == 'stopped'


def test_an_unexpected_error_leaves_no_environment_and_stops_no_program(alone):
    """Programs may be right: who does not know the master has no reason to stop them."""
    alone.keeper.step(ALONE)
    names, alone.keeper._names = alone.keeper._names, SimpleNamespace(check=lambda *args: 1 / 0)
    alone.keeper._checked = (None, 0.0, None)
    followed = list(alone.roscore)
    alone.keeper.offer(ALONE)
    with pytest.raises(ZeroDivisionError):
        alone.keeper.run()
    alone.keeper.fail('The thread environment failed.')
    assert alone.file() is None and alone.roscore == followed
    report = alone.reports[-1]
    assert (report.state, report.actual, report.env_file) == ('NO_OVERLAY', {}, '')
    assert report.why == 'The thread environment failed. Nobody keeps the ROS environment of this robot.'
    # The next run begins with the status that it failed with, and not only when another one comes.
    alone.keeper._names = names
    before = len(alone.reports)
    thread = SupervisedThread('environment', alone.keeper.run, alone.keeper.fail).start()
    wait('The next step', lambda: len(alone.reports) > before, 10)
    wait('The env file', lambda: alone.file() == VARIABLES, 10)
    alone.keeper.stop()
    assert thread.join(10) and alone.file() is None and alone.roscore[-1] == 'stopped'


def test_preferences_are_saved_while_the_overlay_is_up(alone):
    """Also without an environment, of which they may be the reason."""
    alone.preferences = Preferences(master='dev-9', team_port=11400, team='iris')
    alone.keeper.step(ALONE)
    assert alone.file() is None and preferences_file.read(alone.location) == alone.preferences
    inode = os.stat(alone.location.file(preferences_file.FILE_NAME)).st_ino
    alone.keeper.step(ALONE)
    assert os.stat(alone.location.file(preferences_file.FILE_NAME)).st_ino == inode
    alone.preferences = Preferences(team='iris')
    alone.keeper.step(ALONE)
    assert preferences_file.read(alone.location) == Preferences(team='iris')
    for end in (lambda: alone.keeper.step(STOPPED), lambda: alone.keeper.step(None), alone.keeper.shut_down):
        alone.keeper.step(ALONE)
        end()
        assert preferences_file.read(alone.location) is None
