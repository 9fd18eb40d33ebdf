"""The root service, as doctor sees it."""
import os
import socket

from ua_overlay.checks.observe.agent import observe_agent
from ua_overlay.system import instance
from ua_overlay.system.duties import Daemon, Duty, serve, write_duties
from ua_overlay.system.thread import SupervisedThread

NAME = 'test-observe-agent-{}'.format(os.getpid())
AWAY = Daemon(0, 'ua-overlay-agent.service', None)


def test_a_robot_that_was_not_prepared_has_none(tmp_path):
    assert observe_agent(NAME, os.geteuid(), str(tmp_path / 'none')) is None


def test_a_prepared_robot_without_it(tmp_path):
    unit = tmp_path / 'unit'
    unit.write_text('')
    assert observe_agent(NAME, os.geteuid(), str(unit)) == AWAY


def test_one_that_runs(tmp_path):
    unit = tmp_path / 'unit'
    unit.write_text('')
    kept = instance.claim_name(NAME, 'The agent')
    SupervisedThread('health', lambda: serve(kept, lambda: write_duties((Duty('names'),))), restart=False).start()
    found = observe_agent(NAME, os.geteuid(), str(unit))
    assert (found.pid, found.duties) == (os.getpid(), (Duty('names'),))
    assert observe_agent(NAME, os.geteuid() + 1, str(unit)) == AWAY
    kept.shutdown(socket.SHUT_RDWR)
    kept.close()
