"""Topology files: parsing and error messages."""
import os

import pytest
from paths import CONFIG

from ua_overlay.lab.lab import CONGESTION_SYSCTL, host_specs
from ua_overlay.lab.topology import TopologyError, from_mapping, parse

PATH = os.path.join(CONFIG, 'lab', 'two_nats.yaml')


@pytest.fixture(scope='module')
def text():
    with open(PATH) as stream:
        return stream.read()


def test_the_topology_of_the_demo(text):
    topology = parse(text, 'two_nats.yaml')
    assert topology.host_names() == ('inet', 'server', 'nat1', 'nat2', 'dev-1', 'dev-2')
    assert (topology.gateway, topology.dns) == ('203.0.113.1', '203.0.113.2')
    assert topology.names == {'server.ua.test': '203.0.113.10'}
    assert {robot.address for robot in topology.robots} == {'10.0.2.15'}
    assert {robot.hostname for robot in topology.robots} == {'robot'}
    assert [router.kind for router in topology.nats] == ['easy', 'easy']


def test_a_topology_survives_a_round_trip(text):
    topology = parse(text)
    assert from_mapping(topology.source) == topology


def test_only_the_internet_is_required():
    topology = parse('version: 1\ninet: {subnet: 198.51.100.0/24, dns: 198.51.100.2}\n')
    assert topology.host_names() == ('inet',)


def test_an_unknown_router_is_named_with_the_known_ones(text):
    with pytest.raises(Exception, match='no NAT nat3; it has nat1, nat2'):
        parse(text).nat('nat3')


@pytest.mark.parametrize('old, new, words', [
    ('version: 1', 'version: 2', 'version: 2 is not supported; this program reads version 1'),
    ('version: 1', '', 'version is missing'),
    ('version: 1', 'version: 1\nroutes: {}', 'routes is unknown; known are congestion, hosts, inet'),
    ('version: 1', 'version: 1\ncongestion: "../x"', "congestion: '../x' is not a congestion control"),
    ('dns: 203.0.113.2', 'dns: 203.0.114.2', 'inet.dns: 203.0.114.2 is not a host address of 203.0.113.0/24'),
    ('dns: 203.0.113.2', 'dns: 203.0.113.1', 'the gateway and inet both have the address 203.0.113.1'),
    ('203.0.113.0/24', '203.0.113.7/24', 'inet.subnet: 203.0.113.7/24 is not an IPv4 network'),
    ('203.0.113.0/24', '203.0.113.0/30', 'too small'),
    ('server.ua.test: ', 'Server_: ', 'names.Server_: a full lower-case DNS name is needed'),
    ('server.ua.test: 203.0.113.10', 'server.ua.test: 10', 'names.server.ua.test: 10 is not an IPv4 address'),
    ('server: {address: 203.0.113.10}', 'server: {adress: 203.0.113.10}', 'hosts.server: address is missing'),
    ('server: {address: 203.0.113.10}', 'server: {address: 203.0.113.10, ports: 1}', 'hosts.server: ports is unknown'),
    ('server: {address: 203.0.113.10}', 'server: {address: 203.0.113.255}', 'not a host address'),
    ('server: {address: 203.0.113.10}', 'server: {address: 203.0.113.21}',
     'hosts.server and nats.nat1 both have the address 203.0.113.21'),
    ('server: {address: 203.0.113.10}', 'server: {address: 203.0.113.10, also: 7}', 'hosts.server.also: a list'),
    ('server: {address: 203.0.113.10}', 'server: {address: 203.0.113.10, hostname: a.b}', "'a.b' is not a host name"),
    ('server: {address: 203.0.113.10}', 'server: 203.0.113.10', 'hosts.server: a mapping is needed'),
    ('server: {address: 203.0.113.10}', 'lan: {address: 203.0.113.10}', 'hosts.lan: that name is taken'),
    ('server: {address: 203.0.113.10}', 'a-name-that-is-too-long: {address: 203.0.113.10}', '1 to 15 lower-case'),
    ('server: {address: 203.0.113.10}', 'nat1: {address: 203.0.113.10}', 'nats.nat1: that name is taken'),
    ('kind: easy}', 'kind: soft}', "nats.nat1.kind: 'soft' is not one of easy, hard, udp-blocked"),
    ('inside: 10.0.2.2/24', 'inside: 10.0.2.2', 'nats.nat1.inside: 10.0.2.2 is not a host address of 10.0.2.2/32'),
    ('inside: 10.0.2.2/24', 'inside: lan', 'nats.nat1.inside: lan is not an address with a prefix'),
    ('inside: 10.0.2.2/24', 'inside: 203.0.113.99/24', 'overlaps the internet'),
    ('behind: nat1', 'behind: nat7', 'robots.dev-1.behind: there is no NAT nat7'),
    ('{behind: nat1, address: 10.0.2.15', '{behind: nat1, address: 10.0.3.15',
     'robots.dev-1.address: 10.0.3.15 is not a host address of 10.0.2.0/24'),
    ('{behind: nat1, address: 10.0.2.15', '{behind: nat1, address: 10.0.2.2',
     'nats.nat1 and robots.dev-1 both have the address 10.0.2.2'),
    ('{behind: nat1, address: 10.0.2.15', '{behind: nat2, address: 10.0.2.15',
     'robots.dev-1 and robots.dev-2 both have the address 10.0.2.15'),
    ('dev-2: {', 'dev-1: {', 'dev-1 is there twice, in lines'),
    ('robots:', 'robots: [', 'not YAML (line'),
])
def test_errors_are_one_sentence(text, old, new, words):
    assert old in text
    with pytest.raises(TopologyError) as caught:
        parse(text.replace(old, new, 1), 'mine.yaml')
    assert 'mine.yaml' in caught.value.sentence
    assert words in caught.value.sentence
    assert caught.value.exit_status == 2


@pytest.mark.parametrize('text', ['', '[]', '7', 'just words'])
def test_a_file_without_a_mapping(text):
    with pytest.raises(TopologyError, match='the file: a mapping is needed'):
        parse(text)


FOLDER = os.path.dirname(PATH)
BEHIND = """
version: 1
inet: {subnet: 198.51.100.0/24, dns: 198.51.100.2}
hosts:
  server: {address: 192.168.7.10, behind: proxy}
nats:
  proxy: {address: 198.51.100.10, inside: 192.168.7.1/24}
"""


def test_a_server_behind_a_machine_that_forwards():
    with open(os.path.join(FOLDER, 'proxy.yaml')) as stream:
        topology = parse(stream.read())
    server = topology.hosts[0]
    assert (server.name, server.addresses, server.behind) == ('server', ('192.168.7.10',), 'proxy')
    assert topology.names['server.ua.test'] == topology.nat('proxy').address


def test_two_hosts_on_the_internet():
    with open(os.path.join(FOLDER, 'two_hosts.yaml')) as stream:
        assert [host.name for host in parse(stream.read()).hosts] == ['server', 'second']


@pytest.mark.parametrize('old, new, word', [
    ('behind: proxy', 'behind: nowhere', 'no NAT nowhere'),
    ('192.168.7.10', '192.168.8.10', 'not a host address of 192.168.7.0/24'),
    ('192.168.7.10', '192.168.7.1', 'both have the address'),
])
def test_a_host_that_cannot_be_behind_a_router(old, new, word):
    with pytest.raises(TopologyError, match=word):
        parse(BEHIND.replace(old, new))


def test_the_congestion_control_applies_to_every_host(text):
    topology = parse(text.replace('version: 1', 'version: 1\ncongestion: cubic', 1))
    assert topology.congestion == 'cubic' and parse(text).congestion == ''
    found = {spec['name']: spec['sysctl'].get(CONGESTION_SYSCTL) for spec in host_specs(topology, [], 'control')}
    assert found == dict.fromkeys(topology.host_names(), 'cubic')
    assert not any(CONGESTION_SYSCTL in spec['sysctl'] for spec in host_specs(parse(text), [], 'control'))


@pytest.mark.parametrize('forward, expected', [
    ('{5201: 192.168.7.20, ping: 192.168.7.10}', ((5201, '192.168.7.20'), ('ping', '192.168.7.10'))),
    ('{"80": 192.168.7.20}', ((80, '192.168.7.20'),)),
    ('{}', ()),
])
def test_ports_that_a_router_forwards(forward, expected):
    text = BEHIND.replace('192.168.7.1/24', '192.168.7.1/24, forward: ' + forward)
    assert parse(text).nat('proxy').forward == expected


@pytest.mark.parametrize('forward, word', [
    ('{http: 192.168.7.20}', "'http' is neither a port nor ping"),
    ('{70000: 192.168.7.20}', '70000 is neither'),
    ('{80: 10.0.0.1}', 'forward.80: 10.0.0.1 is not a host address of 192.168.7.0/24'),
    ('[80]', 'a mapping is needed'),
])
def test_invalid_forwardings(forward, word):
    with pytest.raises(TopologyError, match=word):
        parse(BEHIND.replace('192.168.7.1/24', '192.168.7.1/24, forward: ' + forward))
