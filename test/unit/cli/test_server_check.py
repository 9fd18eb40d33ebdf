"""`server check` and `server forwarding`: probes, output and exit status."""
import dataclasses
import json

import pytest

from ua_overlay.cli import main, server_check
from ua_overlay.defaults import RELAY_PORT, SERVER_PORT, STUN_PORT
from ua_overlay.relays.check import ProbeResult
from ua_overlay.site.enforced import Enforced
from ua_overlay.system.control_socket import NotRunning


class Admin:
    """Plays the Admin of a site whose server runs."""

    shown = None

    @staticmethod
    def server_running():
        return True

    @classmethod
    def enforced(cls):
        return cls.shown


@pytest.fixture
def probed(monkeypatch):
    """Plays the network; the list records the probes, and ``failing`` names those that fail."""
    probes, failing = [], set()

    def run_probes(asked):
        probes.extend(asked)
        return [ProbeResult(each.what, each.endpoint, each.what not in failing, 'as it is',
                            '' if each.what not in failing else each.fix) for each in asked]

    monkeypatch.setattr(server_check.check, 'run_probes', run_probes)
    return probes, failing


@pytest.fixture
def running(site, answer, monkeypatch):
    monkeypatch.setattr(server_check.control_socket, 'ask', lambda path, operation, timeout: answer)
    monkeypatch.setattr(server_check.service_egress, 'rule_state', lambda service, directory: None)
    monkeypatch.setattr(server_check, 'make_admin', lambda site: Admin)
    monkeypatch.setattr(Admin, 'shown', Enforced(True, 'These rules are in force.'))
    return answer


def test_on_the_server_the_processes_are_checked(running, probed, capsys):
    assert main(['server', 'check']) == 0
    assert [(each.what, each.endpoint) for each in probed[0]] == [
        ('control', '127.0.0.1 TCP {}'.format(SERVER_PORT)), ('DERP', '127.0.0.1 TCP {}'.format(SERVER_PORT)),
        ('STUN', '127.0.0.1 UDP {}'.format(STUN_PORT)), ('relay', '127.0.0.1 UDP {}'.format(RELAY_PORT))]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['WHAT', 'WHERE', 'RESULT']
    assert lines[1].endswith('OK  up, 3 session(s), 2 carried, repaired 0 time(s)') and len(lines) == 8
    assert lines[2].split()[:4] == ['policy', 'this', 'machine', 'OK'] and lines[2].endswith('rules are in force')


@pytest.mark.parametrize('state, status, shown', [(False, 1, 'failed'), (None, 0, 'is unknown')])
def test_rules_that_headscale_does_not_enforce(running, probed, monkeypatch, capsys, state, status, shown):
    monkeypatch.setattr(Admin, 'shown', Enforced(state, 'They are not.', 'ua-overlay policy apply'))
    assert main(['server', 'check']) == status
    assert 'policy at this machine {}: They are not. Next: ua-overlay policy apply'.format(
        shown) in capsys.readouterr().out


def test_what_is_wrong_with_the_server_itself(running, probed, capsys):
    running['problems'] = [{'sentence': 'The main thread of the server hangs.', 'next': 'restart it'}]
    assert main(['server', 'check']) == 1
    assert 'server at this machine failed: The main thread of the server hangs. Next: restart it' in \
        capsys.readouterr().out


def test_from_outside_the_public_addresses_are_checked(site, probed, capsys):
    assert main(['server', 'check', '--from-outside', '--json']) == 0
    assert {each.endpoint.split()[0] for each in probed[0]} == {'203.0.113.10'}
    assert [row['what'] for row in json.loads(capsys.readouterr().out)] == ['control', 'DERP', 'STUN', 'relay']


def test_a_failure_names_the_next_command(running, probed, site, capsys):
    probed[1].add('STUN')
    assert main(['server', 'check']) == 1
    assert capsys.readouterr().out.endswith('STUN at 127.0.0.1 UDP {} failed: as it is. Next: {}\n'.format(
        STUN_PORT, site.command('server status')))


def test_an_unreadable_egress_rule_is_not_a_failure(running, probed, monkeypatch, capsys):
    monkeypatch.setattr(server_check.service_egress, 'rule_state', lambda service, directory: (None, 'unknown', 'sudo'))
    assert main(['server', 'check']) == 0
    assert 'egress rule at this machine is unknown: unknown. Next: sudo' in capsys.readouterr().out


def test_a_certificate_that_expires_soon_is_a_failure(running, probed, capsys):
    running['derp_ends'] = {'lab-b': 0.0}
    assert main(['server', 'check', '--json']) == 1
    row = json.loads(capsys.readouterr().out)[2]
    assert (row['what'], row['ok']) == ('certificate of DERP', False) and 'until 1970-01-01' in row['text']


def test_a_stopped_server_is_a_failure(site, probed, monkeypatch, capsys):
    def ask(*_, **__):
        raise NotRunning('The server is not running.', 'ua-overlay server run')

    monkeypatch.setattr(server_check.control_socket, 'ask', ask)
    monkeypatch.setattr(server_check.service_egress, 'rule_state', lambda service, directory: None)
    assert main(['server', 'check']) == 1
    assert 'The server is not running. Next: ua-overlay server run' in capsys.readouterr().out


def test_an_invitation_requires_from_outside(capsys):
    assert main(['server', 'check', '--invitation', 'x.yaml']) == 2
    assert '--invitation needs --from-outside' in capsys.readouterr().err


def test_a_site_without_public_addresses_cannot_be_checked_from_outside(site, probed, capsys):
    site.settings = dataclasses.replace(site.settings, addresses=())
    site.write_settings()
    assert main(['server', 'check', '--from-outside']) == 2
    assert 'has no public address' in capsys.readouterr().err and probed[0] == []


def test_forwarding_in_three_output_formats(site, capsys):
    argv = ['server', 'forwarding', '--to', '192.168.7.2']
    assert main(argv + ['--json']) == 0
    ports = [(row['protocol'], row['port']) for row in json.loads(capsys.readouterr().out)]
    assert ports == [('tcp', SERVER_PORT), ('udp', STUN_PORT), ('udp', RELAY_PORT)]
    assert main(argv) == 0
    rules = capsys.readouterr().out
    assert 'dnat' in rules and '192.168.7.2' in rules
    assert main(argv + ['--format', 'text', '--beside', '192.168.7.0/24']) == 0
    text = capsys.readouterr().out
    assert '192.168.7.2' in text and 'dnat' not in text


def test_forwarding_requires_the_private_address(site, capsys):
    assert main(['server', 'forwarding']) == 2
    assert '--to' in capsys.readouterr().err


def test_a_derper_beside_headscale_is_probed(site, running, probed):
    site.settings = dataclasses.replace(site.settings, derp_port=8443)
    site.write_settings()
    assert main(['server', 'check']) == 0
    assert main(['server', 'check', '--from-outside']) == 0
    assert [each.endpoint for each in probed[0] if each.what == 'DERP beside Headscale'] == [
        '127.0.0.1 TCP 8443', '203.0.113.10 TCP 8443']


def test_a_relay_that_runs_apart_is_checked_without_its_server(site, probed, monkeypatch, capsys):
    """And one whose process does not run names the command that starts it."""
    def ask(path, operation, timeout):
        raise NotRunning('The server is not running.', 'ua-overlay server run')

    monkeypatch.setattr(server_check.control_socket, 'ask', ask)
    monkeypatch.setattr(server_check.service_egress, 'rule_state', lambda service, directory: None)
    relay = {'ok': True, 'state': 'up', 'apart': True, 'carrying': 1, 'repairs': 0, 'sessions': 1, 'pid': 5}
    monkeypatch.setattr(server_check.apart_relays, 'status', lambda site: {'relay': relay})
    assert main(['server', 'check']) == 0
    assert 'OK  up, 1 session(s), 1 carried' in capsys.readouterr().out
    relay.update(ok=False, state="The relay's process does not run", pid=None)
    assert main(['server', 'check']) == 1
    assert 'Next: ' + site.command('server relay run') in capsys.readouterr().out
