"""The duties of a daemon: what counts as failing and hanging, and what a reader sees on a real socket."""
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
from paths import ROOT

from ua_overlay.system import duties, instance
from ua_overlay.system.duties import CRASHES, FAILS, HANGS, OK, Daemon, Duties, Duty, parse_duties, write_duties


class Time:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Time()


def test_a_row_of_failures_has_its_first_time_and_its_last_words(clock):
    known = Duties({'names': 60.0}, clock)
    known.report('names', 'It is full.')
    clock.now += 30
    known.report('names', 'It is away.')
    clock.now += 10
    assert known.list() == (Duty('names', FAILS, 40.0, 'It is away.'),)
    known.report('names', '')
    assert known.list() == (Duty('names', OK, 0.0, ''),)


def test_a_crash_lasts_until_a_round_goes_well(clock):
    known = Duties({'names': 60.0}, clock)
    known.crash('names', 'The thread names failed.')
    clock.now += 5
    known.report('names', 'It is away.')
    assert known.list() == (Duty('names', CRASHES, 5.0, 'It is away.'),)
    known.report('names', '')
    assert known.list()[0].state == OK


def test_a_duty_hangs_when_it_is_silent_for_too_long(clock):
    known = Duties({'names': 60.0, 'egress': 600.0}, clock)
    clock.now += 60
    assert {duty.state for duty in known.list()} == {OK}
    clock.now += 1
    assert known.list() == (Duty('egress'), Duty('names', HANGS, 61.0, ''))
    known.report('names', '')
    assert {duty.state for duty in known.list()} == {OK}


def test_the_text_is_read_back():
    found = (Duty('egress'), Duty('names', HANGS, 61.5, 'It is full.'))
    assert parse_duties(write_duties(found)) == found
    assert len(parse_duties(write_duties((Duty('names', FAILS, 1.0, 'x' * 9999),)))[0].problem) == 500


@pytest.mark.parametrize('change', [
    {'state': 'FINE'}, {'state': []}, {'seconds': -1}, {'seconds': True}, {'seconds': '1'}, {'seconds': 1e300},
    {'name': None}, {'problem': 3}, {'more': 1}], ids=repr)
def test_another_text(change):
    with pytest.raises(ValueError):
        parse_duties(json.dumps({'duties': [dict(Duty('names')._asdict(), **change)]}))


@pytest.mark.parametrize('text', ['', '[]', '{}', '{"duties": 1}', '{"duties": [1]}', 'null'])
def test_no_duties(text):
    with pytest.raises(ValueError):
        parse_duties(text)


def test_hidden_characters_are_escaped():
    assert parse_duties(write_duties((Duty('a\x1b[2J', FAILS, 1.0, 'b\nc'),))) == (
        Duty('a\\x1b[2J', FAILS, 1.0, 'b\\nc'),)


@pytest.fixture
def listening():
    """A listening abstract socket: (its name, it)."""
    name = 'test-duties-{}'.format(os.getpid())
    kept = instance.claim_name(name, 'The test')
    yield name, kept
    kept.shutdown(socket.SHUT_RDWR)
    kept.close()
    for thread in threading.enumerate():
        if thread.name == name:
            thread.join()


def serve(kept, answer):
    def until_shutdown():
        with pytest.raises(OSError):
            duties.serve(kept, answer)

    threading.Thread(target=until_shutdown, name='test-duties-{}'.format(os.getpid())).start()


def test_a_reader_gets_what_is_true_now(listening):
    name, kept = listening
    answers = [(Duty('names'),), (Duty('names', FAILS, 3.0, 'It is full.'),)]
    left = list(answers)
    serve(kept, lambda: write_duties(left.pop(0)))
    for expected in answers:
        found = duties.read(name, os.geteuid())
        assert (found.pid, found.duties) == (os.getpid(), expected)


def test_nobody_has_the_name_or_another_user(listening):
    assert duties.read('test-nobody-{}'.format(os.getpid())) is None
    assert duties.read(listening[0], os.geteuid() + 1) is None


@pytest.mark.parametrize('answer', ['', 'x', '{"duties": [1]}', 'x' * 100000], ids=['none', 'x', 'other', 'long'])
def test_an_answer_that_is_none(listening, answer):
    name, kept = listening
    serve(kept, lambda: answer)
    assert duties.read(name, os.geteuid()).duties is None


def test_a_reader_that_leaves_early_stops_nobody(listening):
    name, kept = listening
    asked = threading.Event()

    def answer():
        asked.wait(20)
        return write_duties((Duty('names'),))

    serve(kept, answer)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as early:
        early.connect(instance.address_of(name))
    asked.set()
    assert duties.read(name, os.geteuid()).duties == (Duty('names'),)


_STOPPED = """
import sys, time
sys.path.insert(0, sys.argv[1])
from ua_overlay.system import duties, instance
kept = instance.claim_name(sys.argv[2], 'The agent')
print('kept', flush=True)
duties.serve(kept, lambda: duties.write_duties((duties.Duty('names'),)))
"""


def test_a_daemon_that_is_stopped_answers_nothing_and_costs_no_time():
    """Of the readers of a stopped one, as many wait as its queue has places; the next ones end at once."""
    name = 'test-stopped-{}'.format(os.getpid())
    with subprocess.Popen([sys.executable, '-c', _STOPPED, os.path.join(ROOT, 'src'), name],
                          stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b'kept\n'
        assert duties.read(name, os.geteuid()).duties == (Duty('names'),)
        process.send_signal(signal.SIGSTOP)
        assert duties.read(name, os.geteuid(), 0.2) == Daemon(process.pid, instance._unit(), None)
        for _ in range(20):
            duties.read(name, os.geteuid(), 0.01)
        began = time.monotonic()
        assert duties.read(name, os.geteuid(), 20.0) == Daemon(0, '', None)
        assert time.monotonic() - began < 10
        process.send_signal(signal.SIGCONT)
        deadline = time.monotonic() + 20
        while duties.read(name, os.geteuid()).duties is None:
            assert time.monotonic() < deadline
        process.kill()
    assert duties.read(name, os.geteuid()) is None
