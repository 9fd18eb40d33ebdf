"""Files that killed labs leave: their owners, and what a sweep removes. Real files and texts of mounts; no lab."""
import os

import pytest

from ua_overlay.lab import leftovers, machine_files

HERE, ELSEWHERE, BEFORE = 'boot-2 pid:[1]\n', 'boot-2 pid:[7]\n', 'boot-1 pid:[7]\n'


@pytest.mark.parametrize('living, seen_by, mounted, left', [
    (set(), HERE, False, True), (set(), '', False, True), (set(), BEFORE, False, True),
    ({'x'}, HERE, False, False), (set(), HERE, True, False), (set(), ELSEWHERE, False, False)])
def test_owner_of_leftover_files(living, seen_by, mounted, left):
    assert leftovers.is_left('x', living, seen_by, HERE, mounted) is left


def test_a_mount_is_in_a_directory_or_beside_it():
    line = '36 35 98:0 / {} rw,noatime shared:1 - overlay overlay rw\n'
    assert leftovers.is_mounted('/c/run/x', ['', line.format('/c/run/x/dev-1/root')])
    assert not leftovers.is_mounted('/c/run/x', [line.format('/c/run/xy'), line.format('/c/run')])
    assert leftovers.is_mounted('/c d/x', [line.format('/c\\040d/x')])


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache with files of the machines of a lab, without control groups, which only root may create."""
    monkeypatch.setenv('UA_OVERLAY_CACHE', str(tmp_path))
    monkeypatch.setattr(leftovers, '_drop_groups', lambda lab: lab != 'busy')

    def make(lab):
        machine_files.make_lab_directory(lab)
        os.makedirs(os.path.join(machine_files.machine_directory(lab, 'dev-1'), 'upper'))

    return make


def test_a_sweep_removes_files_without_an_owner(cache, monkeypatch):
    for lab in ('killed', 'lives', 'busy'):
        cache(lab)
    monkeypatch.setattr(leftovers.hosts, 'names_of_labs', lambda: {'lives'})
    run = machine_files.run_directory()
    # A sweep that was killed half-way.
    os.mkdir(os.path.join(run, '.other.1'))
    assert leftovers.sweep() == ['killed']
    assert sorted(os.listdir(run)) == ['.lock', 'busy', 'lives']
    assert leftovers.sweep() == []


def test_a_lab_that_is_taken_down_meanwhile_is_not_left_over(cache, monkeypatch):
    cache('ends')
    cache('killed')

    def hosts_end():
        machine_files.remove_all('ends')
        return set()

    monkeypatch.setattr(leftovers.hosts, 'names_of_labs', hosts_end)
    assert leftovers.sweep() == ['killed']


def test_nothing_to_sweep(cache, tmp_path):
    assert leftovers.sweep() == [] and os.listdir(str(tmp_path)) == []
