"""The robots of a team among the nodes of the overlay."""
import pytest

from ua_overlay.rosenv.team import dns_name, has_left, ipv4, team_mates, team_of, visible_nodes
from ua_overlay.tailscale.model import Peer, SelfNode, Status
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


def test_everything_visible_but_relays():
    laptop = Peer('laptop', 'laptop.overlay.internal', ('100.64.0.9',))
    nameless = Peer('x', '', ('100.64.0.8',))
    assert visible_nodes(status(me(2), MATE, OF_BLUE, RELAY, laptop, nameless)) == (MATE, OF_BLUE, laptop)


@pytest.mark.parametrize('state, left', [
    ('Stopped', True), ('NeedsLogin', True), ('NeedsMachineAuth', True), ('NoState', False), ('Starting', False),
    ('Running', False)])
def test_has_left(state, left):
    assert has_left(Status(state=state)) is left and not has_left(None)


def test_ros_name_of_a_node():
    assert (dns_name(SelfNode('a', 'a.overlay.internal.')), ipv4(me(7))) == ('a.overlay.internal', '100.64.0.7')
    assert ipv4(SelfNode('a', addresses=('fd7a::1',))) == ''
