"""Time of whole commands, from the start of the process to its end."""
from figure import Figure, Row
from setup_lab import PYTHON, Program, bench_fleet

from ua_overlay.errors import OverlayError
from ua_overlay.toolchain import locate

NAME = 'start'
ROUNDS = 30
STATUS, HELP, EXEC, CLIENT, NOTHING = ('`ua-overlay status`', '`ua-overlay --help`', '`ua-overlay exec --local true`',
                                       '`tailscale status`', "`python3 -c ''`: the least of any Python program")


def measure(progress, rounds=ROUNDS):
    """Returns the Figure."""
    with bench_fleet(progress) as fleet, Program(fleet, 'dev-1', 'timer.py') as timer:
        commands = {STATUS: [fleet.command, 'status'], HELP: [fleet.command, '--help'],
                    EXEC: [fleet.command, 'exec', '--local', 'true'], CLIENT: [locate('tailscale'), 'status'],
                    NOTHING: [PYTHON, '-c', '']}
        values = {label: [] for label in commands}
        with progress('{} rounds of {} commands'.format(rounds, len(commands))):
            for turn in range(rounds + 1):
                for label, argv in commands.items():
                    answer = timer.ask(run=argv)
                    if not answer['ok']:
                        raise OverlayError('{} failed: {}'.format(label, answer['text'].strip()))
                    if turn:
                        values[label].append(1000 * answer['seconds'])
    return Figure(NAME, 'whole commands on a robot that is in the overlay with two others', 'ms', [
        Row(CLIENT, values[CLIENT]), Row(STATUS, values[STATUS], CLIENT), Row(NOTHING, values[NOTHING]),
        Row(EXEC, values[EXEC], NOTHING), Row(HELP, values[HELP], NOTHING)], notes=[
        '`ua-overlay exec` is also a launch-prefix: it adds its start to that of every program.'])
