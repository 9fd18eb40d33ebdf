"""Check the duties of this robot's root service. Pure."""
from typing import List

from ua_overlay.advice import command
from ua_overlay.checks.facts import Facts
from ua_overlay.checks.finding import Verdict, Verdicts, error, ok, warn
from ua_overlay.clock import format_utc, from_unix
from ua_overlay.system.duties import CRASHES, FAILS, HANGS, Daemon, Duty

#: Seconds for which a duty may fail: while tailscaled restarts, each of them fails.
PATIENCE = 60.0
#: Duty -> what becomes of the robot without it.
_WITHOUT = {
    'names': 'Names of robots that join, move or leave are not followed in the hosts file.',
    'egress': 'The egress rule does not follow the addresses of the site, and is not put back.',
    'home': 'Other robots may not reach this one over the server.',
    'identity': 'A restart of tailscaled may lose this robot\'s identity.',
    'operator': 'The robot\'s user may be unable to join and leave.',
    'paths': 'After a leave and a join, links may stay indirect.',
    'remembered team': 'While the server is away, a robot that was removed meanwhile may be trusted for too long.',
}


def agent(facts: Facts) -> Verdicts:
    """Every duty of the root service works."""
    found = facts.agent
    if found is None:
        return None
    if found.duties is None:
        return error('The root service{} does not answer.'.format(_of(found)), 'It does not run, or hangs.',
                     _restart(found))
    bad = [duty for duty in found.duties if duty.state in (CRASHES, HANGS) or
           duty.state == FAILS and duty.seconds >= PATIENCE and facts.daemon_problem is None]
    verdicts: List[Verdict] = [_judge(duty, found, facts.now) for duty in bad]
    if not verdicts and facts.daemon_problem is not None:
        return None  # without tailscaled most of them fail, and the check of the daemon says so
    return verdicts or ok('All {} duties of the root service work.'.format(len(found.duties)))


def _judge(duty: Duty, found: Daemon, now: float) -> Verdict:
    since = format_utc(from_unix(max(0.0, now - duty.seconds)))
    without = _WITHOUT.get(duty.name, 'What it maintains is not maintained.')
    if duty.state == HANGS:
        why = ' '.join(filter(None, [without, duty.problem]))
        return error('The duty "{}" of the root service hangs since {}.'.format(duty.name, since), why, _restart(found))
    return warn('The duty "{}" of the root service fails since {}: {}'.format(duty.name, since, duty.problem), without,
                _look(found))


def _of(found: Daemon) -> str:
    return ' ' + found.unit if found.unit else ''


def _restart(found: Daemon) -> str:
    if found.unit:
        return command('sudo systemctl restart {}', found.unit)
    if found.pid:
        return command('sudo kill -9 {}; sudo ua-overlay robot agent --user "$USER"', found.pid)
    return 'sudo ss -xlp | grep -F ua_overlay/agent   # then end that process, and start it again'


def _look(found: Daemon) -> str:
    if found.unit:
        return command('journalctl -u {} -n 50', found.unit)
    return command('sudo ls -l /proc/{}/fd/2   # where its log goes', found.pid)
