"""`ua-overlay policy`: its output. With a real Headscale: test/lab/test_policy_real.py."""
import importlib
import json
import os

import pytest

from ua_overlay.cli import main
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import policy as policies
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site import enforced, last_good
from ua_overlay.site.site import Site
from ua_overlay.system.control_socket import NotRunning

command = importlib.import_module('ua_overlay.cli.policy')
RULES = Rules({'iris': Team('iris', inside=('ros', 'ssh', 8765)), 'blue': Team('blue')},
              (Talk('blue', 'iris', ('ros', 'ping')),), {'ana': User('ana', ('iris',))})


def make_trust(directory):
    for name in ('ca.pem', 'ca.key', 'server.pem', 'server.key'):
        with open(os.path.join(directory, name), 'w') as stream:
            stream.write(name)


class Server:
    """A running server: the policy in force, and its answers."""

    def __init__(self, known):
        self.known = known
        self.refusal = None
        self.changed = True

    def server_running(self):
        return True

    def client(self):
        return self

    def nodes(self):
        return [Node('1', 'dev-1', 'dev-1', (), ('tag:iris',), True, None, None, None)]

    def check_policy(self, text):
        pass

    def known_tags(self, _node_id, tags):
        return set(tags) & set(self.known)

    def enforced(self):
        written = policies.dump_policy(policies.make_policy(RULES)) if self.known else ''
        return enforced.ask(self, enforced.SiteFacts(RULES, written), 'ua-overlay policy apply')

    def apply_policy(self):
        if self.refusal:
            raise self.refusal
        return self.changed


class Stopped:
    def server_running(self):
        return False

    def apply_policy(self):
        raise NotRunning('no')


@pytest.fixture
def site(tmp_path, monkeypatch):
    made = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), make_trust)
    made.rules = RULES
    made.write_settings()
    made.write_generated()
    monkeypatch.setenv('UA_OVERLAY_SITE', made.directory)
    return made


@pytest.fixture
def server(site, monkeypatch):
    running = Server(policies.make_policy(RULES)['tagOwners'])
    monkeypatch.setattr(command, 'make_admin', lambda _site: running)
    return running


@pytest.fixture
def stopped(site, monkeypatch):
    monkeypatch.setattr(command, 'make_admin', lambda _site: Stopped())


def test_the_rules_as_a_table(server, capsys):
    assert main(['policy', 'show']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(None, 2) for line in lines[:-1]] == [
        ['FROM', 'TO', 'MAY OPEN'], ['blue', 'blue', 'everything'],
        ['iris', 'iris', 'ros (11312, 32768-60999), ssh, tcp 8765'],
        ['blue', 'iris', 'ros (11312, 32768-60999), ping'], ['iris', 'blue', 'ros nodes (32768-60999)'],
        ['ana@', 'iris', 'everything'], ['iris', 'ana@', 'ros nodes (32768-60999)']]
    assert lines[-1] == 'These rules are in force.'


def test_the_rules_as_json(server, capsys):
    assert main(['policy', 'show', '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer['in_force'] is True and {'from': 'blue', 'to': 'blue', 'opens': ['everything']} in answer['rules']


def test_rules_not_in_force(site, server, capsys):
    server.known = ()
    main(['policy', 'show'])
    assert 'not in force: Headscale runs neither them nor the rules' in capsys.readouterr().out
    assert main(['policy', 'check']) == 0
    output = capsys.readouterr().out
    assert 'is right' in output and 'has tested' in output and 'not in force yet' in output


def test_a_stopped_server(stopped, capsys):
    assert main(['policy', 'show', '--json']) == 0
    assert json.loads(capsys.readouterr().out)['in_force'] is None
    for words in ('check', 'apply'):
        assert main(['policy', words]) == 0
        assert 'not running' in capsys.readouterr().out


def test_applying(server, capsys):
    assert main(['policy', 'apply']) == 0 and 'are in force.' in capsys.readouterr().out
    server.changed = False
    assert main(['policy', 'apply']) == 0 and 'already' in capsys.readouterr().out
    server.refusal = OverlayError('Headscale says no.', 'look there')
    assert main(['policy', 'apply']) == 1
    # What is in force, only the server knows: it has asked Headscale.
    assert capsys.readouterr().err == 'ua-overlay: Headscale says no. Next: look there\n'


def test_an_invalid_site_file(site, server, capsys):
    with open(site.path('site.yaml'), 'a') as stream:
        stream.write('colour: red\n')
    for words in ('check', 'show', 'apply'):
        assert main(['policy', words]) == 2
        assert 'unknown field colour' in capsys.readouterr().err


def test_the_last_good_rules_are_shown_when_the_file_is_invalid(site, server, capsys):
    last_good.save(site)
    with open(site.path('site.yaml'), 'a') as stream:
        stream.write('colour: red\n')
    assert main(['policy', 'show']) == 4
    shown = capsys.readouterr()
    assert 'blue' in shown.out and 'These rules are in force.' in shown.out
    assert 'unknown field colour' in shown.err and 'last good settings' in shown.err and 'edit ' in shown.err
    assert main(['policy', 'show', '--json']) == 4
    answer = json.loads(capsys.readouterr().out)
    assert answer['in_force'] is True and 'unknown field colour' in answer['site_file']
    assert main(['policy', 'show', '--headscale']) == 4
    # Commands that check or change the file need a valid one.
    for words in (['policy', 'check'], ['policy', 'apply'], ['team', 'create', 'red'], ['team', 'remove', 'blue'],
                  ['relay', 'create', 'lab-b', '--address', '203.0.113.9']):
        assert main(words) == 2
        assert 'unknown field colour' in capsys.readouterr().err
    with open(site.path('site.yaml')) as stream:
        assert stream.read().endswith('colour: red\n')


def test_the_generated_policy_is_printed(server, capsys):
    assert main(['policy', 'show', '--headscale']) == 0
    assert json.loads(capsys.readouterr().out)['grants']
