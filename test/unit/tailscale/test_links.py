"""The link type: on recorded statuses with every type in them, and on each trap alone."""
import pytest

from ua_overlay import link_types
from ua_overlay.tailscale.links import classify, classify_ping, link_of, links_of
from ua_overlay.tailscale.model import Peer, PeerPath, PingResult, parse_status
from unit.tailscale.test_model import VERSIONS, load

RUNNING = dict(in_network_map=True, online=True, active=True, home_relay='site')


@pytest.mark.parametrize('version', VERSIONS)
def test_recorded_statuses(version):
    links = {link.peer: link for link in links_of(parse_status(load('running', version)))}
    assert {name: link.type for name, link in links.items()} == {
        'dev-2': 'DIRECT', 'dev-3': 'OFFLINE', 'dev-5': 'DERP', 'dev-6': 'PEER_RELAY', 'relay': 'IDLE'}
    assert ':' in links['dev-2'].endpoint and links['dev-2'].relay == ''
    assert ':vni:' in links['dev-6'].endpoint and links['dev-6'].relay == ''
    assert (links['dev-5'].endpoint, links['dev-5'].relay) == ('', 'site')
    assert (links['relay'].endpoint, links['relay'].relay) == ('', '')
    assert links['dev-2'].rx_bytes > 0 and links['dev-2'].tx_bytes > 0 and links['dev-2'].last_handshake > 1.7e9
    assert links['relay'].last_handshake is None


@pytest.mark.parametrize('path, kind', [
    (PeerPath(**RUNNING), link_types.DERP),
    (PeerPath(endpoint='192.0.2.2:1', **RUNNING), link_types.DIRECT),
    (PeerPath(peer_relay='192.0.2.2:1:vni:3', **RUNNING), link_types.PEER_RELAY),
    # The home region is set whether or not traffic takes it.
    (PeerPath(**dict(RUNNING, active=False)), link_types.IDLE),
    (PeerPath(endpoint='192.0.2.2:1', **dict(RUNNING, active=False)), link_types.IDLE),
    (PeerPath(**dict(RUNNING, home_relay='')), link_types.UNKNOWN),
    # Offline is the server's word: a path with fresh pongs is stronger, DERP is not.
    (PeerPath(endpoint='192.0.2.2:1', **dict(RUNNING, online=False)), link_types.DIRECT),
    (PeerPath(peer_relay='192.0.2.2:1:vni:3', **dict(RUNNING, online=False)), link_types.PEER_RELAY),
    (PeerPath(**dict(RUNNING, online=False)), link_types.OFFLINE),
    (PeerPath(**dict(RUNNING, online=False, active=False)), link_types.OFFLINE),
    (PeerPath(endpoint='192.0.2.2:1', **dict(RUNNING, expired=True)), link_types.UNKNOWN),
    (PeerPath(**dict(RUNNING, in_network_map=False)), link_types.UNKNOWN),
    (PeerPath(), link_types.UNKNOWN),
])
def test_classify(path, kind):
    assert classify(path) == kind


def test_an_idle_link_has_no_path():
    link = link_of(Peer('dev-2'), PeerPath(endpoint='192.0.2.2:1', **dict(RUNNING, active=False)))
    assert (link.type, link.endpoint, link.relay) == ('IDLE', '', '')


@pytest.mark.parametrize('result, kind', [
    (PingResult(endpoint='192.0.2.2:1'), link_types.DIRECT),
    (PingResult(peer_relay='192.0.2.2:1:vni:3'), link_types.PEER_RELAY),
    (PingResult(derp='site'), link_types.DERP),
    (PingResult(), link_types.UNKNOWN),
    (PingResult(endpoint='192.0.2.2:1', error='no matching peer'), link_types.UNKNOWN),
])
def test_classify_ping(result, kind):
    assert classify_ping(result) == kind
