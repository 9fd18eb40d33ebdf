"""A thread that fails is logged, reported and started again; it never dies silently."""
import logging
import os
import subprocess
import sys
import threading

import pytest

from ua_overlay.system import thread
from ua_overlay.system.thread import SupervisedThread

FAST = (0.001, 0.002)
LIMIT = 10.0


@pytest.mark.parametrize('error', [ValueError('odd'), RecursionError('deep'), MemoryError(), SystemExit(3),
                                   KeyError('x'), AssertionError()])
def test_work_that_fails_is_reported_and_starts_again(error, caplog):
    calls, reports, again = [], [], threading.Event()

    def run():
        calls.append(1)
        if len(calls) < 3:
            raise error
        again.set()

    watched = SupervisedThread('server probe', run, reports.append, pauses=FAST).start()
    assert again.wait(LIMIT) and watched.join(LIMIT)
    assert watched.failures == 2 and len(reports) == 2
    assert reports[0].startswith('The thread server probe failed: ' + type(error).__name__)
    assert watched.problem == reports[1]
    logged = [record for record in caplog.records if record.exc_info]
    assert [record.levelno for record in logged] == [logging.ERROR] * 2
    assert logged[0].exc_info[1] is error


def test_work_that_returns_is_not_started_again():
    calls = []
    watched = SupervisedThread('once', lambda: calls.append(1), pauses=FAST).start()
    assert watched.join(LIMIT)
    assert calls == [1] and watched.problem == '' and not watched.is_alive()


def test_work_that_is_done_once_is_not_repeated_after_a_failure():
    calls, reports = [], []

    def run():
        calls.append(1)
        raise ValueError('odd')

    assert SupervisedThread('join', run, reports.append, restart=False, pauses=FAST).start().join(LIMIT)
    assert calls == [1] and reports == ['The thread join failed: ValueError: odd.']


def test_stop_ends_a_pause():
    failed = threading.Event()

    def run():
        raise ValueError('odd')

    watched = SupervisedThread('loop', run, lambda sentence: failed.set(), pauses=(3600.0, 3600.0)).start()
    assert failed.wait(LIMIT)
    watched.stop()
    assert watched.join(LIMIT)
    assert watched.failures == 1


def test_a_report_that_fails_is_logged_and_the_work_starts_again(caplog):
    calls, again = [], threading.Event()

    def run():
        calls.append(1)
        if len(calls) == 1:
            raise ValueError('odd')
        again.set()

    def report(sentence):
        raise RuntimeError('the publisher is gone')

    assert SupervisedThread('loop', run, report, pauses=FAST).start().join(LIMIT)
    assert again.is_set()
    assert 'The report of that failure failed, too.' in caplog.text and 'the publisher is gone' in caplog.text


def test_pauses_grow_and_are_reset_after_a_stable_run():
    clock = iter([0.0, 1.0, 2.0, 3.0, 100.0, 200.0])
    pauses = []
    watched = SupervisedThread('loop', lambda: 1 / 0, pauses=(1.0, 30.0), clock=lambda: next(clock))
    watched._stop = Pauses(pauses, 3)
    watched.start().join(LIMIT)
    assert pauses == [1.0, 2.0, 1.0]


class Pauses:
    """An Event whose waits take no time, and which is set after ``count`` of them."""

    def __init__(self, pauses, count):
        self.pauses, self.count = pauses, count

    def is_set(self):
        return len(self.pauses) >= self.count

    def wait(self, seconds):
        self.pauses.append(seconds)


def test_a_thread_does_not_wait_for_itself():
    ends = []
    watched = SupervisedThread('self', lambda: ends.append((watched.join(), watched.is_current())))
    watched.start()
    assert watched.join(LIMIT) and ends == [(False, True)]


def test_join_before_the_start_returns_at_once():
    assert SupervisedThread('never', lambda: None).join()


def test_a_thread_without_which_the_process_is_no_use_ends_it():
    source = ('import logging, time\n'
              'from ua_overlay.system.thread import SupervisedThread, end_process\n'
              'logging.basicConfig()\n'
              'SupervisedThread("control socket", lambda: 1 / 0, end_process).start()\n'
              'time.sleep(60)\n')
    done = subprocess.run([sys.executable, '-c', source], stderr=subprocess.PIPE, universal_newlines=True, timeout=30,
                          env=dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)))
    assert done.returncode == thread.BROKEN
    assert 'ZeroDivisionError' in done.stderr
    assert 'The thread control socket failed: ZeroDivisionError: division by zero. This process ends.' in done.stderr
