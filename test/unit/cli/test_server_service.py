"""`server service`, `relay service`, `derp service`: errors. The units boot in test/lab/test_server_service.py."""
import os

import pytest

from ua_overlay.cli import main, server_service
from ua_overlay.errors import OverlayError
from ua_overlay.server import service
from ua_overlay.system import units
from ua_overlay.system.control_socket import NotRunning


@pytest.fixture
def root(monkeypatch):
    monkeypatch.setattr(os, 'geteuid', lambda: 0)


def test_a_site_is_required(tmp_path, capsys):
    assert main(['server', 'service', 'install', '--dir', str(tmp_path / 'site'), '--dry-run']) == 1
    assert 'There is no site' in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['relay', 'derp'])
def test_the_first_install_requires_an_enrolment(tmp_path, capsys, kind):
    assert main([kind, 'service', 'install', '--dir', str(tmp_path), '--dry-run']) == 1
    assert str(tmp_path) in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['server', 'relay', 'derp'])
def test_root_is_required(monkeypatch, capsys, kind):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    assert main([kind, 'service', 'install']) == 1
    assert main([kind, 'service', 'remove']) == 1
    error = capsys.readouterr().err
    assert error.count('needs root') == 2 and 'ua-overlay {} service remove'.format(kind) in error


@pytest.mark.parametrize('kind', ['server', 'relay', 'derp'])
def test_systemd_is_required(root, tmp_path, monkeypatch, capsys, kind):
    monkeypatch.setattr(units, 'RUNS', str(tmp_path / 'none'))
    assert main([kind, 'service', 'install']) == 1
    assert 'Next: ua-overlay {} service install --service-manager none'.format(kind) in capsys.readouterr().err


@pytest.mark.parametrize('kind', ['server', 'relay', 'derp'])
def test_a_dry_run_of_remove_changes_nothing(capsys, kind):
    assert main([kind, 'service', 'remove', '--dry-run']) == 0
    assert capsys.readouterr().out.endswith('\nrun systemctl daemon-reload\n')


def test_a_server_running_in_a_terminal_is_not_replaced(monkeypatch):
    def not_running(*_, **__):
        raise NotRunning('It is not running.')

    monkeypatch.setattr(server_service, 'ask', not_running)
    assert server_service.refuse_running('/site/run/control.sock', service.SERVER) is None
    monkeypatch.setattr(server_service, 'ask', lambda *_, **__: {})
    with pytest.raises(OverlayError, match='The DERP in /site is running already, and not as a service') as caught:
        server_service.refuse_running('/site/run/control.sock', service.DERP)
    assert 'sudo ua-overlay derp service install' in caught.value.next_command
