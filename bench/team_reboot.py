"""How soon a team has its graph again when all its robots reboot at once while the server or only Headscale is dead."""
import contextlib
import json
import os
import sys
import threading
import time
from typing import NamedTuple

from figure import Figure, Row, median
from setup_lab import TEAM, daemon_state, put, tailscale, topology

from ua_overlay.defaults import DERP_PORT
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.remote_hosts import SERVER_REGION_NAME
from ua_overlay.lab.fleet import SERVER_NAME, SITE_DIR, USER
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.relays import REMOTE_HOST, Pair
from ua_overlay.lab.topology import parse
from ua_overlay.lab.wait import NotInTime, wait

NAME = 'reboot'
ROUNDS = 20
ROBOTS = ('dev-1', 'dev-2', 'dev-3', 'dev-4')
KINDS = ('easy', 'hard', 'udp-blocked')
#: Seconds: the aim, and how long a round waits at most.
AIM, LIMIT = 15.0, 120.0
#: Seconds between the team's return to its server and the next fault: tailscaled saves the map, the DERP's admission
#: hears of the robots.
REST = 10.0
#: What ends within a second of a kill.
GONE = 30
EVENTS = '/home/{}/bench-events'.format(USER)
NOISE_KEY = SITE_DIR + '/headscale/noise.key'


class Site(NamedTuple):
    """Where the site runs, and what dies of it.

    :ivar label: of the rows.
    :ivar region: the DERP that lives.
    """

    label: str
    hosts: tuple
    region: str


TWO_HOSTS = Site("server's machine dead, relay and DERP on another", ('server', 'second'), REMOTE_HOST)
ONE_HOST = Site('only Headscale dead, derper beside it', ('server',), SERVER_REGION_NAME)
SITES = (TWO_HOSTS, ONE_HOST)
ALIVE = 'server alive'
STAGES = (('started', "of that, until the last robot's node starts"), ('registered', '... it is registered'))
UNRESOLVED = 'names of team mates that do not resolve'


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    workspace = os.path.join(os.path.realpath(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                                                           '.workspace')), 'install')
    if not os.path.isdir(workspace):
        raise OverlayError('The workspace is not built.', 'make prepare')
    values = {}
    for site in SITES:
        with Lab.up(parse(topology(ROBOTS, site.hosts)), 'bench-{}'.format(os.getpid()), bound=True) as lab:
            fleet = Pair(lab, workspace)
            with progress('{}: a site and a team of {} robots'.format(site.label, len(ROBOTS))):
                launches = start(fleet, site)
            for kind in KINDS:
                with progress('{}, NATs {}'.format(site.label, kind)):
                    for number in range(1, len(ROBOTS) + 1):
                        lab.nat('nat{}'.format(number), kind)
                    wait_team(fleet, 0.0)
                for turn in range(1, rounds + 1):
                    for dead in (True, False) if turn % 5 == 1 else (True,):
                        with progress('{}, NATs {}, round {} of {}: all robots reboot'.format(
                                site.label if dead else ALIVE, kind, turn, rounds)):
                            took = one_round(fleet, site, kind, dead, launches, values)
                        print('  in one graph after {:.1f} s'.format(took), file=sys.stderr)
    return figure(values)


def start(fleet, site):
    """Start the site and the team; return robot -> path of its launch file."""
    if site is TWO_HOSTS:
        fleet.start_site()
        fleet.start_remote_hosts()
    else:
        fleet.overlay('server', 'server', 'init', '--dir', SITE_DIR, '--name', SERVER_NAME, '--address', '203.0.113.10',
                      '--derp-port', str(DERP_PORT))
        fleet.start_relay_apart()
        fleet.start_server()
    launches = {}
    for robot in ROBOTS:
        path = fleet.carry(robot, fleet.invite(TEAM, robot, *(['--master'] if robot == ROBOTS[0] else [])))
        fleet.prepare(robot, path)
        wait('tailscaled on ' + robot, lambda robot=robot: daemon_state(fleet, robot), 30)
        fleet.overlay(robot, 'join', path)
        put(fleet, robot, 'team_node.py')
        launches[robot] = put(fleet, robot, 'team.launch')
        fleet.launch(robot, 'team_launch:=' + launches[robot])
    wait_team(fleet, 0.0)
    wait('The DERP {} as home of all robots'.format(site.region),
         lambda: all(home(fleet, robot) == site.region for robot in ROBOTS), 180, poll=2.0)
    return launches


def home(fleet, robot):
    """The code of the robot's home DERP; tailscaled looks for another one."""
    tailscale(fleet, robot, 'debug', 'restun')
    return fleet.home(robot)


def one_round(fleet, site, kind, dead, launches, values):
    """Reboot all robots, with the server alive or dead, and add the times to ``values``; return the seconds until the
    team was complete."""
    label = site.label if dead else '{} ({})'.format(ALIVE, site.label)

    def note(what, value):
        values.setdefault((label, kind, what), []).append(value)

    if dead:
        kill(fleet, site)
    try:
        begin = reboot(fleet, launches)
        try:
            wait_team(fleet, begin)
            for stage, _text in STAGES:
                note(stage, max(first(fleet, robot, begin, stage) for robot in ROBOTS) - begin)
            note('heard', max(heard_all(fleet, robot, begin) for robot in ROBOTS) - begin)
            note(UNRESOLVED, unresolved(fleet))
        except NotInTime:
            note('heard', LIMIT)
    finally:
        if dead:
            revive(fleet, site)
    wait('All robots in touch with the server', lambda: all(is_online(fleet, robot) for robot in ROBOTS), 120, poll=1.0)
    wait_team(fleet, 0.0)
    rested = time.monotonic() + REST
    wait('A rest', lambda: time.monotonic() > rested, 2 * REST)
    return values[label, kind, 'heard'][-1]


def kill(fleet, site):
    """End the server's machine, or Headscale for good."""
    if site is TWO_HOSTS:
        fleet.cut_off('server')
        fleet.stop_server()
        return
    # A key that nobody can read: each start of Headscale ends at once.
    server = fleet.lab.host('server')
    server.run(['sh', '-ec', 'cp -p "$1" /run/noise.key; echo broken > "$1"', 'sh', NOISE_KEY])
    pids = [pid for pid, argv in server.processes().items() if os.path.basename(argv[0]) == 'headscale']
    server.run(['kill', '-9'] + [str(pid) for pid in pids])
    wait('The end of Headscale', lambda: not fleet.server_report().get('headscale', {}).get('running'), GONE)


def revive(fleet, site):
    """Undo :func:`kill`."""
    if site is TWO_HOSTS:
        fleet.connect_again('server')
    else:
        fleet.stop_server()
        fleet.lab.host('server').run(['cp', '-p', '/run/noise.key', NOISE_KEY])
    fleet.start_server()


def reboot(fleet, launches):
    """Kill every process of all robots, as a power cut does, and start them as at boot: tailscaled, the agent,
    overlay.launch. Returns when the first one started, by the monotonic clock, which all hosts share."""
    for robot in launches:
        fleet.lose_power(robot)
    problems = []

    def boot(robot):
        try:
            fleet.start_daemon(robot)
            fleet.start_agent(robot)
            fleet.lab.start_service(robot, 'overlay', fleet.ros_argv([
                'roslaunch', 'ua_overlay', 'overlay.launch', 'team_launch:=' + launches[robot]]),
                env=fleet.user_environment(), user=USER)
        except OverlayError as error:
            problems.append(error)

    threads = [threading.Thread(target=boot, args=(robot,)) for robot in launches]
    begin = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]
    return begin


def events(fleet, robot, begin):
    """What the team's node of a robot has noted since ``begin``."""
    with contextlib.suppress(FileNotFoundError):
        with open(fleet.lab.host(robot).path(EVENTS), encoding='utf-8') as stream:
            noted = [json.loads(line) for line in stream if line.endswith('\n')]
        return [event for event in noted if event['time'] >= begin]
    return []


def first(fleet, robot, begin, stage):
    return next(event['time'] for event in events(fleet, robot, begin) if event['event'] == stage)


def heard_all(fleet, robot, begin):
    """When a robot had heard all others after ``begin``, None if it has not."""
    return when_all(events(fleet, robot, begin), set(ROBOTS) - {robot})


def when_all(noted, others):
    """The time of the event by which one node has heard ``others``; None if it has not. Pure.

    Counts from the node's last start: what an earlier process heard is over.
    """
    missing, time_ = set(others), None
    for event in noted:
        if event['event'] == 'started':
            missing, time_ = set(others), None
        elif event['event'] == 'heard' and event['who'] in missing:
            missing.discard(event['who'])
            time_ = event['time']
    return None if missing else time_


def wait_team(fleet, begin):
    """Return when each robot has heard all others since ``begin``. :raises NotInTime:"""
    wait('Each robot heard by all others', lambda: all(heard_all(fleet, robot, begin) for robot in ROBOTS), LIMIT,
         poll=0.2)


def is_online(fleet, robot):
    done = tailscale(fleet, robot, 'status', '--json', '--peers=false', check=False)
    return bool(done.stdout.startswith('{') and json.loads(done.stdout)['Self'].get('Online'))


def unresolved(fleet):
    """How many names of team mates do not resolve, on all robots."""
    pairs = [(robot, other + '.overlay.internal') for robot in ROBOTS for other in ROBOTS if other != robot]
    return sum(fleet.lab.host(robot).run(['getent', 'ahostsv4', name], check=False).returncode != 0
               for robot, name in pairs)


def figure(values):
    """The Figure of {(label, kind of NAT, 'heard' or stage): values}. Pure."""
    rows, aims = [], []
    for site in SITES:
        for kind in KINDS:
            times = values.get((site.label, kind, 'heard'))
            if not times:
                continue
            alive = '{} ({})'.format(ALIVE, site.label)
            base = '{}, NATs {}'.format(alive, kind)
            rows.append(Row(base, values.get((alive, kind, 'heard'), [])))
            rows.append(Row('{}, NATs {}'.format(site.label, kind), times, base))
            rows += [Row('NATs {}, {}, {}'.format(kind, site.label, text), values.get((site.label, kind, stage), []))
                     for stage, text in STAGES]
            good = sum(seconds <= AIM for seconds in times)
            aims.append('{}, NATs {}: {} of {} within {:g} s (median {:.3g} s), aim {}: {}'.format(
                site.label, kind, good, len(times), AIM, median(times), len(times),
                'reached' if good == len(times) else 'MISSED'))
        names = [count for (label, _kind, what), counts in values.items() if label == site.label and what == UNRESOLVED
                 for count in counts]
        if names:
            aims.append('{}: {} {}, aim 0: {}'.format(site.label, sum(names), UNRESOLVED,
                                                      'MISSED' if sum(names) else 'reached'))
    title = 'all {} robots of a team reboot at once: until each has heard all others in the team graph'
    return Figure(NAME, title.format(len(ROBOTS)), 's', rows, aims=aims, notes=[
        'From the start of the first tailscaled until every robot has received the message of every other one in the '
        'team graph. A reboot kills every process of the robots and empties /run; then tailscaled, the agent and '
        'overlay.launch with a team launch file start on all of them, on this one machine.',
        'Compared with the same reboot while the server lives. Without kept maps, a living DERP and knocks the robots '
        'stay cut off until the server is back.',
        '{:.0f} s stands for a round in which the team was not complete by then.'.format(LIMIT)],
        raw={' / '.join(key): value for key, value in values.items()})
