"""Relays and DERP regions added and removed: site.yaml, the calls to Headscale, and what a failure leaves."""
import datetime
import os

import pytest

from ua_overlay.defaults import RELAY_PORT, SERVER_PORT
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.headscale.rest import ServerDown
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.remote_admin import HostError
from ua_overlay.site.site import Site
from ua_overlay.system import control_socket

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)
RELAY = RelayHost('lab-b', '203.0.113.11')


def relay_node(number, name='relay-lab-b'):
    return Node(number, name, name, (), ('tag:relay',), True, None, None, None)


def on_disk(admin):
    return Site.load(admin.site.directory).settings


def test_a_new_relay_is_saved_and_gets_a_relay_key(admin, headscale, requests):
    enrolment = admin.create_relay(RELAY, 3600)
    assert on_disk(admin).relays == (RELAY,)
    assert (enrolment.kind, enrolment.port) == (enrolments.RELAY, RELAY_PORT)
    assert enrolment.server_url == 'https://s.test:{}'.format(SERVER_PORT)
    assert headscale.calls[-1] == ('create_key', ['tag:relay'], NOW + datetime.timedelta(hours=1))
    # Robots learn of a relay by its node, so Headscale has nothing to read again.
    assert requests == []
    with pytest.raises(HostError, match='a relay lab-b already') as caught:
        admin.create_relay(RELAY, 3600)
    assert '--again' in caught.value.next_command


def test_a_stopped_server_leaves_site_yaml_unchanged(admin, headscale):
    headscale.down = True
    with pytest.raises(ServerDown):
        admin.create_relay(RELAY, 3600)
    assert on_disk(admin).relays == ()


def test_an_address_in_use_changes_nothing(admin, headscale):
    admin.create_relay(RELAY, 3600)
    with pytest.raises(OverlayError, match='same address and port'):
        admin.create_relay(RelayHost('other', '203.0.113.11'), 3600)
    assert on_disk(admin).relays == (RELAY,)


def test_a_reinstalled_relay_keeps_its_name(admin, headscale):
    admin.create_relay(RELAY, 3600)
    headscale.nodes_there = [relay_node('3'),
                             relay_node('1', 'relay')]
    admin.create_relay(RELAY, 3600, again=True)
    assert [call for call in headscale.calls if call[0] == 'delete_node'] == [('delete_node', '3')]
    with pytest.raises(HostError, match='no remote relay x'):
        admin.create_relay(RelayHost('x', '203.0.113.12'), 3600, again=True)


def test_a_relay_is_removed_with_its_node(admin, headscale):
    admin.create_relay(RELAY, 3600)
    headscale.nodes_there = [relay_node('3')]
    admin.remove_relay('lab-b')
    assert on_disk(admin).relays == () and ('delete_node', '3') in headscale.calls
    with pytest.raises(HostError, match='no remote relay lab-b'):
        admin.remove_relay('lab-b')


def test_a_new_region_gets_a_number_and_a_certificate(admin, requests):
    enrolment, reloaded = admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)
    assert reloaded and requests == ['reconfigure'] and on_disk(admin).derp[0].region == 901
    assert enrolment.host_name == 'lab-b.s.test' and 'PRIVATE KEY' in enrolment.certificate_key
    again, _ = admin.create_derp('lab-b', None, 8443, 3478, again=True)
    assert again.certificate != enrolment.certificate and again.address == '203.0.113.11'
    assert len(on_disk(admin).derp) == 1 and requests == ['reconfigure']
    admin.remove_derp('lab-b')
    assert on_disk(admin).derp == () and os.path.exists(admin.site.path('derp.yaml'))


def test_a_region_is_added_while_the_server_is_stopped(admin):
    def nobody(_path, _operation):
        raise control_socket.NotRunning('no')

    admin._ask = nobody
    assert admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)[1] is False
    assert len(on_disk(admin).derp) == 1
