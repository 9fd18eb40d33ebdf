"""The egress rule of a server without nft: test/lab/test_server_service.py has the real one."""
import types

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, UNREADABLE, TableState
from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import service, service_egress


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Function of (table state, servers or an error) -> the state of the server's rule, which was installed."""
    def state(table_state, servers=()):
        def names(_served, _directory):
            if isinstance(servers, Exception):
                raise servers
            return list(servers)

        monkeypatch.setattr(service_egress, 'servers', names)
        monkeypatch.setattr(service_egress.egress_table, 'inspect', lambda _: table_state)
        return service_egress.rule_state(served, '/site')

    rules = tmp_path / 'egress.nft'
    rules.write_text('table')
    served = service.SERVER._replace(egress=service.SERVER.egress._replace(rules=str(rules)))
    monkeypatch.setattr(service, 'applier', lambda served: Applied())
    return state


class Applied:
    def applied(self):
        return True


@pytest.mark.parametrize('table_state, servers, ok, text, next_command', [
    (TableState(IN_FORCE, ('10.0.0.1',)), ('10.0.0.1',), True, 'in force for 10.0.0.1', ''),
    (TableState(IN_FORCE), (), True, 'no other machine', ''),
    (TableState(IN_FORCE), ('10.0.0.1',), False, 'blocks 10.0.0.1', 'egress-keeper'),
    (TableState(CHANGED), (), False, 'changed it', 'egress-keeper'),
    (TableState(UNREADABLE, (), 'Only root.', 'sudo'), (), None, 'unknown: Only root', 'sudo'),
    (TableState(IN_FORCE), OverlayError('site.yaml is invalid.', 'edit it'), None, 'site.yaml is invalid', 'edit it')])
def test_state_of_a_rule(installed, table_state, servers, ok, text, next_command):
    state = installed(table_state, servers)
    assert state.ok is ok and text in state.text and next_command in state.next_command
    assert bool(state.next_command) == (not ok)


def test_a_rule_that_is_not_installed(installed, monkeypatch, tmp_path):
    served = service.SERVER._replace(egress=service.SERVER.egress._replace(rules=str(tmp_path / 'none')))
    assert service_egress.rule_state(served, '/site').next_command == 'sudo ua-overlay server service install'
    monkeypatch.setattr(Applied, 'applied', lambda self: False)
    assert service_egress.rule_state(served, '/site') is None


def test_a_missing_site_has_no_servers(tmp_path):
    with pytest.raises(OverlayError):
        service_egress.servers(service.SERVER, str(tmp_path / 'none'))
    with pytest.raises(OverlayError):
        service_egress.servers(service.DERP, str(tmp_path / 'none'))


def test_a_server_may_resolve_its_own_names(monkeypatch):
    settings = SiteSettings('server.ua.test', derp=(DerpHost('lab-b', 901, '203.0.113.5'),))
    monkeypatch.setattr(service_egress.last_good, 'load', lambda _: (types.SimpleNamespace(settings=settings), None))
    assert service_egress.questions(service.SERVER, '/site') == ['server.ua.test', 'lab-b.server.ua.test']
    monkeypatch.setattr(service_egress, 'servers', lambda *_: ['server.ua.test', '203.0.113.10', 'fd00::1'])
    enrolment = types.SimpleNamespace(server_url='https://imported.example:8080')
    monkeypatch.setattr(service_egress.RemoteHost, 'load', lambda _: enrolment)
    assert service_egress.questions(service.RELAY, '/relay') == ['imported.example', 'server.ua.test']
