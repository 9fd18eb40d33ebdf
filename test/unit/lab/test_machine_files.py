"""Directories of the machines of a lab, and the record of a lab. Real files in a cache of the test."""
import os
import re

import pytest

from ua_overlay.lab import machine_files


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv('UA_OVERLAY_CACHE', str(tmp_path))
    return tmp_path


def test_a_lab_records_which_processes_can_see_it():
    machine_files.make_lab_directory('x')
    with open(os.path.join(machine_files.lab_directory('x'), 'seen-by')) as stream:
        assert re.fullmatch(r'[0-9a-f-]{36} pid:\[\d+\]\n', stream.read())


def test_only_directories_with_an_upper_layer_are_machines(cache):
    assert machine_files.hosts_in(machine_files.lab_directory('x')) == []
    machine_files.make_lab_directory('x')
    os.makedirs(os.path.join(machine_files.machine_directory('x', 'dev-1'), 'upper'))
    os.mkdir(machine_files.machine_directory('x', 'ssh'))
    assert machine_files.machine_directory('x', 'dev-1') == str(cache / 'machines' / 'run' / 'x' / 'dev-1')
    assert machine_files.hosts_in(machine_files.lab_directory('x')) == ['dev-1']


def test_each_machine_of_each_lab_has_its_own_control_group():
    assert machine_files.cgroup('x', 'dev-1') == '/sys/fs/cgroup/ua-x-dev-1'
