"""A file that is replaced and may come back. On a full disk: test/lab/test_policy_real.py."""
import os

import pytest

from ua_overlay.system import replacement
from ua_overlay.system.replacement import Replacement


@pytest.fixture
def path(tmp_path):
    made = tmp_path / 'policy.json'
    made.write_text('old')
    return str(made)


def content(path):
    with open(path) as stream:
        return stream.read()


def test_the_new_file_stays(path):
    replaced = Replacement(path)
    replaced.put('new')
    assert content(path) == 'new' and os.stat(path).st_mode & 0o777 == 0o600
    replaced.keep()
    assert content(path) == 'new' and os.listdir(os.path.dirname(path)) == ['policy.json']


def test_the_old_file_comes_back(path):
    replaced = Replacement(path)
    replaced.put('new')
    replaced.undo()
    assert content(path) == 'old' and os.listdir(os.path.dirname(path)) == ['policy.json']


def test_a_failed_write_changes_nothing(path, monkeypatch):
    def full(*_args):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(replacement.files, 'write_atomic', full)
    with pytest.raises(OSError):
        Replacement(path).put('new')
    assert content(path) == 'old' and os.listdir(os.path.dirname(path)) == ['policy.json']


def test_what_a_killed_process_left_is_removed(path):
    Replacement(path).put('half')
    again = Replacement(path)
    again.put('new')
    again.undo()
    assert content(path) == 'half'
    Replacement(path).put('new')
    replacement.sweep(path)
    replacement.sweep(path)
    assert os.listdir(os.path.dirname(path)) == ['policy.json']


def test_a_missing_file_is_no_file_to_replace(tmp_path):
    with pytest.raises(FileNotFoundError):
        Replacement(str(tmp_path / 'missing')).put('new')
    assert os.listdir(str(tmp_path)) == []


def test_undo_before_anything_was_written_leaves_nothing_behind(tmp_path):
    """A rename of two links to one file does nothing (rename(2))."""
    path = tmp_path / 'file'
    path.write_text('old')
    held = Replacement(str(path))
    held.hold()
    held.undo()
    assert os.listdir(str(tmp_path)) == ['file'] and path.read_text() == 'old'
