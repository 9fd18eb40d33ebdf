"""The identity of this robot, and what a join may do."""
import pytest

from ua_overlay.membership.identity import (
    ALREADY,
    OTHER_TEAM,
    RESUME,
    SEND_KEY,
    decide_join,
    is_other_server,
    joined,
    key_refusal,
)


@pytest.mark.parametrize('key, state, online, tags, remembered, destination, step', [
    # No identity: only a key helps.
    (False, 'NeedsLogin', False, [], '', 'iris', SEND_KEY),
    (False, 'NeedsLogin', False, [], 'blue', 'iris', SEND_KEY),
    (False, 'Running', True, ['tag:iris'], '', 'iris', SEND_KEY),
    # An identity in the destination team, or in any team without a destination: never a key.
    (True, 'Running', True, ['tag:iris'], '', 'iris', ALREADY),
    (True, 'Running', True, ['tag:iris'], 'blue', 'iris', ALREADY),  # the server's word, not the memory
    (True, 'Running', True, ['tag:iris'], '', '', ALREADY),
    (True, 'Running', False, ['tag:iris'], '', 'iris', RESUME),
    (True, 'Stopped', False, [], 'iris', 'iris', RESUME),
    (True, 'Stopped', False, [], '', 'iris', RESUME),
    (True, 'Stopped', True, ['tag:iris'], '', 'iris', RESUME),
    (True, 'Starting', False, [], 'iris', '', RESUME),
    (True, 'Running', True, [], '', 'iris', RESUME),
    (True, 'NeedsLogin', False, [], 'iris', 'iris', RESUME),
    # In another one.
    (True, 'Running', True, ['tag:iris'], '', 'blue', OTHER_TEAM),
    (True, 'Running', True, ['tag:iris', 'tag:ros-master'], 'blue', 'blue', OTHER_TEAM),
    (True, 'Stopped', False, [], 'iris', 'blue', OTHER_TEAM),
])
def test_decide_join(key, state, online, tags, remembered, destination, step):
    assert decide_join(key, state, online, tags, remembered, destination) == step


@pytest.mark.parametrize('state, online, tags, destination, expected', [
    ('Running', True, ['tag:iris'], 'iris', True),
    ('Running', True, ['tag:iris'], '', True),
    ('Starting', True, ['tag:iris'], 'iris', False),
    ('Running', False, ['tag:iris'], 'iris', False),
    ('Running', True, ['tag:blue'], 'iris', False),
    ('Running', True, [], '', False)])
def test_joined(state, online, tags, destination, expected):
    assert joined(state, online, tags, destination) is expected


@pytest.mark.parametrize('key, state, online, tags, user, destination, step', [
    (False, 'NeedsLogin', False, [], '', 'ana@', SEND_KEY),
    (True, 'Running', True, [], 'ana', 'ana@', ALREADY),
    (True, 'Running', True, [], 'ana', '', ALREADY),
    (True, 'Stopped', False, [], '', 'ana@', RESUME),
    (True, 'Running', True, [], 'bob', 'ana@', OTHER_TEAM),
    (True, 'Running', True, ['tag:iris'], '', 'ana@', OTHER_TEAM),
    (True, 'Running', True, [], 'ana', 'iris', OTHER_TEAM)])
def test_decide_join_of_a_laptop(key, state, online, tags, user, destination, step):
    assert decide_join(key, state, online, tags, '', destination, user) == step


@pytest.mark.parametrize('tags, user, destination, expected', [
    ([], 'ana', 'ana@', True), ([], 'ana', '', True), ([], 'bob', 'ana@', False), ([], '', 'ana@', False),
    (['tag:iris'], '', 'ana@', False), ([], 'ana', 'iris', False), ([], 'tagged-devices', '', False)])
def test_joined_as_a_laptop(tags, user, destination, expected):
    assert joined('Running', True, tags, destination, user) is expected


@pytest.mark.parametrize('message, refusal', [
    ('register request: http 401: authkey already used', 'SPENT'),
    ('register request: http 401: AuthKey expired', 'REVOKED'),
    ('register request: http 401: invalid pre auth key', 'UNKNOWN_KEY'),
    ('register request: http 401: invalid auth key', 'UNKNOWN_KEY'),
    ("failed to parse auth-key: expected separator '-' at position 12, got 'A'", 'UNKNOWN_KEY'),
    ('fetch control key: Get "https://server.ua.test:8080/key?v=131": EOF', None), ('', None)])
def test_key_refusal(message, refusal):
    assert key_refusal(message) == refusal


@pytest.mark.parametrize('control_url, server_url, other', [
    ('https://server.ua.test:8080', 'https://server.ua.test:8080', False),
    ('https://server.ua.test', 'https://server.ua.test:443', False),
    ('https://controlplane.tailscale.com', 'https://server.ua.test:8080', True),
    ('https://other.example:8080', 'https://server.ua.test:8080', True),
    ('', 'https://server.ua.test:8080', False), ('https://other.example', '', False),
    ('https://[', 'https://server.ua.test', True)])
def test_another_control_server(control_url, server_url, other):
    assert is_other_server(control_url, server_url) is other
