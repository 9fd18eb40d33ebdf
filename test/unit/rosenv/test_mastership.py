"""The master while tags move, over a series of observations."""
import ua_overlay.rosenv
from ua_overlay.rosenv.environment import (
    MASTER_OFFLINE,
    NO_MASTER,
    OK,
    SETTLING,
    TWO_MASTERS,
    decide_environment,
    observe_master,
)
from ua_overlay.rosenv.graph import STABLE
from ua_overlay.rosenv.mastership import NOBODY_TIME, TWO_TIME, observe, wait_left
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.system.subreaper import TERM_GRACE
from ua_overlay.system.supervised import FIRST_PAUSE, GRACE, LONGEST_PAUSE
from unit.rosenv.nodes import MASTER, peer, team_status


class Robot:
    """Robot dev-3 observes its team as time goes by."""

    def __init__(self, **preferences):
        self.memory, self.preferences = None, Preferences(**preferences)

    def observe(self, now, *masters, gone=(), offline=(), state='Running'):
        """(state, master, usable) when the robots of these numbers are tagged at ``now``."""
        status = team_status(masters, gone, offline, state)
        self.memory = observe_master(self.memory, status, self.preferences, now)
        self.decision = decide_environment(status, self.preferences, NameReport(True), now, self.memory)
        return self.decision.state, self.decision.master, self.decision.usable


def test_a_move_is_a_single_change():
    robot = Robot()
    assert robot.observe(0, 1) == (OK, 'dev-1', True)
    assert robot.observe(1) == (OK, 'dev-1', True)
    assert robot.observe(2.5) == (OK, 'dev-1', True)
    assert robot.observe(3, 2) == (OK, 'dev-2', True)


def test_without_a_tagged_master_the_last_one_stays_for_ten_seconds():
    robot = Robot()
    robot.observe(0, 1)
    assert robot.observe(100) == (OK, 'dev-1', True)
    assert wait_left(robot.memory, 104) == 6
    assert robot.observe(100 + NOBODY_TIME - 0.1) == (OK, 'dev-1', True)
    assert robot.observe(100 + NOBODY_TIME) == (NO_MASTER, '', False)
    assert 'team master iris ROBOT' in robot.decision.next_command
    assert wait_left(robot.memory, 200) is None
    # It does not return by itself.
    assert robot.observe(111) == (NO_MASTER, '', False)
    assert robot.observe(112, 2) == (OK, 'dev-2', True)


def test_no_master_at_the_start_is_reported_at_once():
    assert Robot().observe(0) == (NO_MASTER, '', False)


def test_two_masters_for_some_seconds_are_not_an_error():
    robot = Robot()
    robot.observe(0, 1)
    assert robot.observe(50, 1, 2) == (OK, 'dev-1', True)
    assert robot.observe(50 + TWO_TIME - 0.1, 1, 2) == (OK, 'dev-1', True)
    assert robot.observe(50 + TWO_TIME - 0.05, 2) == (OK, 'dev-2', True)


def test_two_masters_for_longer_are_an_error_and_the_former_stays():
    robot = Robot()
    robot.observe(0, 1)
    robot.observe(50, 1, 2)
    assert robot.observe(50 + TWO_TIME, 1, 2) == (TWO_MASTERS, 'dev-1', True)
    assert robot.decision.why == (
        'Team iris has 2 robots tagged as master: dev-1, dev-2; dev-1 was the master before and remains so.')
    # Typed as it is, it keeps the roscore that runs.
    assert robot.decision.next_command == 'ua-overlay team master iris dev-1   # on the server'
    assert robot.observe(60, 2) == (OK, 'dev-2', True)


def test_two_new_masters():
    robot = Robot()
    robot.observe(0, 1)
    assert robot.observe(50, 2, 3) == (OK, 'dev-1', True)
    assert robot.observe(55, 2, 3) == (TWO_MASTERS, '', False)
    assert robot.decision.why == 'Team iris has 2 robots tagged as master: dev-2, dev-3.'


def test_two_masters_at_the_start():
    robot = Robot()
    assert robot.observe(0, 1, 2) == (SETTLING, '', False)
    assert robot.observe(4.9, 1, 2) == (SETTLING, '', False)
    assert robot.observe(5, 1, 2) == (TWO_MASTERS, '', False)
    assert robot.observe(6, 2) == (OK, 'dev-2', True)


def test_another_pair_of_masters_does_not_restart_the_timer():
    robot = Robot()
    robot.observe(0, 1, 2)
    robot.observe(4, 2, 3)
    assert robot.observe(5, 2, 3)[0] == TWO_MASTERS


def test_no_master_and_two_masters_have_separate_timers():
    robot = Robot()
    robot.observe(0, 1)
    robot.observe(10)
    robot.observe(19, 1, 2)
    assert robot.observe(23.9, 1, 2)[0] == OK
    robot.observe(23.95)
    assert robot.observe(33)[0] == OK


def test_a_master_missing_from_the_map_stays_for_a_while():
    robot = Robot()
    robot.observe(0, 1)
    assert robot.observe(1, gone=(1,)) == (OK, 'dev-1', True)
    assert robot.observe(11.1, gone=(1,)) == (NO_MASTER, '', False)


def test_an_offline_master_is_a_separate_state():
    robot = Robot()
    assert robot.observe(0, 1, offline=(1,)) == (MASTER_OFFLINE, 'dev-1', True)
    assert robot.observe(1, offline=(1,)) == (MASTER_OFFLINE, 'dev-1', True)


def test_without_tailscaled_nothing_changes_and_leaving_clears_it():
    robot = Robot()
    robot.observe(0, 1)
    robot.observe(1, state='NoState')
    assert robot.memory.master.name == 'dev-1'
    assert observe_master(robot.memory, None, Preferences(), 2) == robot.memory
    robot.observe(3, state='Stopped')
    assert robot.memory is None


def test_a_launch_argument_requires_no_tag():
    robot = Robot(master='dev-2')
    assert robot.observe(0, 1) == (OK, 'dev-2', True)
    assert robot.observe(100, 1, 2) == (OK, 'dev-2', True)
    assert robot.observe(200, 1, 2) == (OK, 'dev-2', True)


def test_changing_the_team_clears_the_master():
    first = observe(None, 'iris', [peer(1, MASTER)], [peer(1, MASTER)], 0)
    assert observe(first, 'blue', [peer(2)], [], 1).master is None


def test_the_docstring_states_how_long_a_move_takes():
    """The three dampers of the team master, added up from their constants."""
    text = ' '.join(ua_overlay.rosenv.__doc__.split())
    damped = max(NOBODY_TIME, TWO_TIME) + STABLE + GRACE + TERM_GRACE
    for sentence in ('(NOBODY_TIME, at most {:g} s)'.format(NOBODY_TIME),
                     '(TWO_TIME, at most {:g} s)'.format(TWO_TIME), 'for STABLE, {:g} s,'.format(STABLE),
                     'at most {:g} s (supervised.GRACE'.format(GRACE + TERM_GRACE),
                     'a pause: {:g} s, doubled each time, at most {:g} s'.format(FIRST_PAUSE, LONGEST_PAUSE),
                     'at least {:g} s.'.format(STABLE), 'at most {:g} s when nothing crashes'.format(damped),
                     'at most {:g} s with the longest pause'.format(damped + LONGEST_PAUSE)):
        assert sentence in text, sentence
