"""Who is master while tags move, over observations in time."""
from collections import namedtuple

from ua_overlay.rosenv.environment import (
    MASTER_OFFLINE,
    NO_MASTER,
    OK,
    SETTLING,
    TWO_MASTERS,
    Preferences,
    decide_environment,
    observe_master,
)
from ua_overlay.rosenv.mastership import NOBODY_TIME, TWO_TIME, observe, wait_left
from ua_overlay.rosenv.names import NameReport

Node = namedtuple('Node', 'name dns_name addresses tags online')
Status = namedtuple('Status', 'state self_node peers')
TAG = 'tag:ros-master'


def node(number, *tags, online=True):
    return Node('dev-{}'.format(number), 'dev-{}.overlay.internal.'.format(number), ('100.64.0.{}'.format(number),),
                ('tag:iris',) + tags, online)


class Robot:
    """Robot dev-3 looks at its team as time goes by."""

    def __init__(self, **preferences):
        self.memory, self.preferences = None, Preferences(**preferences)

    def look(self, now, *masters, gone=(), offline=(), state='Running'):
        """(state, master, usable) when the robots of these numbers are tagged at ``now``."""
        nodes = [node(number, *([TAG] if number in masters else []), online=number not in offline)
                 for number in (1, 2, 3) if number not in gone]
        status = Status(state, nodes[-1], tuple(nodes[:-1]))
        self.memory = observe_master(self.memory, status, self.preferences, now)
        found = decide_environment(status, self.preferences, NameReport(True), now, self.memory)
        return found.state, found.master, found.usable

    def why(self, *masters):
        nodes = [node(number, *([TAG] if number in masters else [])) for number in (1, 2, 3)]
        return decide_environment(Status('Running', nodes[-1], tuple(nodes[:-1])), self.preferences,
                                  NameReport(True), 0, self.memory).why


def test_move_is_one_change():
    robot = Robot()
    assert robot.look(0, 1) == (OK, 'dev-1', True)
    assert robot.look(1) == (OK, 'dev-1', True)
    assert robot.look(2.5) == (OK, 'dev-1', True)
    assert robot.look(3, 2) == (OK, 'dev-2', True)


def test_nobody_keeps_the_present_one_for_ten_seconds():
    robot = Robot()
    robot.look(0, 1)
    assert robot.look(100) == (OK, 'dev-1', True)
    assert wait_left(robot.memory, 104) == 6
    assert robot.look(100 + NOBODY_TIME - 0.1) == (OK, 'dev-1', True)
    assert robot.look(100 + NOBODY_TIME) == (NO_MASTER, '', False)
    assert 'team master iris ROBOT' in decide_environment(
        Status('Running', node(3), ()), Preferences(), NameReport(True), 0, robot.memory).next_command
    assert wait_left(robot.memory, 200) is None
    # It does not come back by itself.
    assert robot.look(111) == (NO_MASTER, '', False)
    assert robot.look(112, 2) == (OK, 'dev-2', True)


def test_nobody_from_the_start_is_said_at_once():
    assert Robot().look(0) == (NO_MASTER, '', False)


def test_two_for_some_seconds_are_no_error():
    robot = Robot()
    robot.look(0, 1)
    assert robot.look(50, 1, 2) == (OK, 'dev-1', True)
    assert robot.look(50 + TWO_TIME - 0.1, 1, 2) == (OK, 'dev-1', True)
    assert robot.look(50 + TWO_TIME - 0.05, 2) == (OK, 'dev-2', True)


def test_two_for_longer_are_an_error_that_keeps_the_one_before():
    robot = Robot()
    robot.look(0, 1)
    robot.look(50, 1, 2)
    assert robot.look(50 + TWO_TIME, 1, 2) == (TWO_MASTERS, 'dev-1', True)
    assert robot.why(1, 2) == 'Team iris has 2 robots tagged as master: dev-1, dev-2; dev-1 was it before and stays it.'
    assert robot.look(60, 2) == (OK, 'dev-2', True)


def test_two_others_than_before():
    robot = Robot()
    robot.look(0, 1)
    assert robot.look(50, 2, 3) == (OK, 'dev-1', True)
    assert robot.look(55, 2, 3) == (TWO_MASTERS, '', False)
    assert robot.why(2, 3) == 'Team iris has 2 robots tagged as master: dev-2, dev-3.'


def test_two_from_the_start():
    robot = Robot()
    assert robot.look(0, 1, 2) == (SETTLING, '', False)
    assert robot.look(4.9, 1, 2) == (SETTLING, '', False)
    assert robot.look(5, 1, 2) == (TWO_MASTERS, '', False)
    assert robot.look(6, 2) == (OK, 'dev-2', True)


def test_time_of_two_does_not_begin_anew_with_another_pair():
    robot = Robot()
    robot.look(0, 1, 2)
    robot.look(4, 2, 3)
    assert robot.look(5, 2, 3)[0] == TWO_MASTERS


def test_nobody_and_two_have_each_their_own_time():
    robot = Robot()
    robot.look(0, 1)
    robot.look(10)
    robot.look(19, 1, 2)
    assert robot.look(23.9, 1, 2)[0] == OK
    robot.look(23.95)
    assert robot.look(33)[0] == OK


def test_robot_that_left_the_map_is_still_the_master_for_a_while():
    robot = Robot()
    robot.look(0, 1)
    assert robot.look(1, gone=(1,)) == (OK, 'dev-1', True)
    assert robot.look(11.1, gone=(1,)) == (NO_MASTER, '', False)


def test_offline_is_its_own_state():
    robot = Robot()
    assert robot.look(0, 1, offline=(1,)) == (MASTER_OFFLINE, 'dev-1', True)
    assert robot.look(1, offline=(1,)) == (MASTER_OFFLINE, 'dev-1', True)


def test_tailscaled_away_changes_nothing_and_leaving_forgets():
    robot = Robot()
    robot.look(0, 1)
    robot.look(1, state='NoState')
    assert robot.memory.master.name == 'dev-1'
    assert observe_master(robot.memory, None, Preferences(), 2) == robot.memory
    robot.look(3, state='Stopped')
    assert robot.memory is None


def test_launch_argument_needs_no_tag():
    robot = Robot(master='dev-2')
    assert robot.look(0, 1) == (OK, 'dev-2', True)
    assert robot.look(100, 1, 2) == (OK, 'dev-2', True)
    assert robot.look(200, 1, 2) == (OK, 'dev-2', True)


def test_another_team_has_no_past():
    first = observe(None, 'iris', [node(1, TAG)], [node(1, TAG)], 0)
    assert observe(first, 'blue', [node(2)], [], 1).master is None
