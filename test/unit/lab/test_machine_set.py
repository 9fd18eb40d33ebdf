"""Which hosts of a topology are machines, and which release they run."""
from ua_overlay.lab.machine_set import image_for, machine_names
from ua_overlay.lab.topology import parse

TOPOLOGY = parse('''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
hosts: {server: {address: 203.0.113.10}}
nats: {nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}}
robots: {dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}}
''')


def test_servers_run_a_newer_system_and_routers_are_no_machines():
    assert machine_names(TOPOLOGY) == ['server', 'dev-1']
    assert image_for(TOPOLOGY, 'server').suite == 'bookworm'
    assert image_for(TOPOLOGY, 'dev-1').suite == 'bullseye'
    assert TOPOLOGY.hostname('dev-1') == 'robot' and TOPOLOGY.hostname('nat1') == 'nat1'
