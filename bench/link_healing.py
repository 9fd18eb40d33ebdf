"""How long a link is silent when its path dies, and how soon it has a better one, with and without the path keeper."""
import os
import sys
import time

import harmless_links
import many_links
from figure import Figure, Row, median, quantile, verdict
from relay_failover import ROOT, drop
from topic_gap import SECOND, SERVER, longest, topic, wait_steady

from ua_overlay.errors import OverlayError
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.relays import ROBOTS, Pair, gaps
from ua_overlay.lab.wait import wait

NAME = 'heal'
#: Rounds of each fault with the path keeper; without it for comparison: one for so many. Rounds with 50 peers: at least
#: so many, as they take minutes to join.
ROUNDS, COMPARED, WITH_MANY = 20, 5, 10
#: Minutes of each harmless case for each round, on real links; hours in simulated time at most.
MINUTES, HOURS = 0.5, 3
#: Seconds without a gap before a fault (setting up the NATs may have cost a rebind, and the path keeper asks for one in
#: 10 s at most), and after it (tailscaled alone needs 7 s).
STABLE, AFTER = 11.0, 8.0
#: Seconds between two searches of tailscaled for a relay (1.102.5, wgengine/magicsock/endpoint.go,
#: discoverUDPRelayPathsInterval): a round that needs one starts so long after the last.
SEARCH = 31.0
#: Aims, in seconds: median and 95th percentile of the longest gap; of the time to a better path.
GAP, RELAY, DIRECT, APART = (1.0, 1.5), (2.0, 5.0), (5.0, None), (0.2, 0.2)

CUT, HARD, FORGOT, MOVED, OTHER, DEAD, WHOLE, RESTARTED = (
    'UDP cut', 'NAT turned hard', 'NAT lost its mappings', "robot's address changed", 'other interface', 'relay dead',
    'whole server service restarted', 'server restarted, its relay a unit of its own')
FAULTS = (CUT, HARD, FORGOT, MOVED, OTHER, DEAD, WHOLE, RESTARTED)
#: Faults of the server: the link must go over its own relay.
OF_SERVER = (WHOLE, RESTARTED)
TO_RELAY, TO_DIRECT = 'PEER_RELAY after a hard NAT', 'DIRECT after UDP returns'
PING, TOPIC = 'ping', 'topic'


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    compared, minutes = max(1, rounds // COMPARED), rounds * MINUTES
    workspace = os.path.join(os.path.realpath(os.path.join(ROOT, '.workspace')), 'install')
    if not os.path.isdir(workspace):
        raise OverlayError('The workspace is not built.', 'make prepare')
    values, harmless, many = {}, {}, {}
    harmless_links.simulate(progress, min(HOURS, rounds), harmless)
    topology = load_topology(os.path.join(ROOT, 'config', 'lab', 'two_hosts.yaml'))
    with Lab.up(topology, 'bench-{}'.format(os.getpid()), bound=True) as lab:
        pair = Pair(lab, workspace)
        with progress('A lab with a server, a second host and two robots'):
            pair.start_site()
            # As under systemd, where the server and its relay are two units.
            pair.stop_server()
            pair.start_relay_apart()
            pair.start_server()
            pair.join_robots()
            pair.start_remote_hosts()
            pair.wait_home('second')
        for heal, count in ((True, rounds), (False, compared)):
            for robot in ROBOTS:
                pair.launch(robot, 'heal_links:={}'.format(str(heal).lower()))
            with topic(pair) as heard, pair.traffic() as output:
                for turn in range(1, count + 1):
                    for fault in FAULTS:
                        with progress('{}, round {} of {}, {} the path keeper'.format(
                                fault, turn, count, 'with' if heal else 'without')):
                            one_fault(pair, fault, heal, heard, output, values)
                        for stream in (PING, TOPIC):
                            print('  longest gap of the {}: {:.2f} s'.format(
                                stream, values[fault, heal, stream][-1]), file=sys.stderr)
            if heal:
                pair.set_nats('easy')
                harmless_links.try_out(progress, pair, minutes, harmless)
            for robot in ROBOTS:
                pair.lab.stop_service(robot, 'overlay')
    many_links.measure(progress, workspace, rounds, compared,
                       many_links.PEERS if rounds >= WITH_MANY else many_links.PEERS[:-1], many)
    return figure(values, harmless, many, minutes)


def one_fault(pair, fault, heal, heard, output, values):
    """Cause one fault, and add what it cost to ``values``: {(fault or path, heal, PING or TOPIC): [seconds]}."""
    def note(what, stream, seconds):
        values.setdefault((what, heal, stream), []).append(seconds)

    kind = 'PEER_RELAY' if fault in (DEAD,) + OF_SERVER else 'DIRECT'
    if fault in OF_SERVER:
        drop(pair, SECOND, True)
    pair.set_nats('hard' if kind == 'PEER_RELAY' else 'easy')
    settled = time.time()
    used = pair.wait_link(kind, SERVER + ':' if fault in OF_SERVER else '')[1].split(':')[0]
    wait_steady(heard, STABLE, settled + (SEARCH if fault == HARD else 0.0))
    begin = time.time()
    undo = cause(pair, fault, used)
    if fault == HARD:
        note(TO_RELAY, PING, seconds_until(pair, 'PEER_RELAY', begin))
    wait_steady(heard, AFTER, begin)
    end = time.time()
    note(fault, TOPIC, longest(heard(), begin, end))
    note(fault, PING, next((seconds for start, seconds in gaps(output()) if start + seconds > begin), 0.0))
    undo()
    if fault == CUT:
        note(TO_DIRECT, PING, seconds_until(pair, 'DIRECT', time.time()))


def cause(pair, fault, used):
    """Cause a fault on a link over ``used`` (an address); return the function that undoes it."""
    if fault == CUT:
        pair.set_nats('udp-blocked')
        return lambda: pair.set_nats('easy')
    if fault == HARD:
        pair.set_nats('hard')
        return lambda: pair.set_nats('easy')
    if fault == FORGOT:
        pair.set_nats('easy')
        return lambda: None
    if fault == MOVED:
        set_address(pair, '10.0.2.77')
        return lambda: set_address(pair, '10.0.2.15')
    if fault == OTHER:
        # As from the Wi-Fi to a cable: another device with another address has the default route.
        on_robot(pair, 'link add wlan0 link eth0 type macvlan mode bridge', 'addr add 10.0.2.88/24 dev wlan0',
                 'link set wlan0 up', 'addr flush dev eth0', 'route replace default via 10.0.2.2 dev wlan0')
        return lambda: on_robot(pair, 'link delete wlan0', 'addr add 10.0.2.15/24 dev eth0',
                                'route replace default via 10.0.2.2 dev eth0')
    if fault == DEAD:
        drop(pair, used, True)
        return lambda: drop(pair, used, False)
    assert fault in OF_SERVER
    pair.stop_server()
    if fault == WHOLE:
        pair.lab.stop_service('server', 'site-relay')
        pair.start_relay_apart()
    pair.start_server()
    return lambda: drop(pair, SECOND, False)


def set_address(pair, address):
    """Give dev-1 another address in its network."""
    on_robot(pair, 'addr flush dev eth0', 'addr add {}/24 dev eth0'.format(address),
             'route replace default via 10.0.2.2')


def on_robot(pair, *commands):
    """Run `ip COMMAND` on dev-1, all in one program, since the robot is cut off in between."""
    pair.lab.host('dev-1').run(['ip', '-batch', '-'], input='\n'.join(commands) + '\n')


def seconds_until(pair, kind, begin):
    """Seconds from ``begin`` until dev-1's link is of this type."""
    wait('A link ' + kind, lambda: (pair.link() or ('', ''))[0] == kind, 120, poll=0.1)
    return time.time() - begin


def figure(values, harmless=(), many=(), minutes=0.0):
    """The Figure of what :func:`one_fault`, harmless_links and many_links noted. Pure."""
    rows, aims = [], []
    for what in FAULTS + (TO_RELAY, TO_DIRECT):
        for stream in (PING, TOPIC):
            healed = values.get((what, True, stream))
            if not healed:
                continue
            without = '{}, {}, without'.format(what, stream)
            rows.append(Row(without, values.get((what, False, stream), [])))
            rows.append(Row('{}, {}'.format(what, stream), healed, without))
            middle, worst = {TO_RELAY: RELAY, TO_DIRECT: DIRECT, RESTARTED: APART}.get(what, GAP)
            aims.append(verdict('{}, {}, median'.format(what, stream), median(healed), middle, ' s'))
            if worst is not None:
                aims.append(verdict('{}, {}, 95th percentile'.format(what, stream), quantile(healed, 0.95), worst,
                                    ' s'))
    for more_rows, more_aims in (many_links.rows(dict(many)), harmless_links.rows(dict(harmless), minutes)):
        rows += more_rows
        aims += more_aims
    title = 'a link whose path dies: the longest time without an answer or a message'
    return Figure(NAME, title, 's', rows, aims=aims, notes=[
        'Ping: answers to a ping at 10 Hz. Topic: messages of a rospy topic at 10 Hz at its subscriber. Without: with '
        'heal_links:=false, which leaves dead paths to tailscaled and its 6.5 s of trust.',
        'Link before the fault: DIRECT, or PEER_RELAY for the dead relay and the restarts of the server. Both robots '
        'run the overlay node.',
        'PEER_RELAY after a hard NAT: tailscaled looks for a relay at most once in 30 s, so these rounds begin 31 s '
        'after the last search.',
        'Other interface: the default route moves to another device with another address, and the first device loses '
        'its own.',
        'Peers: dev-1 pings each of them at 10 Hz, and UDP is cut at the router of one. The others are behind one more '
        'router and run no overlay node.',
        'Rebinds: how often both robots had tailscaled rebind. Simulated: the decision alone '
        '(tailscale/dead_paths.py) in the simulation of test/link_world.py, an hour for each value. Without the path '
        'keeper nobody rebinds.'])
