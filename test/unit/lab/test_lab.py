"""Decisions of a lab about its hosts. Real labs: test/lab."""
import collections

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab.lab import forget_udp, host_specs, load_topology
from ua_overlay.lab.topology import INET, parse

TOPOLOGY = parse('''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
hosts: {server: {address: 203.0.113.10}}
nats: {nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}}
robots: {dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}}
''')
FORWARD = '/proc/sys/net/ipv4/ip_forward'
DELETED = 'conntrack v1.4.6 (conntrack-tools): 0 flow entries have been deleted.'
RAN_OUT = 'conntrack v1.4.6 (conntrack-tools): Operation failed: such conntrack doesn\'t exist'


def test_only_robots_have_users_and_only_routers_and_the_internet_forward():
    specs = {spec['name']: spec for spec in host_specs(TOPOLOGY, ['/share'], '/control')}
    assert list(specs) == list(TOPOLOGY.host_names())
    assert {name for name, spec in specs.items() if spec['users']} == {'dev-1'}
    assert {name for name, spec in specs.items() if FORWARD in spec['sysctl']} == {INET, 'nat1'}
    assert specs['dev-1']['hostname'] == 'robot' and specs['dev-1']['resolver'] == '203.0.113.2'
    assert all(spec['share'] == ['/share'] and spec['control'] == '/control' for spec in specs.values())


class Router:
    """Answers each call of conntrack with the next text."""

    name = 'nat1'

    def __init__(self, *answers):
        self.answers = list(answers)

    def run(self, argv, check):
        return collections.namedtuple('Done', 'stderr')(self.answers.pop(0))


def test_connections_that_expire_while_deleted_are_deleted_again():
    router = Router(RAN_OUT, RAN_OUT, DELETED)
    forget_udp(router, clock=lambda: 0.0)
    assert router.answers == []


@pytest.mark.parametrize('text, times', [('no permission', [0.0]), (RAN_OUT, [0.0, 11.0])])
def test_a_router_that_cannot_delete_connections_is_an_error(text, times):
    times = iter(times + [99.0])
    with pytest.raises(OverlayError, match='of nat1') as caught:
        forget_udp(Router(text), timeout=10.0, clock=lambda: next(times))
    assert caught.value.code == 'LAB_KERNEL'


def test_an_unreadable_topology_is_named(tmp_path):
    with pytest.raises(UsageError, match='missing.yaml cannot be read: No such file'):
        load_topology(str(tmp_path / 'missing.yaml'))
