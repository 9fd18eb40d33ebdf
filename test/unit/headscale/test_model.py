"""The values in Headscale's answers. What arbitrary answers do: test/unit/fuzz/test_headscale.py."""
import datetime

import pytest

from ua_overlay.headscale import model

UTC = datetime.timezone.utc


def test_a_node_of_headscale():
    node = model.parse_node({'id': '2', 'ipAddresses': ['100.64.0.2', 'fd7a:115c:a1e0::2'], 'name': 'dev-1',
                             'givenName': 'dev-1-1', 'lastSeen': '2026-11-22T19:04:01Z', 'expiry': None,
                             'createdAt': '2026-11-22T19:03:53Z', 'online': True, 'tags': ['tag:iris']})
    assert (node.id, node.name, node.requested_name) == ('2', 'dev-1-1', 'dev-1')
    assert node.tags == ('tag:iris',) and node.online is True
    assert node.addresses == ('100.64.0.2', 'fd7a:115c:a1e0::2') and node.expiry is None


def test_a_node_with_the_fewest_fields():
    node = model.parse_node({'id': 7})
    assert (node.id, node.name, node.tags, node.online, node.last_seen) == ('7', '', (), False, None)


def test_the_user_of_a_node_with_tags_is_headscale_s_own():
    user = {'id': '1', 'name': 'ana'}
    assert model.parse_node({'id': '2', 'user': user}).user == 'ana'
    assert model.parse_node({'id': '2', 'user': user, 'tags': ['tag:iris']}).user == ''


def test_a_node_s_key_expires():
    node = model.parse_node({'id': '2', 'expiry': '2026-01-01T01:00:00Z'})
    hour = datetime.datetime(2026, 1, 1, 1, tzinfo=UTC)
    assert node.expired(hour) and not node.expired(hour - datetime.timedelta(seconds=1))
    assert not model.parse_node({'id': '2', 'expiry': '0001-01-01T00:00:00Z'}).expired(hour)


@pytest.mark.parametrize('wrong', [
    None, [], 'node', {}, {'id': None}, {'id': True}, {'id': '1/../2'}, {'id': 'a'}, {'id': '1' * 21}, {'id': 1.0},
    {'id': -1}, {'id': 1, 'givenName': 5}, {'id': 1, 'online': 'yes'}, {'id': 1, 'online': 1},
    {'id': 1, 'tags': 'tag:x'}, {'id': 1, 'tags': [1]}, {'id': 1, 'ipAddresses': {}}, {'id': 1, 'user': 'ana'},
    {'id': 1, 'lastSeen': 'yesterday'},
    {'id': 1, 'lastSeen': 5}, {'id': 1, 'expiry': '9999-12-31T23:59:59-10:00'}, {'id': 1, 'preAuthKey': {}}])
def test_what_is_no_node(wrong):
    with pytest.raises(ValueError):
        model.parse_node(wrong)


def test_a_name_cannot_reach_the_terminal_raw():
    assert model.parse_node({'id': 1, 'givenName': 'dev\x1b[2J'}).name == 'dev\\x1b[2J'


def key(**changes):
    return model.parse_key(dict({'id': '1', 'key': 'hskey-auth-secret', 'reusable': False, 'used': False,
                                 'aclTags': ['tag:iris'], 'createdAt': '2026-01-01T00:00:00Z',
                                 'expiration': '2026-01-01T01:00:00Z'}, **changes))


def test_a_key_is_usable_until_it_is_used_or_expires():
    before, after = datetime.datetime(2026, 1, 1, 0, 59, tzinfo=UTC), datetime.datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
    assert key().usable(before) and not key().usable(after)
    assert not key(used=True).usable(before) and key(used=True, reusable=True).usable(before)


def test_the_repr_of_a_key_and_the_error_of_a_wrong_one_hide_it():
    assert 'secret' not in repr(key())
    with pytest.raises(ValueError) as caught:
        key(used='hskey-auth-secret')
    assert 'secret' not in str(caught.value)


@pytest.mark.parametrize('parse, wrong', [
    (model.parse_nodes, {}), (model.parse_keys, {}), (model.parse_users, {}), (model.parse_policy_text, {}),
    (model.parse_nodes, {'nodes': {}}), (model.parse_nodes, []), (model.parse_changed_node, {'node': None}),
    (model.parse_changed_node, {}), (model.parse_keys, {'preAuthKeys': 'x'}), (model.parse_made_key, {}),
    (model.parse_made_key, {'preAuthKey': {'id': 1, 'key': ''}}), (model.parse_users, {'users': [{'id': 'x'}]}),
    (model.parse_users, {'users': [None]}), (model.parse_made_user, {'user': {}}), (model.parse_health, None),
    (model.parse_health, {'status': 5}), (model.parse_policy_text, {'policy': {}})])
def test_what_is_no_answer(parse, wrong):
    with pytest.raises(ValueError):
        parse(wrong)


def test_the_text_of_a_refusal_in_both_styles():
    # Recorded from 0.29.3: POST /api/v1/node/1/tags with tags that no policy declares.
    grpc = ('{"code":3, "message":"requested tags [tag:policy-none tag:x] are invalid or not permitted", "details":[]}')
    # 0.30: huma.Error400BadRequest("setting tags", err) in hscontrol/api/v1/nodes.go, at f20f1f1.
    problem = ('{"title":"Bad Request","status":400,"detail":"setting tags","errors":[{"message":'
               '"requested tags [tag:policy-none tag:x] are invalid or not permitted"}]}')
    assert model.problem_text(grpc) == 'requested tags [tag:policy-none tag:x] are invalid or not permitted'
    assert model.problem_text(problem) == (
        'setting tags: requested tags [tag:policy-none tag:x] are invalid or not permitted')
    for body in (grpc, problem):
        assert model.tags_in(model.problem_text(body)) == {'tag:policy-none', 'tag:x'}


@pytest.mark.parametrize('body, text', [
    ('Unauthorized', 'Unauthorized'), ('', ''), ('{"title":"Unauthorized","status":401}', 'Unauthorized'),
    ('test(s) failed:\n  one', 'test(s) failed: one'), ('[1]', '[1]'), ('{"message":5}', '{"message":5}'),
    ('{"detail":"no","errors":[{"message":"no"},5,{"message":7}]}', 'no'), ('{"errors":"x"}', '{"errors":"x"}')])
def test_the_text_of_other_refusals(body, text):
    assert model.problem_text(body) == text
