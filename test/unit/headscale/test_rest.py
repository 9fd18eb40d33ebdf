import datetime
import http.server
import json
import socket
import ssl
import threading

import pytest

from ua_overlay.headscale import rest
from ua_overlay.headscale.rest import RestClient, RestError, ServerDenied, ServerDown
from ua_overlay.trust import store
from ua_overlay.trust.certificate import utc_now

UTC = datetime.timezone.utc


@pytest.mark.parametrize('text, expected', [
    ('2026-11-22T19:04:01.438727123Z', datetime.datetime(2026, 11, 22, 19, 4, 1, 438727, UTC)),
    ('2026-11-22T19:04:01Z', datetime.datetime(2026, 11, 22, 19, 4, 1, 0, UTC)),
    ('2026-11-22T19:04:01.5+02:00', datetime.datetime(2026, 11, 22, 17, 4, 1, 500000, UTC)),
    ('0001-01-01T00:00:00Z', None),
    ('', None),
    (None, None),
])
def test_times_as_go_writes_them(text, expected):
    assert rest.parse_time(text) == expected


def test_a_time_that_is_none_is_refused():
    with pytest.raises(ValueError, match='yesterday'):
        rest.parse_time('yesterday')


def test_a_time_goes_out_in_utc():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    assert rest.format_time(datetime.datetime(2026, 1, 1, 1, 0, tzinfo=zone)) == '2025-12-31T23:00:00.000000Z'


def test_a_node_of_headscale():
    node = rest.parse_node({'id': '2', 'ipAddresses': ['100.64.0.2', 'fd7a:115c:a1e0::2'], 'name': 'dev-1',
                            'givenName': 'dev-1-1', 'lastSeen': '2026-11-22T19:04:01Z', 'expiry': None,
                            'createdAt': '2026-11-22T19:03:53Z', 'online': True, 'tags': ['tag:iris']})
    assert (node.id, node.name, node.requested_name) == ('2', 'dev-1-1', 'dev-1')
    assert node.tags == ('tag:iris',) and node.online is True
    assert node.addresses == ('100.64.0.2', 'fd7a:115c:a1e0::2') and node.expiry is None


def test_a_node_with_the_fewest_fields():
    node = rest.parse_node({'id': 7})
    assert (node.id, node.name, node.tags, node.online, node.last_seen) == ('7', '', (), False, None)


def key(**changes):
    return rest.parse_key(dict({'id': '1', 'key': 'hskey-auth-secret', 'reusable': False, 'used': False,
                                'aclTags': ['tag:iris'], 'createdAt': '2026-01-01T00:00:00Z',
                                'expiration': '2026-01-01T01:00:00Z'}, **changes))


def test_a_key_can_be_used_until_it_is_used_or_expires():
    before, after = datetime.datetime(2026, 1, 1, 0, 59, tzinfo=UTC), datetime.datetime(2026, 1, 1, 1, 0, tzinfo=UTC)
    assert key().usable(before) and not key().usable(after)
    assert not key(used=True).usable(before) and key(used=True, reusable=True).usable(before)


def test_a_key_is_not_shown_by_accident():
    assert 'secret' not in repr(key())


class Answers(http.server.BaseHTTPRequestHandler):
    """Answers every request with (status, body) from the server's `answers`, and keeps what was asked."""

    def do_GET(self):
        length = int(self.headers.get('Content-Length') or 0)
        self.server.asked.append((self.command, self.path, self.headers.get('Authorization'),
                                  self.rfile.read(length).decode()))
        status, body = self.server.answers[self.path.split('?')[0]]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(body.encode())

    do_POST = do_DELETE = do_GET

    def log_message(self, *_args):
        return


@pytest.fixture(scope='module')
def trust(tmp_path_factory):
    directory = str(tmp_path_factory.mktemp('site'))
    return store.init(directory, 'server.ua.test', ['server.ua.test'], [], utc_now())


@pytest.fixture
def server(trust):
    listener = http.server.ThreadingHTTPServer(('127.0.0.1', 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(trust.certificate_path, trust.key_path)
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    listener.asked, listener.answers = [], {}
    thread = threading.Thread(target=listener.serve_forever)
    thread.start()
    yield listener
    listener.shutdown()
    thread.join()
    listener.server_close()


def client(server, trust, name='server.ua.test', ca=None, api_key='hskey-api-secret', timeout=5):
    return RestClient(name, server.server_address[1], ca or trust.ca_path, api_key, timeout=timeout, hint='start it')


def test_health_under_the_servers_name_without_resolving_it(server, trust):
    server.answers['/health'] = (200, '{"status":"pass"}')
    assert client(server, trust).health() is True
    server.answers['/health'] = (200, '{"status":"fail"}')
    assert client(server, trust).health() is False


def test_a_key_is_asked_for_as_headscale_wants_it(server, trust):
    server.answers['/api/v1/preauthkey'] = (200, json.dumps({'preAuthKey': {
        'id': '3', 'key': 'hskey-auth-x', 'aclTags': ['tag:iris'], 'expiration': '2026-01-01T01:00:00Z'}}))
    made = client(server, trust).create_key(['tag:iris'], datetime.datetime(2026, 1, 1, 1, 0, tzinfo=UTC))
    method, path, authorization, body = server.asked[0]
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
    (200, '<html>', RestError, 'not JSON'),
])
def test_bad_answers_are_errors_that_keep_the_key_to_themselves(server, trust, status, body, kind, word):
    server.answers['/api/v1/policy'] = (status, body)
    with pytest.raises(kind) as caught:
        client(server, trust).policy()
    assert word in caught.value.sentence and caught.value.next_command == 'start it'
    assert 'secret' not in str(caught.value) + repr(client(server, trust))


def test_another_certificate_is_not_talked_to(server, trust, tmp_path):
    other = store.init(str(tmp_path / 'other'), 'server.ua.test', ['server.ua.test'], [], utc_now())
    for wrong in (client(server, trust, ca=other.ca_path), client(server, trust, name='other.ua.test')):
        with pytest.raises(RestError, match='no certificate of this site'):
            wrong.health()
    assert server.asked == []


def test_nobody_there(trust):
    with socket.socket() as free:
        free.bind(('127.0.0.1', 0))
        port = free.getsockname()[1]
    with pytest.raises(ServerDown, match='does not answer'):
        RestClient('server.ua.test', port, trust.ca_path).health()


def test_a_server_that_says_nothing_is_given_up(trust):
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        silent.listen(1)
        with pytest.raises(ServerDown):
            RestClient('server.ua.test', silent.getsockname()[1], trust.ca_path, timeout=0.2).health()
