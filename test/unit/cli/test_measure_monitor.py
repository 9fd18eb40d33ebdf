"""`ua-overlay measure monitor`: plans, the last values, and lines of output. Its rounds: test/unit/measure/monitor."""
import dataclasses
import json
import os

import pytest

from ua_overlay.cli import main
from ua_overlay.cli import measure_monitor as command
from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.campaign.store import Store
from ua_overlay.measure.monitor import status as monitor_status
from unit.measure.campaigns import of_step
from unit.measure.monitor.days import START, TEXT, plan_of


@pytest.fixture
def plan():
    return plan_of()


@pytest.fixture
def sample(plan):
    """A sample of a round trip over a direct link."""
    return dataclasses.replace(of_step(plan.steps(0)[0], 'ok', {'rtt_ms': [1.0, 2.0, 9.0]}),
                               started='2026-01-01T00:00:00.000Z', proof=Proof({'DIRECT': 9}))


@pytest.fixture
def campaign_file(tmp_path):
    path = tmp_path / 'monitor.yaml'
    path.write_text(TEXT)
    return str(path)


def test_a_dry_run_measures_nothing(campaign_file, tmp_path, capsys):
    assert main(['measure', 'monitor', campaign_file, '--dry-run', '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer['probes'] == ['pair/ping/overlay', 'pair/tcp/overlay'] and answer['interval_s'] == 300
    assert main(['measure', 'monitor', campaign_file, '--dry-run']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == answer['probes'] and lines[2].startswith('A round every 5 min, about ')
    assert os.listdir(str(tmp_path)) == ['monitor.yaml']


@pytest.mark.parametrize('argv', [[], ['monitor.yaml', '--rounds', '0']])
def test_a_campaign_and_at_least_one_round_are_required(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(['measure', 'monitor'] + argv)
    assert caught.value.code == 2
    assert 'Give a CAMPAIGN.yaml or --show DIR; --rounds must be 1 or more.' in capsys.readouterr().err


def test_the_last_values_are_shown(plan, sample, tmp_path, capsys):
    status = monitor_status.after(monitor_status.first(plan, START), sample)
    monitor_status.write(str(tmp_path), dict(status, state='stopped', rounds=1), START)
    assert main(['measure', 'monitor', '--show', str(tmp_path)]) == 0
    header, row, summary = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ['PROBE', 'LAST', 'STATUS', 'VALUE']
    assert row.split()[:6] == ['pair/ping/overlay', '2026-01-01T00:00:00Z', 'ok', '2', 'ms', 'DIRECT']
    assert summary.startswith('stopped; 1 rounds since 2026-01-01T00:00:00')
    assert main(['measure', 'monitor', '--show', str(tmp_path), '--json']) == 0
    assert json.loads(capsys.readouterr().out)['rounds'] == 1


@pytest.mark.fault('K1', 'A monitor is killed (kill -9, power)', behaviour='--show does not repeat that it runs',
                   reported='at once: measure monitor --show', recovery='-', lost='the sample in progress')
def test_a_monitor_that_was_killed_does_not_run(plan, sample, tmp_path, capsys):
    status = monitor_status.after(monitor_status.first(plan, START), sample)
    monitor_status.write(str(tmp_path), status, START)

    def shown():
        assert main(['measure', 'monitor', '--show', str(tmp_path)]) == 0
        words = capsys.readouterr().out.splitlines()[-1].split(';')[0]
        assert main(['measure', 'monitor', '--show', str(tmp_path), '--json']) == 0
        return words, json.loads(capsys.readouterr().out)['alive']

    with Store(str(tmp_path)):
        assert shown() == ('running', True)
    assert shown() == ('killed', False)


@pytest.mark.parametrize('text', [
    '[]', '{"schema": 1, "state": "running"}', '{"schema": 1, "state": "running", "name": "x", "started": "x", '
    '"updated": "x", "rounds": 1, "probes": {"a": {}}}', '{"schema": 1, "state": []}'])
def test_an_invalid_status_file(tmp_path, capsys, text):
    (tmp_path / 'status.json').write_text(text)
    assert main(['measure', 'monitor', '--show', str(tmp_path)]) == 1
    assert str(tmp_path) in capsys.readouterr().err


def test_one_line_per_sample(sample, capsys):
    command.print_line(sample, '')
    assert capsys.readouterr().out == '2026-01-01T00:00:00Z pair/ping/overlay ok 2 ms DIRECT\n'
    failed = dataclasses.replace(sample, status='failed', problem='b does not answer.', values={})
    command.print_line(failed, 'The disk is full.')
    captured = capsys.readouterr()
    assert captured.out.endswith('failed DIRECT b does not answer.\n') and captured.err == 'The disk is full.\n'


def test_one_json_line_per_sample(sample, capsys):
    command.print_json(sample, '')
    answer = json.loads(capsys.readouterr().out)
    assert (answer['probe'], answer['value'], answer['unit'], answer['link']) == (
        'pair/ping/overlay', 2.0, 'ms', 'DIRECT')
