"""A supervised program: real processes under the real subreaper. The pauses, by a clock of the test's own:
test/unit/rosenv/test_roscore.py."""
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from paths import ROOT

from ua_overlay.errors import OverlayError
from ua_overlay.system import leftovers, process, procnet, subreaper
from ua_overlay.system.supervised import RUNNING, STOPPED, STOPPING, WAITING, Supervised

SRC = os.path.join(ROOT, 'src')


class Shell(Supervised[str]):
    """Runs a script."""

    def command(self, spec):
        if spec == 'missing':
            raise OverlayError('There is no such script.', 'write it')
        return ['/bin/sh', '-c', spec] if spec != 'no shell' else ['/nonexistent/sh']

    def environ(self, spec, environ):
        return dict(environ, SPEC=spec)

    def refusal(self, detail):
        return 'It cannot start: {}.'.format(detail)

    def obituary(self, spec, status, last_words):
        return '{} ended with status {}{}'.format(spec.split(';')[0], status, last_words)


@pytest.fixture
def shell(tmp_path):
    program = Shell(str(tmp_path / 'log'))
    yield program
    assert program.stop(20)


def until(shell, *states, seconds=20):
    """Step until it is in one of ``states``."""
    end = time.monotonic() + seconds
    while shell.step() not in states:
        assert time.monotonic() < end, (shell.state, shell.why)
        time.sleep(0.02)


def written(path, text, seconds=20):
    end = time.monotonic() + seconds
    while not (os.path.exists(path) and text in path.read_text()):
        assert time.monotonic() < end
        time.sleep(0.02)


def test_only_the_desired_program_runs(shell, tmp_path):
    shell.set_desired('echo $SPEC; exec sleep 600')
    assert shell.state == RUNNING and shell.running == 'echo $SPEC; exec sleep 600' and shell.pid
    written(tmp_path / 'log', 'echo $SPEC; exec sleep 600\n')
    first = shell.pid
    shell.set_desired('echo other; exec sleep 600')
    assert shell.state == STOPPING
    until(shell, RUNNING)
    assert shell.pid != first and shell.running == 'echo other; exec sleep 600' and shell.starts == 2
    shell.set_desired(None)
    until(shell, STOPPED)
    assert shell.pid is None and shell.running is None and shell.why == ''


def test_a_crash_is_reported_with_the_last_line_and_retried(shell, tmp_path):
    shell.set_desired('echo one; echo two; exit 3')
    until(shell, WAITING)
    assert shell.why == 'echo one ended with status 3: one / two ({})'.format(tmp_path / 'log')
    until(shell, RUNNING)
    assert shell.starts == 2


def test_a_program_that_cannot_be_started(shell):
    shell.set_desired('missing')
    assert (shell.state, shell.why) == (WAITING, 'There is no such script. Next: write it')
    shell.set_desired('no shell')
    until(shell, WAITING)
    assert 'ended with status 127: /nonexistent/sh' in shell.why


def test_an_unwritable_log(tmp_path):
    program = Shell(str(tmp_path / 'none' / 'log'))
    program.set_desired('true')
    assert (program.state, program.why) == (WAITING, 'It cannot start: No such file or directory.')


#: What roslaunch says about a launch file that does not exist (roslaunch 1.15.15).
ROSLAUNCH = r'''
echo ... logging to /home/robot/.ros/log/x/roslaunch-dev-1-7.log
echo Checking log directory for disk usage. This may take a while.
echo Press Ctrl-C to interrupt
printf '\033]2;drive.launch http://localhost:11311\007'
sleep 0.2
printf '\033[31mRLException: [drive.launch] is neither a launch file in package [my_robot] ' >&2
printf 'nor is [my_robot] a launch file name\033[0m\n' >&2
echo The traceback for the exception was written to the log file >&2
exit 1'''


@pytest.mark.fault('K9', 'The launch file of the team fails', behaviour='the report has its last lines',
                   reported='5 s: team_runner', recovery='1 to 30 s after it was mended', lost='nothing')
def test_a_crash_is_reported_with_its_last_lines(capfd):
    program = Shell()
    program.set_desired('exec 2>&1; ' + ROSLAUNCH)
    until(program, WAITING)
    assert program.why == ('exec 2>&1 ended with status 1: RLException: [drive.launch] is neither a launch file in '
                           'package [my_robot] nor is [my_robot] a launch file name.')
    assert program.stop(20)
    # The output goes where ours goes, whole and unchanged.
    shown = capfd.readouterr()
    assert shown.out.startswith('... logging to /home') and shown.out.endswith('written to the log file\n')


def test_the_output_is_copied_while_it_runs_and_never_stops_it(tmp_path, capfd):
    program = Shell()
    program.set_desired('echo begin; touch {0}/up; while [ ! -e {0}/go ]; do sleep 0.05; done; '
                        'head -c 3000000 /dev/zero | tr "\\0" x; echo; echo the end; exit 5'.format(tmp_path))
    end, text = time.monotonic() + 20, ''
    while text != 'begin\n':
        assert time.monotonic() < end
        text += capfd.readouterr().out
        time.sleep(0.02)
    (tmp_path / 'go').write_text('')
    until(program, WAITING)
    assert len(capfd.readouterr().out) == 3000000 + len('\nthe end\n')
    assert program.why.endswith('x… / the end.') and len(program.why) < 600
    assert program.stop(20)


def test_no_descriptor_is_left(tmp_path):
    program = Shell()
    before = len(os.listdir('/proc/self/fd'))
    for spec in ('true', 'missing', 'no shell', 'true'):
        program.set_desired(spec)
        until(program, WAITING)
        program.set_desired(None)
        until(program, STOPPED)
    assert len(os.listdir('/proc/self/fd')) == before


#: A node of a user's: it holds a lock, and says so when another one has it.
USER_NODE = '''
import fcntl, os, signal, sys, time
lock = open(sys.argv[1] + '/lock', 'w')
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    open(sys.argv[1] + '/twice', 'a').write('{}\\n'.format(os.getpid()))
open(sys.argv[1] + '/pid.new', 'w').write(str(os.getpid()))
os.rename(sys.argv[1] + '/pid.new', sys.argv[1] + '/pid')
time.sleep(600)
'''
#: Like roslaunch: it starts the node in a session of its own.
LAUNCHER = '''
import subprocess, sys
sys.exit(subprocess.Popen([sys.executable, sys.argv[1] + '/node.py', sys.argv[1]], start_new_session=True).wait())
'''
#: Like the overlay node: it ends leftovers, and keeps the launcher running until its standard input ends.
KEEPER = '''
import os, select, sys
sys.path.insert(0, sys.argv[2])
from ua_overlay.system.leftovers import OWNER, Leftovers, marked_processes, owner_of
from ua_overlay.system.supervised import Supervised
class Launcher(Supervised):
    def command(self, spec):
        return [sys.executable, spec + '/launcher.py', spec]
    def environ(self, spec, environ):
        return dict(environ)
    def refusal(self, detail):
        return detail
    def obituary(self, spec, status, last_words):
        return 'ended with status {}'.format(status)
mine = lambda: [process for process in marked_processes() if process.pid != os.getpid()]
leftovers = Leftovers(mine)
launcher = Launcher(environ=dict(os.environ, **{OWNER: owner_of()}))
while not select.select([0], [], [], 0.05)[0]:
    if leftovers.step():
        launcher.set_desired(sys.argv[1])
        print(launcher.pid, flush=True)
sys.exit(0 if launcher.stop(20) else 1)
'''


class Robot:
    """A keeper, a minder (the subreaper), a launcher and a node, as real processes."""

    def __init__(self, directory):
        self.directory, self.keeper = directory, None
        for name, text in (('node', USER_NODE), ('launcher', LAUNCHER), ('keeper', KEEPER)):
            (directory / (name + '.py')).write_text(text)

    def start(self):
        self.keeper = subprocess.Popen([sys.executable, str(self.directory / 'keeper.py'), str(self.directory), SRC],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def node(self, other_than=0):
        """The process id of a node that runs, and is not ``other_than``."""
        path = self.directory / 'pid'
        end = time.monotonic() + 30
        while True:
            if path.exists():
                pid = int(path.read_text())
                if pid != other_than and alive(pid):
                    return pid
            assert time.monotonic() < end, 'no node'
            time.sleep(0.02)

    def minder(self):
        while True:
            line = self.keeper.stdout.readline()
            assert line, 'the keeper ended'
            if line != b'None\n':
                return int(line)

    def stop(self):
        self.keeper.stdin.close()
        status = self.keeper.wait(30)
        self.keeper.stdout.close()  # not before its end: it still writes to it
        return status


def alive(pid):
    try:
        return process.read_stat(pid).state != 'Z'
    except OSError:
        return False


@pytest.mark.fault('K8', 'kill -9 of the minder, the roslaunch or the overlay node, in any combination',
                   behaviour='the nodes of the team run once, never twice', reported='5 s: team_runner',
                   recovery='15 s', lost='what the nodes held in memory')
@pytest.mark.parametrize('victims', [
    victims for number in (1, 2, 3) for victims in itertools.combinations(('keeper', 'minder', 'launcher'), number)],
    ids=' and '.join)
def test_whatever_is_killed_a_node_never_runs_twice(tmp_path, victims):
    robot = Robot(tmp_path)
    robot.start()
    try:
        node, minder = robot.node(), robot.minder()
        launcher, = subreaper.descendants(minder, {
            pid: parent for pid, parent in subreaper.parents(process.list_pids()).items() if parent == minder})
        pids = {'keeper': robot.keeper.pid, 'minder': minder, 'launcher': launcher}
        for name in victims:  # at once: none of them sees another one go
            os.kill(pids[name], signal.SIGSTOP)
        for name in victims:
            os.kill(pids[name], signal.SIGKILL)
        if 'keeper' in victims:
            robot.keeper.wait(5)
            robot.keeper.stdin.close()
            robot.keeper.stdout.close()
            robot.start()
        after = robot.node(other_than=node)
        assert not alive(node) and not (tmp_path / 'twice').exists()
        # A clean stop after all that leaves nothing.
        assert robot.stop() == 0
        assert not alive(after) and not (tmp_path / 'twice').exists()
    finally:
        robot.keeper.kill()
        robot.keeper.wait()
        for found in leftovers.marked_processes():
            if str(tmp_path) in ' '.join(procnet.command_of(found.pid)):
                os.kill(found.pid, signal.SIGKILL)


def test_a_clean_stop_ends_what_a_killed_minder_left(tmp_path):
    """The minder dies just before: the launcher and its node are nobody's children any more."""
    robot = Robot(tmp_path)
    robot.start()
    node, minder = robot.node(), robot.minder()
    launcher, = [pid for pid, parent in subreaper.parents(process.list_pids()).items() if parent == minder]
    os.kill(launcher, signal.SIGKILL)
    os.kill(minder, signal.SIGKILL)
    assert robot.stop() == 0 and not alive(node) and not (tmp_path / 'twice').exists()
