"""The duties of the root service."""
import pytest

from ua_overlay.checks import agent
from ua_overlay.checks.facts import Facts
from ua_overlay.errors import Problem
from ua_overlay.system.duties import CRASHES, FAILS, HANGS, Daemon, Duty
from unit.checks.healthy import FACTS, changed

UNIT = 'ua-overlay-agent.service'


def judge(*duties, **changes):
    return agent.agent(changed(agent=Daemon(7, UNIT, duties), **changes))


def test_a_healthy_one():
    assert agent.agent(FACTS).level == 'OK' and agent.agent(Facts()) is None


def test_a_duty_that_hangs():
    verdict, = judge(Duty('names'), Duty('egress', HANGS, 700.0, 'It was full.'))
    assert verdict.level == 'ERROR'
    assert verdict.what == 'The duty "egress" of the root service hangs since 2027-01-15 07:48:20 UTC.'
    assert verdict.why.startswith('The egress rule ') and verdict.why.endswith(' It was full.')
    assert verdict.next_command == 'sudo systemctl restart ' + UNIT


def test_a_duty_that_crashes_counts_at_once():
    verdict, = judge(Duty('names', CRASHES, 1.0, 'The thread names failed: KeyError.'))
    assert verdict.level == 'WARN' and verdict.what.endswith('UTC: The thread names failed: KeyError.')
    assert verdict.next_command == 'journalctl -u {} -n 50'.format(UNIT)


def test_a_duty_that_fails_counts_after_a_minute_and_not_without_tailscaled():
    assert judge(Duty('names', FAILS, 59.0, 'It is full.')).level == 'OK'
    verdict, = judge(Duty('names', FAILS, 60.0, 'It is full.'))
    assert verdict.level == 'WARN' and 'It is full.' in verdict.what
    away = Problem('NO_DAEMON', 'It is away.')
    assert judge(Duty('names', FAILS, 60.0, 'It is away.'), daemon_problem=away) is None


@pytest.mark.parametrize('daemon, next_command', [
    (Daemon(0, UNIT, None), 'sudo systemctl restart ' + UNIT),
    (Daemon(7, '', None), 'sudo kill -9 7; sudo ua-overlay robot agent --user "$USER"'),
    (Daemon(0, '', None), 'sudo ss -xlp | grep -F ua_overlay/agent   # then end that process, and start it again')])
def test_one_that_does_not_answer(daemon, next_command):
    verdict = agent.agent(changed(agent=daemon))
    assert (verdict.level, verdict.next_command) == ('ERROR', next_command)
    assert verdict.what == 'The root service{} does not answer.'.format(' ' + daemon.unit if daemon.unit else '')


def test_every_duty_says_what_is_missing_without_it():
    """Those that test/unit/agent/test_agent.py finds in the agent."""
    assert sorted(agent._WITHOUT) == ['egress', 'home', 'identity', 'names', 'operator', 'paths',
                                      'remembered team']
