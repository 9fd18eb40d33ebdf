"""`service install`: the unit, its recipe, and errors. The unit boots in test/lab/test_service.py."""
import os
import shutil
import subprocess

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.rosenv import service

SPACE = '/home/robot/ws/install'


def lines(*arguments, user='robot', workspace=SPACE):
    return service.unit_text(user, workspace, arguments).split('\n')


def test_the_local_graph_requires_no_network():
    text = lines()
    assert 'User=robot' in text
    assert 'Environment=ROS_MASTER_URI=http://localhost:11311 ROS_HOSTNAME=localhost' in text
    assert not any('network-online' in line for line in text if not line.startswith('#'))
    assert 'Restart=always' in text and 'StartLimitIntervalSec=0' in text


def test_devices_stay_accessible():
    """ProtectClock= and PrivateDevices= would take away a robot's cameras and serial ports."""
    keys = {line.split('=')[0] for line in lines() if not line.startswith('#')}
    assert not keys & {'ProtectClock', 'PrivateDevices', 'DevicePolicy', 'DeviceAllow', 'ProtectHome', 'PrivateTmp'}
    assert {'NoNewPrivileges', 'CapabilityBoundingSet', 'SystemCallFilter'} <= keys


@pytest.mark.parametrize('arguments', [(), ('master:=dev-1',), ('x:=a b "c" $HOME %n \\ ; `id` \'q\'', 'y:=')])
def test_arguments_reach_roslaunch_as_they_were_typed(arguments, tmp_path):
    """systemd's quoting is undone by systemd's rules, the rest by the shell that the unit runs."""
    (tmp_path / 'setup.bash').write_text('export PATH="{}:$PATH"\n[ $# = 0 ] || exit 9\n'.format(tmp_path))
    tool = tmp_path / 'ua-overlay'
    tool.write_text('#!/bin/bash\nprintf "%s\\n" "$@"\n')
    tool.chmod(0o755)
    start = next(line for line in lines(*arguments, workspace=str(tmp_path)) if line.startswith('ExecStart='))
    done = subprocess.run(unquote(start[len('ExecStart='):]), stdout=subprocess.PIPE, universal_newlines=True, cwd='/')
    assert done.stdout.split('\n')[:-1] == ['exec', '--local', 'roslaunch', 'ua_overlay', 'overlay.launch'] + list(
        arguments)


@pytest.mark.fault('case 19', "The team's launch file is in the robot's own workspace",
                   behaviour='The service sources that workspace, then its own on top', reported='-', recovery='-',
                   lost='nothing')
def test_the_robot_s_own_workspace_is_sourced_first_and_kept(tmp_path):
    """By each workspace as catkin makes it: setup.bash starts from nothing without --extend."""
    setup = 'if [ "$*" != --extend ]; then SPACES=; fi; export SPACES="{0} $SPACES" PATH="{0}:$PATH"\n'
    for name in ('own', 'ours $HOME'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'setup.bash').write_text(setup.format(str(tmp_path / name).replace('$', '\\$')))
    tool = tmp_path / 'ours $HOME' / 'ua-overlay'
    tool.write_text('#!/bin/bash\nprintf "%s\\n" "$SPACES" "$@"\n')
    tool.chmod(0o755)
    text = service.unit_text('robot', str(tmp_path / 'ours $HOME'), ('x:=--local', 'y:=1 2'), str(tmp_path / 'own'))
    start = next(line for line in text.split('\n') if line.startswith('ExecStart='))
    done = subprocess.run(unquote(start[len('ExecStart='):]), stdout=subprocess.PIPE, universal_newlines=True, cwd='/')
    assert done.stdout.split('\n')[:-1] == [
        '{0}/ours $HOME {0}/own '.format(tmp_path), 'exec', '--local', 'roslaunch', 'ua_overlay', 'overlay.launch',
        'x:=--local', 'y:=1 2']
    with pytest.raises(UsageError, match="'my_ws' is not the absolute path"):
        service.unit_text('robot', SPACE, (), 'my_ws')


def unquote(text):
    """Words of a unit's command line: systemd.syntax(7) and systemd.service(5), for what `quote` can write."""
    words, word, quoted, at = [], None, False, 0
    while at < len(text):
        char = text[at]
        if char == '\\' and quoted:
            at += 1
            word = (word or '') + text[at]
        elif char in '$%' and text[at + 1:at + 2] == char:
            at += 1
            word = (word or '') + char
        elif char in '$%':
            raise AssertionError('systemd would expand: ' + text[at:])
        elif char == '"':
            quoted, word = not quoted, word or ''
        elif char == ' ' and not quoted:
            words, word = words + ([word] if word is not None else []), None
        else:
            word = (word or '') + char
        at += 1
    return words + ([word] if word is not None else [])


@pytest.mark.parametrize('user, workspace, arguments', [
    ('root', SPACE, ()), ('robot', 'ws/install', ()), ('robot', '/ws\nUser=root', ()),
    ('robot', SPACE, ('master=dev-1',)),
    ('robot', SPACE, ('--wait',)), ('robot', SPACE, ('x:=1\nUser=root',)), ('robot', SPACE, ('x:=1\rUser=root',))])
def test_refused_command_lines(user, workspace, arguments):
    with pytest.raises(UsageError):
        service.unit_text(user, workspace, arguments)


@pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='There is no systemd-analyze on this machine.')
def test_systemd_accepts_the_unit(tmp_path):
    path = tmp_path / service.UNIT_NAME
    path.write_text(service.unit_text('daemon', SPACE, ('x:=a b $c %d "e"',)))
    done = subprocess.run(['systemd-analyze', 'verify', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    assert (done.returncode, done.stdout) == (0, '')
    # 2.6 of 10 where an empty unit has 9.6: what is left is what a robot's own nodes need.
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold=28', str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


def test_the_recipe_is_applied_repeated_and_undone(tmp_path):
    ran = []
    applier = service.applier(str(tmp_path), lambda argv: ran.append(' '.join(argv)), owner_of=None,
                              ask=lambda argv: 'systemctl start ua-overlay.service' in ran)
    recipe = service.make_recipe('robot', SPACE)
    assert applier.apply(recipe) == {service.UNIT}
    assert ran[0] == 'systemctl daemon-reload' and 'systemctl enable ua-overlay.service' in ran
    ran_before = list(ran)
    assert applier.apply(recipe) == set() and ran == ran_before
    assert applier.apply(service.make_recipe('robot', SPACE, ('master:=dev-1',))) == {service.UNIT}
    assert ran[-1] == 'systemctl restart ua-overlay.service'
    ran.clear()
    assert applier.undo((), [['systemctl', 'daemon-reload']]) == []
    assert ran == ['systemctl stop ua-overlay.service', 'systemctl disable ua-overlay.service',
                   'systemctl daemon-reload']
    assert not [name for _, _, names in os.walk(str(tmp_path)) for name in names]


def test_finding_the_workspace():
    files = {'/a/setup.bash', '/a/bin/ua-overlay', '/b/setup.bash', '/c/setup.bash', '/c/bin/ua-overlay'}

    def find(prefixes, program):
        return service.find_workspace({'CMAKE_PREFIX_PATH': prefixes}, program, files.__contains__)

    assert find('/b:/a', '/usr/bin/ua-overlay') == '/a'
    assert find('', '/c/bin/ua-overlay') == '/c'
    assert find('relative', '/usr/bin/ua-overlay') is None
