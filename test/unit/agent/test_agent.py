"""The agent without tailscaled. With one: test/lab/test_names.py and test_prepare_systemd.py."""
import threading
from concurrent.futures import ThreadPoolExecutor

import hostile
import pytest

from ua_overlay.agent import agent
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.rosenv.hosts import HostsKeeper
from ua_overlay.tailscale.home_derp import HomeReporter
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.operator import maintain_operator
from ua_overlay.trust.servers import derp_servers, remembered


def test_the_duties_end_when_they_are_stopped(tmp_path, monkeypatch):
    """Without tailscaled the operator's loop reports that; the others wait for it silently."""
    monkeypatch.setattr(agent.egress, 'ROBOT', egress.ROBOT._replace(rules=str(tmp_path / 'none.nft')))
    monkeypatch.setattr(agent, 'systemd_runs', lambda: True)
    said, stop = [], threading.Event()

    def say(line):
        said.append(line)
        stop.set()

    duties = agent.duties('robot', str(tmp_path / 'none.sock'), stop, say, str(tmp_path / 'none.pem'))
    assert sorted(duties) == ['egress', 'home', 'identity', 'names', 'operator', 'paths', 'remembered team']
    threads = [threading.Thread(target=loop, daemon=True) for loop in duties.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(said) == 1 and 'Trying again' in said[0]


def test_the_agent_ends_with_the_operator_loop():
    began = {name: threading.Event() for name in ('names', 'egress')}
    forever = threading.Event()

    def loop(name):
        began[name].set()
        forever.wait(60)

    def operator():
        assert all(event.wait(20) for event in began.values())

    agent.run({'names': lambda: loop('names'), 'egress': lambda: loop('egress'), 'operator': operator},
              print)
    assert {thread.name for thread in threading.enumerate() if thread.daemon} >= set(began)
    forever.set()


@pytest.mark.fault('K1', 'A duty of the agent fails unexpectedly', behaviour='the others go on, it is started again',
                   reported='at once: its log, and doctor by what is not maintained', recovery='1 s', lost='nothing')
def test_a_duty_that_fails_is_reported_and_starts_again():
    again, failed, said = threading.Event(), [], []

    def names():
        if not failed:
            failed.append(1)
            raise AttributeError("'str' object has no attribute 'get'")
        again.set()

    agent.run({'names': names, 'operator': lambda: again.wait(20)}, said.append)
    assert again.is_set()
    assert said == ["The thread names failed: AttributeError: 'str' object has no attribute 'get'."]


class Once:
    """A stop that is set after one round."""

    def __init__(self):
        self.rounds = 0

    def is_set(self):
        return self.rounds > 0

    def wait(self, timeout=None):
        self.rounds += 1
        return True


def perform_each_duty(path, hosts):
    """Once; only an OverlayError may come out of it, which each loop expects."""
    names = HostsKeeper(lambda: parse_status(LocalApi(path, 2.0).status()), path=hosts, deadline=0.1)
    for duty in (names.step, lambda: HomeReporter(LocalApi(path, 2.0)).step(Once())):
        try:
            duty()
        except OverlayError as error:
            assert error.sentence
    maintain_operator(LocalApi(path, 2.0), 'robot', Once(), lambda line: None)
    assert all(isinstance(name, str) for name in derp_servers(remembered(LocalApi(path, 2.0).derp_map)()))


@pytest.mark.parametrize('status', [hostile.STOPPED, hostile.RUNNING], ids=['stopped', 'running'])
@pytest.mark.parametrize('good', [(), ('status',)], ids=['at once', 'later'])
def test_every_duty_against_a_hostile_tailscaled(tmp_path, status, good):
    hosts = tmp_path / 'hosts'
    hosts.write_text('127.0.0.1 localhost\n')

    def perform(kind):
        directory = tmp_path / str(hostile.QUICK.index(kind))
        directory.mkdir()
        server = hostile.LocalApi(directory, kind, status, good)
        perform_each_duty(str(directory / hostile.SOCKET), str(hosts))
        server.close()

    with ThreadPoolExecutor(8) as pool:
        assert len(list(pool.map(perform, hostile.QUICK))) == len(hostile.QUICK)
    assert hosts.read_text() == '127.0.0.1 localhost\n'
