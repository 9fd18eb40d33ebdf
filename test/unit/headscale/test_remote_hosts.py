"""Relays and DERP regions on remote hosts, as in site.yaml."""
import pytest

from ua_overlay.defaults import RELAY_PORT, STUN_PORT
from ua_overlay.errors import UsageError
from ua_overlay.headscale.remote_hosts import REGIONS, DerpHost, RelayHost, dump_hosts, free_region, read_hosts
from ua_overlay.headscale.site_settings import settings_from_dict

DERP = DerpHost('lab-b', 901, '203.0.113.11')


@pytest.mark.parametrize('values, word', [
    ({'relays': ['a']}, 'not a mapping'),
    ({'relays': {'a': {'address': '203.0.113.1', 'colour': 1}}}, 'other fields'),
    ({'relays': {'a': {}}}, 'no address'),
    ({'relays': {'A b': {'address': '203.0.113.1'}}}, 'cannot be the name'),
    ({'relays': {'a': {'address': '203.0.113.1', 'port': 0}}}, 'not a port'),
    ({'relays': {'a': {'address': '100.64.0.1'}}}, 'overlay\'s own range'),
    ({'relays': {'a': {'address': '203.0.113.1'}, 'b': {'address': '203.0.113.1'}}}, 'same address and port'),
    ({'derp': {'a': {'address': '203.0.113.1'}}}, 'no region'),
    ({'derp': {'a': {'address': '203.0.113.1', 'region': 999}}}, 'not a number from 901 to 998'),
    ({'derp': {'a': {'address': '203.0.113.1', 'region': 901}, 'b': {'address': '203.0.113.2', 'region': 901}}},
     'same region number'),
])
def test_an_invalid_entry_is_named(values, word):
    with pytest.raises(UsageError, match=word) as caught:
        settings_from_dict(dict({'name': 's.test'}, **values), 'site.yaml')
    assert caught.value.next_command


def test_region_numbers_are_assigned_once():
    assert free_region(()) == 901
    assert free_region((DERP, DerpHost('c', 903, '203.0.113.12'))) == 902
    with pytest.raises(UsageError, match='98 DERP regions already'):
        free_region([DerpHost('r{}'.format(number), number, '203.0.113.12', 1000 + number) for number in REGIONS])


def test_hosts_survive_a_round_trip_in_sorted_order():
    values = {'b': {'address': '203.0.113.12', 'port': 40001}, 'a': {'address': '203.0.113.11', 'port': RELAY_PORT}}
    hosts = read_hosts(RelayHost, values, 'site.yaml', 'relays')
    assert hosts == (RelayHost('a', '203.0.113.11'), RelayHost('b', '203.0.113.12', 40001))
    assert dump_hosts(hosts) == values and dump_hosts([DERP])['lab-b']['stun_port'] == STUN_PORT


def test_names_requested_by_a_remote_host():
    assert RelayHost('lab-b', '203.0.113.11').host_name == 'relay-lab-b'
    assert DERP.host_name('s.test') == 'lab-b.s.test'
