"""The status of the overlay node in /diagnostics. The topic itself: test/lab/test_ros.py."""
from dataclasses import replace

import pytest

from ua_overlay.checks.facts import ClockOffset, Server
from ua_overlay.checks.robot import when
from ua_overlay.errors import Problem
from ua_overlay.rosenv.report import Report, RunnerReport
from ua_overlay.system.duties import HANGS, Daemon, Duty
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Link
from ua_overlay.tailscale.snapshot import Snapshot
from unit.checks.healthy import DESIRED, NOW, STATUS, TEAM

pytest.importorskip('diagnostic_msgs', reason='ROS is not installed')
diagnostics = pytest.importorskip('ua_overlay.nodes.diagnostics', reason='ROS is not installed')

OK, WARN, ERROR = 0, 1, 2
SNAPSHOT = Snapshot(NOW, STATUS, (Link('dev-1', type='DIRECT'), Link('dev-3', type='IDLE')))
SERVER = Server('https://server.ua.test:8080', None, 0, NOW + 60 * 86400, NOW + 3000 * 86400, True, ())
REPORT = Report(DESIRED, TEAM, '/run/ua_overlay/env', master_alive=True)


def statuses(snapshot=SNAPSHOT, server=SERVER, report=REPORT):
    return diagnostics.statuses(snapshot, server, report, NOW)


def test_a_healthy_robot():
    groups = statuses()
    assert set(groups) == {'daemon', 'server', 'links', 'environment', 'runner'}
    assert {group.level for group in groups.values()} == {OK}
    assert groups['links'].text == 'Links: 1 DIRECT, 1 IDLE.'
    assert groups['links'].values['dev-1'] == 'DIRECT'
    assert groups['daemon'].values['dns name'] == 'dev-2.overlay.internal'
    assert groups['environment'].values['master'].startswith('OK: ')


def test_the_worst_finding_is_the_headline_with_its_next_command():
    groups = statuses(server=replace(SERVER, problem=Problem('SERVER_UNREACHABLE', 'It is away.', 'do this')))
    assert (groups['server'].level, groups['server'].text) == (ERROR, 'It is away. Next: do this')
    assert groups['server'].values['server'].startswith('ERROR: It is away.')


def test_the_clock_of_the_masters_robot_in_milliseconds():
    groups = diagnostics.statuses(SNAPSHOT, SERVER, REPORT, NOW, (ClockOffset('dev-1', 0.3, 0.002),))
    assert groups['environment'].level == WARN and '+300 ms' in groups['environment'].text
    assert groups['environment'].values['team-clocks'].startswith('WARN: ')
    assert 'team-clocks' not in statuses()['environment'].values


def test_the_words_of_tailscaled():
    said = replace(SNAPSHOT, status=replace(STATUS, health=('setting up filter/ts-input: no such table',)))
    assert statuses(said)['daemon'].level == ERROR
    assert statuses(said)['daemon'].text.startswith('tailscaled says: setting up filter/ts-input')


def test_without_tailscaled():
    gone = Snapshot(NOW, daemon_error=Problem('NO_DAEMON', 'No tailscaled answers.', 'start it'))
    groups = statuses(gone, Server(), Report())
    assert (groups['daemon'].level, groups['daemon'].text) == (ERROR, 'No tailscaled answers. Next: start it')
    assert (groups['links'].level, groups['links'].text) == (OK, 'no peers')
    assert (groups['server'].level, groups['server'].text) == (OK, 'not checked: this robot is in no team')
    assert groups['environment'].level == OK


def test_a_duty_of_the_root_service_that_hangs(monkeypatch):
    hangs = Daemon(7, 'ua-overlay-agent.service', (Duty('names', HANGS, 130.0),))
    monkeypatch.setattr(diagnostics, 'observe_agent', lambda: hangs)
    group = statuses()['daemon']
    assert group.level == ERROR and 'The duty "names" of the root service hangs since ' in group.text
    assert group.text.endswith(' Next: sudo systemctl restart ua-overlay-agent.service')


def test_unobservable_facts_raise_no_alarm():
    """For example the egress rule, which only root can read."""
    assert 'egress' not in statuses()['daemon'].values


@pytest.mark.parametrize('state, level', [('OFF', OK), ('RUNNING', OK), ('STOPPING', WARN), ('WAITING', WARN),
                                          ('FAILED', ERROR)])
def test_the_team_runner(state, level):
    runner = RunnerReport(state, 'This is why.', ('arm', 't.launch'), starts=2)
    status = statuses(report=replace(REPORT, runner=runner))['runner']
    assert (status.level, status.text) == (level, state + ': This is why.')
    assert (status.values['launch'], status.values['starts']) == ('arm t.launch', '2')


def test_a_team_runner_without_a_team_raises_no_alarm():
    assert statuses(report=Report(runner=RunnerReport('WAITING', 'No overlay.')))['runner'].level == OK


def test_the_server_is_away_and_the_team_is_remembered():
    alone = replace(SNAPSHOT, status=replace(STATUS, self_node=replace(STATUS.self_node, online=False)))
    away = replace(SERVER, problem=Problem('SERVER_UNREACHABLE', 'It is away.', 'do this'))
    stamp = Stamp(NOW - 100, NOW + 7200)
    values = diagnostics.statuses(alone, away, REPORT, NOW, stamp=stamp)['server'].values
    assert values['remembered-team'].startswith('WARN: The server has been away since ' + when(stamp.seen))
    assert (values['remembered since'], values['remembered until']) == (when(stamp.seen), when(stamp.until))
    values = statuses()['server'].values
    assert (values['remembered since'], values['remembered until']) == ('', '')


def test_the_message():
    message = diagnostics.diagnostic_array('dev-2', statuses(), NOW)
    assert [status.name for status in message.status] == [
        'dev-2: overlay: ' + group for group in ('daemon', 'environment', 'links', 'runner', 'server')]
    assert {status.hardware_id for status in message.status} == {'dev-2'}
    assert message.header.stamp.to_sec() == NOW
    keys = [pair.key for pair in message.status[0].values]
    assert keys == sorted(keys) and 'version' in keys
