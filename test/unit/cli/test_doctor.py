"""The doctor's report."""
import json

import pytest

from ua_overlay.checks.finding import Finding
from ua_overlay.checks.table import IDS
from ua_overlay.cli import doctor, main

FINDINGS = (Finding('daemon', 'OK', 'It answers.'), Finding('half-connected', 'ERROR', 'What.', 'Why.', 'do this'),
            Finding('ports-in', 'UNKNOWN', 'Not seen.'), Finding('clock', 'WARN', 'It is late.'))


def test_report():
    assert doctor.report(FINDINGS) == '''\
ok       daemon              It answers.
ERROR    half-connected      What.
                             why:  Why.
                             next: do this
unknown  ports-in            Not seen.
WARNING  clock               It is late.

1 error, 1 warning; not visible from here: ports-in.'''
    assert doctor.report(FINDINGS[:1]).endswith('\n\nNo problem found.')
    assert '2 errors.' in doctor.report(FINDINGS[1:2] * 2)


@pytest.mark.parametrize('findings, status', [
    (FINDINGS, 1), (FINDINGS[2:], 4), (FINDINGS[2:3], 0), (FINDINGS[:1], 0), ((), 0)])
def test_exit_status(findings, status, monkeypatch, capsys):
    monkeypatch.setattr(doctor, 'run_checks', lambda facts: findings)
    monkeypatch.setattr(doctor.Observer, 'observe', lambda self, parts: None)
    assert main(['doctor', '--json']) == status
    shown = json.loads(capsys.readouterr().out)
    assert [item['id'] for item in shown['findings']] == [item.id for item in findings]
    assert set(shown['not_checked']) == set(IDS) - {item.id for item in findings}


def test_without_a_daemon(tmp_path, capsys):
    assert main(['doctor', '--socket', str(tmp_path / 'none.sock'), '--state-dir', str(tmp_path)]) == 1
    captured = capsys.readouterr()
    assert 'ERROR    daemon              No tailscaled answers at' in captured.out and 'next: sudo' in captured.out
    assert 'Checking this robot' in captured.err
