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
    assert 'Environment=ROS_MASTER_URI=http://localhost:11310 ROS_HOSTNAME=localhost' in text
    assert not any('network-online' in line for line in text if not line.startswith('#'))
    assert 'Restart=always' in text and 'StartLimitIntervalSec=0' in text


def test_the_sandbox_leaves_what_our_node_needs():
    """An invitation may lie in /tmp, the workspace and ROS's logs in the home directory."""
    keys = {line.split('=')[0] for line in lines() if not line.startswith('#')}
    assert not keys & {'ProtectHome', 'PrivateTmp', 'PrivateNetwork'}
    assert {'NoNewPrivileges', 'CapabilityBoundingSet', 'SystemCallFilter', 'PrivateDevices'} <= keys


@pytest.mark.parametrize('arguments', [(), ('master:=dev-1',), ('x:=a b "c" $HOME %n \\ ; `id` \'q\'', 'y:=')])
def test_arguments_reach_roslaunch_as_they_were_typed(arguments, tmp_path):
    """systemd's quoting is undone by systemd's rules, the rest by the shell that the unit runs."""
    (tmp_path / 'setup.bash').write_text('export PATH="{}:$PATH" ROS_MASTER_URI=http://10.0.2.9:11311 ROS_HOSTNAME=x\n'
                                         '[ $# = 0 ] || exit 9\n'.format(tmp_path))
    tool = tmp_path / 'roslaunch'
    tool.write_text('#!/bin/bash\nprintf "%s\\n" "$ROS_MASTER_URI" "$ROS_HOSTNAME" "$@"\n')
    tool.chmod(0o755)
    assert run_unit(lines(*arguments, workspace=str(tmp_path))) == [
        'http://localhost:11310', 'localhost', 'ua_overlay', 'overlay.launch'] + list(arguments)
    joined = service.unit_text('robot', str(tmp_path), arguments, roscore='http://localhost:11311').split('\n')
    assert run_unit(joined, 'http://localhost:11311') == [
        'http://localhost:11311', 'localhost', '--wait', 'ua_overlay', 'overlay.launch'] + list(arguments)


def run_unit(text, graph='http://localhost:11310'):
    """What the program of a unit prints; a hook of the workspace sets another graph."""
    start = next(line for line in text if line.startswith('ExecStart='))
    assert any(line.startswith('Environment=ROS_MASTER_URI={} '.format(graph)) for line in text)
    done = subprocess.run(unquote(start[len('ExecStart='):]), stdout=subprocess.PIPE, universal_newlines=True, cwd='/',
                          env={'PATH': os.environ['PATH'], 'ROS_MASTER_URI': graph})
    return done.stdout.split('\n')[:-1]


def test_the_team_s_nodes_have_no_sandbox():
    text = service.team_unit_text('robot', 1000, SPACE, ('team_launch:=a/b.launch',)).split('\n')
    keys = {line.split('=')[0] for line in text if line and line[0] not in '#['}
    assert not {key for key in keys if key.startswith(('Protect', 'Private', 'Restrict', 'SystemCall', 'NoNew',
                                                       'Capability', 'Device', 'Lock', 'Limit'))}
    assert {'User=robot', 'PAMName=runuser', 'Wants=user-runtime-dir@1000.service', 'TasksMax=infinity'} <= set(text)
    assert any('XDG_RUNTIME_DIR=/run/user/1000 ' in line for line in text)
    node = service.unit_text('robot', SPACE)
    assert 'Environment=UA_OVERLAY_TEAM_HOST=/run/ua_overlay_team/socket\n' in node
    assert 'Wants=tailscaled.service ua-overlay-team.service\n' in node


@pytest.mark.parametrize('uri', ['localhost:11311', 'http://a b:1', 'http://a', 'http://a:1\nX=1'])
def test_an_invalid_roscore(uri):
    with pytest.raises(UsageError, match='is not the URI of a roscore'):
        service.unit_text('robot', SPACE, roscore=uri)


@pytest.mark.fault('case 19', "The team's launch file is in the robot's own workspace",
                   behaviour='The service sources that workspace, then its own on top', reported='-', recovery='-',
                   lost='nothing')
def test_the_robot_s_own_workspace_is_sourced_first_and_kept(tmp_path):
    """By each workspace as catkin makes it: setup.bash starts from nothing without --extend."""
    setup = 'if [ "$*" != --extend ]; then SPACES=; fi; export SPACES="{0} $SPACES" PATH="{0}:$PATH"\n'
    for name in ('own', 'ours $HOME'):
        (tmp_path / name).mkdir()
        (tmp_path / name / 'setup.bash').write_text(setup.format(str(tmp_path / name).replace('$', '\\$')))
    tool = tmp_path / 'ours $HOME' / 'roslaunch'
    tool.write_text('#!/bin/bash\nprintf "%s\\n" "$SPACES" "$@"\n')
    tool.chmod(0o755)
    text = service.unit_text('robot', str(tmp_path / 'ours $HOME'), ('x:=--local', 'y:=1 2'), str(tmp_path / 'own'))
    assert run_unit(text.split('\n')) == [
        '{0}/ours $HOME {0}/own '.format(tmp_path), 'ua_overlay', 'overlay.launch', 'x:=--local', 'y:=1 2']
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
    # 1.8 of 10 where an empty unit has 9.6.
    done = subprocess.run(['systemd-analyze', 'security', '--offline=true', '--no-pager', '--threshold=20', str(path)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout


def test_the_recipe_is_applied_repeated_and_undone(tmp_path):
    ran = []
    applier = service.applier(str(tmp_path), lambda argv: ran.append(' '.join(argv)), owner_of=None,
                              ask=lambda argv: 'systemctl start ' + argv[-1] in ran)
    recipe = service.make_recipe('robot', 1000, SPACE)
    assert applier.apply(recipe) == {service.UNIT, service.TEAM_UNIT}
    assert ran[0] == 'systemctl daemon-reload'
    # The unit that runs nodes first: the overlay node finds it.
    starts = [line for line in ran if line.startswith('systemctl enable')]
    assert starts == ['systemctl enable ua-overlay-team.service', 'systemctl enable ua-overlay.service']
    ran_before = list(ran)
    assert applier.apply(recipe) == set() and ran == ran_before
    assert applier.apply(service.make_recipe('robot', 1000, SPACE, ('master:=dev-1',))) == {
        service.UNIT, service.TEAM_UNIT}
    assert ran[-1] == 'systemctl restart ua-overlay.service'
    ran.clear()
    assert applier.undo((), [['systemctl', 'daemon-reload']]) == []
    assert ran == ['systemctl stop ua-overlay.service', 'systemctl disable ua-overlay.service',
                   'systemctl stop ua-overlay-team.service', 'systemctl disable ua-overlay-team.service',
                   'systemctl daemon-reload']
    assert not [name for _, _, names in os.walk(str(tmp_path)) for name in names]


def test_finding_the_workspace():
    files = {'/a/setup.bash', '/a/bin/ua-overlay', '/b/setup.bash', '/c/setup.bash', '/c/bin/ua-overlay'}

    def find(prefixes, program):
        return service.find_workspace({'CMAKE_PREFIX_PATH': prefixes}, program, files.__contains__)

    assert find('/b:/a', '/usr/bin/ua-overlay') == '/a'
    assert find('', '/c/bin/ua-overlay') == '/c'
    assert find('relative', '/usr/bin/ua-overlay') is None
