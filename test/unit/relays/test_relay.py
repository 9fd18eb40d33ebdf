"""The command lines of a relay. A relay that carries: test/lab/test_relays_loopback.py."""
import datetime
import os
import subprocess

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import relay
from ua_overlay.site.site import Site

SITE = Site('/site', SiteSettings('s.test', ('203.0.113.10', '2001:db8::1')))


def test_the_daemon_runs_unprivileged_and_trusts_only_the_site():
    argv, environment = relay.daemon_command('/bin/tailscaled', relay.settings_of_site(SITE))
    assert '--tun=userspace-networking' in argv and '--socket=/site/run/tailscaled.sock' in argv
    assert environment['SSL_CERT_FILE'] == '/site/ca.pem'
    assert environment['TS_NO_LOGS_NO_SUPPORT'] == 'true'


def test_the_key_stays_in_its_file():
    arguments = relay.up_arguments('https://s.test:8080', '/site/relay/auth.key', 'relay')
    assert '--auth-key=file:/site/relay/auth.key' in arguments
    assert '--accept-dns=false' in arguments and '--reset' in arguments


def test_robots_learn_every_address_of_the_relay():
    assert relay.set_arguments(40000, SITE.settings.addresses) == [
        'set', '--relay-server-port=40000',
        '--relay-server-static-endpoints=203.0.113.10:40000,[2001:db8::1]:40000']


def test_without_addresses_static_endpoints_are_cleared():
    assert relay.set_arguments(40000, ())[-1] == '--relay-server-static-endpoints='


def test_a_new_key_replaces_the_node_that_lost_its_state(headscale):
    now = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)
    headscale.nodes_there = [Node(*each, True, None, None, None) for each in (
        ('1', 'relay', 'relay', (), ('tag:relay',)), ('2', 'relay-b', 'relay-b', (), ('tag:relay',)),
        ('3', 'relay-1', 'relay', (), ('tag:iris',)))]
    source = relay.SiteKeySource(lambda: headscale, lambda: now)
    assert source.key().startswith('hskey-auth-')
    assert headscale.calls[1:] == [('delete_node', '1'),
                                   ('create_key', ['tag:relay'], now + datetime.timedelta(minutes=5))]
    source.failed()
    assert headscale.calls[-1] == ('expire_key', '7')


class Keys:
    """A source of keys that records what became of them."""

    def __init__(self):
        self.became = []

    def key(self):
        return 'hskey-auth-' + 'k' * 70

    def done(self):
        self.became.append('done')

    def failed(self):
        self.became.append('failed')


def node_in(directory, keys, returncode=0):
    settings = relay.RelaySettings(str(directory), str(directory / 'none.sock'), '/ca.pem', 'https://s.test:8080',
                                   'relay', 40000, ())
    seen = []

    def run(argv, **_options):
        seen.append((directory / 'auth.key').read_text())
        return subprocess.CompletedProcess(argv, returncode, '', 'refused')

    return relay.RelayNode('/tailscale', settings, keys, run), seen


def test_the_file_of_a_key_lives_as_long_as_its_use(tmp_path):
    keys = Keys()
    node, seen = node_in(tmp_path, keys)
    node._register()
    assert seen == [keys.key()] and os.listdir(str(tmp_path)) == [] and keys.became == ['done']
    node, _ = node_in(tmp_path, keys, 1)
    with pytest.raises(relay.RelayError, match='cannot join the overlay: refused'):
        node._register()
    assert os.listdir(str(tmp_path)) == [] and keys.became == ['done', 'failed']


def test_the_file_of_a_killed_process_is_removed(tmp_path):
    (tmp_path / 'auth.key').write_text('old')
    node, _ = node_in(tmp_path, Keys())
    with pytest.raises(OverlayError):
        node.bring_up()  # no tailscaled is there
    assert os.listdir(str(tmp_path)) == []


@pytest.mark.fault('K3', "The relay's disk is full when it joins", behaviour='its key is revoked; it tries again',
                   reported='at once: server status, relay status', recovery='when there is room', lost='nothing')
@needs_root
def test_a_key_that_cannot_be_written_is_revoked(tmp_path):
    with small_file_system(tmp_path / 'small') as small:
        small.fill()
        keys = Keys()
        node, seen = node_in(tmp_path / 'small', keys)
        with pytest.raises(OSError, match='the file system {} is full'.format(small.path)):
            node._register()
        assert keys.became == ['failed'] and seen == [] and small.names() == []
        small.free()
        node._register()
        assert keys.became == ['failed', 'done']
