"""A robot with 2, 10 and 50 peers: what its other links notice when the path to one of them dies; and what the path
keeper costs."""
import os
import time

from figure import Row, median, quantile, verdict
from node_cost import PERCENT, find_process, sample
from setup_lab import TEAM, daemon_state, tailscale

from ua_overlay.lab.lab import Lab
from ua_overlay.lab.relays import Pair, gaps, read_text
from ua_overlay.lab.topology import from_mapping
from ua_overlay.lab.wait import wait

PEERS = (2, 10, 50)
#: The aim for the other links, in seconds.
OTHERS = 0.2
#: The aims for the CPU time of the node, in percent of a core: idle, and with five active links.
IDLE, ACTIVE = 0.5, 1.0
#: Seconds from the cut to the end of a round: tailscaled alone needs 7. The path keeper may rebind once in 10 s.
AFTER, REST = 12.0, 11.0
#: How many peers there are, and how many active links, when the cost is measured.
COST_PEERS, COST_LINKS = 10, 5
#: The values of the link whose path dies: without a gap there, its path did not die.
DEAD = 'dead'
#: Answers are 0.1 s apart: a shorter pause is not a gap.
NO_GAP = 0.5
#: Rounds for each window in which the cost is measured.
PER_WINDOW = 3


def topology(peers):
    """dev-1 and dev-2, each behind a router of its own, and the others behind a third one."""
    robots = {'dev-1': {'behind': 'nat1', 'address': '10.0.2.15', 'hostname': 'robot'},
              'dev-2': {'behind': 'nat2', 'address': '10.0.2.15', 'hostname': 'robot'}}
    for number in range(3, peers + 2):
        robots['dev-{}'.format(number)] = {'behind': 'nat3', 'address': '10.0.2.{}'.format(100 + number),
                                           'hostname': 'robot'}
    return from_mapping({
        'version': 1, 'inet': {'subnet': '203.0.113.0/24', 'dns': '203.0.113.2'},
        'names': {'server.ua.test': '203.0.113.10'}, 'hosts': {'server': {'address': '203.0.113.10'}},
        'nats': {'nat{}'.format(number): {'address': '203.0.113.{}'.format(20 + number), 'inside': '10.0.2.2/24'}
                 for number in (1, 2, 3)}, 'robots': robots})


def measure(progress, workspace, rounds, compared, peers, values):
    """Add to ``values`` {(number of peers, heal): [longest gap of any other link]}, and CPU times by label."""
    with Lab.up(topology(max(peers)), 'bench-{}'.format(os.getpid()), bound=True) as lab:
        fleet = Pair(lab, workspace)
        with progress('A lab with {} robots'.format(max(peers) + 1)):
            fleet.start_site()
        joined = 0
        for count in peers:
            for number in range(joined + 1, count + 2):
                with progress('dev-{} of {} joins'.format(number, count + 1)):
                    join(fleet, 'dev-{}'.format(number))
            joined = count + 1
            others = ['dev-{}'.format(number) for number in range(3, count + 2)]
            for heal, turns in ((True, rounds), (False, compared)):
                for robot in ('dev-1', 'dev-2'):
                    fleet.launch(robot, 'heal_links:={}'.format(str(heal).lower()))
                if count == COST_PEERS:
                    cost(progress, fleet, heal, others, max(1, rounds // PER_WINDOW), values)
                logs = start_pings(fleet, ['dev-2'] + others)
                for turn in range(1, turns + 1):
                    with progress('{} peers, the path to one dies, round {} of {}, {} the path keeper'.format(
                            count, turn, turns, 'with' if heal else 'without')):
                        dead, worst = one_round(fleet, others, logs)
                        values.setdefault((count, heal), []).append(worst)
                        values.setdefault((count, heal, DEAD), []).append(dead)
                for robot in logs:
                    lab.stop_service('dev-1', 'ping-' + robot)
                for robot in ('dev-1', 'dev-2'):
                    lab.stop_service(robot, 'overlay')


def join(fleet, robot):
    path = fleet.carry(robot, fleet.invite(TEAM, robot))
    fleet.overlay(robot, 'robot', 'prepare', '--invitation', path, '--user', 'robot', '--service-manager', 'none')
    fleet.start_daemon(robot)
    if robot in ('dev-1', 'dev-2'):
        fleet.start_agent(robot)
    wait('tailscaled on ' + robot, lambda: daemon_state(fleet, robot), 30)
    fleet.overlay(robot, 'join', path)


def start_pings(fleet, robots):
    """Ping each of ``robots`` from dev-1 ten times a second; robot -> path of the output."""
    logs = {}
    for robot in robots:
        address = tailscale(fleet, 'dev-1', 'ip', '-4', robot).stdout.strip()
        fleet.lab.start_service('dev-1', 'ping-' + robot, ['ping', '-D', '-n', '-i', '0.1', address])
        logs[robot] = fleet.lab.log_path('dev-1', 'ping-' + robot)
    return logs


def one_round(fleet, others, logs):
    """Cut the path between dev-1 and dev-2; return the longest time without an answer of dev-2, and of any other."""
    fleet.lab.nat('nat2', 'easy')
    rested = time.time() + REST
    wait('All links steady', lambda: time.time() > rested and all(
        steady(read_text(log), time.time()) >= REST / 2 for log in logs.values()), 180, poll=1.0)
    fleet.wait_link('DIRECT')
    begin = time.time()
    fleet.lab.nat('nat2', 'udp-blocked')
    wait('The end of a round', lambda: time.time() > begin + AFTER, 2 * AFTER)
    gaps_of = {robot: longest(read_text(log), begin, time.time()) for robot, log in logs.items()}
    return gaps_of['dev-2'], max(gaps_of[robot] for robot in others)


def longest(text, begin, end):
    """The longest time without an answer that overlaps ``begin`` to ``end``, in the output of `ping -D` until ``end``.
    Pure."""
    found = gaps(text)
    last = max((start + seconds for start, seconds in found), default=begin)
    return max([seconds for start, seconds in found if start + seconds > begin and start < end] + [end - last])


def steady(text, now):
    """For how many seconds answers have come without a gap, in the output of `ping -D`. Pure."""
    found = gaps(text)
    last = max((start + seconds for start, seconds in found), default=0.0)
    if now - last >= NO_GAP:
        return 0.0
    return now - max((start + seconds for start, seconds in found if seconds >= NO_GAP),
                     default=min(start for start, _seconds in found))


def cost_label(kind, heal):
    return '{}, {}'.format(kind, 'with' if heal else 'without')


def cost(progress, fleet, heal, others, windows, values):
    """Measure the CPU time of dev-1's node with idle links, and with five active ones, in so many windows each."""
    node = find_process(fleet, 'dev-1', '/ua_overlay/overlay', '__name:=ua_overlay')
    word = 'with' if heal else 'without'
    with progress('Waiting until the links are idle'):
        idle = time.monotonic() + 60.0  # tailscaled's sessions without traffic end after 45 s
        wait('Idle links', lambda: time.monotonic() > idle, 120, poll=1.0)
    sample(progress, values, {cost_label('idle', heal): node}, windows, 'links idle, {} the path keeper'.format(word))
    logs = start_pings(fleet, others[:COST_LINKS])
    wait('Answers', lambda: all(steady(read_text(log), time.time()) > 5.0 for log in logs.values()), 120)
    sample(progress, values, {cost_label('active', heal): node}, windows,
           'five active links, {} the path keeper'.format(word))
    for robot in logs:
        fleet.lab.stop_service('dev-1', 'ping-' + robot)


def rows(values):
    """(rows, aims) of a figure. Pure."""
    made, aims = [], []
    for count in PEERS:
        if not values.get((count, True)):
            continue
        for label, more in (('{} peers, one path dies: longest gap of that link', (DEAD,)),
                            ('{} peers, one path dies: longest gap of any other link', ())):
            label = label.format(count)
            made.append(Row(label + ', without', values.get((count, False) + more, [])))
            made.append(Row(label, values.get((count, True) + more, []), label + ', without'))
        aims.append(verdict(label + ', 95th percentile', quantile(values[count, True], 0.95), OTHERS, ' s'))
    for kind, what, aim in (('idle', 'links idle', IDLE), ('active', '{} active links'.format(COST_LINKS), ACTIVE)):
        healed = values.get(cost_label(kind, True))
        if healed:
            label = 'CPU of the overlay node, {} peers, {}'.format(COST_PEERS, what)
            made.append(Row(label + ', without', values.get(cost_label(kind, False), []), unit=PERCENT))
            made.append(Row(label, healed, label + ', without', unit=PERCENT))
            aims.append(verdict(label + ', median', median(healed), aim, ' %'))
    return made, aims
