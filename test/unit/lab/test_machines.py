"""Machines of a lab: decisions before anything is created."""
from ua_overlay.lab import machines


def test_bound_directories_are_read_only():
    options = machines.nspawn_options('ua-x', 'robot', [('/a', '/b')])
    assert '--bind-ro=/a:/b' in options and '--hostname=robot' in options and '--machine=ua-x' in options


def test_an_ended_process_has_no_children_program_or_leader():
    assert machines.children(2 ** 22) == [] and machines.program_of(2 ** 22) == ''
    assert machines.find_leader(2 ** 22) is None
