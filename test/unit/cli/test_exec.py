"""`ua-overlay exec`: the environment of the command, waiting, and what is refused."""
import importlib
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

command_module = importlib.import_module('ua_overlay.cli.exec')
TEAM = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


def run(*argv):
    """Run a command line; its errors are raised."""
    args = make_parser().parse_args(argv)
    return args.run(args)


@pytest.fixture
def env_file(tmp_path, monkeypatch):
    """The location of the env file, which does not exist yet."""
    monkeypatch.setenv('UA_OVERLAY_RUN_DIR', str(tmp_path / 'run'))
    for name in envfile.ROS_KEYS:
        monkeypatch.delenv(name, raising=False)
    return envfile.locate()


@pytest.fixture
def executed(monkeypatch):
    """The arguments of the exec call: [program, argv, environ]."""
    calls = []
    monkeypatch.setattr(command_module.run, '__defaults__', (None, lambda *call: calls.append(call) or 0))
    return calls


def test_no_environment_now(env_file):
    with pytest.raises(EnvironmentMissing) as caught:
        run('exec', 'true')
    assert caught.value.exit_status == 3 and caught.value.next_command == 'ua-overlay status'


def test_an_unsafe_file_is_not_used(env_file):
    envfile.write(env_file, TEAM)
    os.chmod(env_file.path, 0o666)
    with pytest.raises(EnvironmentUnsafe):
        run('exec', 'true')


def test_the_command_gets_the_environment_and_its_arguments_unchanged(env_file, executed, monkeypatch):
    monkeypatch.setenv('ROS_IP', '10.0.2.15')
    envfile.write(env_file, TEAM)
    run('exec', 'rostopic', 'echo', '--help', '--wait', '/chatter', '__name:=x')
    program, argv, environ = executed[0]
    assert (program, argv) == ('rostopic', ['rostopic', 'echo', '--help', '--wait', '/chatter', '__name:=x'])
    assert environ['ROS_MASTER_URI'] == TEAM['ROS_MASTER_URI'] and 'ROS_IP' not in environ
    run('exec', '--', '--odd')
    assert executed[1][1] == ['--odd']


def test_the_local_graph_needs_no_overlay(env_file, executed, monkeypatch):
    monkeypatch.setenv('ROS_MASTER_URI', 'http://dev-1.overlay.internal:11312')
    run('exec', '--local', 'rosnode', 'list')
    environ = executed[0][2]
    assert (environ['ROS_MASTER_URI'], environ['ROS_HOSTNAME']) == ('http://localhost:11311', 'localhost')


@pytest.mark.parametrize('command', [
    ['roslaunch', 'ua_overlay', 'overlay.launch'],
    ['/opt/ros/noetic/bin/roslaunch', '--screen', 'ua_overlay', 'overlay.launch', 'heartbeat:=5']])
def test_overlay_launch_is_refused_in_the_team_graph(env_file, executed, command):
    envfile.write(env_file, TEAM)
    for how in ([], ['--wait']):
        with pytest.raises(UsageError) as caught:
            run('exec', *(how + command))
        assert caught.value.next_command == 'ua-overlay exec --local roslaunch ua_overlay overlay.launch'
    assert not executed
    run('exec', '--local', *command)
    run('exec', 'roslaunch', 'ua_overlay', 'demo.launch')
    assert len(executed) == 2


def test_exec_waits_for_the_file_and_the_master(env_file, executed, capsys):
    server = SimpleXMLRPCServer(('127.0.0.1', 0), logRequests=False)
    server.register_function(lambda caller: [1, '', 1], 'getPid')
    server.register_function(lambda caller, key: [1, '', 'run-1'], 'getParam')
    team = dict(TEAM, ROS_MASTER_URI='http://127.0.0.1:{}'.format(server.server_address[1]))
    waiter = threading.Thread(target=run, args=('exec', '--wait', 'rostopic', 'list'), daemon=True)
    waiter.start()
    waiter.join(0.5)
    assert waiter.is_alive() and not executed
    envfile.write(env_file, team)
    thread = threading.Thread(target=server.serve_forever, kwargs={'poll_interval': 0.02}, daemon=True)
    thread.start()
    waiter.join(10)
    server.shutdown()
    server.server_close()
    assert executed[0][2]['ROS_MASTER_URI'] == team['ROS_MASTER_URI']
    assert 'Waiting for the team graph' in capsys.readouterr().err


def test_the_wait_times_out(env_file):
    with pytest.raises(OverlayError) as caught:
        run('exec', '--wait', '--timeout', '0.3', 'true')
    assert caught.value.code == 'NO_MASTER' and env_file.path in str(caught.value)


@pytest.mark.parametrize('argv', [['exec'], ['exec', '--timeout', '3', 'true'], ['exec', '--']])
def test_an_invalid_command_line(env_file, argv):
    with pytest.raises(UsageError):
        run(*argv)


def test_the_command_replaces_the_process():
    """A real process: same pid, its exit status, and 127 with a sentence when there is none."""
    code = 'import sys; from ua_overlay.cli import main; main(["exec", "--local"] + sys.argv[1:])'
    process = subprocess.Popen([sys.executable, '-c', code, 'sh', '-c', 'echo $$ $ROS_HOSTNAME; exit 7'],
                               stdout=subprocess.PIPE, env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert process.communicate(timeout=20)[0].decode() == '{} localhost\n'.format(process.pid)
    assert process.returncode == 7
    with pytest.raises(OverlayError) as caught:
        run('exec', '--local', 'no-such-command')
    assert caught.value.exit_status == 127 and 'no-such-command' in str(caught.value)
