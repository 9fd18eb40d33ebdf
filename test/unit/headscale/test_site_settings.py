"""The settings of a site: valid values, and their form in site.yaml."""
import pytest
import yaml

from ua_overlay.defaults import DERP_PORT, RELAY_PORT, SERVER_PORT, STUN_PORT
from ua_overlay.errors import UsageError
from ua_overlay.headscale import site_settings
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost
from ua_overlay.headscale.site_settings import SiteSettings, settings_from_dict, settings_to_dict


def test_settings_survive_a_round_trip():
    settings = SiteSettings('Server.UA.test', ('203.0.113.10', '2001:DB8::1'), 8081, 3479, 40001, 'robots.internal')
    assert settings.name == 'server.ua.test' and settings.addresses[1] == '2001:db8::1'
    assert site_settings.settings_from_dict(site_settings.settings_to_dict(settings), 'site.yaml') == settings


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
    ({'relay_port': STUN_PORT}, 'share'),
    ({'base_domain': 'ua.test'}, 'base domain'),
    ({'derp_port': 65536}, 'derp port'),
    ({'derp_port': False}, 'derp port'),
    ({'derp_port': SERVER_PORT}, 'cannot share TCP port'),
    ({'derp_port': DERP_PORT, 'derp': (DerpHost('server', 901, '203.0.113.11'),)}, 'cannot have the name server'),
    ({'base_domain': 'Not A Domain'}, 'base domain'),
])
def test_invalid_settings_are_refused_with_a_next_command(change, word):
    with pytest.raises(UsageError) as caught:
        SiteSettings(**dict({'name': 'server.ua.test'}, **change))
    assert word in caught.value.sentence and caught.value.next_command


@pytest.mark.parametrize('values, word', [
    ({'name': 's.test', 'colour': 'red'}, 'colour'),
    ({'port': 8080}, 'name'),
    ({'name': 's.test', 'addresses': '1.2.3.4'}, 'list'),
])
def test_an_error_about_a_field_names_the_file(values, word):
    with pytest.raises(UsageError) as caught:
        site_settings.settings_from_dict(values, '/x/site.yaml')
    assert '/x/site.yaml' in caught.value.sentence and word in caught.value.sentence


def test_a_directory_too_long_for_a_socket_is_refused():
    longest = '/' + 'd' * (site_settings.SOCKET_PATH_LIMIT - len('/run/tailscaled.sock') - 1)
    site_settings.check_directory(longest)
    with pytest.raises(UsageError, match='1 characters too long'):
        site_settings.check_directory(longest + 'd')


def test_remote_hosts_survive_a_round_trip_and_may_be_absent():
    settings = SiteSettings('s.test', ('203.0.113.10',), private=('192.168.7.10',),
                            relays=(RelayHost('lab-b', '203.0.113.11'),),
                            derp=(DerpHost('lab-b', 901, '203.0.113.11'),))
    values = settings_to_dict(settings)
    assert values['relays'] == {'lab-b': {'address': '203.0.113.11', 'port': RELAY_PORT}}
    assert values['derp']['lab-b'] == {'region': 901, 'address': '203.0.113.11', 'port': DERP_PORT,
                                       'stun_port': STUN_PORT}
    assert settings_from_dict(yaml.safe_load(yaml.safe_dump(values)), 'site.yaml') == settings
    assert not {'private', 'relays', 'derp'} & set(settings_to_dict(SiteSettings('s.test')))


@pytest.mark.parametrize('values, word', [
    ({'private': '192.168.7.10'}, 'not a list'),
    ({'private': ['192.168.7.10']}, 'needs a public address'),
    ({'private': ['x']}, 'not an IP address'),
])
def test_an_invalid_private_address_is_named(values, word):
    with pytest.raises(UsageError, match=word) as caught:
        settings_from_dict(dict({'name': 's.test'}, **values), 'site.yaml')
    assert caught.value.next_command


def test_the_prefix_is_a_part_of_tailscales_range():
    settings = SiteSettings('server.ua.test', ('100.64.0.10',), prefix='100.96.0.0/16')
    values = settings_to_dict(settings)
    assert values['prefix'] == '100.96.0.0/16' and settings_from_dict(values, 'x') == settings
    assert 'prefix' not in settings_to_dict(SiteSettings('server.ua.test'))
    for prefix in ('10.0.0.0/8', '100.64.0.0/9', '100.96.0.1/16', '100.96.0.0/29', 'x', 'fd7a:115c:a1e0::/48', 3):
        with pytest.raises(UsageError):
            SiteSettings('server.ua.test', prefix=prefix)
    for outside in ('100.96.3.4', 'fd7a:115c:a1e0::1'):
        with pytest.raises(UsageError, match='inside the overlay'):
            SiteSettings('server.ua.test', (outside,), prefix='100.96.0.0/16')


@pytest.mark.parametrize('text, seconds', [('1d', 86400), ('12h', 43200), ('60s', 60), ('30d', 2592000)])
def test_the_memory_of_admissions(text, seconds):
    made = SiteSettings('s.test', admission_memory=text)
    assert made.admission_seconds == seconds
    assert settings_to_dict(made).get('admission_memory') == (None if text == '1d' else text)


@pytest.mark.parametrize('text', ['', '1', '59s', '31d', 'ever', 5, None])
def test_an_invalid_memory_of_admissions(text):
    with pytest.raises(UsageError, match='is not a time from a minute to 30 days'):
        SiteSettings('s.test', admission_memory=text)


def test_a_derper_beside_headscale_is_the_first_region():
    assert SiteSettings('s.test').regions == () and 'derp_port' not in settings_to_dict(SiteSettings('s.test'))
    settings = SiteSettings('s.test', ('203.0.113.10',), derp=(DerpHost('lab-b', 901, '203.0.113.11'),),
                            derp_port=DERP_PORT)
    assert settings_from_dict(settings_to_dict(settings), 'site.yaml') == settings
    assert [(region.name, region.number, region.host_name, region.addresses, region.probed_at)
            for region in settings.regions] == [
        ('server', 900, 's.test', ('203.0.113.10',), '127.0.0.1'),
        ('lab-b', 901, 'lab-b.s.test', ('203.0.113.11',), '203.0.113.11')]
