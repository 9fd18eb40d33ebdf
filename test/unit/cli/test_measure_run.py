"""`ua-overlay measure run`: hosts, dry runs and exit statuses. It measures in test/lab/test_measure_run.py."""
import dataclasses
import io
import json
import os

import pytest

from ua_overlay.cli import main, measure_run
from ua_overlay.cli.shared.progress import CampaignProgress
from ua_overlay.measure.campaign import plan, run, sample
from ua_overlay.measure.campaign.store import Store
from ua_overlay.measure.hosts.local_host import LocalHost
from ua_overlay.measure.hosts.process import HostLost
from unit.measure.campaigns import TEXT, of_step, short


def test_a_dry_run_changes_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'c.yaml').write_text(TEXT)
    assert main(['measure', 'run', 'c.yaml', '--dry-run']) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == 'pair+tcp+raw+1' and printed[-1].startswith('10 samples to take, about')
    assert os.listdir(str(tmp_path)) == ['c.yaml']


def test_repetitions_given_as_an_option(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'c.yaml').write_text(TEXT)
    assert main(['measure', 'run', 'c.yaml', '--dry-run', '--repetitions', '6']) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith('30 samples to take, about')
    assert main(['measure', 'run', 'c.yaml', '--dry-run', '--repetitions', '0']) == 2
    assert 'repetitions: 0 is not a whole number' in capsys.readouterr().err


def test_one_place(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'c.yaml').write_text(TEXT + '  - {name: library, from: a, to: b}\n')
    assert main(['measure', 'run', 'c.yaml', '--dry-run', '--place', 'library']) == 0
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == 'library+tcp+overlay+1' and not any('pair' in line for line in printed)
    assert main(['measure', 'run', 'c.yaml', '--dry-run', '--place', 'moon']) == 2
    assert 'No scenario of c.yaml is at moon; they are at library, pair.' in capsys.readouterr().err


def test_the_exit_status_covers_all_requested_samples(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'c.yaml').write_text(TEXT)
    steps = plan.steps(short())
    with Store('results') as store:
        run.keep_description('results', run.describe(short(), {}, {}, False, 0))
        for step in steps:
            store.append(of_step(step, sample.FAILED if step is steps[3] else sample.OK))
    argv = ['measure', 'run', 'c.yaml', '--results', 'results']
    assert main(argv) == 1
    printed = capsys.readouterr().out
    assert 'In results: {} ok, 1 failed or excluded.'.format(len(steps) - 1) in printed and '--again' in printed
    assert main(argv + ['--json']) == 1
    assert json.loads(capsys.readouterr().out) == {'results': 'results', 'taken': 0, 'ok': len(steps) - 1, 'not_ok': 1}
    with Store('results') as store:
        store.append(of_step(dataclasses.replace(steps[3], attempt=2)))
    assert main(argv) == 0
    assert main(argv + ['--dry-run', '--json']) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])['samples'] == []
    (tmp_path / 'c.yaml').write_text(TEXT.replace('count: 5', 'count: 6'))
    assert main(argv) == 2
    assert 'another campaign' in capsys.readouterr().err


def test_ages_require_a_clock_error(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'c.yaml').write_text(TEXT)
    assert main(['measure', 'run', 'c.yaml']) == 2
    printed = capsys.readouterr().err
    assert 'difference of two clocks' in printed and 'clock_error_ms: 0.5' in printed
    assert os.listdir(str(tmp_path)) == ['c.yaml']


class Lost(LocalHost):
    """A host that cannot be reached."""

    def enter(self):
        raise HostLost('{} cannot be reached.'.format(self.name), 'ping ' + self.name)


def test_a_campaign_continues_without_an_unneeded_host():
    steps, progress = plan.steps(short()), CampaignProgress(io.StringIO())
    hosts = {'a': LocalHost('a'), 'b': Lost('b')}
    with pytest.raises(HostLost, match='b cannot be reached'):
        measure_run.check_hosts(hosts, steps, progress)
    other = dataclasses.replace(steps[0], scenario=dataclasses.replace(steps[0].scenario, target='c'))
    measure_run.check_hosts(hosts, steps + [other], progress)
    assert progress.stream.getvalue() == 'b cannot be reached. Its samples will fail. Next: ping b\n'
