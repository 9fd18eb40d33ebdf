"""The relay's tailscaled and its keeper: a played program, and a played node. Real ones: test/lab."""
import time

import pytest

from ua_overlay.relays.relay import RelaySettings
from ua_overlay.relays.relay_health import RelayFacts
from ua_overlay.relays.relay_process import RelayProcess


class Node:
    """Plays RelayNode: a relay that works."""

    port = 40000

    def __init__(self, *arguments):
        self.arguments, self.pids = arguments, []

    def bring_up(self):
        pass

    def reset_port(self):
        pass

    def facts(self, pid):
        self.pids.append(pid)
        return RelayFacts('', 'Running', True, self.port, True)


@pytest.fixture
def made(tmp_path):
    program, nodes, said = tmp_path / 'tailscaled', [], []
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)

    def make_node(*arguments):
        nodes.append(Node(*arguments))
        return nodes[0]

    settings = RelaySettings(str(tmp_path), '/x.sock', '/ca.pem', 'https://s.test:1', 'relay', 40000, ())
    process = RelayProcess(lambda name: str(tmp_path / name), settings, 'source', str(tmp_path / 'log'), said.append,
                           time.monotonic, 5.0, make_node)
    yield process, nodes[0], said
    process.stop()


def wait(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_its_keeper_sees_the_process_that_runs(made, tmp_path):
    process, node, said = made
    assert node.arguments == (str(tmp_path / 'tailscale'), node.arguments[1], 'source')
    assert process.report()['state'] == 'starting' and process.report()['pid'] is None
    process.start()
    wait(lambda: process.report()['ok'])
    first = process.report()['pid']
    assert set(node.pids) == {first} and said == ['The peer relay is up (UDP 40000).']
    process.ask_restart()
    process.step()
    second = process.report()['pid']
    assert second not in (None, first)
    # It is brought up and looked at again at once.
    wait(lambda: second in node.pids)
    assert process.log_problem == ''


def test_it_ends(made):
    process, _, _ = made
    process.start()
    process.stop()
    assert process._daemon.pid is None
