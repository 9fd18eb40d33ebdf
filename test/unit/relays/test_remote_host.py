"""The directory of a remote host, and the key in its enrolment."""
import dataclasses
import os

import pytest

from ua_overlay.headscale.remote_hosts import RelayHost
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.remote_host import EnrolmentKeySource, RemoteHost, RemoteHostError

RELAY = RelayHost('lab-b', '203.0.113.11')


def test_an_enrolment_creates_a_private_directory(admin, tmp_path):
    enrolment = admin.create_relay(RELAY, 3600)
    remote_host = RemoteHost(str(tmp_path / 'relay'), enrolments.RELAY)
    remote_host.install(enrolment)
    assert os.stat(remote_host.directory).st_mode & 0o777 == 0o700 and remote_host.load() == enrolment
    # It takes a new enrolment of the same relay, and refuses that of another one.
    remote_host.install(admin.create_relay(RELAY, 3600, again=True))
    with pytest.raises(RemoteHostError, match='already belongs to the relay lab-b'):
        remote_host.install(admin.create_relay(RelayHost('c', '203.0.113.12'), 3600))
    (tmp_path / 'full').mkdir()
    (tmp_path / 'full' / 'file').write_text('')
    with pytest.raises(RemoteHostError, match='not empty'):
        RemoteHost(str(tmp_path / 'full'), enrolments.RELAY).install(enrolment)
    with remote_host.held(), pytest.raises(RemoteHostError, match='is running already'), remote_host.held():
        pass


def test_an_enrolment_with_other_contents_is_a_change(admin, tmp_path):
    enrolment = admin.create_derp('lab-b', '203.0.113.11', 8443, 3478)[0]
    remote_host = RemoteHost(str(tmp_path / 'd'), enrolments.DERP)
    assert remote_host.install(enrolment) is False  # the first is not a change
    assert remote_host.install(enrolment) is False
    assert remote_host.install(admin.create_derp('lab-b', None, 8443, 3478, again=True)[0]) is True
    relay = admin.create_relay(RelayHost('lab-b', '203.0.113.11'), 3600)
    other = RemoteHost(str(tmp_path / 'r'), enrolments.RELAY)
    other.install(relay)
    assert other.install(dataclasses.replace(relay, key='hskey-auth-another')) is False
    assert other.install(dataclasses.replace(relay, ca_pem=relay.ca_pem * 2)) is True


def test_a_used_key_is_removed(admin, tmp_path):
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
