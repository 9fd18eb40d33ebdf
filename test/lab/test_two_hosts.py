"""Two relays and two DERP regions on two hosts: one relay ends and the link goes on over the other; Headscale is away
and links over the remote DERP do not notice.

The tests have an order. The figures are in bench/relay_failover.py.
"""
import time

import pytest
from topologies import from_config

from ua_overlay.lab import link, shape
from ua_overlay.lab.relays import ROBOTS, Pair, gaps
from ua_overlay.lab.timeouts import JOIN, START
from ua_overlay.lab.wait import wait

RELAYS = {'203.0.113.10': 'server', '203.0.113.11': 'second'}


@pytest.fixture(scope='module')
def pair(new_lab, install):
    lab = new_lab(from_config('two_hosts'), 'hosts')
    # Of two DERPs at the same distance chance makes one a robot's home: the one in Headscale is farther away, from the
    # beginning, because tailscaled goes by the best round trip of five minutes (netcheck: bestRecent).
    link.set_shape(lab, 'server', shape.parse({'delay': '20ms'}))
    fleet = Pair(lab, install)
    fleet.start_site()
    fleet.start_remote_hosts()
    fleet.join_robots()
    yield fleet


def answers(output):
    return output().count('icmp_seq')


def wait_answers(output, more, what):
    before = answers(output)
    wait(what, lambda: answers(output) > before + more, START)


def test_the_remote_derp_is_allowed_as_soon_as_a_robot_learns_of_it(pair):
    """It is their home from the first minute. An egress rule updated once a minute would refuse it until then, and the
    first answer would come after 45 s. (When tailscaled itself has to try again, it comes after 5 s.)"""
    with pair.traffic() as output:
        wait('An answer of the other robot', lambda: 'icmp_seq' in output(), 20)
    assert [pair.home(robot) for robot in ROBOTS] == ['second', 'second']


def test_the_server_reaches_both_hosts(pair):
    # Headscale was restarted for the region of the second host: its own relay hears of that within seconds, and reports
    # it with its next check.
    wait('A check without findings', lambda: pair.site('server', 'check', check=False).returncode == 0, JOIN, poll=1)
    text = pair.site('server', 'status').stdout
    assert 'second up' in text


@pytest.mark.fault('new', 'A relay that carries a link loses its power or its packets',
                   behaviour='The link goes on over the other relay', reported='-', recovery='20 s without an answer',
                   lost='packets of UDP')
def test_a_link_continues_over_the_other_relay(pair):
    with pair.traffic() as output:
        used = pair.wait_link('PEER_RELAY')[1].split(':')[0]
        begin = time.time()
        # The whole relay, as a power cut ends it.
        if RELAYS[used] == 'second':
            pair.lab.kill_service('second', 'relay')
        else:
            pair.lab.host('server').run(['nft', 'add', 'table', 'inet', 'cut'])
            pair.lab.host('server').run(['nft', 'add', 'chain', 'inet', 'cut', 'in',
                                         '{ type filter hook input priority -10; policy accept; }'])
            pair.lab.host('server').run(['nft', 'add', 'rule', 'inet', 'cut', 'in', 'udp', 'dport', '40000', 'drop'])
        other = next(address for address in RELAYS if address != used)
        pair.wait_link('PEER_RELAY', other + ':')
        longest = [gap for gap in gaps(output()) if gap[0] >= begin - 1][0]
        # DERP takes over when the path has not answered for 6.5 s (magicsock: trustUDPAddrDuration).
        assert longest[1] < 20, longest
    if RELAYS[used] == 'second':
        pair.start_remote_host('relay')
    else:
        pair.lab.host('server').run(['nft', 'delete', 'table', 'inet', 'cut'])


@pytest.mark.fault('new', 'Headscale stops while links go over a remote DERP', behaviour='The links go on',
                   reported='-', recovery='1 s without an answer', lost='nothing')
def test_links_over_the_remote_derp_survive_without_headscale(pair):
    """Away for some seconds: a mere restart costs the embedded DERP less than half a second."""
    pair.set_nats('udp-blocked')
    pair.wait_home('second')
    with pair.traffic() as output:
        pair.wait_link('DERP', 'second')
        # The change to DERP itself leaves a gap.
        wait('An answer', lambda: answers(output), JOIN)
        wait_answers(output, 50, 'Fifty answers over DERP')
        begin = time.time()
        pair.stop_server()
        wait_answers(output, 50, 'Fifty answers without Headscale')
        pair.start_server()
        wait_answers(output, 20, 'Twenty answers after it came back')
        longest = [gap for gap in gaps(output()) if gap[0] >= begin - 0.2][0]
    assert longest[1] < 1.0, longest
