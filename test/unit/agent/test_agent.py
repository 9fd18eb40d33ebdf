"""The agent without tailscaled. With one: test/lab/test_names.py and test_prepare_systemd.py."""
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import hostile
import pytest

from ua_overlay.agent import agent
from ua_overlay.checks.agent import PATIENCE
from ua_overlay.checks.agent import agent as judge
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.observe.agent import observe_agent
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.rosenv.hosts import HostsKeeper
from ua_overlay.system import instance
from ua_overlay.system.duties import CRASHES, FAILS, HANGS
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
    rounds = {name: [] for name in duties}
    threads = [threading.Thread(target=loop, args=(rounds[name].append,), daemon=True)
               for name, loop in duties.items()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert len(said) == 1 and 'Trying again' in said[0]
    assert rounds['operator'] == [said[0].replace(' Trying again.', '')]
    assert rounds['egress'] == ['']


def test_the_agent_ends_with_the_operator_loop():
    began = {name: threading.Event() for name in ('names', 'egress')}
    forever = threading.Event()

    def loop(name):
        began[name].set()
        forever.wait(60)

    def operator():
        assert all(event.wait(20) for event in began.values())

    agent.run({'names': lambda on_round: loop('names'), 'egress': lambda on_round: loop('egress'),
               'operator': lambda on_round: operator()}, print)
    assert {thread.name for thread in threading.enumerate() if thread.daemon} >= set(began)
    forever.set()


@pytest.mark.fault('K1', 'A duty of the agent fails unexpectedly', behaviour='the others go on, it is started again',
                   reported='at once: its log, status, doctor, diagnostics', recovery='20 s', lost='nothing')
def test_a_duty_that_fails_is_reported_and_starts_again():
    again, failed, said = threading.Event(), [], []

    def names(on_round):
        if not failed:
            failed.append(1)
            raise AttributeError("'str' object has no attribute 'get'")
        assert looked.wait(20)
        on_round('')
        again.set()
        stop.wait(20)

    looked, stop = threading.Event(), threading.Event()
    with Agent({'names': names}, said.append) as name:
        found = wait_for(name, lambda duty: duty.state == CRASHES)
        assert said == [found.problem]
        assert found.problem == "The thread names failed: AttributeError: 'str' object has no attribute 'get'."
        verdict, = judge(facts_of(name))
        assert verdict.level == 'WARN' and 'The duty "names" of the root service fails since ' in verdict.what
        looked.set()
        assert again.wait(20)
        assert judge(facts_of(name)).level == 'OK'
        stop.set()


@pytest.mark.fault('K1', 'A duty of the agent keeps failing, or hangs', behaviour='the others go on',
                   reported='60 s: status, doctor, diagnostics; if it hangs 120 s (operator 180 s, egress 600 s)',
                   recovery='with its next round', lost='nothing')
def test_a_duty_that_keeps_failing_or_hangs_is_named_with_its_time():
    stop = threading.Event()

    def fails(on_round):
        on_round('There is no room.')
        stop.wait(20)

    clock = [0.0]
    with Agent({'names': fails, 'home': lambda on_round: stop.wait(20)}, print, lambda: clock[0]) as name:
        wait_for(name, lambda duty: duty.state == FAILS)
        assert judge(facts_of(name)).level == 'OK'
        clock[0] = PATIENCE
        verdict, = judge(facts_of(name))
        assert verdict.level == 'WARN' and verdict.what.endswith(': There is no room.')
        clock[0] = agent.SILENT_AFTER + 1
        assert {duty.name: duty.state for duty in observe_agent(name, os.geteuid(), '').duties} == {
            'home': HANGS, 'names': HANGS, 'operator': 'OK'}
        assert [verdict.level for verdict in judge(facts_of(name))] == ['ERROR', 'ERROR']
        clock[0] = agent.SILENT_AFTER_OF['operator'] + 1
        assert [verdict.what.split('"')[1] for verdict in judge(facts_of(name))] == ['home', 'names', 'operator']
        stop.set()


class Agent:
    """An agent with these loops and an operator that waits, until the end of the block, which gets its name."""

    def __init__(self, loops, say, clock=time.monotonic):
        self._end = threading.Event()
        self._loops = dict(loops, operator=lambda on_round: self._end.wait(60))
        self._say, self._clock = say, clock

    def __enter__(self):
        name = 'test-agent-{}-{}'.format(os.getpid(), id(self))
        self._kept = instance.claim_name(name, 'The agent')
        self._thread = threading.Thread(target=agent.run, args=(self._loops, self._say, self._kept, self._clock))
        self._thread.start()
        return name

    def __exit__(self, *unused):
        self._end.set()
        self._thread.join()
        self._kept.shutdown(socket.SHUT_RDWR)  # ends its threads, which would keep the name
        self._kept.close()


def test_the_thread_that_answers_ends_with_its_socket():
    """It would report the closed socket for ever, in whatever runs next in this process."""
    said, before = [], threading.enumerate()
    with Agent({}, said.append) as name:
        wait_for(name, lambda duty: duty.name == 'operator')
        threads = [each for each in threading.enumerate() if each.name == 'health' and each not in before]
    for thread in threads:
        thread.join(20)
    assert len(threads) == 1 and not threads[0].is_alive() and said == []


def facts_of(name):
    return Facts(now=time.time(), agent=observe_agent(name, os.geteuid(), ''))


def wait_for(name, good):
    """The first duty that is ``good``."""
    deadline = time.monotonic() + 20
    while True:
        found = [duty for duty in observe_agent(name, os.geteuid(), '').duties if good(duty)]
        if found:
            return found[0]
        assert time.monotonic() < deadline


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
