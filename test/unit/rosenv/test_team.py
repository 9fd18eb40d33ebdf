"""The robots of a team among the nodes of the overlay."""
import pytest

from ua_overlay.rosenv.team import dns_name, has_left, ipv4, sharing_a_team, team_mates, team_of
from ua_overlay.tailscale.model import SelfNode, Status
from unit.rosenv.nodes import MASTER, me, peer, status

MATE = peer(1, MASTER)
OF_BLUE = peer(3, MASTER, team='blue')
RELAY = peer(4, team='relay')


def test_the_tags_of_a_node_win_over_the_invitation():
    assert team_of(me(2), 'iris') == 'iris'
    assert team_of(OF_BLUE, 'iris') == 'blue'
    assert team_of(RELAY, 'iris') == ''
    assert team_of(me(1, 'tag:ant'), 'iris') == 'iris'


def test_team_mates_share_the_team():
    assert team_mates(status(me(2), MATE, OF_BLUE, RELAY), '') == (MATE,)
    assert team_mates(status(me(2), MATE, peer(5, 'tag:blue')), 'blue') == (MATE, peer(5, 'tag:blue'))
    assert team_mates(status(me(2, 'tag:blue'), MATE, OF_BLUE), 'blue') == (OF_BLUE,)
    assert team_mates(Status(), '') == ()


def test_sharing_a_team():
    """Whichever team that is; a tag of what a node does is not a team."""
    own = me(2, MASTER, 'tag:blue')
    assert sharing_a_team(status(own, MATE, OF_BLUE, RELAY)) == (own, MATE, OF_BLUE)
    lone = me(2, MASTER, team='')
    assert sharing_a_team(status(lone, MATE)) == (lone,)


@pytest.mark.parametrize('state, left', [
    ('Stopped', True), ('NeedsLogin', True), ('NeedsMachineAuth', True), ('NoState', False), ('Starting', False),
    ('Running', False)])
def test_has_left(state, left):
    assert has_left(Status(state=state)) is left and not has_left(None)


def test_ros_name_of_a_node():
    assert (dns_name(SelfNode('a', 'a.overlay.internal.')), ipv4(me(7))) == ('a.overlay.internal', '100.64.0.7')
    assert ipv4(SelfNode('a', addresses=('fd7a::1',))) == ''
