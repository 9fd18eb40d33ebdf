"""Whatever tailscaled sends, the messages made of it can be serialized: genpy refuses many values of Python."""
import importlib.util
import io
import time
from dataclasses import replace

import pytest

pytest.importorskip('rospy', reason='ROS is not installed')
messages = pytest.importorskip('ua_overlay.nodes.messages', reason='the workspace is not built')

from ua_overlay import msg  # noqa: E402
from ua_overlay.nodes.server_probe import ServerView  # noqa: E402
from ua_overlay.nodes.state import NodeState  # noqa: E402
from ua_overlay.tailscale.link_history import LinkHistory  # noqa: E402
from ua_overlay.tailscale.model import parse_status  # noqa: E402
from ua_overlay.tailscale.remembered_team import NEXT, RememberedTeam  # noqa: E402
from ua_overlay.tailscale.snapshot import diff, snapshot_of, snapshot_of_error  # noqa: E402
from ua_overlay.tailscale.watcher import Unobserved  # noqa: E402
from unit.fuzz.test_tailscale import RECORDED, STATUSES, mutated, typed  # noqa: E402


def serialized(message):
    content = io.BytesIO()
    message.serialize(content)
    return type(message)().deserialize(content.getvalue())


def all_of(snapshot):
    """Every message that is made of a snapshot, as it arrives at a subscriber."""
    made = [messages.peer_array(snapshot), messages.link_array(snapshot, {}, LinkHistory()),
            messages.overlay_state(snapshot, False, ServerView(), 0.0)]
    made += [messages.link_event(record, snapshot)
             for record in NodeState().record_changes(snapshot, diff(None, snapshot))]
    return [serialized(message) for message in made]


@pytest.mark.skipif(importlib.util.find_spec('hypothesis') is None, reason='hypothesis is not installed')
def test_every_status_fits_into_messages():
    from hypothesis import HealthCheck, given, settings

    @settings(derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])
    @given(mutated(STATUSES))
    def check(raw):
        status = typed(parse_status, raw)
        if status is not None:
            all_of(snapshot_of(status, time.time()))

    check()


def test_names_that_a_peer_chose_arrive_escaped():
    status = parse_status({'BackendState': 'Running', 'Peer': {'k': {
        'HostName': 'dev-\ud800\x1b[2J', 'OS': 'linux\n', 'RxBytes': 2 ** 63 - 1,
        'LastSeen': '9999-12-31T23:59:59-23:59'}}})
    peers, links = all_of(snapshot_of(status, 1.0))[:2]
    assert (peers.peers[0].name, peers.peers[0].os) == ('dev-\\ud800\\x1b[2J', 'linux\\n')
    assert links.links[0].rx_bytes == 2 ** 63 - 1 and peers.peers[0].last_seen.to_sec() == 0


@pytest.mark.parametrize('seconds', [None, 0.0, -5.0, 2.0 ** 32, 1e300, float('inf')])
def test_a_clock_that_no_ros_time_holds(seconds):
    assert messages.stamp(seconds).to_sec() == 0
    assert messages.stamp(1000.5).to_sec() == 1000.5


def test_a_state_that_nobody_observes_is_unknown_and_not_no_daemon():
    error = Unobserved('What tailscaled does is not known.', 'ua-overlay status')
    state, = [message for message in all_of(snapshot_of_error(error, 1.0)) if hasattr(message, 'server_url')]
    assert state.state == msg.OverlayState.UNKNOWN and not state.online and not state.removed
    assert 'is not known' in state.text and 'Next: ua-overlay status' in state.text


@pytest.mark.parametrize('changes', [{'Self': {'Expired': True, 'Online': True}}, {'AuthURL': 'https://x/register'}])
def test_a_removed_robot_is_neither_online_nor_in_a_team(changes):
    """tailscaled repeats the last network map for minutes."""
    running = RECORDED['running-1.98.10.json']
    own = dict(running['Self'], **changes.get('Self', {}))
    status = parse_status(dict(running, BackendState='NeedsLogin', HaveNodeKey=True, **dict(changes, Self=own)))
    assert status.self_node.name and status.refused
    state = serialized(messages.overlay_state(snapshot_of(status, 1.0), True, ServerView(), 0.0))
    assert (state.state, state.online, state.removed) == (msg.OverlayState.NO_LOGIN, False, True)
    assert (state.robot, state.dns_name, state.addresses, state.team, state.tags) == ('', '', [], '', [])
    assert state.text == 'The server does not know {} any more: it was removed there, or its key expired. ' \
        'Next: a new invitation, then: ua-overlay join INVITATION'.format(status.self_node.name)
    assert 'https' not in state.text


def test_the_state_of_a_robot_whose_server_is_away():
    status = parse_status(RECORDED['running-1.102.5.json'])
    status = replace(status, self_node=replace(status.self_node, online=False))
    away = ServerView('UNREACHABLE', 'It is away.', 'https://s.test')
    team = RememberedTeam(1.7e9, 1.7e9 + 86400)
    state = serialized(messages.overlay_state(snapshot_of(status, 1.7e9 + 60), False, away, 1.7e9, team))
    assert (state.online, state.remembered) == (False, True)
    assert (state.server_seen.to_sec(), state.remembered_until.to_sec()) == (1.7e9, 1.7e9 + 86400)
    assert team.sentences(1.7e9 + 60) in state.text and state.text.endswith('Next: ' + NEXT)
    state = serialized(messages.overlay_state(snapshot_of(status, 1.7e9), False, away, 1.7e9, RememberedTeam()))
    assert (state.remembered, state.server_seen.to_sec(), state.remembered_until.to_sec()) == (True, 0.0, 0.0)
    state = serialized(messages.overlay_state(snapshot_of(status, 1.7e9), False, away, 1.7e9))
    assert not state.remembered and 'remembers' not in state.text
