"""A site on this machine, and stand-ins for its running server, for the commands on the server."""
import datetime

import pytest

from ua_overlay.cli import main
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.rules import Rules, Team, User
from ua_overlay.site.site import Site

NOW = datetime.datetime(2026, 11, 24, 14, 25, tzinfo=datetime.timezone.utc)


@pytest.fixture
def site(tmp_path, monkeypatch, capsys):
    """A site with the teams iris and blue and the user ana; its server does not run."""
    directory = str(tmp_path / 'site')
    monkeypatch.setenv('UA_OVERLAY_SITE', directory)
    monkeypatch.chdir(tmp_path)
    assert main(['server', 'init', '--name', 'server.ua.test', '--address', '203.0.113.10']) == 0
    capsys.readouterr()
    made = Site.load(directory)
    made.rules = Rules({'iris': Team('iris'), 'blue': Team('blue')}, (), {'ana': User('ana', ('iris',))})
    made.write_settings()
    made.write_generated()
    return made


@pytest.fixture
def node():
    """Function(name, ...) -> a Node."""
    def make(name, tags=('tag:iris',), online=True, user='', days=0, number='1'):
        seen = NOW - datetime.timedelta(days=days)
        return Node(number, name, name, ('100.64.0.' + number,), tuple(tags), online, seen, None, seen, user)

    return make


@pytest.fixture
def answer():
    """The answer of a healthy server to `status`."""
    return {'headscale': {'running': True, 'restarts': 0}, 'policy': {'state': 'in force'}, 'derp': {}, 'derp_ends': {},
            'own_derp': None,
            'relay': {'ok': True, 'state': 'up', 'carrying': 2, 'repairs': 0, 'sessions': 3}}
