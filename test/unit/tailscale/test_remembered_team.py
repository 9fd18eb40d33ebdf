"""What a robot says of its team while the server is away: since when, until when, and what helps."""
from dataclasses import replace

import pytest

from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import SelfNode, Status
from ua_overlay.tailscale.remembered_team import ENDING, LASTING, OVER, SOON, RememberedTeam, remembered

SEEN, UNTIL = 1.7e9, 1.7e9 + 86400
ALONE = Status(state='Running', self_node=SelfNode(online=False))


@pytest.mark.parametrize('status, answers, is_remembered', [
    (ALONE, False, True), (ALONE, None, False),  # nobody has asked the server yet
    (ALONE, True, False),  # tailscaled has not noticed yet that it is back
    (replace(ALONE, self_node=SelfNode(online=True)), None, False),
    (replace(ALONE, self_node=SelfNode(online=True)), False, False),  # tailscaled has not noticed yet that it is away
    (replace(ALONE, state='Stopped'), False, False), (replace(ALONE, state='NeedsLogin'), None, False)])
def test_when_a_team_is_only_remembered(status, answers, is_remembered):
    team = remembered(status, Stamp(SEEN, UNTIL), answers)
    assert team == (RememberedTeam(SEEN, UNTIL) if is_remembered else None)


@pytest.mark.parametrize('now, state, words', [
    (SEEN + 60, LASTING, 'A restart finds it until 2023-11-15 22:13:20 UTC.'),
    (UNTIL - SOON - 1, LASTING, 'A restart finds it until'),
    (UNTIL - SOON, ENDING, 'In 1 h, at 2023-11-15 22:13:20 UTC, it ends: a robot that has restarted'),
    (UNTIL - 60, ENDING, 'In 60 s, at 2023-11-15 22:13:20 UTC'),
    (UNTIL, OVER, 'It was good until 2023-11-15 22:13:20 UTC: the next restart loses it.'),
    (UNTIL + 1e6, OVER, 'the next restart loses it')])
def test_since_when_and_until_when(now, state, words):
    team = RememberedTeam(SEEN, UNTIL)
    assert team.state(now) == state
    assert team.sentences(now).startswith('The server has been away since 2023-11-14 22:13:20 UTC; this is the team')
    assert words in team.sentences(now)


def test_without_a_stamp_a_restart_loses_it():
    team = remembered(ALONE, None, False)
    assert team == RememberedTeam() and team.state(0.0) == OVER
    assert team.sentences(0.0) == (
        'The server has been away; this is the team as this robot remembers it. A restart loses it, as the overlay '
        'node did not run while the server was there.')
