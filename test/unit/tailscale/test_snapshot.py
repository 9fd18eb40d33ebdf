"""What counts as a change."""
from dataclasses import replace

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.snapshot import LinkChange, diff, snapshot_of, snapshot_of_error
from unit.tailscale.test_model import load

NOW = snapshot_of(parse_status(load('running', '1.98.10')), 10.0)


def with_link(snapshot, index, **fields):
    links = list(snapshot.links)
    links[index] = replace(links[index], **fields)
    return replace(snapshot, links=tuple(links))


def test_first_snapshot_is_all_new():
    changes = diff(None, NOW)
    assert changes and changes.state and changes.peers and changes.links and changes.daemon
    assert LinkChange('dev-2', 'UNKNOWN', 'DIRECT') in changes.link_changes


def test_counters_and_stamps_are_no_change():
    later = with_link(replace(NOW, stamp=11.0), 0, rx_bytes=10 ** 9, tx_bytes=10 ** 9, last_handshake=1.0)
    assert not diff(NOW, later)


def test_link_type():
    changes = diff(NOW, with_link(NOW, 0, type='DERP', endpoint='', relay='site'))
    assert changes.links and not changes.peers and not changes.state
    assert changes.link_changes == (LinkChange('dev-2', 'DIRECT', 'DERP'),)


def test_endpoint_alone_is_a_change_without_event():
    changes = diff(NOW, with_link(NOW, 0, endpoint='198.51.100.1:1'))
    assert changes.links and changes.link_changes == ()


def test_peer_that_goes():
    changes = diff(NOW, replace(NOW, peers=NOW.peers[1:], links=NOW.links[1:]))
    assert changes.peers and changes.links
    assert changes.link_changes == (LinkChange('dev-2', 'DIRECT', 'UNKNOWN'),)


def test_retag_is_a_change_of_peers_or_self():
    peers = (replace(NOW.peers[0], tags=('tag:iris', 'tag:ros-master')),) + NOW.peers[1:]
    assert diff(NOW, replace(NOW, peers=peers)).peers
    assert diff(NOW, replace(NOW, self_node=replace(NOW.self_node, tags=('tag:blue',)))).self_node


def test_health_is_a_set():
    one, two = replace(NOW, health=('a', 'b')), replace(NOW, health=('b', 'a'))
    assert not diff(one, two) and diff(one, NOW).health


def test_daemon_gone_and_back():
    gone = snapshot_of_error(OverlayError('No tailscaled.', 'start it', 'NO_DAEMON'), 12.0)
    assert gone.daemon_error.code == 'NO_DAEMON' and str(gone.daemon_error) == 'No tailscaled. Next: start it'
    assert (gone.state, gone.peers, gone.links) == ('NoState', (), ())
    changes = diff(NOW, gone)
    assert changes.daemon and changes.state and changes.peers and changes.links
    assert not diff(gone, replace(gone, stamp=13.0))
    assert diff(gone, NOW).daemon
