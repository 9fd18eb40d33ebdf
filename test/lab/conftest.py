"""Labs for tests: real hosts, real routers. Without root these tests are skipped with a sentence."""
import os

import pytest

from ua_overlay.lab import requirements
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.topology import parse

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
TOPOLOGY = os.path.join(ROOT, 'config', 'lab', 'two_nats.yaml')

#: What the NAT tests need: a server with two addresses, and a robot that shares a router with another.
MANY = '''
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
'''


#: A server and three robots, each behind a router of its own.
THREE_NATS = '''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
names: {server.ua.test: 203.0.113.10}
hosts:
  server: {address: 203.0.113.10}
nats:
  nat1: {address: 203.0.113.21, inside: 10.0.2.2/24}
  nat2: {address: 203.0.113.22, inside: 10.0.2.2/24}
  nat3: {address: 203.0.113.23, inside: 10.0.2.2/24}
robots:
  dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}
  dev-2: {behind: nat2, address: 10.0.2.15, hostname: robot}
  dev-3: {behind: nat3, address: 10.0.2.15, hostname: robot}
'''

#: Files that take minutes, so that none of them is what the rest waits for at the end.
LONGEST_FIRST = ('test_leaks.py', 'test_machines_site.py', 'test_team.py', 'test_service.py', 'test_doctor.py',
                 'test_join_refusals.py', 'test_prepare_systemd.py', 'test_ros.py')


def pytest_collection_modifyitems(items):
    """The longest first; otherwise, and within a file, as they stand."""
    rank = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope='session')
def lab_possible():
    """Skip, with the reason, where no lab can be built. Only for want of root: a missing program is a failure."""
    if os.geteuid() != 0:
        with pytest.raises(requirements.LabUnavailable) as caught:
            requirements.check()
        pytest.skip(str(caught.value))


@pytest.fixture(scope='session')
def lab_root(lab_possible, tmp_path_factory):
    """A directory for the state of labs that no other test run shares."""
    return str(tmp_path_factory.mktemp('labs'))


@pytest.fixture(scope='session')
def two_nats(lab_possible):
    """The topology of the demo."""
    return load_topology(TOPOLOGY)


@pytest.fixture(scope='session')
def three_nats(lab_possible):
    """A topology for a team of three."""
    return parse(THREE_NATS)


@pytest.fixture(scope='session')
def many(lab_possible):
    """A topology with a server of two addresses and three robots."""
    return parse(MANY)


@pytest.fixture(scope='session')
def lab(lab_root, many):
    """One running lab for the tests that leave it as they found it; ends with this process, however that ends."""
    with Lab.up(many, 'session-{}'.format(os.getpid()), lab_root, bound=True) as running:
        yield running
