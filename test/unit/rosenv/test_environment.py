"""The decision which master and which name, on plain values."""
from collections import namedtuple

import pytest

from ua_overlay.defaults import ADDRESSES
from ua_overlay.rosenv.environment import (
    MASTER_OFFLINE,
    NAME_UNRESOLVED,
    NO_MASTER,
    NO_OVERLAY,
    OK,
    TWO_MASTERS,
    Preferences,
    RosEnvironment,
    decide_environment,
    follow_map,
    team_mates,
    team_of,
)
from ua_overlay.rosenv.names import NameReport
from ua_overlay.tailscale.model import SelfNode

Node = namedtuple('Node', 'name dns_name addresses tags online')
Status = namedtuple('Status', 'state self_node peers')
GOOD = NameReport(True)


def node(name, number, *tags, online=True):
    return Node(name, name + '.overlay.internal.', ('fd7a:115c:a1e0::{}'.format(number), '100.64.0.{}'.format(number)),
                tuple('tag:' + tag for tag in tags), online)


DEV_1 = node('dev-1', 1, 'iris', 'ros-master')
DEV_2 = node('dev-2', 2, 'iris')
BLUE = node('blue-1', 3, 'blue', 'ros-master')
RELAY = node('relay-1', 4, 'relay')


def status(me=DEV_2, peers=(DEV_1, BLUE, RELAY), state='Running'):
    return Status(state, me, peers)


def test_follower_gets_names_and_the_master_of_its_own_team():
    found = decide_environment(status(), Preferences(team='iris'), GOOD, 12.5)
    assert found == RosEnvironment(
        master_uri='http://dev-1.overlay.internal:11312', hostname='dev-2.overlay.internal', master='dev-1', state=OK,
        why='Team iris has its master on dev-1.', names_ok=True, usable=True, team='iris', robot='dev-2')
    assert found.stamp == 12.5
    assert not found.is_master
    assert found.variables() == {
        'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


def test_master_finds_itself():
    found = decide_environment(status(DEV_1, (DEV_2,)), Preferences(), GOOD)
    assert (found.state, found.master, found.is_master) == (OK, 'dev-1', True)
    assert found.master_uri == 'http://dev-1.overlay.internal:11312'


def test_master_does_not_have_to_be_online_by_its_own_word():
    # Self.Online is false while the server is away; the robots keep talking.
    assert decide_environment(status(DEV_1._replace(online=False), ()), Preferences(), GOOD).state == OK


def test_addresses_are_one_setting_for_name_and_master():
    found = decide_environment(status(), Preferences(addressing=ADDRESSES, team_port=11400), GOOD)
    assert found.variables()['ROS_MASTER_URI'] == 'http://100.64.0.1:11400'
    assert found.variables()['ROS_IP'] == '100.64.0.2'
    assert 'ROS_HOSTNAME' not in found.variables()


@pytest.mark.parametrize('master', ['dev-2', 'dev-2.overlay.internal', 'dev-2.overlay.internal.'])
def test_launch_argument_wins_over_the_tag(master):
    found = decide_environment(status(), Preferences(master=master), GOOD)
    assert (found.state, found.master, found.is_master) == (OK, 'dev-2', True)


@pytest.mark.parametrize('master', ['dev-3', 'blue-1'])
def test_asked_for_a_master_that_the_team_does_not_have(master):
    found = decide_environment(status(), Preferences(master=master), GOOD)
    assert (found.state, found.master_uri, found.usable) == (NO_MASTER, '', False)
    assert master in found.why and 'iris' in found.why and found.next_command


def test_master_of_another_team_is_none():
    found = decide_environment(status(peers=(BLUE, RELAY)), Preferences(), GOOD)
    assert (found.state, found.variables()) == (NO_MASTER, {})


def test_two_masters_are_named_and_none_is_taken():
    found = decide_environment(status(peers=(DEV_1, node('dev-9', 9, 'iris', 'ros-master'))), Preferences(), GOOD)
    assert (found.state, found.master_uri) == (TWO_MASTERS, '')
    assert 'dev-1, dev-9' in found.why


def test_offline_master_keeps_the_environment():
    found = decide_environment(status(peers=(DEV_1._replace(online=False),)), Preferences(), GOOD)
    assert (found.state, found.usable) == (MASTER_OFFLINE, True)
    assert 'dev-1' in found.why
    assert found.variables()['ROS_MASTER_URI'] == 'http://dev-1.overlay.internal:11312'


@pytest.mark.parametrize('broken', [
    None, status(state='Stopped'), status(me=None), status(me=DEV_2._replace(dns_name='')),
    status(me=DEV_2._replace(addresses=('fd7a:115c:a1e0::2',))), status(me=node('dev-2', 2))])
def test_no_overlay(broken):
    found = decide_environment(broken, Preferences(), GOOD)
    assert (found.state, found.usable, found.variables()) == (NO_OVERLAY, False, {})
    assert found.why.endswith('.')


def test_own_name_unresolved_is_never_exported():
    found = decide_environment(status(), Preferences(), NameReport(False, (), 'It does not resolve.'))
    assert (found.state, found.usable, found.why) == (NAME_UNRESOLVED, False, 'It does not resolve.')
    assert decide_environment(status(), Preferences(), None).state == NAME_UNRESOLVED


def test_master_name_unresolved_is_never_exported():
    found = decide_environment(status(), Preferences(), NameReport(True, ('dev-1.overlay.internal',), 'Deaf.'))
    assert (found.state, found.usable, found.master) == (NAME_UNRESOLVED, False, 'dev-1')
    assert found.next_command == 'getent ahostsv4 dev-1.overlay.internal'


def test_mate_name_unresolved_is_said_but_keeps_the_team_graph():
    found = decide_environment(status(), Preferences(), NameReport(True, ('dev-7.overlay.internal',), 'Deaf.'))
    assert (found.state, found.usable, found.names_ok, found.why) == (OK, True, False, 'Deaf.')


def test_tags_win_over_the_invitation():
    assert team_of(DEV_2, Preferences(team='iris')) == 'iris'
    assert team_of(BLUE, Preferences(team='iris')) == 'blue'
    assert team_of(RELAY, Preferences(team='iris')) == ''
    assert team_of(node('x', 1, 'ant', 'iris'), Preferences(team='iris')) == 'iris'


def test_team_mates_are_of_the_same_team_only():
    assert team_mates(status(), Preferences()) == (DEV_1,)
    assert team_mates(status(me=None), Preferences()) == ()
    assert team_mates(status(peers=None), Preferences()) == ()


def test_a_robot_follows_its_network_map():
    preferences = Preferences(master='dev-9', team_port=11312, team='iris')
    moved = SelfNode('dev-1', tags=('tag:blue',), attributes=('ua-overlay:team-port=11400',
                                                              'ua-overlay:addressing=addresses'))
    assert follow_map(preferences, moved) == Preferences('dev-9', 11400, 'addresses', 'blue')
    assert follow_map(preferences, SelfNode('dev-1', tags=('tag:iris',))) == preferences
    assert follow_map(preferences, SelfNode('dev-1', attributes=('ua-overlay:team-port=11400',))) == preferences
