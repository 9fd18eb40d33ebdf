"""The client of Headscale's REST interface, against a server on the loopback (conftest.py)."""
import datetime
import json
import socket

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.headscale.rest import RestClient, RestError, ServerDenied, ServerDown
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
