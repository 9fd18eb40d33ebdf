import json

import pytest
import yaml

from ua_overlay.errors import UsageError
from ua_overlay.headscale import config
from ua_overlay.headscale.config import SiteSettings

PLAIN = SiteSettings('server.ua.test', ('203.0.113.10',))


def test_nothing_in_the_configuration_leaves_the_site():
    values = config.headscale_config(PLAIN, '/site')
    assert 'tailscale.com' not in json.dumps(values)
    assert values['derp']['urls'] == [] and values['derp']['auto_update_enabled'] is False
    assert values['disable_check_updates'] is True
    assert not any(values[part]['enabled'] for part in ('logtail', 'taildrop', 'auto_update'))


def test_the_site_brings_its_own_derp_stun_and_names():
    values = config.headscale_config(PLAIN, '/site')
    server = values['derp']['server']
    assert server['enabled'] and server['verify_clients'] and server['automatically_add_embedded_derp_region']
    assert (server['stun_listen_addr'], server['ipv4']) == ('0.0.0.0:3478', '203.0.113.10')
    assert 'ipv6' not in server
    assert values['dns']['magic_dns'] and values['dns']['base_domain'] == 'overlay.internal'
    assert values['dns']['override_local_dns'] is False
    assert values['policy'] == {'mode': 'file', 'path': '/site/policy.json'}


def test_what_is_private_listens_on_loopback_or_not_at_all():
    values = config.headscale_config(PLAIN, '/site')
    assert values['metrics_listen_addr'] == ''
    assert values['grpc_listen_addr'].startswith('127.0.0.1:')
    assert values['unix_socket_permission'] == '0700'


def test_ports_and_ipv6_addresses_are_used():
    values = config.headscale_config(SiteSettings('s.test', ('2001:db8::1', '192.0.2.1'), 443, 3479, 40001), '/s')
    assert values['server_url'] == 'https://s.test:443'
    assert values['listen_addr'] == '[::]:443' and values['derp']['server']['stun_listen_addr'] == '[::]:3479'
    assert values['derp']['server']['ipv6'] == '2001:db8::1' and values['derp']['server']['ipv4'] == '192.0.2.1'


def test_the_yaml_text_holds_what_the_dict_holds():
    values = config.headscale_config(PLAIN, '/site')
    assert yaml.safe_load(config.dump_config(values)) == values


def test_settings_survive_a_round_trip():
    settings = SiteSettings('Server.UA.test', ('203.0.113.10', '2001:DB8::1'), 8081, 3479, 40001, 'robots.internal')
    assert settings.name == 'server.ua.test' and settings.addresses[1] == '2001:db8::1'
    assert config.settings_from_dict(config.settings_to_dict(settings), 'site.yaml') == settings


@pytest.mark.parametrize('change, word', [
    ({'name': '203.0.113.10'}, 'address'),
    ({'name': 'https://x.test'}, 'DNS name'),
    ({'name': ''}, 'DNS name'),
    ({'addresses': ('203.0.113.300',)}, 'IP address'),
    ({'addresses': ('0.0.0.0',)}, 'reach'),
    ({'addresses': ('100.64.0.1',)}, 'overlay'),
    ({'port': 0}, 'port'),
    ({'port': True}, 'port'),
    ({'relay_port': '40000'}, 'relay port'),
    ({'stun_port': 65536}, 'stun port'),
    ({'relay_port': 3478}, 'share'),
    ({'base_domain': 'ua.test'}, 'base domain'),
    ({'base_domain': 'Not A Domain'}, 'base domain'),
])
def test_settings_that_make_no_sense_are_refused_with_a_next_command(change, word):
    with pytest.raises(UsageError) as caught:
        SiteSettings(**dict({'name': 'server.ua.test'}, **change))
    assert word in caught.value.sentence and caught.value.next_command


@pytest.mark.parametrize('values, word', [
    ({'name': 's.test', 'colour': 'red'}, 'colour'),
    ({'port': 8080}, 'name'),
    ({'name': 's.test', 'addresses': '1.2.3.4'}, 'list'),
])
def test_a_file_with_wrong_fields_is_named(values, word):
    with pytest.raises(UsageError) as caught:
        config.settings_from_dict(values, '/x/site.yaml')
    assert '/x/site.yaml' in caught.value.sentence and word in caught.value.sentence


def test_a_directory_too_long_for_a_socket_is_refused():
    longest = '/' + 'd' * (config.SOCKET_PATH_LIMIT - len('/run/tailscaled.sock') - 1)
    config.check_directory(longest)
    with pytest.raises(UsageError, match='1 characters too long'):
        config.check_directory(longest + 'd')
