"""One overlay node on a robot: who may start, who waits, who ends. In real graphs: test/lab/test_team_roscore.py."""
import os

import pytest

rospy = pytest.importorskip('rospy', reason='ROS is not installed')

from ua_overlay.nodes import start  # noqa: E402
from ua_overlay.system.instance import AlreadyRunning, myself, read_holder  # noqa: E402

DIRECT = ('roslaunch', 'ua_overlay', 'overlay.launch', 'heartbeat:=3')


@pytest.mark.parametrize('words, direct', [
    (DIRECT, True), (('roslaunch', '--wait', '/ws/launch/overlay.launch'), True),
    (('/opt/ros/noetic/bin/roslaunch', 'ua_overlay', 'overlay.launch', 'team_launch:=a/b.launch'), True),
    (('roslaunch', 'my_robot', 'robot.launch'), False), (('roslaunch', 'overlay.launch', 'more.launch'), False),
    (('rosrun', 'ua_overlay', 'overlay'), False), (('bash',), False), ((), False)])
def test_a_roslaunch_that_has_nothing_else_to_do(words, direct):
    assert start.launches_only_the_node(words) is direct


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    monkeypatch.setenv('UA_OVERLAY_RUN_DIR', str(tmp_path / 'run'))
    return tmp_path / 'run'


class Other:
    """A node that runs, in another process as far as locks are concerned."""

    def __init__(self):
        self.node = start.claim(lambda: myself('http://localhost:11311'), DIRECT)

    def end(self, *_):
        self.node.release()


def test_a_second_roslaunch_ends(run_dir):
    other, ended = Other(), []
    with pytest.raises(AlreadyRunning) as caught:
        start.claim(myself, DIRECT, lambda: ended.append(True))
    assert ended == [True] and 'process {}'.format(os.getpid()) in caught.value.sentence
    other.end()
    start.claim(myself, DIRECT, lambda: ended.append(True)).release()
    assert ended == [True]


def test_a_node_of_a_larger_launch_file_waits_for_its_turn_and_says_so_once(run_dir, capsys):
    other, waits = Other(), []

    def sleep(seconds):
        waits.append(seconds)
        if len(waits) == 3:
            other.end()

    node = start.claim(myself, ('roslaunch', 'my_robot', 'robot.launch'), pytest.fail, sleep)
    assert waits == [start.PERIOD] * 3 and read_holder(str(run_dir), start.NODE).pid == os.getpid()
    assert capsys.readouterr().err.count('This one takes over when that one ends.') == 1
    node.release()


def test_robot_prepare_makes_another_run_directory_while_a_node_runs(tmp_path, monkeypatch):
    monkeypatch.delenv('UA_OVERLAY_RUN_DIR', raising=False)
    monkeypatch.setattr(start.defaults, 'RUN_DIR', str(tmp_path / 'shared'))
    monkeypatch.setenv('XDG_RUNTIME_DIR', str(tmp_path))
    monkeypatch.setattr(start.envfile.locate, '__defaults__', (None, str(tmp_path / 'shared'), os.path.isdir))
    other = Other()
    (tmp_path / 'shared').mkdir()
    with pytest.raises(AlreadyRunning):
        start.claim(myself, DIRECT, lambda: None)
    other.end()


def test_without_any_directory_the_node_starts_and_says_so_later(monkeypatch, tmp_path):
    monkeypatch.setenv('UA_OVERLAY_RUN_DIR', str(tmp_path / 'file' / 'x'))
    (tmp_path / 'file').write_text('')
    start.claim(myself, DIRECT, pytest.fail).release()
