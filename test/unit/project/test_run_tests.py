"""dev/run_tests.py: selection and order of groups, start of the next group, and results."""
import importlib.util
import os
import sys

import pytest
from paths import ROOT

LAB = os.path.join(ROOT, 'test', 'lab')


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def runner(monkeypatch, tmp_path):
    module = load('run_tests', os.path.join(ROOT, 'dev', 'run_tests.py'))
    monkeypatch.setattr(module, 'RESULTS', str(tmp_path))
    monkeypatch.setattr(module, 'RECORD', str(tmp_path / 'durations.json'))
    monkeypatch.setattr(module, 'POLL', 0.01)
    monkeypatch.setattr(module, 'may_start', lambda running, idle: running < 2)
    return module


def test_each_lab_file_is_in_one_group():
    groups = load('groups', os.path.join(LAB, 'groups.py')).GROUPS
    listed = [file for files in groups.values() for file in files]
    assert sorted(listed) == sorted(name for name in os.listdir(LAB) if name.startswith('test_'))


def test_unit_tests_come_first_and_then_the_longest(runner):
    groups = [runner.Group(name, []) for name in ('short', 'long', 'new', 'floor', 'unit')]
    record = {'short': {'seconds': 3}, 'long': {'seconds': 30}, 'unit': {'seconds': 1}, 'floor': {'seconds': 2}}
    assert [group.name for group in runner.in_order(groups, record)] == ['floor', 'unit', 'new', 'long', 'short']


def test_only_groups_with_a_chosen_test_run(runner):
    groups = [runner.Group('unit', [], ('test/unit',)), runner.Group('c', [], ('test/lab/test_c.py',)),
              runner.Group('a', [], ('test/lab/test_a.py', 'test/lab/test_b.py'))]
    names = [group.name for group in runner.chosen(groups, ['test/lab/test_b.py::test_x[1]', '1 test'])]
    assert names == ['a']
    assert [group.name for group in runner.chosen(groups, ['test/unit/trust/test_ca.py::test_x'])] == ['unit']
    assert runner.chosen(groups, []) == [] and runner.choose(groups, []) == groups


def test_quick_runs_the_unit_tests_in_parts_and_one_lab_test(runner):
    seconds = {'cli': 5.0, 'trust': 4.0, 'system': 3.0, 'hostile': 9.0, 'fuzz': 9.0, 'test_wtf.py': 1.0}
    groups = runner.quick_groups(runner.unit_groups('/cache') + runner.lab_groups(), seconds, 2)
    assert [(group.name, group.argv[3:]) for group in groups] == [
        ('main-job', ['test/lab/test_main_job.py']), ('unit-1', ['test/unit/cli', 'test/unit/test_wtf.py']),
        ('unit-2', ['test/unit/system', 'test/unit/trust'])]
    assert [group.argv[3:] for group in runner.quick_groups(groups[:0] + runner.unit_groups('/cache'), seconds, 9)] == [
        ['test/unit/' + path] for path in ('cli', 'trust', 'system', 'test_wtf.py')]


def test_every_unit_test_has_its_share_of_quick(runner):
    unit = os.path.join(ROOT, 'test', 'unit')
    holders = {name for name in os.listdir(unit) if name.startswith('test_') or os.path.isfile(
        os.path.join(unit, name, '__init__.py'))}
    assert set(runner.unit_seconds({})) == holders and all(runner.unit_seconds({}).values())
    record = {'unit': {'tests': {'test/unit/cli/test_main.py::test_x': 2.0, 'test/unit/test_wtf.py::test_y': 1.0}}}
    assert {path: each for path, each in runner.unit_seconds(record).items() if each} == {
        'cli': 2.0, 'test_wtf.py': 1.0}


def test_the_next_group_starts_when_resources_are_free():
    module = load('run_tests', os.path.join(ROOT, 'dev', 'run_tests.py'))
    few = module.LEAST
    assert module.may_start(few - 1, None) and module.may_start(few - 1, 0.0) and module.may_start(few, 0.9)
    assert not module.may_start(few, None) and not module.may_start(few, 0.1) and not module.may_start(module.MOST, 0.9)


def test_reasons_are_the_failure_summary_of_pytest(runner):
    text = '\n'.join(['test_a.py ..F'] + ['=== FAILURES ==='] + [str(number) for number in range(10)])
    assert runner.why_of(text) == '\n'.join(['=== FAILURES ==='] + [str(number) for number in range(10)])
    assert runner.why_of(text, 4).splitlines() == ['=== FAILURES ===', '0', '… 7 lines more in results/tests/output …',
                                                  '8', '9']
    assert runner.why_of('crashed') == 'crashed'


def test_idle_time_covers_the_last_seconds(runner):
    now, ticks = [0.0], [(0, 0)]
    idle = runner.Idle(lambda: ticks[0], lambda: now[0])
    for second, value in ((0, (0, 0)), (2, (200, 200)), (3, (300, 300))):
        now[0], ticks[0] = second, value
        assert idle.share() is None
    now[0], ticks[0] = 4.0, (300, 400)
    assert idle.share() == 0.75
    now[0], ticks[0] = 8.0, (300, 800)
    assert idle.share() == 0.0
    idle.forget()
    assert idle.share() is None


def test_overall_result(runner):
    assert runner.result_of([0, 0, 5]) == 0 and runner.result_of([5, 5]) == 5
    assert runner.result_of([0, 1, 3]) == 1 and runner.result_of([0, 3]) == 3


def python(code):
    return [sys.executable, '-c', code]


#: Ends when the other one runs too.
MEET = '''
import os, time
open({own!r}, 'w').close()
while not os.path.exists({other!r}):
    time.sleep(0.01)
print('== 1 passed in 1 s ==')
'''


def test_groups_run_in_parallel_and_report_their_results(runner, tmp_path):
    said = []
    places = {name: str(tmp_path / ('meet-' + name)) for name in 'ab'}
    groups = [runner.Group(name, python(MEET.format(own=places[name], other=places[other]))) for name, other in (
        'ab', 'ba')]
    groups.append(runner.Group('c', python('print("why"); raise SystemExit(1)')))
    groups.append(runner.Group('d', python('raise SystemExit(5)')))
    record = {}
    finished = runner.run(groups, [], record, said.append)
    assert {group.name: done.status for group, done in finished} == {'a': 0, 'b': 0, 'c': 1, 'd': 5}
    assert [line for line in said if line.startswith('ok ')][0].endswith('1 passed')
    assert any(line.startswith('FAILED') and ' c ' in line for line in said) and 'why' in said
    assert sorted(record) == ['a', 'b', 'd'] and record['a']['seconds'] < 60


def test_exit_first_starts_nothing_more_and_arguments_record_nothing(runner, monkeypatch):
    monkeypatch.setattr(runner, 'may_start', lambda running, idle: running == 0)
    groups = [runner.Group('passes', python('')), runner.Group('fails', python('raise SystemExit(1)')),
              runner.Group('never', python(''))]
    record = {}
    finished = runner.run(groups, ['-x'], record, lambda text: None)
    assert [group.name for group, _ in finished] == ['passes', 'fails'] and record == {}


def test_junit_durations_are_recorded(runner, tmp_path):
    path = tmp_path / 'x.xml'
    path.write_text('<testsuites><testsuite><testcase file="test/lab/test_a.py" name="test_b[1]" time="2.5"/>'
                    '</testsuite></testsuites>')
    assert runner.tests_of(str(path)) == {'test/lab/test_a.py::test_b[1]': 2.5}
    assert runner.tests_of(str(tmp_path / 'none')) == {}
    runner.write_record({'a': {'seconds': 1}})
    assert runner.read_record() == {'a': {'seconds': 1}}


def test_a_path_runs_pytest_directly(runner, monkeypatch):
    calls = []
    monkeypatch.setattr(runner.subprocess, 'run', lambda argv, cwd: calls.append(argv) or type('Done', (), {
        'returncode': 3}))
    arguments = ['test/unit/test_tags.py::test_x', '-q']
    assert runner.main(arguments) == 3 and calls == [[sys.executable, '-m', 'pytest'] + arguments]


def test_numbers_of_several_runs_are_added(runner):
    texts = ['== 3 passed, 1 skipped in 2.0s ==', 'x\n=== 1 failed, 2 passed, 1 error in 1s ===\n', '']
    assert runner.counts_of(texts) == (5, 2, 1)


def test_a_group_that_fails_once_fails_the_run_and_is_named(runner, monkeypatch, tmp_path, capsys):
    test = tmp_path / 'test_once.py'
    test.write_text('import os\ndef test_once():\n    path = {!r}\n    there = os.path.exists(path)\n'
                    '    open(path, "w").close()\n    assert there\n'.format(str(tmp_path / 'mark')))
    argv = [sys.executable, '-m', 'pytest', '-c', os.devnull, str(test)]
    group = runner.Group('once', argv, ('test/lab/test_once.py',))
    monkeypatch.setattr(runner, 'unit_groups', lambda cache: [])
    monkeypatch.setattr(runner, 'lab_groups', lambda: [group])
    assert runner.main([]) == runner.FAILED
    printed = capsys.readouterr().out
    assert 'FAILED: once in ' in printed and printed.endswith('\n0 passed, 1 failed, 0 skipped\n')
