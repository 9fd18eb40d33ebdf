import re

import pytest

from ua_overlay import link_types
from ua_overlay.resources import share_path


def test_each_type_has_a_rank_and_a_meaning():
    assert len(set(link_types.ORDER)) == len(link_types.ORDER) == 6
    assert tuple(link_types.MEANING) == link_types.ORDER
    assert set(link_types.RELAYED) | set(link_types.BY_UDP) == set(link_types.CARRYING) == set(link_types.ORDER[:3])


def test_the_ros_message_has_the_same_types():
    with open(share_path('msg', 'Link.msg')) as stream:
        constants = re.findall(r'^uint8 ([A-Z_]+)\s*=', stream.read(), re.MULTILINE)
    assert sorted(constants) == sorted(link_types.ORDER)


@pytest.mark.parametrize('kind, other, better', [
    (link_types.DIRECT, link_types.DERP, True), (link_types.DERP, link_types.DIRECT, False),
    (link_types.PEER_RELAY, link_types.PEER_RELAY, False), (link_types.DERP, link_types.UNKNOWN, True)])
def test_types_are_ranked(kind, other, better):
    assert link_types.is_better(kind, other) is better
