"""Remote relays and DERP regions: site.yaml, the DERP map, enrolments."""
import os

import pytest
import yaml

from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import config, derp_map
from ua_overlay.headscale.config import SiteSettings, headscale_config, settings_from_dict, settings_to_dict
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost, free_region
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.derp_watcher import Answering
from ua_overlay.trust import store
from ua_overlay.trust.certificate import load_certificates, names_of

RELAY = RelayHost('lab-b', '203.0.113.11')
DERP = DerpHost('lab-b', 901, '203.0.113.11')
SETTINGS = SiteSettings('s.test', ('203.0.113.10',), private=('192.168.7.10',), relays=(RELAY,), derp=(DERP,))


def test_site_yaml_says_and_reads_them():
    values = settings_to_dict(SETTINGS)
    assert values['relays'] == {'lab-b': {'address': '203.0.113.11', 'port': 40000}}
    assert values['derp']['lab-b'] == {'region': 901, 'address': '203.0.113.11', 'port': 8443, 'stun_port': 3478}
    assert settings_from_dict(yaml.safe_load(yaml.safe_dump(values)), 'site.yaml') == SETTINGS
    # A site without them has a file without them.
    assert not {'private', 'relays', 'derp'} & set(settings_to_dict(SiteSettings('s.test')))


@pytest.mark.parametrize('values, word', [
    ({'relays': ['a']}, 'not a mapping'),
    ({'relays': {'a': {'address': '203.0.113.1', 'colour': 1}}}, 'other fields'),
    ({'relays': {'a': {}}}, 'no address'),
    ({'relays': {'A b': {'address': '203.0.113.1'}}}, 'cannot be the name'),
    ({'relays': {'a': {'address': '203.0.113.1', 'port': 0}}}, 'not a port'),
    ({'relays': {'a': {'address': '100.64.0.1'}}}, 'overlay\'s own range'),
    ({'relays': {'a': {'address': '203.0.113.1'}, 'b': {'address': '203.0.113.1'}}}, 'same address and port'),
    ({'derp': {'a': {'address': '203.0.113.1'}}}, 'no region'),
    ({'derp': {'a': {'address': '203.0.113.1', 'region': 999}}}, 'no number from 901 to 998'),
    ({'derp': {'a': {'address': '203.0.113.1', 'region': 901}, 'b': {'address': '203.0.113.2', 'region': 901}}},
     'same region number'),
    ({'private': '192.168.7.10'}, 'not a list'),
    ({'private': ['192.168.7.10']}, 'needs the public one'),
    ({'private': ['x']}, 'not an IP address'),
])
def test_what_makes_no_sense_is_named(values, word):
    with pytest.raises(UsageError, match=word) as caught:
        settings_from_dict(dict({'name': 's.test'}, **values), 'site.yaml')
    assert caught.value.next_command


def test_without_regions_headscale_makes_its_map_alone():
    made = headscale_config(SiteSettings('s.test', ('203.0.113.10',)), '/site')['derp']
    assert made['paths'] == [] and made['server']['automatically_add_embedded_derp_region'] is True
    assert made['auto_update_enabled'] is False


def test_with_regions_the_map_is_a_file_that_headscale_reads_again():
    made = headscale_config(SETTINGS, '/site')['derp']
    assert made['paths'] == ['/site/derp.yaml'] and made['auto_update_enabled'] is True
    assert made['server']['automatically_add_embedded_derp_region'] is False and made['urls'] == []
    # Robots outside are told the public address, never the private one.
    assert made['server']['ipv4'] == '203.0.113.10'


def test_a_region_that_answers_is_home_and_the_embedded_one_when_none_does():
    made = derp_map.derp_map(SETTINGS, {'lab-b'})['regions']
    assert made[999]['nomeasurenohome'] is True and 'nomeasurenohome' not in made[901]
    assert made[901]['nodes'][0] == {'name': '901a', 'regionid': 901, 'hostname': 'lab-b.s.test', 'derpport': 8443,
                                     'stunport': 3478, 'ipv4': '203.0.113.11'}
    assert made[999]['nodes'][0]['ipv4'] == '203.0.113.10'
    assert 'nomeasurenohome' not in derp_map.derp_map(SETTINGS, set())['regions'][999]
    assert yaml.safe_load(derp_map.dump_map({'regions': made})) == {'regions': made}


def test_a_region_is_gone_after_two_failures_and_back_at_once():
    answering = Answering()
    assert answering.step({'a': False}) == set()
    assert answering.step({'a': True}) == {'a'}
    assert answering.step({'a': False}) == {'a'}
    assert answering.step({'a': False}) == set()
    assert answering.step({'a': True}) == {'a'}


def test_region_numbers_are_given_once():
    assert free_region(()) == 901
    assert free_region((DERP, DerpHost('c', 903, '203.0.113.12'))) == 902


def test_derper_serves_this_site_alone():
    argv, environment = derp_map.derper_command('/bin/derper', '/d', 'lab-b.s.test', 8443, 3478, 'https://s.test:8080')
    assert '-verify-client-url-fail-open=false' in argv
    assert argv[argv.index('-verify-client-url') + 1] == 'https://s.test:8080/verify'
    assert argv[argv.index('-http-port') + 1] == '-1' and environment == {'SSL_CERT_FILE': '/d/ca.pem'}


@pytest.fixture(scope='module')
def trust(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp('trust') / 'site')
    store.init(directory, 's.test', ['s.test'], ['203.0.113.10'], utc_now())
    return directory


def test_the_ca_vouches_for_names_below_the_server_s(trust):
    key, chain = store.issue(trust, ['lab-b.s.test'], utc_now(), 398)
    assert 'PRIVATE KEY' in key
    assert names_of(load_certificates(chain.encode(), 'x')[0])[0] == ['lab-b.s.test']
    with pytest.raises(OverlayError, match='only vouch for'):
        store.issue(trust, ['elsewhere.test'], utc_now(), 398)


@pytest.fixture
def enrolment(trust):
    key, chain = store.issue(trust, ['lab-b.s.test'], utc_now(), 398)
    with open(os.path.join(trust, 'ca.pem')) as stream:
        ca_pem = stream.read()
    return enrolments.Enrolment(enrolments.DERP, 'lab-b', 'https://s.test:8080', ca_pem, '203.0.113.11', 8443,
                                stun_port=3478, host_name='lab-b.s.test', certificate=chain, certificate_key=key)


def test_an_enrolment_is_secret_and_comes_back_whole(enrolment, tmp_path):
    path = str(tmp_path / 'b.yaml')
    enrolments.write(path, enrolment)
    assert os.stat(path).st_mode & 0o777 == 0o600
    assert enrolments.read(path, enrolments.DERP) == enrolment
    assert 'PRIVATE KEY' not in repr(enrolment)


def test_an_enrolment_that_others_can_read_or_of_the_other_kind_is_refused(enrolment, tmp_path):
    path = str(tmp_path / 'b.yaml')
    enrolments.write(path, enrolment)
    with pytest.raises(enrolments.EnrolmentError, match='enrolment of a derp, not of a relay'):
        enrolments.read(path, enrolments.RELAY)
    os.chmod(path, 0o644)
    with pytest.raises(enrolments.EnrolmentError, match='Others on this machine'):
        enrolments.read(path, enrolments.DERP)
    with pytest.raises(enrolments.EnrolmentError, match='There is no enrolment'):
        enrolments.read(path + 'x', enrolments.DERP)


@pytest.mark.parametrize('change, word', [
    (lambda text: text[:len(text) // 2], 'enrolment'),
    (lambda text: text.replace('port: 8443', 'port: true'), 'port'),
    (lambda text: text.replace('https://', 'http://'), 'https'),
    (lambda text: text.replace('name: lab-b', 'colour: red', 1), 'colour'),
    (lambda text: 'x', 'no enrolment'),
])
def test_a_damaged_enrolment_is_refused_without_repeating_it(enrolment, change, word):
    with pytest.raises(enrolments.EnrolmentError, match=word) as caught:
        enrolments.parse(change(enrolments.dump(enrolment)), 'b.yaml', enrolments.DERP)
    assert 'PRIVATE' not in caught.value.sentence


def test_the_map_has_its_place_in_the_site(trust):
    assert config.headscale_config(SETTINGS, trust)['derp']['paths'] == [os.path.join(trust, derp_map.MAP_FILE)]
