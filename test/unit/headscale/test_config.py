"""The configuration of Headscale."""
import dataclasses
import json

import yaml

from ua_overlay.defaults import STUN_PORT
from ua_overlay.headscale import config
from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.headscale.site_settings import SiteSettings

PLAIN = SiteSettings('server.ua.test', ('203.0.113.10',))


def test_the_configuration_keeps_all_traffic_inside_the_site():
    values = config.headscale_config(PLAIN, '/site')
    assert 'tailscale.com' not in json.dumps(values)
    assert values['derp']['urls'] == [] and values['derp']['auto_update_enabled'] is False
    assert values['disable_check_updates'] is True
    assert not any(values[part]['enabled'] for part in ('logtail', 'taildrop', 'auto_update'))


def test_the_site_brings_its_own_derp_stun_and_names():
    values = config.headscale_config(PLAIN, '/site')
    server = values['derp']['server']
    assert server['enabled'] and server['verify_clients'] and server['automatically_add_embedded_derp_region']
    assert (server['stun_listen_addr'], server['ipv4']) == ('0.0.0.0:{}'.format(STUN_PORT), '203.0.113.10')
    assert 'ipv6' not in server
    assert values['dns']['magic_dns'] and values['dns']['base_domain'] == 'overlay.internal'
    assert values['dns']['override_local_dns'] is False
    assert values['policy'] == {'mode': 'file', 'path': '/site/policy.json'}


def test_private_interfaces_listen_on_loopback_only():
    values = config.headscale_config(PLAIN, '/site')
    assert values['metrics_listen_addr'] == ''
    assert values['grpc_listen_addr'].startswith('127.0.0.1:')
    assert values['unix_socket_permission'] == '0700'


def test_ports_and_ipv6_addresses_are_used():
    values = config.headscale_config(SiteSettings('s.test', ('2001:db8::1', '192.0.2.1'), 443, 3479, 40001), '/s')
    assert values['server_url'] == 'https://s.test:443'
    assert values['listen_addr'] == '[::]:443' and values['derp']['server']['stun_listen_addr'] == '[::]:3479'
    assert values['derp']['server']['ipv6'] == '2001:db8::1' and values['derp']['server']['ipv4'] == '192.0.2.1'


def test_the_yaml_text_has_the_same_values():
    values = config.headscale_config(PLAIN, '/site')
    assert yaml.safe_load(config.dump_config(values)) == values


def test_headscale_generates_the_derp_map_without_remote_regions():
    made = config.headscale_config(PLAIN, '/site')['derp']
    assert made['paths'] == [] and made['server']['automatically_add_embedded_derp_region'] is True
    assert made['auto_update_enabled'] is False


def test_headscale_reloads_the_derp_map_file_with_remote_regions():
    made = config.headscale_config(SiteSettings('s.test', ('203.0.113.10',), private=('192.168.7.10',),
                                                derp=(DerpHost('lab-b', 901, '203.0.113.11'),)), '/site')['derp']
    assert made['paths'] == ['/site/derp.yaml'] and made['auto_update_enabled'] is True
    assert made['server']['automatically_add_embedded_derp_region'] is False and made['urls'] == []
    # Robots outside get the public address, never the private one.
    assert made['server']['ipv4'] == '203.0.113.10'


def test_a_derper_beside_headscale_has_the_port_of_stun():
    """Headscale's DERP stays, for the time in which derper does not answer; it cannot run without STUN."""
    derp = config.headscale_config(dataclasses.replace(PLAIN, derp_port=8443), '/site')['derp']
    assert derp['server']['enabled'] and derp['server']['stun_listen_addr'] == '127.0.0.1:0'
    assert derp['server']['automatically_add_embedded_derp_region'] is False
    assert derp['paths'] == ['/site/derp.yaml'] and derp['auto_update_enabled']
