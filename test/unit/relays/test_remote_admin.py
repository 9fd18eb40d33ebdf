"""Relays and DERP regions named and taken out: what is in site.yaml, what Headscale is asked, what a failure leaves."""
import dataclasses
import datetime
import os
from types import SimpleNamespace

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.headscale.rest import ServerDown
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.remote_admin import HostError, RemoteAdmin
from ua_overlay.relays.remote_server import EnrolmentKeySource, RemoteHost, RemoteHostError
from ua_overlay.site.site import Site
from ua_overlay.system import control_socket
from ua_overlay.trust import store

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)
RELAY = RelayHost('lab-b', '203.0.113.11')


class Headscale:
    """Plays the REST interface; ``down`` makes every call fail."""

    def __init__(self):
        self.down, self.nodes_there, self.calls = False, [], []

    def __getattr__(self, name):
        def call(*arguments):
            if self.down:
                raise ServerDown('down')
            self.calls.append((name,) + arguments)
            if name == 'nodes':
                return self.nodes_there
            return SimpleNamespace(id='7', key='hskey-auth-aaaaaaaaaaaa-bbbb')
        return call


@pytest.fixture
def headscale():
    return Headscale()


@pytest.fixture
def asked():
    return []


@pytest.fixture
def admin(tmp_path, headscale, asked):
    settings = SiteSettings('s.test', ('203.0.113.10',))
    site = Site.create(str(tmp_path / 'site'), settings, lambda directory: store.init(
        directory, 's.test', ['s.test'], ['203.0.113.10'], utc_now()))
    return RemoteAdmin(site, lambda: headscale, lambda: NOW, lambda path, operation: asked.append(operation))


def on_disk(admin):
    return Site.load(admin.site.directory).settings


def test_a_relay_is_named_and_its_key_is_for_relays(admin, headscale, asked):
    enrolment = admin.create_relay(RELAY, 3600)
    assert on_disk(admin).relays == (RELAY,)
    assert (enrolment.kind, enrolment.server_url, enrolment.port) == (enrolments.RELAY, 'https://s.test:8080', 40000)
    assert headscale.calls[-1] == ('create_key', ['tag:relay'], NOW + datetime.timedelta(hours=1))
    # Robots learn of a relay by its node: Headscale has nothing to read anew.
    assert asked == []
    with pytest.raises(HostError, match='a relay lab-b already') as caught:
        admin.create_relay(RELAY, 3600)
    assert '--again' in caught.value.next_command


def test_a_server_that_is_down_leaves_site_yaml_alone(admin, headscale):
    headscale.down = True
    with pytest.raises(ServerDown):
        admin.create_relay(RELAY, 3600)
    assert on_disk(admin).relays == ()


def test_a_place_that_is_taken_changes_nothing(admin, headscale):
    admin.create_relay(RELAY, 3600)
    with pytest.raises(OverlayError, match='same address and port'):
        admin.create_relay(RelayHost('other', '203.0.113.11'), 3600)
    assert on_disk(admin).relays == (RELAY,)


def test_a_relay_that_is_set_up_anew_gets_its_name_back(admin, headscale):
    admin.create_relay(RELAY, 3600)
    headscale.nodes_there = [SimpleNamespace(id='3', tags=('tag:relay',), requested_name='relay-lab-b'),
                             SimpleNamespace(id='1', tags=('tag:relay',), requested_name='relay')]
    admin.create_relay(RELAY, 3600, again=True)
    assert [call for call in headscale.calls if call[0] == 'delete_node'] == [('delete_node', '3')]
    with pytest.raises(HostError, match='no remote relay x'):
        admin.create_relay(RelayHost('x', '203.0.113.12'), 3600, again=True)


def test_a_relay_is_taken_out_with_its_node(admin, headscale):
    admin.create_relay(RELAY, 3600)
    headscale.nodes_there = [SimpleNamespace(id='3', tags=('tag:relay',), requested_name='relay-lab-b')]
    admin.remove('relays', 'lab-b')
    assert on_disk(admin).relays == () and ('delete_node', '3') in headscale.calls
    with pytest.raises(HostError, match='no remote relay lab-b'):
        admin.remove('relays', 'lab-b')


def test_a_region_has_a_number_and_a_certificate_and_a_running_server_hears_of_it(admin, asked):
    enrolment, told = admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)
    assert told and asked == ['reconfigure'] and on_disk(admin).derp[0].region == 901
    assert enrolment.host_name == 'lab-b.s.test' and 'PRIVATE KEY' in enrolment.certificate_key
    again, _ = admin.create_derp('lab-b', None, 8443, 3478, again=True)
    assert again.certificate != enrolment.certificate and again.address == '203.0.113.11'
    assert len(on_disk(admin).derp) == 1 and asked == ['reconfigure']
    admin.remove('derp', 'lab-b')
    assert on_disk(admin).derp == () and os.path.exists(admin.site.path('derp.yaml'))


def test_a_server_that_does_not_run_reads_it_when_it_starts(admin):
    def nobody(path, operation):
        raise control_socket.NotRunning('no')

    admin._ask = nobody
    assert admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)[1] is False
    assert len(on_disk(admin).derp) == 1


def test_an_enrolment_makes_a_directory_for_its_owner_alone(admin, tmp_path):
    enrolment = admin.create_relay(RELAY, 3600)
    remote_host = RemoteHost(str(tmp_path / 'relay'), enrolments.RELAY)
    remote_host.install(enrolment)
    assert os.stat(remote_host.directory).st_mode & 0o777 == 0o700 and remote_host.load() == enrolment
    # A new enrolment of the same relay is taken, another one is not.
    remote_host.install(admin.create_relay(RELAY, 3600, again=True))
    with pytest.raises(RemoteHostError, match='holds the relay lab-b'):
        remote_host.install(admin.create_relay(RelayHost('c', '203.0.113.12'), 3600))
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').write_text('')
    with pytest.raises(RemoteHostError, match='not empty'):
        RemoteHost(str(tmp_path / 'full'), enrolments.RELAY).install(enrolment)
    with remote_host.held(), pytest.raises(RemoteHostError, match='runs already'), remote_host.held():
        pass


def test_an_enrolment_that_says_something_else_is_told_from_the_same_again(admin, tmp_path):
    enrolment = admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)[0]
    remote_host = RemoteHost(str(tmp_path / 'd'), enrolments.DERP)
    assert remote_host.install(enrolment) is False  # the first is no change
    assert remote_host.install(enrolment) is False
    assert remote_host.install(admin.create_derp('lab-b', None, 8443, 3478, again=True)[0]) is True
    relay = admin.create_relay(RelayHost('lab-b', '203.0.113.11'), 3600)
    other = RemoteHost(str(tmp_path / 'r'), enrolments.RELAY)
    other.install(relay)
    assert other.install(dataclasses.replace(relay, key='hskey-auth-another')) is False
    assert other.install(dataclasses.replace(relay, ca_pem=relay.ca_pem * 2)) is True


def test_a_key_is_forgotten_when_it_was_used(admin, tmp_path):
    remote_host = RemoteHost(str(tmp_path / 'relay'), enrolments.RELAY)
    remote_host.install(admin.create_relay(RELAY, 3600))
    key_source = EnrolmentKeySource(remote_host)
    assert key_source.key().startswith('hskey-')
    key_source.failed()
    assert key_source.key()
    key_source.done()
    with pytest.raises(RemoteHostError, match='used up') as caught:
        key_source.key()
    assert '--again' in caught.value.next_command
