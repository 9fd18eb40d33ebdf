"""The block in the hosts file: its text, its valid entries, and when it is written and removed."""
import os
import socket
import stat
import threading

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.rosenv import hosts
from ua_overlay.rosenv.hosts import HostsKeeper, entries_of, hosts_text
from ua_overlay.rosenv.keeper import PERIOD
from ua_overlay.rosenv.names import NameChecker
from ua_overlay.rosenv.team import visible_nodes
from ua_overlay.tailscale.model import Peer, SelfNode, Status

OLD = '127.0.0.1 localhost\n127.0.1.1\tdev-1.overlay.internal  dev-1 # mine\n\n::1 localhost ip6-localhost'
ENTRIES = (('100.64.0.2', 'dev-2.overlay.internal'), ('100.64.0.1', 'dev-1.overlay.internal'))
BLOCK = hosts.BEGIN + '\n100.64.0.1\tdev-1.overlay.internal\n100.64.0.2\tdev-2.overlay.internal\n' + hosts.END + '\n'

ME = SelfNode('dev-1', 'dev-1.overlay.internal', ('100.64.0.1', 'fd7a:115c:a1e0::1'), tags=('tag:iris',))
MATE = Peer('dev-2', 'dev-2.overlay.internal', ('100.64.0.2',), tags=('tag:iris', 'tag:ros-master'))
#: Of no team, and of another one that this robot sees.
LAPTOP = Peer('laptop', 'laptop.overlay.internal', ('100.64.0.7',))
OTHER = Peer('dev-9', 'dev-9.overlay.internal', ('100.64.0.9',), tags=('tag:blue', 'tag:ros-master'))


def status(state='Running', me=ME, peers=(MATE,), suffix='overlay.internal'):
    return Status(state=state, self_node=me, peers=peers, suffix=suffix)


# --- text ---

@pytest.mark.parametrize('old', [OLD, OLD + '\n', '', '\n', '# caf\udce9\n1.2.3.4 x\r\n', 'a\x0bb\u2028c\n'])
def test_the_block_comes_first_and_other_lines_stay(old):
    new = hosts_text(old, ENTRIES)
    assert new == BLOCK + old
    assert hosts_text(new, ENTRIES) == new
    assert hosts_text(new, ()) == old and hosts_text(old, ()) == old


def test_the_block_is_replaced_anywhere_in_the_file():
    moved = 'first\n' + BLOCK + OLD
    assert hosts_text(moved, ENTRIES[:1]) == hosts_text('first\n' + OLD, ENTRIES[:1])
    assert hosts_text(BLOCK + 'between\n' + BLOCK + OLD, ()) == 'between\n' + OLD


def test_a_block_without_its_end_removes_no_other_line():
    broken = BLOCK.replace(hosts.END + '\n', '')
    assert hosts_text(broken + OLD, ()) == OLD
    assert hosts_text(broken + OLD + '\n' + BLOCK, ()) == OLD + '\n'
    assert hosts_text(broken + BLOCK + OLD, ENTRIES) == BLOCK + OLD


def test_has_block():
    assert hosts.has_block(BLOCK + OLD) and hosts.has_block('x\n' + BLOCK) and not hosts.has_block(OLD)


# --- its entries ---

def test_entries_are_the_robot_and_everything_that_it_sees():
    relay = Peer('relay', 'relay.overlay.internal', ('100.64.0.8',), tags=('tag:relay',))
    assert set(entries_of(status(peers=(MATE, OTHER, LAPTOP, relay)))) == set(ENTRIES) | {
        ('100.64.0.9', 'dev-9.overlay.internal'), ('100.64.0.7', 'laptop.overlay.internal')}


@pytest.mark.parametrize('name, address', [
    ('example.org', '100.64.0.3'), ('evil.overlay.internal.example.org', '100.64.0.3'),
    ('overlay.internal', '100.64.0.3'), ('a\n1.2.3.4 b.overlay.internal', '100.64.0.3'),
    ('a b.overlay.internal', '100.64.0.3'), ('b.overlay.internal\n', '100.64.0.3'),
    ('-b.overlay.internal', '100.64.0.3'), ('b.overlay.internal', '10.0.0.1'), ('b.overlay.internal', ''),
    ('b.overlay.internal', '8.8.8.8')])
def test_invalid_names_from_the_server_are_not_written(name, address):
    bad = Peer('b', name, (address,) if address else (), tags=('tag:iris',))
    assert set(entries_of(status(peers=(MATE, bad)))) == set(ENTRIES)
    assert entries_of(status(suffix='')) == ()


# --- the file ---

def test_the_rest_of_the_file_and_its_mode_stay(tmp_path):
    path = tmp_path / 'hosts'
    path.write_bytes(b'# caf\xe9\n127.0.0.1 localhost\r\n')
    os.chmod(str(path), 0o640)
    hosts.write_hosts(hosts_text(hosts.read_hosts(str(path)), ENTRIES), str(path))
    assert path.read_bytes() == BLOCK.encode() + b'# caf\xe9\n127.0.0.1 localhost\r\n'
    assert stat.S_IMODE(os.stat(str(path)).st_mode) == 0o640
    assert hosts.remove_block(str(path)) and path.read_bytes() == b'# caf\xe9\n127.0.0.1 localhost\r\n'
    assert not hosts.remove_block(str(path))
    assert not hosts.remove_block(str(tmp_path / 'a machine without a hosts file'))


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / 'real').write_text(OLD)
    os.symlink('real', str(tmp_path / 'hosts'))
    hosts.write_hosts('new\n', str(tmp_path / 'hosts'))
    assert os.path.islink(str(tmp_path / 'hosts')) and (tmp_path / 'real').read_text() == 'new\n'


# --- when ---

class World:
    """A robot: the answers of tailscaled and of the resolver."""

    def __init__(self, path):
        path.write_text(OLD)
        self.path = path
        self.status = status()
        self.names = {name: (address,) for address, name in ENTRIES}
        self.said = []
        self.keeper = HostsKeeper(self.ask, self.resolve, str(path), self.said.append, 5.0)

    def ask(self):
        if isinstance(self.status, Exception):
            raise self.status
        return self.status

    def resolve(self, name):
        if name not in self.names:
            raise socket.gaierror(-2, 'Name or service not known')
        return self.names[name]

    def steps(self, count=1):
        for _ in range(count):
            self.keeper.step()
        return self.path.read_text()


@pytest.fixture
def world(tmp_path):
    return World(tmp_path / 'hosts')


def test_nothing_changes_while_names_work(world):
    assert world.steps(5) == OLD and world.said == []


@pytest.mark.parametrize('fault', ['own', 'mate', 'loopback'])
def test_unresolved_names_are_written_to_the_hosts_file(world, fault):
    if fault == 'loopback':
        world.names['dev-1.overlay.internal'] = ('127.0.1.1',)
    else:
        del world.names['dev-1.overlay.internal' if fault == 'own' else 'dev-2.overlay.internal']
    assert world.steps(hosts.PATIENCE - 1) == OLD  # a lost answer is no reason
    assert world.steps(1) == BLOCK + OLD
    assert len(world.said) == 1


@pytest.mark.fault('case 6', 'MagicDNS fails, and a laptop or a robot of another team publishes',
                   behaviour='its name comes from the hosts file, too', reported='5 s: names_ok', recovery='10 s',
                   lost='nothing')
@pytest.mark.parametrize('peer', [LAPTOP, OTHER])
def test_names_of_every_visible_peer_are_kept(world, peer):
    """The names of the own team resolve, from an older block of somebody else's, say."""
    world.status = status(peers=(MATE, peer))
    report = NameChecker(world.resolve, lambda: frozenset(ME.addresses)).check(ME, visible_nodes(world.status))
    assert not report.ok and report.unresolved == (peer.dns_name,) and PERIOD <= 5.0

    class Stop:
        seconds = 0.0

        def is_set(self):
            return hosts.has_block(world.path.read_text())

        def wait(self, seconds):
            self.seconds += seconds
            assert self.seconds <= 10.0

    stop = Stop()
    stop.wait(hosts.PERIOD)  # the fault may come right after a step
    world.keeper.run(stop)
    assert '{}\t{}\n'.format(peer.addresses[0], peer.dns_name) in world.path.read_text()


def test_occasional_lost_answers_change_nothing(world):
    for _ in range(3):
        name, address = world.names.popitem()
        world.steps(hosts.PATIENCE - 1)
        world.names[name] = address
        assert world.steps(1) == OLD


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir])
def test_an_odd_hosts_file_is_reported_once_and_mended_by_nobody(tmp_path, make):
    path = str(tmp_path / 'hosts')
    make(path)
    said, stop = [], threading.Event()
    keeper = HostsKeeper(lambda: status(), lambda name: (), path, said.append)
    waits = []

    class Stop:
        def is_set(self):
            return stop.is_set()

        def wait(self, seconds):
            waits.append(seconds)
            if len(waits) == 3:
                stop.set()

    keeper.run(Stop())
    assert len(said) == 1 and path in said[0] and 'Not a regular file but a ' in said[0] and os.path.lexists(path)


def test_a_hanging_resolver(world):
    release = threading.Event()
    world.keeper = HostsKeeper(world.ask, lambda name: release.wait(30), str(world.path), world.said.append, 0.05)
    assert world.steps(hosts.PATIENCE) == BLOCK + OLD
    release.set()


def test_the_block_follows_the_team_and_stays_when_names_work_again(world):
    world.names.clear()
    world.steps(hosts.PATIENCE)
    world.names = {name: (address,) for address, name in ENTRIES}
    assert world.steps(3) == BLOCK + OLD
    third = Peer('dev-3', 'dev-3.overlay.internal', ('100.64.0.3',), tags=('tag:iris',))
    world.status = status(peers=(MATE, third))
    assert '100.64.0.3\tdev-3.overlay.internal\n' in world.steps()
    world.status = status(peers=())
    assert 'dev-2' not in world.steps() and 'dev-1.overlay.internal\n' in world.steps()


@pytest.mark.parametrize('state', ['Stopped', 'NeedsLogin'])
def test_leaving_removes_the_block(world, state):
    world.names.clear()
    world.steps(hosts.PATIENCE)
    world.status = status(state, peers=())
    assert world.steps() == OLD


def test_a_restart_of_the_daemon_does_not_count_as_leaving(world):
    world.names.clear()
    world.steps(hosts.PATIENCE)
    for state in ('NoState', 'Starting'):
        world.status = status(state, me=SelfNode(), peers=())
        assert world.steps() == BLOCK + OLD
    world.status = OverlayError('No tailscaled answers.')
    with pytest.raises(OverlayError):
        world.steps()
    assert world.path.read_text() == BLOCK + OLD


def test_a_missing_interface_is_not_a_resolver_fault(world):
    """Only names are checked: the block could not repair an address that is on no interface."""
    world.status = status(me=SelfNode('dev-1', 'dev-1.overlay.internal', ('100.64.0.1',), tags=('tag:iris',)))
    assert world.steps(3) == OLD


def test_a_lasting_error_is_reported_once(world, monkeypatch):
    monkeypatch.setattr(hosts, 'PERIOD', 0.01)
    os.unlink(str(world.path))
    stop = threading.Event()
    asked = []

    def ask():
        asked.append(1)
        if len(asked) > 5:
            stop.set()
        return world.status

    rounds = []
    HostsKeeper(ask, world.resolve, str(world.path), world.said.append, on_round=rounds.append).run(stop)
    assert rounds == world.said * 6
    assert len(asked) == 6 and len(world.said) == 1 and str(world.path) in world.said[0]
