"""The env file: whole, validated, taken from nobody else."""
import os
import stat

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.envfile import EnvironmentMissing, EnvironmentUnsafe, Location

GOOD = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


@pytest.fixture
def place(tmp_path):
    return Location(str(tmp_path / 'run'), True)


def test_write_read_remove(place):
    envfile.write(place, GOOD)
    assert envfile.read(place) == GOOD
    assert stat.S_IMODE(os.stat(place.path).st_mode) == 0o644
    assert os.listdir(place.directory) == ['env']
    assert envfile.remove(place) is True
    assert envfile.remove(place) is False
    with pytest.raises(EnvironmentMissing) as caught:
        envfile.read(place)
    assert caught.value.exit_status == 3 and place.path in str(caught.value)


def test_removing_where_nothing_ever_was(place):
    assert envfile.remove(place) is False
    assert not os.path.exists(place.directory)


def test_where_it_is():
    def find(environ, exists):
        return envfile.locate(environ, '/run/x', lambda path: exists)

    assert find({'XDG_RUNTIME_DIR': '/run/user/7'}, True) == Location('/run/x', False)
    assert find({'XDG_RUNTIME_DIR': '/run/user/7'}, False) == Location('/run/user/7/ua_overlay', True)
    assert find({'UA_OVERLAY_RUN_DIR': '/mine', 'XDG_RUNTIME_DIR': '/run/user/7'}, True) == Location('/mine', True)
    with pytest.raises(EnvironmentMissing) as caught:
        find({'USER': 'robot'}, False)
    assert caught.value.next_command == 'sudo ua-overlay robot prepare --user robot'


@pytest.mark.parametrize('change', [
    {'ROS_MASTER_URI': 'http://a b:1'}, {'ROS_HOSTNAME': '$(reboot)'}, {'ROS_HOSTNAME': 'a\nROS_IP=1'},
    {'ROS_HOSTNAME': 'a\n'},
    {'ROS_HOSTNAME': ''}, {'UA_OVERLAY_TEAM': 'é'}, {'ROS_MASTER_URI': 'dev-1:11312'}, {'ROS_IP': '100.64.0.2'},
    {'LD_PRELOAD': '/tmp/x.so'}])
def test_values_that_are_never_written(place, change):
    with pytest.raises(ValueError):
        envfile.write(place, dict(GOOD, **change))
    assert not os.path.exists(place.path)


@pytest.mark.parametrize('text', [
    '', 'ROS_MASTER_URI=http://a:1\n', 'ROS_HOSTNAME=a\n', 'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=`id`\n',
    'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nnonsense\n', 'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nROS_IP=1\n',
    'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=\u00e9\n', 'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\r\n'])
def test_files_that_are_not_taken(place, text):
    os.makedirs(place.directory)
    with open(place.path, 'w', encoding='utf-8', newline='') as stream:
        stream.write(text)
    with pytest.raises(EnvironmentUnsafe) as caught:
        envfile.read(place)
    assert place.path in str(caught.value)


def test_unknown_variables_and_comments_are_skipped():
    text = '# hi\n\nNEW_IN_2030=x y\nROS_MASTER_URI=http://a:1\nROS_IP=100.64.0.2'
    assert envfile.parse(text) == {'ROS_MASTER_URI': 'http://a:1', 'ROS_IP': '100.64.0.2'}


def test_links_and_pipes_are_not_taken(place, tmp_path):
    os.makedirs(place.directory)
    (tmp_path / 'elsewhere').write_text(envfile.dump(GOOD))
    os.symlink(str(tmp_path / 'elsewhere'), place.path)
    with pytest.raises(EnvironmentUnsafe):
        envfile.read(place)
    os.unlink(place.path)
    os.mkfifo(place.path)
    with pytest.raises(EnvironmentUnsafe):
        envfile.read(place)


@pytest.mark.parametrize('personal', [True, False])
def test_another_reader(place, personal):
    """The writer's file read by somebody else: fine in the shared place, not where the reader's variable led."""
    envfile.write(place, GOOD)
    somebody = os.geteuid() + 4711
    there = Location(place.directory, personal)
    if personal:
        with pytest.raises(EnvironmentUnsafe) as caught:
            envfile.read(there, uid=somebody)
        assert 'belongs to another user' in str(caught.value)
    else:
        assert envfile.read(there, uid=somebody) == GOOD


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
def test_somebody_elses_file_in_ones_own_place(place):
    envfile.write(place, GOOD)
    os.chown(place.path, 4711, -1)
    for personal in (True, False):
        with pytest.raises(EnvironmentUnsafe):
            envfile.read(Location(place.directory, personal))
    os.chown(place.path, 0, -1)
    os.chown(place.directory, 4711, -1)
    assert envfile.read(Location(place.directory, False), uid=4711) == GOOD
    with pytest.raises(EnvironmentUnsafe):  # as in the hook: there, even root's file is not one's own
        envfile.read(Location(place.directory, True), uid=4711)


@pytest.mark.parametrize('what', ['directory', 'path'])
def test_what_everybody_can_change_is_not_taken(place, what):
    envfile.write(place, GOOD)
    os.chmod(getattr(place, what), 0o777)
    with pytest.raises(EnvironmentUnsafe) as caught:
        envfile.read(Location(place.directory, False))
    assert 'every user can change it' in str(caught.value)


def test_cannot_write(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OverlayError) as caught:
        envfile.write(Location(str(tmp_path / 'file'), True), GOOD)
    assert 'cannot be written' in str(caught.value) and 'robot prepare' in caught.value.next_command
