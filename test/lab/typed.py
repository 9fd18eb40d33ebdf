"""Type a next command of ours on hosts of a lab, as a person does who reads it.

The hosts have no service manager, so `systemctl` starts and stops the lab's services of the same units; everything else
runs in bash. `sudo` words run as root, the others as the robot's user. INVITATION is the file that `ua-overlay invite`
made on the server a line before, carried to the robot.
"""
import os
import re

from ua_overlay.lab.fleet import SITE_DIR, SOURCE, USER
from ua_overlay.toolchain import locate

#: Where the administrator types, and where `ua-overlay invite` therefore leaves its files.
DESK = '/run/desk'

#: Where the words behind ` # ` send the reader.
_WHERE = re.compile(r'^(?:and )?(?:first )?on (?:the )?([a-z0-9-]+)')
_THEN = re.compile(r', (?:then )?(?:there|here|on ([a-z0-9-]+)): ')


def steps(advice, here):
    """Yield (host, command line) of a next command that is read on ``here``. Pure.

    `A; B   # on the server, then here: C` is A and B on the server, and C on ``here``.
    """
    command, _, comment = advice.partition('   # ')
    where = _WHERE.match(comment)
    first = where.group(1) if where else here
    for line in command.split('; '):
        yield first, line
    then = _THEN.search(comment)
    if then:
        yield from steps(comment[then.end():], then.group(1) or (here if 'here: ' in then.group() else first))


def type_it(fleet, here, advice):
    """Type every step of ``advice``; return what all of them printed.

    :raises OverlayError: a command failed.
    """
    return ''.join(type_line(fleet, host, line) for host, line in steps(advice, here))


def type_line(fleet, host, line):
    """Type one command line on a host; return what it printed."""
    print('{}$ {}'.format(host, line))
    service = re.match(r'sudo systemctl (start|restart|stop) (.+)', line)
    if service:
        for unit in service.group(2).split():
            manage(fleet, host, service.group(1), unit)
        return ''
    if 'INVITATION' in line:
        line = line.replace('INVITATION', carried(fleet, host))
    as_root = 'sudo ' in line or host == fleet.server
    # A user of a robot has the workspace sourced; root and the administrator type in a shell without it.
    script = ('' if as_root else SOURCE + '; ') + 'sudo() { "$@"; }; ' + line
    environment = fleet.base_environment() if as_root else fleet.user_environment()
    environment['PATH'] = ':'.join((os.path.join(fleet.workspace, 'bin'), os.path.dirname(locate('tailscale')),
                                    environment['PATH']))
    argv = ['bash', '-c', script, fleet.workspace]
    if not as_root and re.search(r'ua-overlay exec (?!(?:--local )?ros(?:node|topic|param) )', line):
        # It goes on in the foreground of that terminal.
        fleet.lab.start_service(host, 'typed', argv, env=environment, user=USER)
        return ''
    if host == fleet.server:
        environment['UA_OVERLAY_SITE'] = SITE_DIR
        argv = ['sh', '-c', 'mkdir -p "$0" && cd "$0" && exec "$@"', DESK] + argv
    # doctor ends with 1 for an error, and that is its answer.
    done = fleet.lab.host(host).run(argv, env=environment, user=None if as_root else USER, timeout=120,
                                    check='doctor' not in line)
    return done.stdout


def carried(fleet, host):
    """Carry the invitation that the administrator has just made to ``host``; return its path there."""
    server = fleet.lab.host(fleet.server)
    name = server.run(['sh', '-c', 'ls -t "$0"/*.yaml | head -n 1', DESK]).stdout.strip()
    text = server.run(['cat', name]).stdout
    server.run(['rm', name])
    return fleet.carry(host, text)


def manage(fleet, host, action, unit):
    """Do what `systemctl ACTION UNIT` does with the lab's service of that unit."""
    unit = unit.replace('.service', '')
    service = {'tailscaled': 'tailscaled', 'ua-overlay-agent': 'agent'}[unit]
    if action != 'start' and fleet.lab.service_running(host, service):
        fleet.lab.stop_service(host, service)
    if action != 'stop' and not fleet.lab.service_running(host, service):
        fleet.start_daemon(host) if service == 'tailscaled' else fleet.start_agent(host)
