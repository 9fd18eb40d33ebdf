"""Status JSON of every tested tailscaled release (recorded from real ones) as values."""
import json
import os

import pytest
from paths import DATA

from ua_overlay.tailscale.model import parse_ping, parse_status

ANSWERS = os.path.join(DATA, 'tailscale')
#: The recorded releases, the pinned one first; toolchain/README.md says how to record another.
VERSIONS = ('1.102.5', '1.100.0', '1.98.10')


def load(name, version):
    with open(os.path.join(ANSWERS, '{}-{}.json'.format(name, version))) as stream:
        return json.load(stream)


@pytest.mark.parametrize('version', VERSIONS)
def test_running(version):
    status = parse_status(load('running', version))
    assert status.version == version
    assert status.state == 'Running' and status.have_node_key
    own = status.self_node
    assert (own.name, own.dns_name, own.online) == ('dev-1', 'dev-1.overlay.internal', True)
    assert own.addresses[0] == '100.64.0.1' and own.addresses[1].startswith('fd7a:115c:a1e0::')
    assert set(own.tags) == {'tag:iris', 'tag:ros-master'}
    assert own.key_expiry is None and not own.expired
    assert [peer.name for peer in status.peers] == ['dev-2', 'dev-3', 'dev-5', 'dev-6', 'relay']
    assert len(status.paths) == len(status.peers)
    by_name = {peer.name: peer for peer in status.peers}
    assert by_name['dev-2'].online and by_name['dev-2'].last_seen is None
    assert not by_name['dev-3'].online
    assert by_name['relay'].tags == ('tag:relay',)
    assert status.suffix == 'overlay.internal' and status.magic_dns
    assert status.health == ()


@pytest.mark.parametrize('version', VERSIONS)
def test_before_and_after_membership(version):
    fresh = parse_status(load('needs_login', version))
    assert (fresh.state, fresh.have_node_key, fresh.peers) == ('NeedsLogin', False, ())
    assert (fresh.self_node.name, fresh.self_node.dns_name, fresh.self_node.tags) == ('', '', ())
    stopped = parse_status(load('stopped', version))
    assert (stopped.state, stopped.have_node_key, stopped.self_node.online) == ('Stopped', True, False)
    assert stopped.self_node.name == 'dev-1' and 'tag:iris' in stopped.self_node.tags
    again = parse_status(load('stopped_after_restart', version))
    assert (again.state, again.have_node_key) == ('Stopped', True)
    # A daemon that started while stopped has no network map: it knows neither name nor tags.
    assert (again.self_node.name, again.self_node.tags, again.self_node.addresses) == ('', (), ())


@pytest.mark.parametrize('changes, refused', [
    ({}, False), ({'BackendState': 'NeedsLogin'}, False),  # a logout that did not reach the server
    ({'BackendState': 'NeedsLogin', 'AuthURL': 'https://x/register'}, True),
    ({'BackendState': 'NeedsLogin', 'Self': {'Expired': True}}, True),
    ({'BackendState': 'NeedsLogin', 'AuthURL': 'https://x/register', 'HaveNodeKey': False}, False),  # a first login
    ({'BackendState': 'Stopped', 'Self': {'Expired': True}}, False)])
def test_an_identity_that_the_server_refuses(changes, refused):
    assert parse_status(dict(load('running', VERSIONS[0]), **changes)).refused == refused


def test_empty_and_unknown_fields_are_ignored():
    status = parse_status({})
    assert status.state == 'NoState' and status.peers == ()
    assert parse_status({'Peer': {'k': {'HostName': 'x', 'Novelty': 1}}}).peers[0].name == 'x'


def test_last_seen_only_while_offline():
    peers = {'a': {'DNSName': 'a.x.', 'LastSeen': '2026-11-22T19:02:59.7Z', 'Online': False},
             'b': {'DNSName': 'b.x.', 'LastSeen': '2026-11-22T19:02:59.7Z', 'Online': True},
             # Headscale 0.29 tells an established peer that another went offline, not when (recorded).
             'c': {'DNSName': 'c.x.', 'LastSeen': '0001-01-01T00:00:00Z', 'Online': False}}
    assert [peer.last_seen for peer in parse_status({'Peer': peers}).peers] == [pytest.approx(1795374179.7), None, None]


def test_login_url_is_not_in_the_repr():
    status = parse_status({'AuthURL': 'https://server/register/hskey-authreq-abc'})
    assert status.auth_url and 'hskey' not in repr(status)


@pytest.mark.parametrize('text, seconds', [
    ('1970-01-01T00:00:10.123456789Z', 10.123456789), ('1970-01-01T01:00:10+01:00', 10.0),
    ('0001-01-01T00:00:00Z', None), ('', None), (None, None), ('soon', None)])
def test_times_are_unix_seconds(text, seconds):
    status = parse_status({'Self': {'KeyExpiry': text}})
    assert status.self_node.key_expiry == (None if seconds is None else pytest.approx(seconds))


def test_ping():
    result = parse_ping({'IP': '100.64.0.2', 'NodeName': 'dev-2', 'LatencySeconds': 0.01, 'Endpoint': '192.0.2.2:41641',
                         'DERPRegionCode': '', 'PeerRelay': ''})
    assert (result.name, result.latency, result.endpoint, result.error) == ('dev-2', 0.01, '192.0.2.2:41641', '')
