import os

import pytest

from ua_overlay.cli.shared import needs
from ua_overlay.errors import OverlayError
from ua_overlay.system import units


@pytest.mark.parametrize('sudo, next_command', [
    ('/usr/bin/sudo', 'sudo ua-overlay guard on --also 9090'), (None, 'as root: ua-overlay guard on --also 9090')])
def test_a_command_that_needs_root(monkeypatch, sudo, next_command):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    monkeypatch.setattr(needs.shutil, 'which', lambda _: sudo)
    with pytest.raises(OverlayError, match='`ua-overlay guard on` needs root') as caught:
        needs.need_root('guard on', '--also 9090')
    assert (caught.value.code, caught.value.next_command) == ('NOT_ROOT', next_command)


def test_root_is_allowed(monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    assert needs.need_root('guard on') is None


def test_a_command_that_needs_systemd(monkeypatch, tmp_path):
    monkeypatch.setattr(units, 'RUNS', str(tmp_path))
    assert needs.need_systemd('x') is None
    monkeypatch.setattr(units, 'RUNS', str(tmp_path / 'none'))
    with pytest.raises(OverlayError, match='systemd does not run') as caught:
        needs.need_systemd('start it yourself')
    assert (caught.value.code, caught.value.next_command) == ('NO_SYSTEMD', 'start it yourself')
