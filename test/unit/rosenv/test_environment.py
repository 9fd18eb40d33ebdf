"""The decision about master and name, on plain values."""
from dataclasses import replace

import pytest

from ua_overlay import defaults
from ua_overlay.defaults import TEAM_PORT
from ua_overlay.rosenv.environment import (
    MASTER_OFFLINE,
    NAME_UNRESOLVED,
    NO_MASTER,
    NO_OVERLAY,
    OK,
    TWO_MASTERS,
    RosEnvironment,
    decide_environment,
)
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.tailscale.model import SelfNode
from unit.rosenv import nodes
from unit.rosenv.nodes import MASTER

GOOD = NameReport(True)
ME = nodes.me(2)
DEV_1 = nodes.peer(1, MASTER)
DEV_9 = nodes.peer(9, MASTER)
OF_BLUE = nodes.peer(3, MASTER, team='blue')
RELAY = nodes.peer(4, team='relay')

URI = 'http://dev-1.overlay.internal:{}'.format(TEAM_PORT)


def status(own=ME, peers=(DEV_1, OF_BLUE, RELAY), state='Running'):
    return nodes.status(own, *peers, state=state)


def test_a_robot_gets_its_name_and_its_team_s_master():
    environment = decide_environment(status(), Preferences(team='iris'), GOOD, 12.5)
    assert environment == RosEnvironment(
        master_uri=URI, hostname='dev-2.overlay.internal', master='dev-1', state=OK,
        why='Team iris has its master on dev-1.', names_ok=True, usable=True, team='iris', robot='dev-2')
    assert environment.stamp == 12.5
    assert not environment.is_master
    assert environment.variables() == {
        'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


def test_the_master_uses_its_own_name():
    environment = decide_environment(status(nodes.me(1, MASTER), (nodes.peer(2),)), Preferences(), GOOD)
    assert (environment.state, environment.master, environment.is_master) == (OK, 'dev-1', True)
    assert environment.master_uri == URI


def test_the_master_may_be_offline_itself():
    # Self.Online is false while the server is away; the robots keep talking.
    assert decide_environment(status(nodes.me(1, MASTER, online=False), ()), Preferences(), GOOD).state == OK


def test_addresses_replace_both_names():
    preferences = Preferences(addressing=defaults.ADDRESSES, team_port=11400)
    variables = decide_environment(status(), preferences, GOOD).variables()
    assert variables['ROS_MASTER_URI'] == 'http://100.64.0.1:11400'
    assert variables['ROS_IP'] == '100.64.0.2'
    assert 'ROS_HOSTNAME' not in variables


@pytest.mark.parametrize('master', ['dev-2', 'dev-2.overlay.internal', 'dev-2.overlay.internal.'])
def test_the_launch_argument_wins_over_the_tag(master):
    environment = decide_environment(status(), Preferences(master=master), GOOD)
    assert (environment.state, environment.master, environment.is_master) == (OK, 'dev-2', True)


@pytest.mark.parametrize('master', ['dev-7', 'dev-3'])
def test_a_launch_argument_that_names_no_robot_of_the_team(master):
    environment = decide_environment(status(), Preferences(master=master), GOOD)
    assert (environment.state, environment.master_uri, environment.usable) == (NO_MASTER, '', False)
    assert master in environment.why and 'iris' in environment.why and environment.next_command


def test_the_master_of_another_team_is_ignored():
    environment = decide_environment(status(peers=(OF_BLUE, RELAY)), Preferences(), GOOD)
    assert (environment.state, environment.variables()) == (NO_MASTER, {})


def test_two_masters_are_named_and_neither_is_used():
    environment = decide_environment(status(peers=(DEV_1, DEV_9)), Preferences(), GOOD)
    assert (environment.state, environment.master_uri) == (TWO_MASTERS, '')
    assert 'dev-1, dev-9' in environment.why


def test_an_offline_master_keeps_the_environment():
    environment = decide_environment(status(peers=(replace(DEV_1, online=False),)), Preferences(), GOOD)
    assert (environment.state, environment.usable) == (MASTER_OFFLINE, True)
    assert 'dev-1' in environment.why
    assert environment.variables()['ROS_MASTER_URI'] == URI


@pytest.mark.parametrize('broken', [
    None, status(state='Stopped'), status(SelfNode()), status(replace(ME, dns_name='')),
    status(replace(ME, addresses=('fd7a:115c:a1e0::2',))), status(nodes.me(2, team=''))])
def test_no_overlay(broken):
    environment = decide_environment(broken, Preferences(), GOOD)
    assert (environment.state, environment.usable, environment.variables()) == (NO_OVERLAY, False, {})
    assert environment.why.endswith('.')


def test_an_unresolved_own_name_is_never_exported():
    environment = decide_environment(status(), Preferences(), NameReport(False, (), 'It does not resolve.'))
    assert (environment.state, environment.usable, environment.why) == (NAME_UNRESOLVED, False, 'It does not resolve.')


def test_nothing_is_exported_before_names_are_checked():
    environment = decide_environment(status(), Preferences(), None)
    assert (environment.state, environment.usable) == (NAME_UNRESOLVED, False)
    assert 'dev-2.overlay.internal' in environment.why


def test_an_unresolved_master_name_is_never_exported():
    environment = decide_environment(status(), Preferences(), NameReport(True, ('dev-1.overlay.internal',), 'Deaf.'))
    assert (environment.state, environment.usable, environment.master) == (NAME_UNRESOLVED, False, 'dev-1')
    assert environment.next_command == 'getent ahostsv4 dev-1.overlay.internal'


def test_an_unresolved_mate_is_reported_and_the_team_graph_stays():
    environment = decide_environment(status(), Preferences(), NameReport(True, ('dev-7.overlay.internal',), 'Deaf.'))
    assert (environment.state, environment.usable, environment.names_ok, environment.why) == (OK, True, False, 'Deaf.')
