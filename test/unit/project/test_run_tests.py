"""dev/run_tests.py: what runs, which files of the lab tests get a second try, and what comes out."""
import importlib.util
import os

import pytest
from paths import ROOT


@pytest.fixture
def runner():
    spec = importlib.util.spec_from_file_location('run_tests', os.path.join(ROOT, 'dev', 'run_tests.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def play(runner, monkeypatch):
    """play(statuses, failed, *arguments): main with pytest's exit statuses as given; (its status, the calls)."""
    def played(statuses, failed, *arguments):
        calls, left = [], list(statuses)

        def run(words):
            calls.append(words)
            return left.pop(0)

        monkeypatch.setattr(runner, 'pytest', run)
        monkeypatch.setattr(runner, 'last_failed', lambda: failed)
        status = runner.main(list(arguments))
        assert not left
        return status, calls

    return played


LAB_FAILURE = ['test/lab/test_a.py::test_x']


def test_only_few_files_of_the_lab_are_tried_again(runner):
    again = runner.files_for_another_try
    assert again([]) == []
    assert again(['test/lab/test_b.py::test_x', 'test/lab/test_a.py::test_y[1]', 'test/lab/test_b.py::test_z']) == [
        'test/lab/test_a.py', 'test/lab/test_b.py']
    assert again(['test/lab/test_{}.py::test_x'.format(letter) for letter in 'abc']) == []
    assert again(['test/unit/test_a.py::test_x']) == []
    assert again(['test/lab/test_a.py::test_x', 'test/unit/test_a.py::test_x']) == []


def test_unit_tests_and_then_the_lab(play):
    status, calls = play([0, 0], [], '-q')
    assert status == 0 and [call[0] for call in calls] == ['test/unit', 'test/lab']
    assert all('-q' in call for call in calls)


def test_a_second_try_decides(play, capsys):
    status, calls = play([0, 1, 0], LAB_FAILURE)
    assert status == 0 and calls[0] == ['test/unit'] and calls[2] == ['test/lab/test_a.py']
    assert calls[1][:4] == ['test/lab', '--cache-clear', '-n', '2']
    assert '  test/lab/test_a.py::test_x' in capsys.readouterr().out
    assert play([0, 1, 1], LAB_FAILURE)[0] == 1
    assert 'second try only' not in capsys.readouterr().out


def test_a_unit_test_that_fails_is_final(play):
    assert play([1, 0], [])[0] == 1
    assert play([1, 1, 0], LAB_FAILURE)[0] == 1


def test_other_ends_of_pytest_are_final(play):
    """Interrupted, internal error, usage error; where nothing was selected the other's status counts."""
    for status in (2, 3, 4):
        assert play([0, status], LAB_FAILURE)[0] == status and play([status, 0], [])[0] == status
    assert play([5, 0], [])[0] == play([0, 5], [])[0] == 0 and play([5, 5], [])[0] == 5


def test_with_a_path_it_is_pytest(play):
    arguments = ('test/unit/test_tags.py::test_x', '-q')
    assert play([3], [], *arguments) == (3, [list(arguments)])
