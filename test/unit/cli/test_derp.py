"""`ua-overlay derp`: its list, what it changes on the server, and what it refuses."""
import dataclasses
import json

import pytest

from ua_overlay import defaults
from ua_overlay.cli import derp, main
from ua_overlay.cli.shared import remote_host
from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.relays.enrolment import Enrolment


class RemoteAdmin:
    """Plays the RemoteAdmin; records its calls."""

    def __init__(self):
        self.created, self.removed = [], []

    def create_derp(self, name, address, port, stun_port, again):
        self.created.append((name, address, port, stun_port, again))
        return Enrolment(kind='derp', name=name, server_url='https://server.ua.test:8080', ca_pem='CA',
                         address=address, port=port, stun_port=stun_port, host_name='lab-b.derp.server.ua.test',
                         certificate='PEM', certificate_key='SECRET'), True

    def remove_derp(self, name):
        self.removed.append(name)


@pytest.fixture
def admin(monkeypatch):
    made = RemoteAdmin()
    monkeypatch.setattr(remote_host, 'make_remote_admin', lambda args: made)
    return made


def test_a_new_region_requires_its_address(admin, capsys):
    assert main(['derp', 'create', 'lab-b']) == 2
    assert 'Next: ua-overlay derp create lab-b --address IP\n' in capsys.readouterr().err and admin.created == []


def test_an_enrolment_is_written(admin, tmp_path, capsys):
    path = tmp_path / 'region.yaml'
    assert main(['derp', 'create', 'lab-b', '--address', '203.0.113.11', '--stun-port', '3479',
                 '--output', str(path)]) == 0
    assert admin.created == [('lab-b', '203.0.113.11', defaults.DERP_PORT, 3479, False)]
    assert path.stat().st_mode & 0o777 == 0o600 and 'SECRET' in path.read_text()
    output = capsys.readouterr().out
    assert 'sudo ua-overlay derp service install --enrolment region.yaml' in output and 'SECRET' not in output


@pytest.fixture
def regions(site, answer, monkeypatch):
    """A site with the region lab-b, and the answer of its running server."""
    site.settings = dataclasses.replace(site.settings, derp=(DerpHost('lab-b', 901, '203.0.113.11'),))
    site.write_settings()
    monkeypatch.setattr(derp.control_socket, 'ask', lambda path, operation, timeout: answer)
    answer.update(derp={'lab-b': 'up'}, derp_ends={'lab-b': 1795000000.0})
    return answer


def test_a_reachable_remote_region_is_the_home(regions, capsys):
    assert main(['derp', 'list']) == 0
    header, embedded, remote = capsys.readouterr().out.splitlines()
    assert header.split()[:6] == ['DERP', 'REGION', 'ADDRESS', 'TCP', 'STUN', 'HOME']
    assert embedded.split()[5:] == ['no', '-', 'up'] and remote.split()[5] == 'yes'
    assert remote.endswith('2026-11-18 11:06:40 UTC  up')


def test_the_embedded_derp_is_the_home_without_a_remote_region(regions, capsys):
    regions['derp'] = {'lab-b': 'does not answer'}
    assert main(['derp', 'list', '--json']) == 1
    embedded, remote = json.loads(capsys.readouterr().out)
    assert (embedded['home'], remote['home'], remote['state']) == (True, False, 'does not answer')


def test_a_region_that_the_server_has_not_loaded_yet(regions, capsys):
    regions.update(derp={}, derp_ends={})
    assert main(['derp', 'list', '--json']) == 1
    remote = json.loads(capsys.readouterr().out)[1]
    assert (remote['state'], remote['certificate_until']) == ('not known to the running server', None)


def test_the_derper_beside_headscale_is_a_region(regions, site, capsys):
    site.settings = dataclasses.replace(site.settings, derp_port=8443)
    site.write_settings()
    regions['derp'] = {'server': 'up', 'lab-b': 'up'}
    assert main(['derp', 'list', '--json']) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row['name'], row['region'], row['port'], row['home']) for row in rows] == [
        ('site', 999, 8080, False), ('server', 900, 8443, True), ('lab-b', 901, 8443, True)]
    assert rows[1]['certificate_until'] is None


def test_removing(admin, capsys):
    assert main(['derp', 'remove', 'lab-b']) == 0
    assert admin.removed == ['lab-b']
    assert capsys.readouterr().out == 'Removed the region lab-b from the site. Stop it on its host.\n'
