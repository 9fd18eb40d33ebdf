"""`server service`, `relay service`, `derp service`: errors. The units boot in test/lab/test_server_service.py."""
import argparse
import copy
import dataclasses
import hashlib
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


def test_a_relay_running_in_a_terminal_is_not_replaced_either(site):
    arguments = argparse.Namespace(dir=site.directory)
    assert server_service.SiteService(arguments, service.SERVER).control_sockets == (
        site.control_socket, site.relay_control_socket)


@pytest.fixture
def tools(tmp_path, monkeypatch):
    """Played programs; returns the directory that has them."""
    folder = tmp_path / 'tools'
    folder.mkdir()
    for name in ('headscale', 'tailscaled', 'tailscale', 'derper'):
        (folder / name).write_text(name)
    monkeypatch.setattr(server_service, 'locate', lambda name: str(folder / name))
    return folder


def stamp(site, no_egress=True):
    arguments = argparse.Namespace(dir=site.directory, user='x', dry_run=False, no_egress=no_egress,
                                   service_manager='systemd')
    recipe = server_service.make_recipe(server_service.SiteService(arguments, service.SERVER), arguments, (0, 0))
    return {item.path: item.text for item in recipe.files}


def test_the_unit_of_the_relay_restarts_for_its_own_programs_and_settings_only(site, tools, monkeypatch):
    before = stamp(site)
    relay = before['/etc/systemd/system/' + service.SERVER_RELAY.unit]
    assert 'server relay run --dir ' + site.directory in relay
    assert hashlib.sha256(b'tailscaled').hexdigest() in before[service.STAMP] and 'derper' not in before[service.STAMP]
    # Another Headscale, and another version of this package.
    (tools / 'headscale').write_text('newer')
    monkeypatch.setattr(service, 'find_program', lambda share: ('/opt/2/ua-overlay', '/opt/2'))
    after = stamp(site)
    assert after['/etc/systemd/system/' + service.SERVER_RELAY.unit] != relay
    assert after[service.STAMP] == before[service.STAMP]
    (tools / 'tailscaled').write_text('newer')
    assert stamp(site)[service.STAMP] != before[service.STAMP]
    (tools / 'tailscaled').write_text('tailscaled')
    for change in ({'relay_port': 41000}, {'derp_port': 8443}, {'addresses': ('203.0.113.11',)}):
        changed = copy.copy(site)
        changed.settings = dataclasses.replace(site.settings, **change)
        changed.write_settings()
        assert stamp(site)[service.STAMP] != before[service.STAMP]
    site.settings = dataclasses.replace(site.settings, derp_port=8443)
    site.write_settings()
    assert hashlib.sha256(b'derper').hexdigest() in stamp(site)[service.STAMP]


def test_a_derper_restarts_headscale_too_which_leaves_stun_to_it(site, tools):
    before = stamp(site)[service.UNIT]
    assert '# It listens on every address, so it need not wait for one: TCP 8080, UDP 3478.' in before
    site.settings = dataclasses.replace(site.settings, derp_port=8443)
    site.write_settings()
    after = stamp(site)
    assert 'for one: TCP 8080.' in after[service.UNIT]
    assert 'for one: UDP 40000, TCP 8443, UDP 3478.' in after['/etc/systemd/system/' + service.SERVER_RELAY.unit]


def test_a_low_port_of_derper_is_the_relay_s(site, tools):
    site.settings = dataclasses.replace(site.settings, derp_port=443)
    site.write_settings()
    texts = stamp(site)
    assert 'CAP_NET_BIND_SERVICE' in texts['/etc/systemd/system/' + service.SERVER_RELAY.unit]
    assert 'CAP_NET_BIND_SERVICE' not in texts[service.UNIT]


def test_a_dry_run_shows_both_units(site, tools, capsys):
    assert main(['server', 'service', 'install', '--dry-run', '--no-egress']) == 0
    printed = capsys.readouterr().out
    assert 'server run --no-relay --dir' in printed and 'server relay run --dir' in printed
