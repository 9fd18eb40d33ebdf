"""What counts as a change."""
from dataclasses import replace

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.model import Status, parse_status
from ua_overlay.tailscale.snapshot import LinkChange, diff, snapshot_of, snapshot_of_error
from unit.tailscale.test_model import VERSIONS, load

NOW = snapshot_of(parse_status(load('running', VERSIONS[0])), 10.0)


def with_link(snapshot, index, **fields):
    links = list(snapshot.links)
    links[index] = replace(links[index], **fields)
    return replace(snapshot, links=tuple(links))


def with_status(**fields):
    return replace(NOW, status=replace(NOW.status, **fields))


def test_everything_in_the_first_snapshot_is_new():
    changes = diff(None, NOW)
    assert changes and changes.state and changes.peers and changes.links and changes.daemon
    assert LinkChange('dev-2', 'UNKNOWN', 'DIRECT') in changes.link_changes


def test_counters_and_timestamps_are_no_changes():
    later = with_link(replace(NOW, stamp=11.0), 0, rx_bytes=10 ** 9, tx_bytes=10 ** 9, last_handshake=1.0)
    assert not diff(NOW, later)


def test_link_type():
    changes = diff(NOW, with_link(NOW, 0, type='DERP', endpoint='', relay='site'))
    assert changes.links and not changes.peers and not changes.state
    assert changes.link_changes == (LinkChange('dev-2', 'DIRECT', 'DERP'),)


def test_a_new_endpoint_of_the_same_type_triggers_no_event():
    changes = diff(NOW, with_link(NOW, 0, endpoint='198.51.100.1:1'))
    assert changes.links and changes.link_changes == ()


def test_a_removed_peer():
    changes = diff(NOW, replace(with_status(peers=NOW.status.peers[1:]), links=NOW.links[1:]))
    assert changes.peers and changes.links
    assert changes.link_changes == (LinkChange('dev-2', 'DIRECT', 'UNKNOWN'),)


def test_changed_tags_update_peers_or_this_node():
    peers = NOW.status.peers
    assert diff(NOW, with_status(peers=(replace(peers[0], tags=('tag:iris', 'tag:ros-master')),) + peers[1:])).peers
    assert diff(NOW, with_status(self_node=replace(NOW.status.self_node, tags=('tag:blue',)))).self_node


def test_the_order_of_warnings_is_ignored():
    assert not diff(with_status(health=('a', 'b')), with_status(health=('b', 'a')))
    assert diff(with_status(health=('a', 'b')), NOW).health


def test_the_daemon_stops_and_returns():
    gone = snapshot_of_error(OverlayError('No tailscaled.', 'start it', 'NO_DAEMON'), 12.0)
    assert gone.daemon_error.code == 'NO_DAEMON' and str(gone.daemon_error) == 'No tailscaled. Next: start it'
    assert (gone.status, gone.links) == (Status(), ()) and gone.status.state == 'NoState'
    changes = diff(NOW, gone)
    assert changes.daemon and changes.state and changes.peers and changes.links
    assert not diff(gone, replace(gone, stamp=13.0))
    assert diff(gone, NOW).daemon
