"""Which topics an observation changes."""
from dataclasses import replace

import pytest

from ua_overlay.checks.facts import Server
from ua_overlay.nodes.server_probe import ServerView
from ua_overlay.nodes.state import LATCHED, LINKS, PEERS, ROS_ENVIRONMENT, STATE, TEAM_RUNNER, NodeState
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.rosenv.report import Report, RunnerReport
from ua_overlay.tailscale.snapshot import Changes, diff, snapshot_of
from unit.checks.healthy import STATUS

SNAPSHOT = snapshot_of(STATUS, 1.0)
KNOWN = ServerView('OK', '', 'https://server.ua.test', Server('https://server.ua.test', key_known=True))


@pytest.fixture
def state():
    made = NodeState()
    assert made.take_snapshot(SNAPSHOT, diff(None, SNAPSHOT)) == LATCHED
    return made


def test_nothing_is_published_before_the_first_snapshot():
    state = NodeState()
    assert state.take_server(KNOWN, 5.0) == state.take_report(Report(env_file='/run/env', actual={'a': 'b'})) == set()
    assert state.take_snapshot(SNAPSHOT, diff(None, SNAPSHOT)) == LATCHED
    assert state.server == KNOWN and state.report.actual == {'a': 'b'}


@pytest.mark.parametrize('changes, topics', [
    (Changes(), set()), (Changes(daemon=True), {STATE}), (Changes(state=True), {STATE}),
    (Changes(self_node=True), {STATE}), (Changes(health=True), {STATE}), (Changes(peers=True), {PEERS}),
    (Changes(links=True), {LINKS}), (Changes(peers=True, links=True, state=True), {STATE, PEERS, LINKS})])
def test_a_snapshot(state, changes, topics):
    assert state.take_snapshot(replace(SNAPSHOT, stamp=2.0), changes) == topics
    assert state.snapshot.stamp == 2.0


def test_the_server(state):
    assert state.take_server(KNOWN, 5.0) == {STATE} and state.server_since == 5.0
    later = replace(KNOWN, facts=replace(KNOWN.facts, clock_offset=1.0))
    assert state.take_server(later, 6.0) == set() and state.server == later
    assert state.take_server(replace(KNOWN, text='It is so.'), 7.0) == {STATE} and state.server_since == 5.0
    assert state.take_server(replace(KNOWN, state='UNREACHABLE', text='It is so.'), 8.0) == {STATE}
    assert state.server_since == 8.0


def test_a_removed_robot(state):
    assert not state.removed
    forgotten = replace(KNOWN, facts=replace(KNOWN.facts, key_known=False))
    state.take_server(KNOWN, 5.0)
    assert state.take_server(forgotten, 6.0) == {STATE} and state.removed
    stopped = snapshot_of(replace(STATUS, state='Stopped'), 2.0)
    state.take_snapshot(stopped, diff(SNAPSHOT, stopped))
    assert not state.removed


def test_a_report(state):
    report = Report(RosEnvironment(master='dev-1', stamp=1.0), {'ROS_MASTER_URI': 'http://a'}, '/run/env')
    assert state.take_report(report) == {ROS_ENVIRONMENT}
    assert state.take_report(replace(report, desired=RosEnvironment(master='dev-1', stamp=2.0))) == set()
    assert state.take_report(replace(report, master_alive=True)) == {ROS_ENVIRONMENT}
    # The path of an env file that does not exist is not shown.
    empty = replace(report, actual={})
    state.take_report(empty)
    assert state.take_report(replace(empty, env_file='/run/user/env')) == set()


def test_a_report_of_the_team_runner(state):
    assert state.take_report(Report(runner=RunnerReport('RUNNING', 'It runs.', starts=1))) == {TEAM_RUNNER}
    assert state.take_report(Report(runner=RunnerReport('RUNNING', 'It runs.', starts=1))) == set()


def test_a_round_trip(state):
    assert state.take_round_trip('dev-1', 'DIRECT', 0.01) == {LINKS}
    assert state.round_trips == {'dev-1': ('DIRECT', 0.01)}
