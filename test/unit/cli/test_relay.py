"""`ua-overlay relay`: its list, what it changes on the server, and what it refuses."""
import dataclasses
import json
from types import SimpleNamespace

import pytest

from ua_overlay import defaults
from ua_overlay.cli import main, relay
from ua_overlay.cli.shared import remote_host
from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.relays.enrolment import Enrolment


class RemoteAdmin:
    """Plays the RemoteAdmin; records its calls."""

    def __init__(self):
        self.created, self.removed = [], []

    def create_relay(self, host, lifetime, again):
        self.created.append((host, lifetime, again))
        return Enrolment(kind='relay', name=host.name, server_url='https://server.ua.test:8080', ca_pem='CA',
                         address=host.address, port=host.port, key='hskey-auth-secret')

    def remove_relay(self, name):
        self.removed.append(name)


@pytest.fixture
def admin(monkeypatch):
    made = RemoteAdmin()
    monkeypatch.setattr(remote_host, 'make_remote_admin', lambda args: made)
    return made


def test_a_new_relay_requires_its_address(admin, capsys):
    assert main(['relay', 'create', 'lab-b']) == 2
    assert 'Next: ua-overlay relay create lab-b --address IP\n' in capsys.readouterr().err and admin.created == []


def test_an_enrolment_file_is_private_to_its_owner(admin, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(['relay', 'create', 'lab-b', '--address', '203.0.113.11', '--expires', '2h']) == 0
    assert admin.created == [(RelayHost('lab-b', '203.0.113.11', defaults.RELAY_PORT), 7200, False)]
    path = tmp_path / 'lab-b.relay.yaml'
    assert path.stat().st_mode & 0o777 == 0o600 and 'hskey-auth-secret' in path.read_text()
    output = capsys.readouterr().out
    assert 'sudo ua-overlay relay service install --enrolment lab-b.relay.yaml' in output and 'secret' not in output


def test_an_existing_file_is_kept_without_overwrite(admin, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'lab-b.relay.yaml').write_text('another')
    assert main(['relay', 'create', 'lab-b', '--again']) == 1
    assert 'exists already' in capsys.readouterr().err and admin.created == []
    assert main(['relay', 'create', 'lab-b', '--again', '--overwrite']) == 0
    assert admin.created[0][2] is True and 'hskey' in (tmp_path / 'lab-b.relay.yaml').read_text()


@pytest.mark.parametrize('remote, status', [(True, 0), (False, 1)])
def test_the_list_and_its_exit_status(site, node, answer, monkeypatch, capsys, remote, status):
    site.settings = dataclasses.replace(site.settings, relays=(RelayHost('lab-b', '203.0.113.11'),))
    site.write_settings()
    monkeypatch.setattr(relay, 'ask', lambda path, operation, timeout: answer)
    nodes = [node('relay-lab-b', (defaults.RELAY_TAG,), online=remote)]
    monkeypatch.setattr(relay, 'connect_to', lambda site: SimpleNamespace(nodes=lambda: nodes))
    assert main(['relay', 'list']) == status
    header, own, other = capsys.readouterr().out.splitlines()
    assert header.split() == ['RELAY', 'ADDRESS', 'UDP', 'STATE', 'CARRIES', 'REPAIRS']
    assert own.split() == ['site', '-', '40000', 'up', '2', '0']
    assert other.split()[3] == ('up' if remote else 'offline')
    assert main(['relay', 'list', '--json']) == status
    assert [row['name'] for row in json.loads(capsys.readouterr().out)] == ['site', 'lab-b']


def test_removing(admin, capsys):
    assert main(['relay', 'remove', 'lab-b']) == 0
    assert admin.removed == ['lab-b']
    assert capsys.readouterr().out == 'Removed the relay lab-b from the site. Stop it on its host.\n'
