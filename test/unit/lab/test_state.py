"""The state of a lab on disk."""
import os
import subprocess

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import state


@pytest.fixture
def root(tmp_path):
    return str(tmp_path / 'labs')


@pytest.mark.parametrize('name', ['', 'Lab', '../x', 'a/b', '.hidden', '-x', 'x' * 33])
def test_invalid_lab_names(name, root):
    with pytest.raises(UsageError, match='no name for a lab'):
        state.LabState(name, root)


def test_a_name_is_given_only_once(root):
    first = state.LabState('one', root)
    first.claim({'a': 1})
    with pytest.raises(OverlayError) as caught:
        state.LabState('one', root).claim({'a': 2})
    assert caught.value.code == 'LAB_EXISTS'
    assert first.read() == {'a': 1}
    assert os.listdir(root) == ['one']
    assert os.stat(first.directory).st_mode & 0o077 == 0


def test_a_missing_lab(root):
    with pytest.raises(OverlayError) as caught:
        state.LabState('none', root).read()
    assert caught.value.code == 'LAB_MISSING'
    assert state.LabState('none', root).remove() is False
    assert state.names(root) == []


def test_remove_deletes_an_empty_root_directory(root):
    labs = [state.LabState(name, root) for name in ('one', 'two')]
    for lab in labs:
        lab.claim({'hosts': {}})
    assert labs[0].remove() is True
    assert state.names(root) == ['two']
    assert labs[1].remove() is True
    assert not os.path.exists(root)


def test_only_drafts_of_ended_makers_are_swept(root):
    ended = subprocess.Popen(['true'])
    ended.wait()
    living = os.path.join(root, '.x.{}'.format(os.getpid()))
    for path in (living, os.path.join(root, '.x.{}'.format(ended.pid))):
        os.makedirs(path)
    state.sweep(root)
    assert os.listdir(root) == [os.path.basename(living)]


def test_a_process_of_an_earlier_boot_is_not_running():
    me = state.maker()
    assert state.runs(me)
    assert not state.runs(dict(me, boot='another'))
    assert not state.runs(dict(me, start=me['start'] + 1))


@pytest.mark.parametrize('service', ['', 'a/b', '../a', 'A', 'x.y'])
def test_invalid_service_names(service, root):
    with pytest.raises(UsageError, match='no name for a service'):
        state.LabState('one', root).service_file('dev-1', service)
