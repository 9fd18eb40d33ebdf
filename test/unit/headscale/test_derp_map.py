"""The DERP map that robots get, and the command line of a derper."""
import dataclasses

import yaml

from ua_overlay.defaults import DERP_PORT, STUN_PORT
from ua_overlay.headscale import derp_map
from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.headscale.site_settings import SiteSettings

SETTINGS = SiteSettings('s.test', ('203.0.113.10',), private=('192.168.7.10',),
                        derp=(DerpHost('lab-b', 901, '203.0.113.11'),))


def test_the_embedded_region_is_home_only_without_a_remote_one():
    made = derp_map.derp_map(SETTINGS, {'lab-b'})['regions']
    assert made[999]['nomeasurenohome'] is True and 'nomeasurenohome' not in made[901]
    assert made[901]['nodes'][0] == {'name': '901a', 'regionid': 901, 'hostname': 'lab-b.s.test', 'derpport': DERP_PORT,
                                     'stunport': STUN_PORT, 'ipv4': '203.0.113.11'}
    assert made[999]['nodes'][0]['ipv4'] == '203.0.113.10'
    assert 'nomeasurenohome' not in derp_map.derp_map(SETTINGS, set())['regions'][999]
    assert yaml.safe_load(derp_map.dump_map({'regions': made})) == {'regions': made}


def test_derper_serves_only_nodes_of_this_site():
    argv, environment = derp_map.derper_command('/bin/derper', '/d', 'lab-b.s.test', 8443, 3478, 'http://127.0.0.1:5/verify')
    assert '-verify-client-url-fail-open=false' in argv
    assert argv[argv.index('-verify-client-url') + 1] == 'http://127.0.0.1:5/verify'
    assert argv[argv.index('-http-port') + 1] == '-1' and environment == {'SSL_CERT_FILE': '/d/ca.pem'}


def test_a_derper_beside_headscale_is_a_region_with_the_name_of_the_server():
    """It is the home like a remote one, so that robots which reboot while Headscale is dead start on it."""
    settings = dataclasses.replace(SETTINGS, derp_port=8443)
    made = derp_map.derp_map(settings, {'server'})['regions']
    assert sorted(made) == [900, 901, 999] and made[999]['nomeasurenohome'] is True
    assert made[900]['regioncode'] == 'server' and made[900]['nodes'] == [{
        'name': '900a', 'regionid': 900, 'hostname': 's.test', 'derpport': 8443, 'stunport': STUN_PORT,
        'ipv4': '203.0.113.10'}]
    assert 'nomeasurenohome' not in derp_map.derp_map(settings, set())['regions'][999]
