"""`ua-overlay server relay`: its status. It runs in test/unit/server/test_relay_server.py, and in test/lab."""
import json

import pytest

from ua_overlay.cli import main, server_relay
from ua_overlay.system.control_socket import ControlServer


@pytest.fixture
def report(site):
    """The report of a relay that works, with derper; change it."""
    made = {'relay': {'ok': True, 'state': 'up', 'apart': True, 'carrying': 2, 'repairs': 1, 'note': ''},
            'own_derp': {'ok': True, 'state': 'up', 'remembered': 4}, 'log_problems': []}
    server = ControlServer(site.relay_control_socket, lambda operation: made)
    yield made
    server.close()


def test_the_status_of_both(report, capsys):
    assert main(['server', 'relay', 'status']) == 0
    assert capsys.readouterr().out == ('relay   up, carries 2 link(s), repaired 1 time(s)\n'
                                       'derper  up, remembers 4 node(s)\n')
    assert main(['server', 'relay', 'status', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == report


def test_what_does_not_work(report, capsys):
    report['log_problems'] = ['The log is full.']
    assert main(['server', 'relay', 'status']) == 4
    report['relay'].update(note='is UDP 40000 open?')
    report['own_derp'].update(ok=False, state='connection refused')
    assert main(['server', 'relay', 'status']) == 1
    printed = capsys.readouterr().out
    assert 'is UDP 40000 open?' in printed and 'log     The log is full.' in printed
    report.update(own_derp=None, log_problems=[])
    report['relay'].update(ok=True)
    assert main(['server', 'relay', 'status']) == 0


def test_one_that_does_not_run_apart(site, capsys):
    assert main(['server', 'relay', 'status']) == 1
    assert "The relay's process does not run. Next: ua-overlay server relay run --dir " in capsys.readouterr().err


def test_it_says_with_which_settings_it_runs(site, monkeypatch, capsys):
    """A relay outlives an invalid site.yaml as the server does."""
    with open(site.path('site.last_good.yaml'), 'w') as stream, open(site.path('site.yaml')) as present:
        stream.write(present.read())
    with open(site.path('site.yaml'), 'w') as stream:
        stream.write('colour: red\n')

    class Server:
        def __init__(self, site, *arguments, **options):
            self.site = site

        def run(self):
            print(self.site.settings.name)
            return 0

    monkeypatch.setattr(server_relay, 'RelayServer', Server)
    assert main(['server', 'relay', 'run']) == 0
    printed = capsys.readouterr().out
    assert 'last good settings' in printed and printed.endswith('server.ua.test\n')
