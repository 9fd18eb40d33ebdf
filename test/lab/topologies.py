"""The networks of the lab tests: one set for all of them. What is not here is in config/lab, for people as well.

Robots behind different routers have the same private address, and all of them the same OS host name: as in the field.
"""
import os

import yaml
from places import ROOT

from ua_overlay.lab.lab import load_topology
from ua_overlay.lab.topology import from_mapping

TWO_NATS_FILE = os.path.join(ROOT, 'config', 'lab', 'two_nats.yaml')


def network(robots, hosts=('server',), names=None, links=None, nat_links=None, congestion=''):
    """A topology on 203.0.113.0/24, whose server is server.ua.test.

    :param robots: name -> router; the first behind a router is 10.0.2.15, the next .16.
    :param hosts: names of hosts on the internet: 203.0.113.10, .11, ….
    :param names: more DNS names -> addresses.
    :param links: robot -> link, see lab.shape; ``nat_links`` alike for routers.
    :param congestion: of TCP on every host.
    """
    taken, behind = {}, {}
    for robot, router in robots.items():
        taken[router] = taken.get(router, 14) + 1
        behind[robot] = {'behind': router, 'address': '10.0.2.{}'.format(taken[router]), 'hostname': 'robot'}
        if robot in (links or {}):
            behind[robot]['link'] = links[robot]
    routers = {}
    for number, router in enumerate(sorted(taken), 21):
        routers[router] = {'address': '203.0.113.{}'.format(number), 'inside': '10.0.2.2/24'}
        if router in (nat_links or {}):
            routers[router]['link'] = nat_links[router]
    made = {
        'version': 1, 'inet': {'subnet': '203.0.113.0/24', 'dns': '203.0.113.2'},
        'names': dict({'server.ua.test': '203.0.113.10'}, **(names or {})),
        'hosts': {host: {'address': '203.0.113.{}'.format(number)} for number, host in enumerate(hosts, 10)},
        'nats': routers, 'robots': behind}
    return from_mapping(dict(made, congestion=congestion) if congestion else made)


def from_config(name, without=()):
    """config/lab/NAME.yaml, without these robots."""
    topology = load_topology(os.path.join(ROOT, 'config', 'lab', name + '.yaml'))
    robots = {robot: value for robot, value in topology.source['robots'].items() if robot not in without}
    return from_mapping(dict(topology.source, robots=robots))


def to_yaml(topology):
    """A topology as a file for `ua-overlay lab up`."""
    return yaml.safe_dump(topology.source)


#: A server and one robot.
ONE_NAT = network({'dev-1': 'nat1'})
#: Two robots behind two routers.
TWO_NATS = from_config('two_nats')
#: A team of three, each behind a router of its own.
THREE_NATS = network({'dev-1': 'nat1', 'dev-2': 'nat2', 'dev-3': 'nat3'})
#: As TWO_NATS, with a congestion control that any user of its hosts may choose: the lab has the kernel offer it.
TWO_NATS_CUBIC = network({'dev-1': 'nat1', 'dev-2': 'nat2'}, congestion='cubic')
#: dev-2 and dev-3 share a LAN, and so do dev-1 and dev-4.
TWO_LANS = network({'dev-1': 'nat1', 'dev-4': 'nat1', 'dev-2': 'nat2', 'dev-3': 'nat2'})
#: Two sites: `other` may claim to be the server; and a second name of the server.
TWO_SITES = network({'dev-1': 'nat1', 'dev-2': 'nat2'}, hosts=('server', 'other'),
                    names={'alias.ua.test': '203.0.113.10'})


def one_lan(link):
    """Two robots behind one router, so that there is a way between them without the overlay, too.

    :param link: of dev-1.
    """
    return network({'dev-1': 'nat1', 'dev-2': 'nat1'}, links={'dev-1': link}, congestion='cubic')


#: A server with two addresses, which calls itself otherwise, and a robot that shares a router with another; on another
#: subnet than the rest, for the tests of the lab itself.
MANY = from_mapping(yaml.safe_load('''
version: 1
inet: {subnet: 198.51.100.0/24, dns: 198.51.100.2}
names: {server.ua.test: 198.51.100.10, other.ua.test: 198.51.100.11}
hosts:
  server: {address: 198.51.100.10, also: [198.51.100.11], hostname: box}
nats:
  nat1: {address: 198.51.100.21, inside: 10.0.2.2/24}
  nat2: {address: 198.51.100.22, inside: 10.0.2.2/24}
robots:
  dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}
  dev-2: {behind: nat2, address: 10.0.2.15, hostname: robot}
  dev-3: {behind: nat2, address: 10.0.2.16, hostname: robot}
'''))
