"""Where the cable of a host ends, and the device names of its emulated link."""
import pytest

from ua_overlay.errors import UsageError
from ua_overlay.lab import nat
from ua_overlay.lab.link import Attachment
from ua_overlay.lab.topology import INET, parse

TOPOLOGY = parse('''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
hosts: {server: {address: 203.0.113.10}, inner: {address: 10.0.2.16, behind: nat1}}
nats: {nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}}
robots: {dev-1: {behind: nat1, address: 10.0.2.15}}
''')


@pytest.mark.parametrize('host, owner, bridge', [
    ('server', INET, INET), ('nat1', INET, INET), ('dev-1', 'nat1', nat.LAN), ('inner', 'nat1', nat.LAN)])
def test_a_cable_ends_at_the_internet_or_the_host_s_router(host, owner, bridge):
    attachment = Attachment(TOPOLOGY, host)
    assert (attachment.owner, attachment.bridge) == (owner, bridge)


def test_device_names_are_unique_and_short_enough():
    links = [Attachment(TOPOLOGY, host) for host in TOPOLOGY.host_names()[1:]]
    devices = [name for each in links for name in (each.private, each.inner, each.outer)]
    assert len(set(devices)) == len(devices)
    # linux/if.h: IFNAMSIZ with the final zero byte.
    assert all(len(name) < 16 for name in devices)


@pytest.mark.parametrize('host', [INET, 'dev-9'])
def test_the_internet_and_unknown_hosts_have_no_link(host):
    with pytest.raises(UsageError, match='it has server, inner, nat1, dev-1'):
        Attachment(TOPOLOGY, host)
