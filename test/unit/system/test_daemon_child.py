"""A child that is always there: real processes."""
import os
import signal
import time

import pytest

from ua_overlay.system.child import Child
from ua_overlay.system.daemon_child import DaemonChild


@pytest.fixture
def said():
    return []


@pytest.fixture
def daemon(tmp_path, said):
    started = []
    made = DaemonChild(Child('sleeper', ['sleep', '600'], str(tmp_path / 'log')), said.append, time.monotonic, 5.0,
                       lambda: started.append(1))
    made.started = started
    yield made
    made.stop()


def test_it_restarts_only_if_it_was_asked_to(daemon, said):
    assert daemon.pid is None and daemon.report() == {'pid': None, 'restarts': 0}
    daemon.start()
    first = daemon.pid
    daemon.step()
    assert daemon.pid == first and said == []
    daemon.ask_restart()
    daemon.step()
    second = daemon.pid
    assert second not in (None, first) and len(daemon.started) == 2
    daemon.step()
    # One request, one restart; it did not end by itself.
    assert daemon.pid == second and daemon.report() == {'pid': second, 'restarts': 0} and said == []


def test_one_that_ended_starts_again_after_a_pause(daemon, said):
    daemon.start()
    first = daemon.pid
    os.kill(first, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while daemon.pid in (None, first):
        daemon.step()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert said == ['sleeper ended (exit status -9); next start in 1 s.', 'sleeper started again.']
    assert daemon.report()['restarts'] == 1


def test_a_program_that_is_being_replaced_is_tried_again(tmp_path, said):
    program = tmp_path / 'program'
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)
    clock = [0.0]
    daemon = DaemonChild(Child('it', [str(program)], str(tmp_path / 'log')), said.append, lambda: clock[0], 5.0)
    daemon.start()
    program.rename(tmp_path / 'away')
    daemon.restart()
    assert said == ['it cannot be started: No such file or directory.'] and daemon.pid is None
    (tmp_path / 'away').rename(program)
    for clock[0] in (1.0, 2.0, 3.0):
        daemon.step()
    assert daemon.pid is not None
    daemon.stop()
