"""Relayed links between robots that may be on one LAN."""
from ua_overlay.checks.facts import Lan
from ua_overlay.checks.observe import lan
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.ping import PingSummary
from unit.checks.healthy import FACTS, MASTER, MATE


class PlayedApi:
    """The links of dev-1 and dev-3 are of these kinds; each may be reached at the same endpoints."""

    def __init__(self, endpoints=('10.0.2.16:41641', '203.0.113.22:5000'), **kinds):
        self.endpoints, self.kinds = endpoints, kinds

    def status(self, peers=True):
        fields = {'direct': {'CurAddr': '203.0.113.22:1'}, 'relay': {'PeerRelay': '203.0.113.10:40000:vni:1'},
                  'derp': {'Relay': 'site'}}
        return {'BackendState': 'Running', 'Peer': {name: dict(
            fields[kind], DNSName=name.replace('_', '-') + '.overlay.internal.', InNetworkMap=True, Online=True,
            Active=True) for name, kind in self.kinds.items()}}

    def whois(self, address):
        return {'Node': {'Endpoints': list(self.endpoints)}}


def observe(api, monkeypatch, pinged='DIRECT'):
    asked = []

    def ping_peer(api, address, timeout):
        asked.append(address)
        return PingSummary(pinged, 0.01)

    monkeypatch.setattr(lan, 'ping_peer', ping_peer)
    return lan.observe_lans(api, [MASTER, MATE], FACTS.own_endpoints, FACTS.interfaces, Questions(), 1.0), asked


def test_a_direct_link_is_not_pinged(monkeypatch):
    (links, lans), asked = observe(PlayedApi(dev_1='direct', dev_3='direct'), monkeypatch)
    assert [link.type for link in links] == ['DIRECT', 'DIRECT'] and lans == () and asked == []


def test_a_link_through_the_server_is_pinged_until_it_is_stable(monkeypatch):
    (links, lans), asked = observe(PlayedApi((), dev_1='derp', dev_3='direct'), monkeypatch)
    assert [link.type for link in links] == ['DIRECT', 'DIRECT'] and asked == ['100.64.0.1']
    assert lans == (Lan('dev-1', (), 'DIRECT'),)


def test_a_peer_relay_is_pinged_only_where_both_may_share_a_lan(monkeypatch):
    _, asked = observe(PlayedApi(('10.0.3.16:1', '203.0.113.9:1'), dev_3='relay'), monkeypatch)
    assert asked == []
    (_, lans), asked = observe(PlayedApi(dev_3='relay'), monkeypatch, 'PEER_RELAY')
    assert asked == ['100.64.0.3'] and lans[0].link_type == 'PEER_RELAY'


def test_without_tailscaled_nothing_is_known(monkeypatch):
    class Gone(PlayedApi):
        def status(self, peers=True):
            raise OverlayError('Gone.')

    assert observe(Gone(), monkeypatch)[0] is None
