"""dev/run_tests.py: which files of the tests get a second try."""
import importlib.util
import os

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def load():
    spec = importlib.util.spec_from_file_location('run_tests', os.path.join(ROOT, 'dev', 'run_tests.py'))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_only_few_files_of_the_lab_are_tried_again():
    again = load().files_for_another_try
    assert again([]) == []
    assert again(['test/lab/test_b.py::test_x', 'test/lab/test_a.py::test_y[1]', 'test/lab/test_b.py::test_z']) == [
        'test/lab/test_a.py', 'test/lab/test_b.py']
    assert again(['test/lab/test_{}.py::test_x'.format(letter) for letter in 'abc']) == []
    assert again(['test/unit/test_a.py::test_x']) == []
    assert again(['test/lab/test_a.py::test_x', 'test/unit/test_a.py::test_x']) == []


def test_failed_twice_is_failed(tmp_path, monkeypatch):
    module = load()
    statuses = []
    monkeypatch.setattr(module, 'last_failed', lambda: ['test/lab/test_a.py::test_x'])
    monkeypatch.setattr(module, 'pytest', lambda arguments: statuses.append(arguments) or 1)
    assert module.main(['-q']) == 1
    assert statuses == [['--cache-clear', '-q'], ['test/lab/test_a.py']]


def test_other_ends_of_pytest_are_final(monkeypatch):
    """Interrupted, usage error, no tests collected."""
    module = load()
    monkeypatch.setattr(module, 'last_failed', lambda: ['test/lab/test_a.py::test_x'])
    for status in (0, 2, 3, 4, 5):
        calls = []
        monkeypatch.setattr(module, 'pytest', lambda _, status=status, calls=calls: calls.append(1) or status)
        assert module.main([]) == status and len(calls) == 1
