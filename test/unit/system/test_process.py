import ctypes
import os
import signal
import subprocess
import sys
import time

import pytest

from ua_overlay.system import process

STUBBORN = 'import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)'


def test_a_name_may_contain_any_character():
    text = '7 (a) b) S 1 7 7 0 -1 4194304 0 0 0 0 0 0 0 0 20 0 1 0 4711 0'
    stat = process.parse_stat(text)
    assert (stat.name, stat.state, stat.parent, stat.start) == ('a) b', 'S', 1, 4711)


def test_this_process():
    stat = process.read_stat(os.getpid())
    assert stat.parent == os.getppid() and stat.state in 'RS' and 0 < stat.start
    assert os.getpid() in process.list_pids()


def test_when_a_process_started():
    began = time.time()
    with subprocess.Popen(['sleep', '60']) as child:
        assert process.started_at(child.pid) == pytest.approx(began, abs=5.0)
        assert process.started_at(os.getpid()) <= process.started_at(child.pid)
        child.kill()
    with pytest.raises(OSError):
        process.started_at(child.pid)


def test_an_ended_process():
    with pytest.raises(FileNotFoundError):
        process.read_stat(2 ** 22 + 1)


def test_a_process_sets_its_name_death_signal_and_subreaper_flag():
    """In a process of their own: they last as long as it does."""
    code = ('import ctypes, os\nfrom ua_overlay.system import process\n'
            'process.set_name("ua-test")\nprocess.set_death_signal(10)\nprocess.become_subreaper()\n'
            'found = [ctypes.c_int(), ctypes.c_int()]\n'
            'for option, value in zip((2, 37), found): ctypes.CDLL(None).prctl(option, ctypes.byref(value), 0, 0, 0)\n'
            'print(process.read_stat(os.getpid()).name, *(value.value for value in found))\n')
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, universal_newlines=True,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.stdout == 'ua-test 10 1\n'


def test_a_kernel_error_is_raised():
    with pytest.raises(OSError, match='prctl'):
        process.set_death_signal(ctypes.c_uint(-1).value)


@pytest.mark.parametrize('code, number', [
    ('print(1, flush=True); input()', signal.SIGTERM), (STUBBORN, signal.SIGKILL)])
def test_a_process_is_stopped(code, number):
    with subprocess.Popen([sys.executable, '-c', code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout.readline() == b'1\n'
        process.end(child, 0.2 if number == signal.SIGKILL else 20)
        assert child.returncode == -number
        process.end(child, 1)  # it is gone already
