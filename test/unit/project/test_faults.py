"""docs/faults.md is up to date: `make faults` writes it again from the markers of the tests."""
import ast
import functools

import faults
import pytest

#: Ids without a test so far.
PENDING: 'set[str]' = set()


#: The rows of all tests.
collected = functools.lru_cache(faults.collect)


def rows_of(source):
    return faults.rows_of(ast.parse(source))


MARK = ("pytest.mark.fault('K3', 'The disk is full', behaviour='It goes on', reported='at once', recovery='2 s', "
        "lost='log lines')")
ROW = faults.Row('K3', 'The disk is full', 'It goes on', 'at once', '2 s', 'log lines')


def test_the_page_is_up_to_date():
    with open(faults.PATH, encoding='utf-8') as stream:
        committed = stream.read()
    assert committed == faults.render(collected()), 'Next: make faults'


def test_every_id_has_a_row():
    tested = {row.id for row, _ in collected()}
    assert sorted(set(faults.IDS) - tested - PENDING) == []


def test_every_pending_id_is_still_missing():
    assert sorted({row.id for row, _ in collected()} & PENDING) == [], 'Take them off PENDING'


def test_ids():
    assert list(faults.IDS) == ['K{}'.format(number) for number in range(1, 10)] + [
        'case {}'.format(number) for number in range(1, 22)] + ['new']


@pytest.mark.parametrize('source, tests', [
    ('@{}\ndef test_a(): pass', ['test_a']),
    ('class TestA:\n @{}\n def test_b(self): pass', ['TestA::test_b']),
    ('@{}\nclass TestA: pass', ['TestA']),
    ('class TestA:\n pytestmark = {}', ['TestA']),
    ('pytestmark = {}', ['']),
    ('pytestmark = [pytest.mark.skip, {}]', ['']),
    ('@pytest.mark.parametrize("x", [1, pytest.param(2, marks={})])\ndef test_a(x): pass', ['test_a']),
    ('@pytest.mark.parametrize("x", [1, pytest.param(2, marks=[pytest.mark.skip, {}])])\ndef test_a(x): pass',
     ['test_a']),
    ('CASES = [pytest.param(2, marks={})]\n@pytest.mark.parametrize("x", CASES)\ndef test_a(x): pass\n'
     '@pytest.mark.parametrize("x", CASES)\ndef test_b(x): pass', ['test_a', 'test_b'])])
def test_where_a_marker_is_found(source, tests):
    assert rows_of(source.format(MARK)) == [(ROW, test) for test in tests]


def test_a_test_with_two_markers():
    other = MARK.replace('K3', 'new')
    assert rows_of('@{}\n@{}\ndef test_a(): pass'.format(MARK, other)) == [
        (ROW, 'test_a'), (ROW._replace(id='new'), 'test_a')]


@pytest.mark.parametrize('source, sentence', [
    ('@' + MARK.replace("'2 s'", 'SECONDS') + '\ndef test_a(): pass', 'line 1: a marker holds literals only'),
    ('@' + MARK.replace("'2 s'", "'{} s'.format(2)") + '\ndef test_a(): pass', 'line 1: a marker holds literals only'),
    ('@' + MARK.replace('lost', 'data') + '\ndef test_a(): pass', 'line 1: a marker is fault(id, fault, behaviour=…'),
    ('@' + MARK.replace(", lost='log lines'", '') + '\ndef test_a(): pass', 'line 1: a marker is fault(id, fault,'),
    ('@' + MARK.replace('2 s', '2 s.') + '\ndef test_a(): pass', "line 1: '2 s.' is a phrase"),
    ('@' + MARK.replace('2 s', '') + '\ndef test_a(): pass', "line 1: '' is not one line"),
    ('@' + MARK.replace("'2 s'", '2') + '\ndef test_a(): pass', 'line 1: 2 is not one line'),
    ('@' + MARK.replace('2 s', 'x' * 201) + '\ndef test_a(): pass', "line 1: 'xxxx"),
    ('@' + MARK.replace('K3', 'K10') + '\ndef test_a(): pass', "line 1: no id 'K10'"),
    ('@' + MARK + '\ndef helper(): pass', 'line 1: this marker is on no test'),
    ('CASES = [' + MARK + ']', 'line 1: this marker is on no test'),
    ('@pytest.mark.fault\ndef test_a(): pass', 'line 1: this marker is on no test')])
def test_malformed_markers(source, sentence):
    with pytest.raises(faults.Malformed) as caught:
        rows_of(source)
    assert str(caught.value).startswith(sentence)


def test_the_file_of_a_malformed_marker_is_named(tmp_path):
    path = tmp_path / 'test_x.py'
    path.write_text('@pytest.mark.fault\ndef test_a(): pass')
    with pytest.raises(faults.Malformed) as caught:
        faults.collect([str(path)])
    assert str(caught.value) == '{}, line 1: this marker is on no test'.format(path)


def test_equal_markers_are_one_row_and_rows_are_sorted(tmp_path):
    for number, ident in enumerate(('new', 'case 10', 'case 2', 'K3', 'K3')):
        (tmp_path / 'test_{}.py'.format(number)).write_text('pytestmark = ' + MARK.replace('K3', ident))
    rows = faults.collect(sorted(str(path) for path in tmp_path.iterdir()))
    assert [(row.id, len(tests)) for row, tests in rows] == [('K3', 2), ('case 2', 1), ('case 10', 1), ('new', 1)]


def test_a_row_of_the_page():
    tests = [('test/lab/test_x.py', 'test_a'), ('test/unit/test_y.py', '')]
    text = faults.render([(ROW._replace(fault='a | b <c>'), tests)])
    assert text.splitlines()[-1] == (
        '| K3 | a \\| b &lt;c> | It goes on | at once | 2 s | log lines | '
        '[test_x.py::test_a](../test/lab/test_x.py), [test_y.py](../test/unit/test_y.py) |')


def test_unit_and_lab_tests_are_collected():
    assert {'test/lab/test_team.py', 'test/unit/project/test_faults.py'} <= set(faults.test_files())
