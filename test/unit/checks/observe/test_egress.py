"""Observed states of the egress rule. With the real rule: test/lab/test_doctor.py."""
from ua_overlay.checks.facts import Egress
from ua_overlay.checks.observe.egress import observe_egress
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress as rules
from ua_overlay.firewall.backend import NFT, Backend
from ua_overlay.firewall.egress_table import MISSING, TableState
from unit.checks.healthy import FACTS

IN_USE = FACTS.egress.table_state


class Api:
    def derp_map(self):
        return {'Regions': {'901': {'Nodes': [{'HostName': 'lab-b.s.test', 'IPv4': '203.0.113.11'}]}}}


def test_observed_rule_states(tmp_path, monkeypatch):
    def resolve(name):
        if name == 'lab-b.s.test':
            raise OSError('no such name')
        return [name]

    def observe(table_state):
        return observe_egress(Api(), str(tmp_path / 'ca.pem'), str(manifest), lambda which: table_state, resolve)

    manifest = tmp_path / 'prepared.json'
    monkeypatch.setattr(rules, 'ROBOT', rules.ROBOT._replace(rules=str(tmp_path / 'egress.nft')))
    assert observe(IN_USE) is None  # there is no promise to check
    manifest.write_text('{}')
    assert observe(IN_USE) == Egress(False)
    (tmp_path / 'egress.nft').write_text('')
    assert observe(TableState(MISSING)) == Egress(True, TableState(MISSING))
    assert observe(IN_USE) == Egress(True, IN_USE, ('203.0.113.11',), False)


def test_without_tailscaled_the_addresses_are_incomplete(tmp_path, monkeypatch):
    class Down:
        def derp_map(self):
            raise OverlayError('No tailscaled answers.')

    manifest = tmp_path / 'prepared.json'
    manifest.write_text('{}')
    monkeypatch.setattr(rules, 'ROBOT', rules.ROBOT._replace(rules=str(manifest)))
    view = observe_egress(Down(), str(tmp_path / 'none.pem'), str(manifest), lambda which: IN_USE)
    assert view.addresses == () and not view.complete


def test_a_proxy_that_was_set_later(tmp_path, monkeypatch):
    settings = rules.Settings(proxies=('http://proxy.lan:3128',))
    (tmp_path / 'egress.nft').write_text(rules.ruleset(rules.ROBOT, settings, Backend(NFT, ('nft',))))
    monkeypatch.setattr(rules, 'ROBOT', rules.ROBOT._replace(rules=str(tmp_path / 'egress.nft')))
    for proxy, other in (('http://me:x@proxy.lan:3128', ()), ('new.lan:80', ('http://new.lan:80',))):
        view = observe_egress(Api(), str(tmp_path / 'ca.pem'), str(tmp_path / 'egress.nft'),
                              lambda which: TableState(MISSING), environment=lambda proxy=proxy: {'HTTPS_PROXY': proxy})
        assert view.other_proxies == other
