"""The env file: complete, validated, and never another user's."""
import os
import stat
import subprocess

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.envfile import EnvironmentMissing, EnvironmentUnsafe, Location

GOOD = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


@pytest.fixture
def location(tmp_path):
    return Location(str(tmp_path / 'run'), True)


def test_write_read_remove(location):
    envfile.write(location, GOOD)
    assert envfile.read(location) == GOOD
    assert stat.S_IMODE(os.stat(location.path).st_mode) == 0o644
    assert os.listdir(location.directory) == ['env']
    assert envfile.remove(location) is True
    assert envfile.remove(location) is False
    with pytest.raises(EnvironmentMissing) as caught:
        envfile.read(location)
    assert caught.value.exit_status == 3 and location.path in str(caught.value)


def test_removing_a_missing_file(location):
    assert envfile.remove(location) is False
    assert not os.path.exists(location.directory)


def test_location_of_the_env_file():
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
def test_invalid_values_are_not_written(location, change):
    with pytest.raises(ValueError):
        envfile.write(location, dict(GOOD, **change))
    assert not os.path.exists(location.path)


@pytest.mark.parametrize('text', [
    '', 'ROS_MASTER_URI=http://a:1\n', 'ROS_HOSTNAME=a\n', 'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=`id`\n',
    'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nnonsense\n', 'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\nROS_IP=1\n',
    'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=\u00e9\n', 'ROS_MASTER_URI=http://a:1\nROS_HOSTNAME=a\r\n'])
def test_invalid_files_are_ignored(location, text):
    os.makedirs(location.directory)
    with open(location.path, 'w', encoding='utf-8', newline='') as stream:
        stream.write(text)
    with pytest.raises(EnvironmentUnsafe) as caught:
        envfile.read(location)
    assert location.path in str(caught.value)


def test_unknown_variables_and_comments_are_skipped():
    text = '# hi\n\nNEW_IN_2030=x y\nROS_MASTER_URI=http://a:1\nROS_IP=100.64.0.2'
    assert envfile.parse(text) == {'ROS_MASTER_URI': 'http://a:1', 'ROS_IP': '100.64.0.2'}


def test_links_and_pipes_are_ignored(location, tmp_path):
    os.makedirs(location.directory)
    (tmp_path / 'elsewhere').write_text(envfile.dump(GOOD))
    os.symlink(str(tmp_path / 'elsewhere'), location.path)
    with pytest.raises(EnvironmentUnsafe):
        envfile.read(location)
    os.unlink(location.path)
    os.mkfifo(location.path)
    with pytest.raises(EnvironmentUnsafe):
        envfile.read(location)


@pytest.mark.fault('K4', 'A directory in the place of the env file, and no overlay node', behaviour='env, exec, status '
                   'and doctor name it', reported='at once', recovery='with the next command', lost='nothing')
def test_a_directory_is_named_with_the_way_back(location):
    os.makedirs(location.path)
    with pytest.raises(EnvironmentUnsafe) as caught:
        envfile.read(location)
    assert str(caught.value) == '{0} cannot be read: Not a regular file but a directory. Next: sudo rm -r {0}'.format(
        location.path)
    subprocess.run(caught.value.next_command.replace('sudo ', '').split(), check=True)
    with pytest.raises(EnvironmentMissing):
        envfile.read(location)


@pytest.mark.parametrize('personal', [True, False])
def test_the_file_of_another_user(location, personal):
    """Fine in the shared directory, but not where a variable of the reader led."""
    envfile.write(location, GOOD)
    reader = os.geteuid() + 4711
    there = Location(location.directory, personal)
    if personal:
        with pytest.raises(EnvironmentUnsafe) as caught:
            envfile.read(there, uid=reader)
        assert 'belongs to another user' in str(caught.value)
    else:
        assert envfile.read(there, uid=reader) == GOOD


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
def test_a_file_of_another_user_in_a_personal_directory(location):
    envfile.write(location, GOOD)
    os.chown(location.path, 4711, -1)
    for personal in (True, False):
        with pytest.raises(EnvironmentUnsafe):
            envfile.read(Location(location.directory, personal))
    os.chown(location.path, 0, -1)
    os.chown(location.directory, 4711, -1)
    assert envfile.read(Location(location.directory, False), uid=4711) == GOOD
    with pytest.raises(EnvironmentUnsafe):  # as in the hook: there, even root's file is not one's own
        envfile.read(Location(location.directory, True), uid=4711)


@pytest.mark.parametrize('what', ['directory', 'path'])
def test_world_writable_files_are_ignored(location, what):
    envfile.write(location, GOOD)
    os.chmod(getattr(location, what), 0o777)
    with pytest.raises(EnvironmentUnsafe) as caught:
        envfile.read(Location(location.directory, False))
    assert 'it is world-writable' in str(caught.value)


def test_an_unwritable_directory(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(OverlayError) as caught:
        envfile.write(Location(str(tmp_path / 'file'), True), GOOD)
    assert 'cannot be written' in str(caught.value) and 'robot prepare' in caught.value.next_command
