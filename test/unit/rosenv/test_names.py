"""Problems in the resolver's answers for the names of a team."""
import socket
import threading
import time

import pytest

from ua_overlay.defaults import ADDRESSES
from ua_overlay.rosenv.names import NameChecker, resolve_ipv4
from unit.rosenv import nodes

ME, MATE, OTHER = nodes.me(2), nodes.peer(1), nodes.peer(3)
HERE = frozenset(['127.0.0.1', '10.0.2.15', '100.64.0.2'])


def checker(table, local=HERE, deadline=5.0):
    def resolve(name):
        if name not in table:
            raise socket.gaierror(-2, 'Name or service not known')
        return table[name]

    return NameChecker(resolve, lambda: local, deadline)


ALL = {'dev-1.overlay.internal': ('100.64.0.1',), 'dev-2.overlay.internal': ('100.64.0.2',),
       'dev-3.overlay.internal': ('100.64.0.3',)}


def without(name):
    return {key: value for key, value in ALL.items() if not key.startswith(name)}


def test_all_names_resolve():
    report = checker(ALL).check(ME, (MATE, OTHER))
    assert report.ok and report.own_ok and report.unresolved == () and report.why == ''


def test_an_unresolved_own_name():
    report = checker(without('dev-2')).check(ME, (MATE,))
    assert not report.ok and not report.own_ok and report.unresolved == ()
    assert report.why == "This robot's own name dev-2.overlay.internal does not resolve on this machine."


def test_an_own_name_on_loopback_is_a_problem():
    report = checker(dict(ALL, **{'dev-2.overlay.internal': ('127.0.1.1',)})).check(ME, ())
    assert not report.own_ok
    assert '127.0.1.1' in report.why and '100.64.0.2' in report.why


def test_unresolved_mates_are_named():
    report = checker(without('dev-1')).check(ME, (MATE, OTHER))
    assert report.own_ok and not report.ok and report.unresolved == ('dev-1.overlay.internal',)
    assert report.why.startswith('This robot cannot receive from dev-1: the name dev-1.overlay.internal does not')
    report = checker({'dev-2.overlay.internal': ('100.64.0.2',)}).check(ME, (OTHER, MATE))
    assert report.unresolved == ('dev-1.overlay.internal', 'dev-3.overlay.internal')
    assert 'from 2 of the robots and laptops that it sees' in report.why


def test_no_name_resolves():
    """A dead resolver: what it means for the robot comes before its own name."""
    report = checker({}).check(ME, (MATE, OTHER))
    assert not report.own_ok and len(report.unresolved) == 2
    assert report.why.startswith('This robot cannot receive from 2 of the robots and laptops that it sees: the name ')
    assert report.why.endswith('Its own name does not work here either.')


def test_a_stale_address_of_a_mate():
    report = checker(dict(ALL, **{'dev-1.overlay.internal': ('100.64.0.77',)})).check(ME, (MATE,))
    assert report.unresolved == ('dev-1.overlay.internal',)
    assert 'resolves to 100.64.0.77 here, not to its overlay address 100.64.0.1' in report.why


def test_addresses_require_an_interface_but_no_resolver():
    assert checker({}).check(ME, (MATE,), ADDRESSES).ok
    report = checker({}, local=frozenset(['127.0.0.1'])).check(ME, (MATE,), ADDRESSES)
    assert not report.own_ok and '100.64.0.2' in report.why


def test_a_resolved_name_requires_its_interface():
    assert not checker(ALL, local=frozenset(['127.0.0.1'])).check(ME, ()).own_ok


def test_a_dead_resolver_costs_the_deadline_once():
    release = threading.Event()
    check = NameChecker(lambda name: release.wait(30), lambda: HERE, 0.1)
    start = time.monotonic()
    report = check.check(ME, (MATE, OTHER))
    assert time.monotonic() - start < 2
    release.set()
    assert not report.own_ok and 'gets no answer from the resolver' in report.why


def test_real_resolver_and_interfaces():
    assert '127.0.0.1' in resolve_ipv4('localhost')
    with pytest.raises(OSError):
        resolve_ipv4('no-such-robot.invalid')
