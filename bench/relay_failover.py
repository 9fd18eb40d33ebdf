"""The loss of a stream at 10 Hz when its relay dies, and when Headscale restarts, with two hosts."""
import os
import time

from figure import Figure, Row, median, verdict

from ua_overlay.errors import OverlayError
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.relays import Pair, gaps
from ua_overlay.lab.wait import wait

NAME = 'failover'
ROUNDS = 5
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

RELAY_GAP = 'relay killed: longest time without an answer'
RELAY_OTHER = 'relay killed: until the link goes over the other relay'
RESTART_RELAY = 'Headscale restarts, link on a relay'
RESTART_SECOND = 'Headscale restarts, link on the remote DERP'
RESTART_EMBEDDED = 'Headscale restarts, link on the embedded DERP'
LABELS = (RELAY_GAP, RELAY_OTHER, RESTART_EMBEDDED, RESTART_SECOND, RESTART_RELAY)
#: Answers are 0.1 s apart: a shorter pause is not a gap.
NO_GAP = 0.5


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    workspace = os.path.join(os.path.realpath(os.path.join(ROOT, '.workspace')), 'install')
    if not os.path.isdir(workspace):
        raise OverlayError('The workspace is not built.', 'make prepare')
    values = {label: [] for label in LABELS}
    topology = load_topology(os.path.join(ROOT, 'config', 'lab', 'two_hosts.yaml'))
    with Lab.up(topology, 'bench-{}'.format(os.getpid()), bound=True) as lab:
        pair = Pair(lab, workspace)
        with progress('A lab with a server, a second host and two robots'):
            pair.start_site()
            with_embedded(pair, values, progress, rounds)
            pair.start_remote_hosts()
        with progress('Waiting until the remote DERP is the home of both robots'):
            pair.wait_home('second')
        for turn in range(1, rounds + 1):
            with progress('Round {} of {}: a relay dies'.format(turn, rounds)):
                relay_dies(pair, values)
        with progress('Headscale restarts, links on a relay'):
            for _ in range(rounds):
                values[RESTART_RELAY].append(restart_gap(pair, 'PEER_RELAY'))
        block_udp(pair, True)
        with progress('Headscale restarts, links on the remote DERP'):
            for _ in range(rounds):
                values[RESTART_SECOND].append(restart_gap(pair, 'DERP', 'second'))
    return figure(values)


def with_embedded(pair, values, progress, rounds):
    """Robots join, and Headscale restarts while their only DERP is the embedded one."""
    pair.join_robots()
    block_udp(pair, True)
    for turn in range(1, rounds + 1):
        with progress('Round {} of {}: Headscale restarts, links on the embedded DERP'.format(turn, rounds)):
            values[RESTART_EMBEDDED].append(restart_gap(pair, 'DERP', 'site'))
    block_udp(pair, False)


def block_udp(pair, blocked):
    pair.set_nats('udp-blocked' if blocked else 'hard')


def wait_stable(output, count=30):
    """Wait for ``count`` more answers."""
    mark = output().count('icmp_seq')
    wait('{} answers'.format(count), lambda: output().count('icmp_seq') >= mark + count, 90)


def restart_gap(pair, kind, endpoint=''):
    """Seconds without an answer while Headscale restarts."""
    with pair.traffic() as output:
        pair.wait_link(kind, endpoint)
        wait_stable(output)
        begin = time.time()
        pair.site('server', 'renew')
        wait_stable(output, 100)
        return [gap for gap in gaps(output()) if gap[0] >= begin - 0.2][0][1]


def relay_dies(pair, values):
    """Kill the tailscaled of the relay in use, as a power cut would; it is back before the next round."""
    with pair.traffic() as output:
        used = pair.wait_link('PEER_RELAY')[1].split(':')[0]
        wait_stable(output)
        begin = time.time()
        drop(pair, used, True)
        try:
            other = {'203.0.113.10': '203.0.113.11'}.get(used, '203.0.113.10')
            pair.wait_link('PEER_RELAY', other + ':')
            values[RELAY_OTHER].append(time.time() - begin)
            wait_stable(output)
            values[RELAY_GAP].append([gap for gap in gaps(output()) if gap[0] >= begin - 0.2][0][1])
        finally:
            drop(pair, used, False)


def drop(pair, address, cut):
    """Silently drop all packets to the relay at ``address``, or stop dropping them."""
    host = pair.lab.host('server' if address == '203.0.113.10' else 'second')
    if cut:
        host.run(['nft', '-f', '-'], input='table inet cut {\n chain in {\n  type filter hook input priority -10;\n'
                                           '  udp dport 40000 drop\n }\n}\n')
    else:
        host.run(['nft', 'delete', 'table', 'inet', 'cut'])


def figure(values):
    """The Figure of {label: seconds}. Pure."""
    rows = [Row(RELAY_GAP, values[RELAY_GAP]), Row(RELAY_OTHER, values[RELAY_OTHER]),
            Row(RESTART_EMBEDDED, values[RESTART_EMBEDDED]),
            Row(RESTART_SECOND, values[RESTART_SECOND], RESTART_EMBEDDED), Row(RESTART_RELAY, values[RESTART_RELAY])]
    return Figure(NAME, 'a ping at 10 Hz while a relay dies or Headscale restarts', 's', rows, aims=[
        verdict('median gap when a relay dies', median(values[RELAY_GAP]), 10, ' s'),
        verdict('median gap of a restart on the embedded DERP', median(values[RESTART_EMBEDDED]), 10, ' s'),
        verdict('worst gap of a restart on the remote DERP', max(values[RESTART_SECOND]), NO_GAP, ' s'),
        verdict('worst gap of a restart on a relay', max(values[RESTART_RELAY]), NO_GAP, ' s')], notes=[
        'A relay dies: its packets are dropped at its host, as after a power cut. tailscaled trusts a path for 6.5 s '
        'after its last answer (trustUDPAddrDuration), then sends over DERP as well. It finds the other relay when it '
        'next looks for paths (at most every 30 s).',
        'Robots that are busy on the embedded DERP when a remote one is added stay there until they are silent for '
        'some seconds: here they are silent.',
        '`ua-overlay server renew` restarts Headscale. Answers come every 0.1 s: a pause below {} s is not a '
        'gap.'.format(NO_GAP)])
