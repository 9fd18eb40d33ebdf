"""What a host keeps to itself, and how commands and services run in it."""
import os
import signal
import subprocess

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab.host import LabCommandFailed
from ua_overlay.lab.kernel import ProcessHandle


def test_a_command_runs_as_the_user_logged_in(lab):
    done = lab.host('dev-1').run(['sh', '-c', 'id -un; pwd; env'], user='robot', env={'EXTRA': 'a b'})
    out = done.stdout.splitlines()
    assert out[:2] == ['robot', '/home/robot']
    names = {line.split('=')[0] for line in out[2:]}
    assert 'EXTRA=a b' in out and 'HOME=/home/robot' in out
    assert names == {'EXTRA', 'HOME', 'LANG', 'LOGNAME', 'PATH', 'PWD', 'SHELL', 'USER', 'XDG_RUNTIME_DIR'}


def test_exit_status_output_and_input(lab):
    robot = lab.host('dev-1')
    done = robot.run(['sh', '-c', 'cat; echo oops >&2; exit 3'], input='hello', check=False)
    assert (done.returncode, done.stdout, done.stderr) == (3, 'hello', 'oops\n')
    with pytest.raises(LabCommandFailed, match='sh on dev-1 ended with status 3: oops'):
        robot.run(['sh', '-c', 'echo oops >&2; exit 3'])
    assert robot.run(['no-such-program'], check=False).returncode == 127
    assert robot.run(['true'], user='no-such-user', check=False).returncode == 125
    assert robot.run(['sh', '-c', 'kill -TERM $$'], check=False).returncode == -signal.SIGTERM
    assert robot.run(['printf', '%s ', '--', '-x', '--']).stdout == '-- -x -- '


def test_files_of_a_host_are_private(lab):
    one, two = lab.host('dev-1'), lab.host('dev-2')
    for path in ('/etc/only-here', '/var/lib/only-here', '/run/only-here', '/home/robot/only-here', '/root/only-here'):
        one.run(['touch', path])
        assert os.path.exists(one.path(path))
        assert not os.path.exists(two.path(path))
        assert not os.path.exists(path)
        one.run(['rm', path])
    assert two.run(['cat', '/etc/machine-id']).stdout != one.run(['cat', '/etc/machine-id']).stdout
    assert two.run(['cat', '/etc/resolv.conf']).stdout == 'nameserver 198.51.100.2\n'


def test_the_checkout_is_writable_and_open_to_the_robot(lab, tmp_path):
    # This file lies in the checkout, wherever that is.
    lab.host('dev-1').run(['test', '-r', os.path.abspath(__file__)], user='robot')
    lab.host('dev-1').run(['touch', str(tmp_path / 'carried')])
    assert (tmp_path / 'carried').exists()


def test_processes_of_other_hosts_are_invisible(lab):
    assert 'dev-2' not in lab.host('dev-1').run(['ps', 'ax']).stdout
    assert lab.host('dev-1').run(['ps', '-o', 'comm=', '1']).stdout.strip() == 'lab:dev-1'


def test_the_processes_of_a_host_from_outside(lab):
    robot = lab.host('dev-1')
    with robot.popen(['cat', '-'], stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True) as process:
        process.stdin.write('it runs\n')
        process.stdin.flush()
        assert process.stdout.readline() == 'it runs\n'
        number = int(robot.run(['pgrep', '-fx', 'cat -']).stdout)
        assert robot.processes()[number] == ['cat', '-']
        assert ['cat', '-'] not in lab.host('dev-2').processes().values()
        process.stdin.close()
    assert ['cat', '-'] not in robot.processes().values() and 1 in robot.processes()


def test_a_host_has_a_tun_device(lab):
    robot = lab.host('dev-1')
    robot.run(['ip', 'tuntap', 'add', 'tun-test', 'mode', 'tun'])
    assert not os.path.exists('/sys/class/net/tun-test')
    assert os.path.exists(robot.path('/sys/class/net/tun-test'))
    robot.run(['ip', 'link', 'delete', 'tun-test'])


def host_sees(host, pattern):
    return host.run(['pgrep', '-f', pattern], check=False).returncode == 0


def test_signals_reach_the_command_and_its_children(lab):
    process = lab.host('dev-1').popen(['sh', '-c', 'sleep 4321 & echo go; wait'], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'go\n'
    process.terminate()
    assert process.wait(10) == -signal.SIGTERM
    process.stdout.close()
    assert not host_sees(lab.host('dev-1'), 'sleep 432[1]')


def test_killing_the_stand_in_ends_the_command(lab):
    process = lab.host('dev-1').popen(['sh', '-c', 'echo go; exec sleep 4322'], user='robot', stdout=subprocess.PIPE)
    assert process.stdout.readline() == b'go\n'
    process.kill()
    # End of file comes when the last holder of the pipe, the command itself, has ended.
    assert process.communicate(timeout=10) == (b'', None)
    assert not host_sees(lab.host('dev-1'), 'sleep 432[2]')


def test_a_command_is_ended_after_its_timeout(lab):
    with pytest.raises(subprocess.TimeoutExpired):
        lab.host('dev-1').run(['sh', '-c', 'sleep 4323 & wait'], timeout=0.5)
    assert not host_sees(lab.host('dev-1'), 'sleep 432[3]')


def test_a_service_runs_until_stopped_and_logs(lab):
    lab.start_service('dev-1', 'talk', ['sh', '-c', 'echo as $(id -un) $WORD; exec sleep 4324'], env={'WORD': 'hi'},
                      user='robot')
    try:
        assert ('dev-1', 'talk') in lab.services()
        with pytest.raises(OverlayError, match='talk runs already on dev-1') as caught:
            lab.start_service('dev-1', 'talk', ['true'])
        assert caught.value.code == 'LAB_SERVICE'
    finally:
        assert lab.stop_service('dev-1', 'talk') is True
    assert lab.log('dev-1', 'talk') == 'as robot hi\n'
    assert not lab.service_running('dev-1', 'talk')
    assert ('dev-1', 'talk') not in lab.services()
    with pytest.raises(OverlayError, match='no service talk on dev-1'):
        lab.stop_service('dev-1', 'talk')


def test_a_service_that_ignores_sigterm_is_killed(lab, tmp_path):
    ready = tmp_path / 'ready'
    os.mkfifo(str(ready))
    lab.start_service('dev-1', 'deaf', ['sh', '-c', 'trap "" TERM; echo > {}; while :; do sleep 1; done'.format(ready)])
    ready.read_text()
    assert lab.stop_service('dev-1', 'deaf', timeout=0.3) is False
    assert not host_sees(lab.host('dev-1'), 'trap "" TER[M]')


def test_a_killed_service_is_detected_and_can_be_restarted(lab):
    lab.start_service('dev-1', 'again', ['sleep', '4325'])
    process = lab.service('dev-1', 'again')
    lab.kill_service('dev-1', 'again')
    assert process.wait(10)
    assert not lab.service_running('dev-1', 'again')
    lab.start_service('dev-1', 'again', ['sleep', '4325'])
    assert lab.service('dev-1', 'again').pid != process.pid
    lab.stop_service('dev-1', 'again')


def test_a_service_that_cannot_be_executed_is_an_error(lab):
    with pytest.raises(LabCommandFailed, match='no-such-program'):
        lab.start_service('dev-1', 'none', ['no-such-program'])
    assert not lab.service_running('dev-1', 'none')


def test_an_unknown_host_is_named(lab):
    with pytest.raises(UsageError, match='has no host dev-9; it has dev-1, dev-2'):
        lab.host('dev-9')


def test_a_reused_process_id_gets_no_signal(lab):
    process = subprocess.Popen(['sleep', '60'])
    try:
        stranger = ProcessHandle(process.pid, 1)
        assert not stranger.alive()
        assert stranger.kill() is True
        assert process.poll() is None
    finally:
        process.kill()
        process.wait()
