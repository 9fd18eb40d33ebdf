"""`ua-overlay measure walk`: one place of a campaign at a time; the results directory remembers the campaign."""
import json

import pytest

from ua_overlay.cli import main, measure_walk
from ua_overlay.measure.campaign import campaign, plan, run
from ua_overlay.measure.campaign.store import Store
from unit.measure.campaigns import of_step

TEXT = '''
version: 1
name: walked
repetitions: 2
tools: {ping: {count: 5, interval: 0.1}}
hosts: {lab: {address: 10.0.0.2, ssh: none}}
places: {library: {name: The Library}, bar: {}}
scenarios:
  - {name: library, from: robot, to: lab, paths: [raw]}
  - {name: bar, from: robot, to: lab, paths: [raw]}
'''


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'walk.yaml').write_text(TEXT)
    return tmp_path


def measured(directory, statuses=(), name='walked'):
    """A results directory with one sample for each given status, in the order of the steps."""
    read = campaign.parse(TEXT.replace('walked', name))
    with Store(str(directory)) as store:
        run.keep_description(str(directory), run.describe(read, {}, {}, False, 0))
        for step, status in zip(plan.steps(read), statuses):
            store.append(of_step(step, status))


@pytest.fixture
def taken(monkeypatch):
    """The steps that would be measured. A mock: test/lab/test_measure_run.py really measures."""
    found = []

    def take(args, read, directory, todo):
        found.extend(step.id for step in todo)
        measured(directory)
        return 0

    monkeypatch.setattr(measure_walk.measure_run, 'take', take)
    return found


def test_only_one_place_is_measured_and_the_others_are_listed(here, taken, capsys):
    assert main(['measure', 'walk', 'library', 'walk.yaml']) == 0
    assert taken == ['library+ping+raw+1', 'library+ping+raw+2']
    assert 'Still to measure: library, bar; 4 samples, about 10 s' in capsys.readouterr().out


def test_the_results_directory_remembers_the_campaign(here, taken):
    measured(here / 'results' / 'walked')
    assert main(['measure', 'walk', 'bar']) == 0
    assert taken == ['bar+ping+raw+1', 'bar+ping+raw+2']


def test_the_last_used_directory_is_the_default(here, taken, capsys):
    import os
    measured(here / 'results' / 'b')
    measured(here / 'results' / 'a', name='other')
    for directory, age in (('a', 100), ('b', 5000)):
        for path in (here / 'results' / directory).iterdir():
            os.utime(str(path), (10 ** 9 - age,) * 2)
    assert main(['measure', 'walk']) == 1
    assert capsys.readouterr().out.startswith('other in results/a\n')


def test_remaining_places(here, capsys):
    measured(here / 'results' / 'walked', ('ok', 'failed', 'ok'))
    assert main(['measure', 'walk', '--json']) == 1
    said = json.loads(capsys.readouterr().out)
    assert [(each['place'], each['ok'], each['not_ok'], each['left']) for each in said['places']] == [
        ('library', 2, 0, 0), ('bar', 0, 1, 1)]
    assert main(['measure', 'walk']) == 1
    said = capsys.readouterr().out
    assert 'The Library' in said and 'Still to measure: bar; 1 sample, about 3 s' in said


def test_all_places_are_measured(here, taken, capsys):
    measured(here / 'results' / 'walked', ('ok', 'failed', 'ok', 'ok'))
    assert main(['measure', 'walk']) == 0
    assert '1 sample failed or were excluded' in capsys.readouterr().out
    assert main(['measure', 'walk', 'library']) == 0 and main(['measure', 'walk', 'bar']) == 1 and taken == []
    assert main(['measure', 'walk', 'bar', '--again']) == 1 and taken == ['bar+ping+raw+1~2']


def test_a_monitor_directory_is_ignored(here, taken, capsys):
    import os
    measured(here / 'results' / 'walked')
    measured(here / 'results' / 'monitored', name='monitored')
    path = here / 'results' / 'monitored' / 'campaign.json'
    said = json.loads(path.read_text())
    said['campaign']['monitor'] = {'capacity': '20mbit'}
    path.write_text(json.dumps(said))
    for each in (here / 'results' / 'walked').iterdir():
        os.utime(str(each), (10 ** 9,) * 2)
    assert main(['measure', 'walk', 'bar']) == 0
    assert capsys.readouterr().out.startswith('walked in results/walked\n')


@pytest.mark.parametrize('argv, said', [
    (['bar'], 'name the campaign.'), (['moon', 'walk.yaml'], 'is at moon; they are at library, bar'),
    (['bar', '--results', 'nowhere'], 'cannot be read'), (['bar', 'none.yaml'], 'cannot be read')])
def test_invalid_command_lines(here, capsys, argv, said):
    assert main(['measure', 'walk'] + argv) == 2
    assert said in capsys.readouterr().err


def test_an_invalid_description(here, capsys):
    (here / 'results' / 'x').mkdir(parents=True)
    (here / 'results' / 'x' / 'campaign.json').write_text('[]')
    assert main(['measure', 'walk', 'bar']) == 2
    assert 'it describes no campaign' in capsys.readouterr().err
