"""The loss of a rospy topic at 10 Hz while the site's certificate is renewed and while its server restarts."""
import contextlib
import os
import re
import time
from typing import NamedTuple

from figure import Figure, Row, median, verdict
from relay_failover import ROOT, block_udp, drop
from setup_lab import put

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.errors import OverlayError
from ua_overlay.lab.fleet import USER
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.lab.relays import Pair, pauses, read_text
from ua_overlay.lab.wait import wait

NAME = 'gaps'
ROUNDS = 4
#: Messages are 0.1 s apart: a shorter pause is not a gap.
NO_GAP = 0.5
#: Seconds: without a gap before a round; of the round without an action; without a gap after an action, whose effect on
#: links may be delayed.
STABLE, WINDOW, AFTER = 5.0, 5.0, 10.0
PORT = TEAM_PORT
#: Addresses of the site and of the second host.
SERVER, SECOND = '203.0.113.10', '203.0.113.11'
_HEARD = re.compile(r'^(\d+) (\d+\.\d+)$', re.MULTILINE)


class Link(NamedTuple):
    """A path between the robots: its name in the figure, its link type, and the start of its endpoint."""

    label: str
    kind: str
    endpoint: str


DIRECT = Link('DIRECT', 'DIRECT', '')
OWN_RELAY = Link("PEER_RELAY, the server's own", 'PEER_RELAY', SERVER + ':')
OTHER_RELAY = Link('PEER_RELAY on the other host', 'PEER_RELAY', SECOND + ':')
EMBEDDED = Link('DERP in Headscale', 'DERP', 'site')
REMOTE = Link('DERP on the other host', 'DERP', 'second')
LINKS = (DIRECT, OWN_RELAY, OTHER_RELAY, EMBEDDED, REMOTE)

QUIET, RENEW, RESTART = 'nothing happens', 'certificate renewed', 'server restarted'
LOST = 'messages lost'


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    workspace = os.path.join(os.path.realpath(os.path.join(ROOT, '.workspace')), 'install')
    if not os.path.isdir(workspace):
        raise OverlayError('The workspace is not built.', 'make prepare')
    values = {(link, event): [] for link in LINKS for event in (QUIET, RENEW, RESTART, LOST)}
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
        for link in (DIRECT, OWN_RELAY, EMBEDDED):
            on_link(pair, link, values, progress, rounds)
        block_udp(pair, False)
        with progress('Starting a relay and a DERP region on the second host, until it is the home of both robots'):
            pair.start_remote_hosts()
            pair.wait_home('second')
        on_link(pair, REMOTE, values, progress, rounds)
        drop(pair, SERVER, True)
        on_link(pair, OTHER_RELAY, values, progress, rounds)
    return figure(values)


def on_link(pair, link, values, progress, rounds):
    """Measure all events on one link, with one publisher and one subscriber throughout."""
    kind = {'DIRECT': 'easy', 'PEER_RELAY': 'hard', 'DERP': 'udp-blocked'}[link.kind]
    pair.set_nats(kind)
    with topic(pair) as heard:
        for turn in range(1, rounds + 1):
            with progress('{}, round {} of {}'.format(link.label, turn, rounds)):
                for event, action in ((RENEW, renew), (RESTART, restart)):
                    pair.wait_link(link.kind, link.endpoint)
                    wait_steady(heard, STABLE)
                    quiet = time.time()
                    wait('The end of a window', lambda quiet=quiet: time.time() > quiet + WINDOW, 2 * WINDOW)
                    begin = time.time()
                    values[link, QUIET].append(longest(heard(), quiet, begin))
                    action(pair)
                    wait_steady(heard, AFTER, begin)
                    values[link, event].append(longest(heard(), begin, time.time()))
        values[link, LOST].append(lost(heard()))


def renew(pair):
    """As `server run` does 30 days before the certificate ends."""
    pair.site('server', 'renew')


def restart(pair):
    """As `systemctl restart ua-overlay-server`: SIGTERM, its end, another start; returns when it answers."""
    pair.stop_server()
    pair.start_server()


@contextlib.contextmanager
def topic(pair):
    """A roscore and a publisher on dev-1, a subscriber on dev-2; yields function() -> [(number, arrival)] so far."""
    names = {robot: robot + '.overlay.internal' for robot in ('dev-1', 'dev-2')}
    for robot in names:
        for name in names.values():
            wait('The name {} on {}'.format(name, robot), lambda robot=robot, name=name: pair.lab.host(robot).run(
                ['getent', 'ahostsv4', name], check=False).returncode == 0, 60)
    program = {robot: put(pair, robot, 'beat.py') for robot in names}
    running = []

    def start(robot, service, *argv):
        environment = ['env', 'ROS_MASTER_URI=http://{}:{}'.format(names['dev-1'], PORT),
                       'ROS_HOSTNAME=' + names[robot], 'PYTHONUNBUFFERED=1']
        pair.lab.start_service(robot, service, pair.ros_argv(environment + list(argv), 'shell'),
                               env=pair.user_environment(), user=USER)
        running.insert(0, (robot, service))

    log = pair.lab.log_path('dev-2', 'hear')
    try:
        start('dev-1', 'roscore', 'roscore', '-p', str(PORT))
        start('dev-1', 'say', '/usr/bin/python3', program['dev-1'], 'say')
        start('dev-2', 'hear', '/usr/bin/python3', program['dev-2'], 'hear')
        before = len(read_text(log))
        yield lambda: arrivals(read_text(log)[before:])
    finally:
        for robot, service in running:
            pair.lab.stop_service(robot, service)


def wait_steady(heard, seconds, begin=0.0):
    """Wait until messages have come without a gap for ``seconds``, all of them after ``begin``."""
    wait('A topic without a gap for {:.0f} s'.format(seconds),
         lambda: min(steady(heard(), time.time()), time.time() - begin) >= seconds, 180)


def steady(messages, now):
    """For how many seconds messages have come without a gap. Pure.

    :param messages: as of :func:`arrivals`.
    """
    times = [arrival for _number, arrival in messages]
    if not times or now - max(times) >= NO_GAP:
        return 0.0
    return now - max((start + seconds for start, seconds in pauses(times) if seconds >= NO_GAP), default=min(times))


def arrivals(text):
    """The output of `beat.py hear`, as a list of (number, seconds). Pure."""
    return [(int(number), float(seconds)) for number, seconds in _HEARD.findall(text)]


def longest(messages, begin, end):
    """The longest pause between two messages that overlaps ``begin`` to ``end``, in seconds. Pure.

    :param messages: as of :func:`arrivals`.
    """
    return max([seconds for start, seconds in pauses(arrival for _number, arrival in messages)
                if start + seconds > begin and start < end], default=end - begin)


def lost(messages):
    """How many of the numbers between the first and the last one are missing. Pure."""
    numbers = {number for number, _arrival in messages}
    return max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0


def figure(values):
    """The Figure of {(Link, event): seconds}. Pure."""
    rows = []
    for link in LINKS:
        quiet = '{}: {}'.format(link.label, QUIET)
        rows.append(Row(quiet, values[link, QUIET]))
        rows += [Row('{}: {}'.format(link.label, event), values[link, event], quiet) for event in (RENEW, RESTART)]
        rows.append(Row('{}: {}'.format(link.label, LOST), values[link, LOST], unit=''))
    aims = []
    for event in (RENEW, RESTART):
        aims += [verdict('{}, worst gap on {}'.format(event, link.label), max(values[link, event]), NO_GAP, ' s')
                 for link in LINKS if link is not EMBEDDED]
        aims.append(verdict('{}, median gap on {}'.format(event, EMBEDDED.label), median(values[EMBEDDED, event]), 10,
                            ' s'))
    return Figure(NAME, 'a rospy topic at 10 Hz while the certificate is renewed and the server restarts', 's', rows,
                  aims=aims, notes=[
        'Each value is the longest time between two messages at the subscriber, from the command until there was no '
        'gap for {:.0f} s; where nothing happens, within {:.0f} s. Messages come every 0.1 s: a pause below {} s is '
        'not a gap.'.format(AFTER, WINDOW, NO_GAP),
        'Renewed: `ua-overlay server renew`, as `server run` does 30 days before the end: only Headscale restarts. '
        'Restarted: the whole of `ua-overlay server run` with its relay, as by `systemctl restart`. A link over this '
        'relay then carries nothing until tailscaled gives it up, 6.5 s after its last answer (trustUDPAddrDuration); '
        'a link over a relay on another host is not affected.'])
