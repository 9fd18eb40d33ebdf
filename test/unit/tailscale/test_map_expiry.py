"""A robot that started without its server forgets its team when the time of its map is over; no other robot does."""
import os
import socket
import subprocess
import time

import pytest

from ua_overlay.tailscale import map_expiry
from ua_overlay.tailscale.localapi import DaemonMissing
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import SelfNode, Status

SEEN, UNTIL = 1000.0, 87400.0
STAMP = Stamp(SEEN, UNTIL)
ALONE = {'BackendState': 'Running', 'HaveNodeKey': True, 'Self': {'Online': False}}
CONNECTED = dict(ALONE, Self={'Online': True})
FORGOTTEN = dict(ALONE, BackendState='Starting')


@pytest.mark.parametrize('stamp, started, now, online, is_over', [
    (STAMP, SEEN + 50, UNTIL, False, True), (STAMP, SEEN + 50, UNTIL - 1, False, False),
    (STAMP, SEEN - 50, UNTIL + 1e6, False, False),  # it was connected since it started
    (STAMP, SEEN + 50, UNTIL, True, False), (None, SEEN + 50, UNTIL, False, False)])
def test_when_a_map_is_over(stamp, started, now, online, is_over):
    status = Status(state='Running', self_node=SelfNode(online=online))
    assert map_expiry.is_over(status, stamp, started, now) is is_over
    assert map_expiry.is_over(Status(state='Stopped'), stamp, started, now) is False


class Robot:
    """Plays one moment after another: (time, stamp, status, start of tailscaled); stops the watch behind the last."""

    def __init__(self, moments, failure=None):
        self.moments, self.failure, self.restarts, self.said = list(moments), failure, 0, []
        self.rounds = []

    def wait(self, seconds):
        if not self.moments:
            return True
        self.time, self.stamp, self.answer, self.started = self.moments.pop(0)
        return False

    def status(self, peers=True):
        assert not peers
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def start(self):
        if isinstance(self.started, Exception):
            raise self.started
        return self.started

    def restart(self):
        self.restarts += 1
        if self.failure:
            raise self.failure

    def watch(self):
        map_expiry.watch_expiry(self, lambda: self.stamp, self.start, self.restart, self, self.said.append,
                                lambda: self.time, self.rounds.append)
        return self


@pytest.mark.fault('new', 'A robot was removed while this one was off, which boots without the server and stays on',
                   behaviour='The agent has tailscaled forget the team when the remembered time is over',
                   reported='an hour before: status, doctor, topic state; then the journal', recovery='with the server',
                   lost='the links of a robot that has not reached its server since it booted')
@pytest.mark.parametrize('moments, restarts', [
    ([(UNTIL - 5, STAMP, ALONE, 2000.0), (UNTIL + 5, STAMP, ALONE, 2000.0), (UNTIL + 15, STAMP, FORGOTTEN, UNTIL + 6),
      (UNTIL + 25, STAMP, ALONE, UNTIL + 6)], 1),
    # The server came back in time, or tailscaled has been connected.
    ([(UNTIL + 5, Stamp(UNTIL - 5, UNTIL + 86395), ALONE, 2000.0)], 0), ([(UNTIL + 5, STAMP, CONNECTED, 2000.0)], 0),
    ([(UNTIL + 5, STAMP, ALONE, 500.0)], 0), ([(UNTIL + 5, None, ALONE, 2000.0)], 0),
    # It is starting or ending, or another user's.
    ([(UNTIL + 5, STAMP, DaemonMissing('none'), None), (UNTIL + 15, STAMP, ALONE, 2000.0)], 1),
    ([(UNTIL + 5, STAMP, ALONE, FileNotFoundError()), (UNTIL + 15, STAMP, ALONE, None)], 0),
    # A second absence of the server.
    ([(UNTIL, STAMP, ALONE, 2000.0), (UNTIL * 3, Stamp(UNTIL * 2, UNTIL * 3), ALONE, UNTIL * 2 + 5)], 2)])
def test_restarts(moments, restarts):
    robot = Robot(moments).watch()
    assert robot.restarts == restarts == len(robot.said)
    assert robot.rounds == [''] * len(moments)
    assert all('was forgotten' in sentence for sentence in robot.said)


def test_a_restart_that_fails_is_reported_and_tried_again():
    failure = subprocess.CalledProcessError(1, ['systemctl', 'try-restart', 'tailscaled'])
    robot = Robot([(UNTIL, STAMP, ALONE, 2000.0), (UNTIL + 10, STAMP, ALONE, 2000.0),
                   (UNTIL + 20, STAMP, CONNECTED, 2000.0)], failure).watch()
    sentence, = robot.said
    assert 'since 1970-01-01 00:16:40 UTC' in sentence and sentence.endswith('Next: sudo systemctl restart tailscaled')
    assert robot.restarts == 2
    assert robot.rounds == [sentence.split(' Next: ')[0]] * 2 + ['']


def test_the_start_of_who_listens(tmp_path):
    path = str(tmp_path / 's')
    assert map_expiry.start_of(path) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        assert os.getpid() and 0 < time.time() - map_expiry.start_of(path) < 86400
