"""`ua-overlay env` and `ua-overlay exec`, run as commands."""
import importlib
import json
import os
import subprocess
import sys
import threading
from xmlrpc.server import SimpleXMLRPCServer

import pytest

from ua_overlay.cli import make_parser
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.envfile import EnvironmentMissing, EnvironmentUnsafe

exec_command = importlib.import_module('ua_overlay.cli.exec')

TEAM = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


def run(*argv):
    """Run a command line; its errors are raised."""
    args = make_parser().parse_args(argv)
    return args.run(args)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The place of the env file, empty."""
    monkeypatch.setenv('UA_OVERLAY_RUN_DIR', str(tmp_path / 'run'))
    for name in envfile.ROS_KEYS:
        monkeypatch.delenv(name, raising=False)
    return envfile.locate()


@pytest.fixture
def executed(monkeypatch):
    """What exec would have become: [program, argv, environ]."""
    calls = []
    monkeypatch.setattr(exec_command.run, '__defaults__', (None, lambda *call: calls.append(call) or 0))
    return calls


def test_env_forms(place, capsys):
    envfile.write(place, TEAM)
    assert run('env') == 0
    assert capsys.readouterr().out.split('\n')[0] == 'ROS_MASTER_URI=http://dev-1.overlay.internal:11312'
    assert run('env', '--json') == 0
    assert json.loads(capsys.readouterr().out) == TEAM


def test_env_shell_lines_work_in_a_shell(place, capsys):
    envfile.write(place, TEAM)
    run('env', '--shell')
    script = capsys.readouterr().out + 'echo "$ROS_MASTER_URI $ROS_HOSTNAME [${ROS_IP-gone}]"'
    found = subprocess.run(['sh', '-euc', script], stdout=subprocess.PIPE, env=dict(os.environ, ROS_IP='10.0.2.15'),
                           check=True)
    assert found.stdout.decode() == 'http://dev-1.overlay.internal:11312 dev-2.overlay.internal [gone]\n'


def test_none_now(place):
    for argv in (['env'], ['exec', 'true']):
        with pytest.raises(EnvironmentMissing) as caught:
            run(*argv)
        assert caught.value.exit_status == 3 and caught.value.next_command == 'ua-overlay status'


def test_hostile_file_is_not_taken(place):
    envfile.write(place, TEAM)
    os.chmod(place.path, 0o666)
    with pytest.raises(EnvironmentUnsafe):
        run('exec', 'true')


def test_exec_hands_over_the_environment_and_leaves_arguments_alone(place, executed, monkeypatch):
    monkeypatch.setenv('ROS_IP', '10.0.2.15')
    envfile.write(place, TEAM)
    run('exec', 'rostopic', 'echo', '--help', '--wait', '/chatter', '__name:=x')
    program, argv, environ = executed[0]
    assert (program, argv) == ('rostopic', ['rostopic', 'echo', '--help', '--wait', '/chatter', '__name:=x'])
    assert environ['ROS_MASTER_URI'] == TEAM['ROS_MASTER_URI'] and 'ROS_IP' not in environ
    run('exec', '--', '--odd')
    assert executed[1][1] == ['--odd']


def test_exec_local_needs_no_overlay(place, executed, monkeypatch):
    monkeypatch.setenv('ROS_MASTER_URI', 'http://dev-1.overlay.internal:11312')
    run('exec', '--local', 'rosnode', 'list')
    environ = executed[0][2]
    assert (environ['ROS_MASTER_URI'], environ['ROS_HOSTNAME']) == ('http://localhost:11311', 'localhost')


@pytest.mark.parametrize('command', [
    ['roslaunch', 'ua_overlay', 'overlay.launch'],
    ['/opt/ros/noetic/bin/roslaunch', '--screen', 'ua_overlay', 'overlay.launch', 'heartbeat:=5']])
def test_exec_refuses_overlay_launch_in_the_team_graph(place, executed, command):
    envfile.write(place, TEAM)
    for how in ([], ['--wait']):
        with pytest.raises(UsageError) as caught:
            run('exec', *(how + command))
        assert caught.value.next_command == 'ua-overlay exec --local roslaunch ua_overlay overlay.launch'
    assert not executed
    run('exec', '--local', *command)
    run('exec', 'roslaunch', 'ua_overlay', 'demo.launch')
    assert len(executed) == 2


def test_exec_wait_follows_file_and_master(place, executed, capsys):
    server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
    server.register_function(lambda caller: [1, '', 1], 'getPid')
    server.register_function(lambda caller, key: [1, '', 'run-1'], 'getParam')
    team = dict(TEAM, ROS_MASTER_URI='http://127.0.0.1:{}'.format(server.server_address[1]))
    waiter = threading.Thread(target=run, args=('exec', '--wait', 'rostopic', 'list'), daemon=True)
    waiter.start()
    waiter.join(0.5)
    assert waiter.is_alive() and not executed
    envfile.write(place, team)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    thread.start()
    waiter.join(10)
    server.shutdown()
    server.server_close()
    assert executed[0][2]['ROS_MASTER_URI'] == team['ROS_MASTER_URI']
    assert 'Waiting for the team graph' in capsys.readouterr().err


def test_exec_wait_has_an_end(place):
    with pytest.raises(OverlayError) as caught:
        run('exec', '--wait', '--timeout', '0.3', 'true')
    assert caught.value.code == 'NO_MASTER' and place.path in str(caught.value)


@pytest.mark.parametrize('argv', [['exec'], ['exec', '--timeout', '3', 'true'], ['exec', '--']])
def test_misuse(place, argv):
    with pytest.raises(UsageError):
        run(*argv)


def test_exec_becomes_the_program():
    """A real process: same pid, its exit status, and 127 with a sentence when there is none."""
    code = 'import sys; from ua_overlay.cli import main; main(["exec", "--local"] + sys.argv[1:])'
    process = subprocess.Popen([sys.executable, '-c', code, 'sh', '-c', 'echo $$ $ROS_HOSTNAME; exit 7'],
                               stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert process.communicate(timeout=20)[0].decode() == '{} localhost\n'.format(process.pid)
    assert process.returncode == 7
    with pytest.raises(OverlayError) as caught:
        run('exec', '--local', 'no-such-command')
    assert caught.value.exit_status == 127 and 'no-such-command' in str(caught.value)
