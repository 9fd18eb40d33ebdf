"""Time of a first join, alternating with a bare `tailscale up` with a fresh key on the same robot."""
import yaml
from figure import Figure, Row, median, verdict
from setup_lab import TEAM, Program, bench_fleet, forget

from ua_overlay.errors import OverlayError
from ua_overlay.lab.fleet import USER
from ua_overlay.toolchain import locate

NAME = 'join'
ROUNDS = 8

UP = '`tailscale up --auth-key=file:…`, whole command'
UP_ONLINE = 'the same, until the status says Online with the tag'
SERVICE = 'service /ua_overlay/join, as its caller sees it'
COMMAND = '`ua-overlay join FILE`, whole command'
START = 'of that, Python, imports and arguments (`join --help`)'


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    values = {label: [] for label in (UP, UP_ONLINE, SERVICE, COMMAND, START)}
    with bench_fleet(progress, joined=('dev-2', 'dev-3')) as fleet, Program(fleet, 'dev-1', 'timer.py') as timer:
        for turn in range(rounds + 1):
            for label in (UP, SERVICE, COMMAND):
                with progress('Round {} of {}: {}'.format(turn, rounds, label) if turn else 'Warming up: ' + label):
                    answer = attempt(fleet, timer, label)
                    forget(fleet, 'dev-1')
                if turn:
                    values[label].append(answer['seconds'])
                    if label == UP:
                        values[UP_ONLINE].append(answer['seconds'] + answer['online'])
            if turn:
                values[START].append(timer.ask(run=[fleet.command, 'join', '--help'])['seconds'])
    return figure(values)


def attempt(fleet, timer, label):
    """Join dev-1 with a fresh key; returns the timer's answer."""
    text = fleet.invite(TEAM, 'dev-1')
    path = fleet.carry('dev-1', text)
    invitation = yaml.safe_load(text)
    key = fleet.carry('dev-1', invitation['key'], 'key')
    if label == SERVICE:
        answer = timer.ask(join=path, online=True)
    elif label == COMMAND:
        answer = timer.ask(run=[fleet.command, 'join', path], online=True)
    else:
        answer = timer.ask(run=[locate('tailscale'), 'up', '--login-server=' + invitation['server_url'],
                                '--auth-key=file:' + key, '--hostname=dev-1', '--operator=' + USER], online=True)
    if not answer['ok'] or answer['online'] is None:
        raise OverlayError('A join failed: {}'.format(answer['text'].strip()))
    return answer


def figure(values):
    """The Figure of {label: seconds}. Pure."""
    rows = [Row(UP, values[UP]), Row(UP_ONLINE, values[UP_ONLINE], UP), Row(SERVICE, values[SERVICE], UP),
            Row(COMMAND, values[COMMAND], UP), Row(START, values[START])]
    service = median(values[SERVICE]) / median(values[UP])
    command = (median(values[COMMAND]) - median(values[START])) / median(values[UP])
    return Figure(NAME, 'a first join with a fresh key, against a bare `tailscale up`', 's', rows, aims=[
        verdict('join service against `tailscale up`', service, 1.1, ' times'),
        verdict('`ua-overlay join` without its start', command, 1.1, ' times')], notes=[
        'One robot in turns; after each join it is logged out and deleted on the server. Timed on the robot, as its '
        'user.',
        '`tailscale up` ends as soon as the state is Running. `join` first reads the invitation and checks the server '
        'over TLS, and ends when the server sees the robot online with its tag.'])
