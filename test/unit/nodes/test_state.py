"""Which topics an observation changes."""
from dataclasses import replace

import pytest

from ua_overlay import link_types
from ua_overlay.checks.facts import Server
from ua_overlay.nodes.server_probe import ServerView
from ua_overlay.nodes.state import LATCHED, LINKS, PEERS, ROS_ENVIRONMENT, STATE, TEAM_RUNNER, NodeState
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.rosenv.report import Report, RunnerReport
from ua_overlay.tailscale.link_history import LinkHistory, LinkRecord
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Link
from ua_overlay.tailscale.path_keeper import HEALED, REBIND, Intervention
from ua_overlay.tailscale.remembered_team import RememberedTeam
from ua_overlay.tailscale.snapshot import Changes, LinkChange, diff, snapshot_of
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


def test_a_team_that_is_remembered(state):
    assert state.remembered_team is None
    alone = replace(SNAPSHOT, status=replace(STATUS, self_node=replace(STATUS.self_node, online=False)))
    state.take_snapshot(alone, diff(SNAPSHOT, alone))
    assert state.remembered_team is None  # the server was not asked yet
    state.take_server(replace(KNOWN, state='UNREACHABLE'), 5.0)
    assert state.remembered_team == RememberedTeam()
    state.stamp = Stamp(5.0, 65.0)
    assert state.remembered_team == RememberedTeam(5.0, 65.0)
    for view, is_remembered in ((KNOWN, False), (replace(KNOWN, state='UNREACHABLE'), True),
                                (replace(KNOWN, state='UNTRUSTED'), True)):
        state.take_server(view, 6.0)
        assert (state.remembered_team is not None) == is_remembered
    # It says that it does not know this robot: nothing to remember.
    state.take_server(replace(KNOWN, facts=replace(KNOWN.facts, key_known=False)), 7.0)
    assert state.removed and state.remembered_team is None


def test_a_removed_robot(state):
    assert not state.removed
    forgotten = replace(KNOWN, facts=replace(KNOWN.facts, key_known=False))
    state.take_server(KNOWN, 5.0)
    assert state.take_server(forgotten, 6.0) == {STATE} and state.removed
    stopped = snapshot_of(replace(STATUS, state='Stopped'), 2.0)
    state.take_snapshot(stopped, diff(SNAPSHOT, stopped))
    assert not state.removed


def test_a_robot_that_the_server_refuses_is_removed_whatever_the_probe_says(state):
    refused = snapshot_of(replace(STATUS, state='NeedsLogin', self_node=replace(STATUS.self_node, expired=True)), 2.0)
    state.take_server(KNOWN, 5.0)
    assert STATE in state.take_snapshot(refused, diff(SNAPSHOT, refused)) and state.removed
    # tailscaled was restarted: no network map any more, and at first no login URL.
    waiting = snapshot_of(replace(STATUS, state='NeedsLogin'), 3.0)
    asked = snapshot_of(replace(STATUS, state='NeedsLogin', auth_url='https://x/register'), 4.0)
    state.take_snapshot(waiting, diff(refused, waiting))
    assert not state.removed
    assert STATE in state.take_snapshot(asked, diff(waiting, asked)) and state.removed


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


def test_changes_of_links_are_remembered_with_their_reasons(state):
    change = Changes(links=True, link_changes=(LinkChange('dev-2', link_types.DIRECT, link_types.DERP),))
    records = state.record_changes(replace(SNAPSHOT, stamp=50.0), change)
    assert [(record.peer, record.reason) for record in records] == [('dev-2', 'tailscaled gave up the path')]
    assert state.history.since('dev-2', link_types.DERP) == 50.0


def test_a_change_right_after_a_rebind_is_its_effect(state):
    record = state.record_intervention(Intervention('dev-2', REBIND, 1.0, 'pings unanswered'), 49.0)
    assert (record.action, record.silent, record.before, record.reason) == (
        REBIND, 1.0, record.after, 'pings unanswered')
    assert state.rebinds == 1
    change = Changes(links=True, link_changes=(LinkChange('dev-2', link_types.DIRECT, link_types.DERP),))
    assert state.record_changes(replace(SNAPSHOT, stamp=50.0), change)[0].reason == 'after a rebind'
    state.record_intervention(Intervention('dev-2', HEALED, 1.1, 'heard again'), 51.0)
    assert state.rebinds == 1 and len(state.history.records()) == 3


def test_a_node_that_starts_again_knows_since_when():
    links = (Link('dev-2', type=link_types.DIRECT), Link('dev-3', type=link_types.DERP))
    snapshot = replace(SNAPSHOT, links=links)
    state = NodeState(LinkHistory([LinkRecord(0.5, 'dev-2', link_types.IDLE, link_types.DIRECT)]))
    records = state.record_changes(snapshot, diff(None, snapshot))
    assert [record.peer for record in records] == ['dev-3']
    assert state.history.since('dev-2', link_types.DIRECT) == 0.5


def test_a_measured_round_trip_waits_for_the_heartbeat(state):
    assert state.take_measurement('dev-2', link_types.DIRECT, 0.01) == set()
    assert state.round_trips == {'dev-2': (link_types.DIRECT, 0.01)}
