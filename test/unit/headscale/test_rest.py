"""The client of Headscale's REST interface, against a server on the loopback (conftest.py)."""
import datetime
import json
import socket
import time

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.headscale import database_lock
from ua_overlay.headscale.rest import RestClient, RestError, ServerBusy, ServerDenied, ServerDown
from ua_overlay.trust import store

UTC = datetime.timezone.utc


def client(server, trust, name='server.ua.test', ca=None, api_key='hskey-api-secret', timeout=5):
    return RestClient(name, server.server_address[1], ca or trust.ca_path, api_key, timeout=timeout, hint='start it')


def test_health_is_checked_under_the_server_s_name_without_resolving_it(server, trust):
    server.answers['/health'] = (200, '{"status":"pass"}')
    assert client(server, trust).health() is True
    server.answers['/health'] = (200, '{"status":"fail"}')
    assert client(server, trust).health() is False


def test_a_key_is_requested_in_headscale_s_format(server, trust):
    server.answers['/api/v1/preauthkey'] = (200, json.dumps({'preAuthKey': {
        'id': '3', 'key': 'hskey-auth-x', 'aclTags': ['tag:iris'], 'expiration': '2026-01-01T01:00:00Z'}}))
    made = client(server, trust).create_key(['tag:iris'], datetime.datetime(2026, 1, 1, 1, 0, tzinfo=UTC))
    method, path, authorization, body = server.requests[0]
    assert (method, path, authorization) == ('POST', '/api/v1/preauthkey', 'Bearer hskey-api-secret')
    assert json.loads(body) == {'reusable': False, 'ephemeral': False, 'aclTags': ['tag:iris'],
                                'expiration': '2026-01-01T01:00:00.000000Z'}
    assert (made.id, made.key) == ('3', 'hskey-auth-x')


def test_an_empty_site_has_no_nodes(server, trust):
    server.answers['/api/v1/node'] = (200, '{"nodes":null}')
    assert client(server, trust).nodes() == []


@pytest.mark.parametrize('status, body, kind, word', [
    (401, 'Unauthorized', ServerDenied, 'refused its API key'),
    (500, '{"code":2,"message":"tag:x is not known","details":[]}', RestError, 'tag:x is not known'),
    (404, 'page not found', RestError, 'page not found'),
    (200, '<html>', RestError, 'did not answer GET /api/v1/policy with JSON'),
])
def test_a_bad_answer_is_an_error_that_does_not_show_the_key(server, trust, status, body, kind, word):
    server.answers['/api/v1/policy'] = (status, body)
    with pytest.raises(kind) as caught:
        client(server, trust).policy()
    assert word in caught.value.sentence and caught.value.next_command == 'start it'
    assert 'secret' not in str(caught.value) + repr(client(server, trust))


def test_nothing_is_sent_to_a_server_with_another_certificate(server, trust, tmp_path):
    other = store.init(str(tmp_path / 'other'), 'server.ua.test', ['server.ua.test'], [], utc_now())
    for wrong in (client(server, trust, ca=other.ca_path), client(server, trust, name='other.ua.test')):
        with pytest.raises(RestError, match='no certificate of this site'):
            wrong.health()
    assert server.requests == []


def test_a_port_without_a_server(trust):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerDown, match='does not answer'):
        RestClient('server.ua.test', port, trust.ca_path).health()


def test_a_silent_server_times_out(trust):
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(1)
        with pytest.raises(ServerDown):
            RestClient('server.ua.test', silent.getsockname()[1], trust.ca_path, timeout=0.2).health()


#: What 0.29.3 answers, recorded from the program, and what 0.30 does, by its source at f20f1f1 (hscontrol/api/v1/
#: errors.go: mapError; nodes.go: setTags; api.go: authMiddleware): (status, body).
REFUSED_TAGS = {
    '0.29': (400, '{"code":3,"message":"requested tags [tag:x tag:policy-none] are invalid or not permitted",'
                  '"details":[]}'),
    '0.30': (400, '{"title":"Bad Request","status":400,"detail":"setting tags","errors":[{"message":'
                  '"requested tags [tag:x tag:policy-none] are invalid or not permitted"}]}')}
UNKNOWN_NODE = {
    '0.29': (500, '{"code":2,"message":"node no longer exists in NodeStore: 9","details":[]}'),
    '0.30': (404, '{"title":"Not Found","status":404,"detail":"expiring node","errors":[{"message":"node no longer '
                  'exists in NodeStore: 9"}]}')}
DENIED = {'0.29': (401, 'Unauthorized'), '0.30': (401, '{"title":"Unauthorized","status":401,"detail":"Unauthorized"}')}
REFUSED_POLICY = {
    '0.29': (400, '{"code":3,"message":"test(s) failed:\\ntag:relay -> tag:relay:22: expected ALLOWED, got DENIED",'
                  '"details":[]}'),
    '0.30': (400, '{"title":"Bad Request","status":400,"detail":"test(s) failed:\\ntag:relay -> tag:relay:22: expected '
                  'ALLOWED, got DENIED","errors":[{"message":"test(s) failed:\\ntag:relay -> tag:relay:22: expected '
                  'ALLOWED, got DENIED"}]}')}
#: GET /api/v1/node, the same in both (0.30: nodes.go, type Node), except that 0.30 names the owner of a tagged node
#: only where it has one; and a new key.
NODES = {
    '0.29': '{"nodes":[{"id":"1","machineKey":"mkey:34","nodeKey":"nodekey:03","discoKey":"discokey:43","ipAddresses":'
            '["100.64.0.1","fd7a:115c:a1e0::1"],"name":"relay","user":{"id":"2147455555","name":"tagged-devices",'
            '"createdAt":"0001-01-01T00:00:00Z","displayName":"Tagged Devices","email":"","providerId":"",'
            '"provider":"","profilePicUrl":""},"lastSeen":"2026-11-30T17:24:10.098356547Z","expiry":null,'
            '"preAuthKey":{"user":null,"id":"1","key":"hskey-auth-dZ6xtFIricjq-***","reusable":false,'
            '"ephemeral":false,"used":true,"expiration":"2026-11-30T17:29:02.567018Z","createdAt":"2026-11-30T17:24:03.097834019Z","aclTags":["tag:relay"]},'
            '"createdAt":"2026-11-30T17:24:03.1Z","registerMethod":"REGISTER_METHOD_AUTH_KEY","givenName":"relay",'
            '"online":true,"approvedRoutes":[],"availableRoutes":[],"subnetRoutes":[],"tags":["tag:relay"]}]}',
    '0.30': '{"nodes":[{"id":"1","machineKey":"mkey:34","nodeKey":"nodekey:03","discoKey":"discokey:43","ipAddresses":'
            '["100.64.0.1","fd7a:115c:a1e0::1"],"name":"relay","user":null,"lastSeen":"2026-11-30T17:24:10.098356547Z",'
            '"expiry":null,"preAuthKey":{"user":null,"id":"1","key":"hskey-auth-dZ6xtFIricjq-***","reusable":false,'
            '"ephemeral":false,"used":true,"expiration":"2026-11-30T17:29:02.567018Z","createdAt":'
            '"2026-11-30T17:24:03.097834019Z","aclTags":["tag:relay"]},"createdAt":"2026-11-30T17:24:03.1Z",'
            '"registerMethod":"REGISTER_METHOD_AUTH_KEY","givenName":"relay","online":true,"approvedRoutes":[],'
            '"availableRoutes":[],"subnetRoutes":[],"tags":["tag:relay"]}]}'}
NEW_KEY = ('{"preAuthKey":{"user":null,"id":"2","key":"hskey-auth-x","reusable":false,"ephemeral":false,"used":false,'
           '"expiration":"2027-01-01T00:00:00Z","createdAt":"2026-11-30T17:24:21.129079620Z","aclTags":["tag:iris"]}}')


@pytest.mark.parametrize('version', ['0.29', '0.30'])
def test_refusals_in_both_styles(server, trust, version):
    server.answers['/api/v1/node/1/tags'] = REFUSED_TAGS[version]
    server.answers['/api/v1/node/9/expire'] = UNKNOWN_NODE[version]
    server.answers['/api/v1/policy'] = DENIED[version]
    server.answers['/api/v1/policy/check'] = REFUSED_POLICY[version]
    talking = client(server, trust)
    assert talking.known_tags('1', ['tag:x', 'tag:iris']) == {'tag:iris'}
    assert json.loads(server.requests[0][3])['tags'] == ['tag:iris', 'tag:x', 'tag:policy-none']
    with pytest.raises(RestError, match='node no longer exists in NodeStore: 9'):
        talking.expire_node('9')
    with pytest.raises(ServerDenied):
        talking.policy()
    with pytest.raises(RestError, match='answered 400 to POST /api/v1/policy/check: test') as caught:
        talking.check_policy('{}')
    assert caught.value.detail == 'test(s) failed: tag:relay -> tag:relay:22: expected ALLOWED, got DENIED'


@pytest.mark.parametrize('version', ['0.29', '0.30'])
def test_nodes_and_keys_in_both_styles(server, trust, version):
    server.answers.update({'/api/v1/node': (200, NODES[version]), '/api/v1/preauthkey': (200, NEW_KEY)})
    talking = client(server, trust)
    relay, = talking.nodes()
    assert (relay.id, relay.name, relay.user, relay.tags, relay.key_id) == ('1', 'relay', '', ('tag:relay',), '1')
    assert relay.last_seen.year == 2026 and relay.expiry is None and relay.online
    made = talking.create_key(['tag:iris'], datetime.datetime(2027, 1, 1, tzinfo=UTC))
    assert (made.id, made.key, made.tags, made.user) == ('2', 'hskey-auth-x', ('tag:iris',), '')


@pytest.mark.parametrize('status, body', [(200, '{}'), (200, ''), (201, '{}'), (204, '')])
def test_a_call_without_an_answer_of_its_own(server, trust, status, body):
    server.answers['/api/v1/node/9'] = (status, body)
    client(server, trust).delete_node('9')


def test_an_answer_without_its_list_is_no_empty_list(server, trust):
    """Otherwise a torn answer would say that every robot is gone."""
    server.answers['/api/v1/node'] = (200, '')
    with pytest.raises(RestError, match='has no "nodes"'):
        client(server, trust).nodes()


@pytest.mark.parametrize('holders, words, command', [
    ([], 'its database is locked.', 'start it'),
    ([(4711, 'sqlite3'), (4712, 'backup')], 'locked by sqlite3 (process 4711) and backup (process 4712).',
     'kill 4711 4712')])
def test_a_locked_database_is_no_silence(server, trust, monkeypatch, holders, words, command):
    monkeypatch.setattr(database_lock, 'holders', lambda path: [database_lock.Holder(*each) for each in holders])
    server.answers['/api/v1/user'] = (500, '{"code":2,"message":"creating user: database is locked (5) (SQLITE_BUSY)"}')
    talking = RestClient('server.ua.test', server.server_address[1], trust.ca_path, 'k', hint='start it',
                         database='/db')
    with pytest.raises(ServerBusy) as caught:
        talking.create_user('ana')
    assert words in caught.value.sentence and 'runs, but refused POST' in caught.value.sentence
    assert caught.value.next_command == command


def test_a_server_that_takes_a_request_and_does_not_answer_is_busy(server, trust, monkeypatch):
    monkeypatch.setattr(server.RequestHandlerClass, 'do_GET', lambda handler: time.sleep(1))
    with pytest.raises(ServerBusy, match='took GET /api/v1/node, and did not answer within 0 s.*its disk is slow'):
        client(server, trust, timeout=0.3).nodes()


def test_an_error_of_a_running_headscale_does_not_send_anybody_to_start_it(server, trust):
    server.answers['/api/v1/policy'] = (500, '{"code":2,"message":"reading policy: open x: no such file or directory"}')
    talking = RestClient('server.ua.test', server.server_address[1], trust.ca_path, 'k', hint='start it',
                         answered='look at it')
    with pytest.raises(RestError) as caught:
        talking.request('GET', '/api/v1/policy')
    assert caught.value.next_command == 'look at it'
    assert caught.value.sentence.endswith('reading policy: open x: no such file or directory.')


def test_a_full_disk_of_the_database_is_named(server, trust):
    server.answers['/api/v1/user'] = (500, '{"code":2,"message":"database or disk is full (13)"}')
    talking = RestClient('server.ua.test', server.server_address[1], trust.ca_path, 'k', database='/site/db')
    with pytest.raises(RestError, match='file system of /site/db is full') as caught:
        talking.create_user('ana')
    assert (caught.value.next_command, caught.value.code) == ('df -h /site/db', 'FILE_SYSTEM')


@pytest.mark.parametrize('content', [None, '', 'no certificate'])
def test_a_ca_file_that_is_none(tmp_path, content):
    path = tmp_path / 'ca.pem'
    if content is not None:
        path.write_text(content)
    with pytest.raises(RestError, match='is not a readable CA certificate') as caught:
        RestClient('server.ua.test', 1, str(path))
    assert caught.value.next_command == 'ls -l {}'.format(path)
