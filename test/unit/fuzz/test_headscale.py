"""Answers of Headscale and the files of a site, mutated: a value or an OverlayError, and nothing else."""
import json
import socket
import ssl
import threading

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import (
    access,
    config,
    database_lock,
    derp_map,
    evaluator,
    model,
    policy,
    remote_hosts,
    rest,
    rules,
    versions,
)
from ua_overlay.headscale.rest import RestClient, RestError
from ua_overlay.headscale.sessions import SessionWatcher
from ua_overlay.site.site import parse_site
from ua_overlay.trust import store
from unit.fuzz.json_places import places, with_value

TEXTS = st.text(max_size=30)
VALUES = st.none() | st.booleans() | st.integers() | st.floats() | TEXTS | st.sampled_from(
    ['1', '2026-11-22T19:04:01Z', '0001-01-01T00:00:00Z', '9999-12-31T23:59:59-12:00', 'tag:iris', 'hskey-auth-x',
     10 ** 40, -1, 2 ** 64])
JSON = st.recursive(VALUES, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(TEXTS, inside, max_size=4),
                    max_leaves=20)
USER = {'id': '1', 'name': 'ana', 'createdAt': '2026-11-22T19:03:53Z'}
KEY = {'user': USER, 'id': '3', 'key': 'hskey-auth-secret', 'reusable': False, 'ephemeral': False, 'used': True,
       'expiration': '2026-11-22T20:03:53Z', 'createdAt': '2026-11-22T19:03:53Z', 'aclTags': ['tag:iris']}
NODE = {'id': '2', 'machineKey': 'mkey:x', 'ipAddresses': ['100.64.0.2', 'fd7a:115c:a1e0::2'], 'name': 'dev-1',
        'user': USER, 'lastSeen': '2026-11-22T19:04:01.5Z', 'expiry': None, 'preAuthKey': KEY,
        'createdAt': '2026-11-22T19:03:53Z', 'registerMethod': 'REGISTER_METHOD_AUTH_KEY', 'givenName': 'dev-1',
        'online': True, 'tags': ['tag:iris', 'tag:ros-master']}
#: {parser: an answer as Headscale gives it}.
ANSWERS = {
    model.parse_nodes: {'nodes': [NODE]}, model.parse_changed_node: {'node': NODE},
    model.parse_keys: {'preAuthKeys': [KEY]}, model.parse_made_key: {'preAuthKey': KEY},
    model.parse_users: {'users': [USER]}, model.parse_made_user: {'user': USER},
    model.parse_health: {'status': 'pass'}, model.parse_policy_text: {'policy': '{}', 'updatedAt': None}}
SITE = {
    'version': 1, 'name': 'gate.example', 'addresses': ['203.0.113.10'], 'port': 8080, 'stun_port': 3478,
    'relay_port': 40000, 'base_domain': 'overlay.internal', 'private': ['192.168.7.2'],
    'relays': {'lab-b': {'address': '203.0.113.11', 'port': 40000}},
    'derp': {'lab-b': {'region': 901, 'address': '203.0.113.11', 'port': 8443, 'stun_port': 3478}},
    'teams': {'iris': {'port': 11312, 'addressing': 'names', 'inside': ['ros', 'ssh', 8765]}, 'blue': {}},
    'talk': [{'from': 'blue', 'to': 'iris', 'what': ['ros', 'ping']}],
    'users': {'ana': {'teams': ['iris'], 'what': ['everything']}}, 'ephemeral_ports': '32768-60999'}


@st.composite
def mutated(draw, whole):
    """``whole`` with up to three of its places replaced by something else, or missing."""
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(sorted(places(whole), key=str)))
        if path and isinstance(path[-1], str) and draw(st.booleans()):
            parent = whole
            for key in path[:-1]:
                parent = parent[key]
            whole = with_value(whole, path[:-1], {key: each for key, each in parent.items() if key != path[-1]})
        else:
            whole = with_value(whole, path, draw(JSON))
    return whole


@pytest.mark.fault('K1', 'Headscale answers what no Headscale answers', behaviour='a sentence, no traceback',
                   reported='at once', recovery='with the next answer', lost='nothing')
@pytest.mark.parametrize('parse', ANSWERS, ids=lambda parse: parse.__name__)
@given(data=st.data())
def test_answers(parse, data):
    value = data.draw(mutated(ANSWERS[parse]) | JSON)
    try:
        parse(value)
    except ValueError as error:
        assert 'secret' not in str(error)


@pytest.mark.parametrize('parse', ANSWERS, ids=lambda parse: parse.__name__)
def test_the_answers_of_this_file_are_headscale_s(parse):
    parse(ANSWERS[parse])


class Tls:
    """A server with a valid certificate that sends what a test wants, and closes."""

    def __init__(self, directory):
        self.trust = store.init(directory, 'server.ua.test', ['server.ua.test'], [], utc_now())
        self.answer = b''
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.trust.certificate_path, self.trust.key_path)
        self._listener = socket.create_server(('127.0.0.1', 0))
        self.client = RestClient('server.ua.test', self._listener.getsockname()[1], self.trust.ca_path, 'hskey-api-x',
                                 timeout=5)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                plain, _ = self._listener.accept()
            except OSError:
                return
            try:
                with self._context.wrap_socket(plain, server_side=True) as connection:
                    connection.recv(65536)
                    connection.sendall(self.answer)
            except OSError:
                continue

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture(scope='module')
def server(tmp_path_factory):
    made = Tls(str(tmp_path_factory.mktemp('tls')))
    yield made
    made.close()


HEAD = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n'
BODY = json.dumps({'nodes': [NODE]}).encode()
WHOLE = HEAD + b'Content-Length: %d\r\n\r\n' % len(BODY) + BODY


@st.composite
def garbled(draw):
    """An answer with up to four bytes changed, or a part cut out or doubled, or anything at all."""
    data = bytearray(WHOLE)
    for _ in range(draw(st.integers(0, 4))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    begin, end = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
    return draw(st.sampled_from([bytes(data), bytes(data[:begin] + data[end:]), bytes(data[:end])]) | st.binary(
        max_size=200))


@settings(max_examples=60)
@given(answer=garbled())
def test_http(server, answer):
    server.answer = answer
    try:
        assert isinstance(server.client.nodes(), list)
    except RestError as error:
        assert 'hskey' not in str(error)


@pytest.mark.parametrize('answer', [
    HEAD + b'Content-Length: abc\r\n\r\n{}', HEAD + b'Content-Length: -5\r\n\r\n{}',
    HEAD + b'Transfer-Encoding: chunked\r\n\r\nzz\r\n', HEAD + b'X: y\r\n' * 1000 + b'\r\n', b'HTTP/1.1 abc\r\n\r\n',
    HEAD + b'\r\n' + b'[' * 100000, HEAD + b'\r\n' + b'9' * 100000, HEAD + b'\r\n{"nodes": 1e999}', HEAD + b'\r\n\xff',
    HEAD + b'X: ' + b'y' * 100000 + b'\r\n\r\n', b'HTTP/1.1 200 OK', b'\x16\x03\x01', b'HTTP/1.1 302 Found\r\n\r\n',
    b'HTTP/1.1 500 No\r\n\r\n' + b'[' * 100000, b'HTTP/1.1 400 No\r\n\r\n{"errors":{"message":[]},"detail":5}'],
    ids=lambda answer: repr(answer[-20:]))
def test_odd_http(server, answer):
    server.answer = answer
    for call in (server.client.nodes, server.client.keys, server.client.users,
                 lambda: server.client.known_tags('1', ['tag:x']), lambda: server.client.set_tags('1', ['tag:x'])):
        with pytest.raises(RestError):
            call()


@given(text=st.text() | JSON.map(lambda value: json.dumps(value, default=str)))
def test_texts_of_refusals(text):
    assert isinstance(model.tags_in(model.problem_text(text)), set)


@given(text=st.text() | mutated(policy.make_policy(rules.parse_rules(
    {'teams': {'iris': {}}}, 'x'))).map(lambda value: json.dumps(value, default=str)))
def test_an_edited_policy_file(text):
    assert isinstance(policy.marker_of_text(text), str)


@given(line=st.binary(max_size=200) | st.binary(max_size=40).map(
    lambda end: b'2026-11-24T15:10:39Z DBG connection added conn.id=3 node.id=1' + end))
def test_lines_of_the_log(line):
    watcher = SessionWatcher(lambda: 0.0)
    assert watcher.take(line) in (True, False)
    json.dumps(watcher.report())


@given(text=st.text(max_size=300))
def test_locks_of_the_kernel(text):
    assert isinstance(database_lock.writers(text, {1}), list)


@given(before=TEXTS | st.sampled_from(['0.29.3', '0.28', 'v0.30.0']), now=TEXTS | st.sampled_from(['0.29.3', '1.0']))
def test_versions(before, now):
    try:
        versions.decide(before, now)
    except OverlayError as error:
        assert error.sentence


@given(content=st.binary(max_size=100) | TEXTS.map(lambda end: ('hskey-api-secret' + end).encode('utf-8', 'replace')))
def test_the_file_of_the_api_key(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / 'api.key'
    path.write_bytes(content)
    key = access._read(str(path))
    assert key == '' or key.isascii() and key.isprintable() and ' ' not in key


@given(text=TEXTS | st.lists(st.sampled_from(['ros', 'ssh', 'everything', '²', '٣', '9' * 5000, '-1', '80', '70000'])
                             ).map(','.join))
def test_ports_on_a_command_line(text):
    try:
        assert isinstance(rules.parse_ports(text), tuple)
    except UsageError as error:
        assert len(error.sentence) < 10000


@given(value=JSON)
def test_remote_hosts(value):
    for kind in (remote_hosts.RelayHost, remote_hosts.DerpHost):
        try:
            remote_hosts.read_hosts(kind, value, 'site.yaml', 'relays')
        except OverlayError as error:
            assert error.sentence


@given(value=mutated(SITE))
def test_site_files(value):
    try:
        text = yaml.safe_dump(value, allow_unicode=True)
    except yaml.YAMLError:
        return
    try:
        found, allowed = parse_site(text, 'site.yaml')
    except OverlayError as error:
        assert error.sentence and error.next_command
        return
    made = policy.make_policy(allowed)
    assert evaluator.unmet(made, allowed) == [] and policy.marker_of_text(policy.dump_policy(made))
    derp_map.dump_map(derp_map.derp_map(found, [host.name for host in found.derp]))
    config.dump_config(config.headscale_config(found, '/site'))


def test_an_endless_answer_is_bounded(server, monkeypatch):
    monkeypatch.setattr(rest, 'LONGEST_ANSWER', 100000)
    server.answer = HEAD + b'\r\n' + b' ' * 1000000
    with pytest.raises(RestError, match='more than 100000 bytes'):
        server.client.nodes()
