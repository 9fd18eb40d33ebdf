"""The command lines of a relay. A relay that carries: test/lab/test_relays_loopback.py."""
import datetime

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
