"""A DERP admits whom Headscale confirms, and for a bounded time whom it confirmed, while it is silent; nobody else."""
import json
import socket
import urllib.error
import urllib.request

import pytest

from ua_overlay.defaults import ADMISSION_MEMORY as LIFETIME
from ua_overlay.relays import admission
from ua_overlay.relays.admission import CONFIRM_PERIOD, MOST, SILENCE, Admission, AdmissionServer
from ua_overlay.system.thread import SupervisedThread

ROBOT = 'nodekey:' + 'a' * 64
OTHER = 'nodekey:' + 'b' * 64
STRANGER = 'nodekey:' + 'c' * 64


class Headscale:
    """Knows keys, or is silent; counts the questions."""

    def __init__(self, *known):
        self.known, self.silent, self.asked = set(known), False, []

    def ask(self, key):
        self.asked.append(key)
        return None if self.silent else key in self.known


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def headscale():
    return Headscale(ROBOT, OTHER)


@pytest.fixture
def admitting(headscale, clock):
    return Admission(headscale.ask, clock)


def test_headscale_decides_while_it_answers(admitting, headscale):
    assert admitting.admits(ROBOT) and not admitting.admits(STRANGER)
    headscale.known.discard(ROBOT)
    assert not admitting.admits(ROBOT)


def test_a_confirmed_robot_is_admitted_while_headscale_is_silent_until_its_time_is_over(admitting, headscale, clock):
    assert admitting.admits(ROBOT)
    headscale.silent = True
    clock.now += LIFETIME - 1.0
    assert admitting.admits(ROBOT)
    clock.now += 1.0
    assert not admitting.admits(ROBOT)


def test_a_stranger_is_never_admitted(admitting, headscale):
    headscale.silent = True
    assert not admitting.admits(STRANGER)
    assert not admitting.admits(ROBOT)  # not confirmed yet


@pytest.mark.parametrize('key', ['', 'nodekey:', 'nodekey:' + 'A' * 64, 'nodekey:' + 'a' * 63, ROBOT + '\n', 'None'])
def test_what_is_no_key_is_refused_without_a_question(key, admitting, headscale):
    assert not admitting.admits(key) and headscale.asked == []


def test_a_robot_that_was_removed_is_refused_as_soon_as_headscale_answers(admitting, headscale, clock):
    assert admitting.admits(ROBOT) and admitting.admits(OTHER)
    headscale.silent = True
    clock.now += CONFIRM_PERIOD
    assert admitting.admits(ROBOT) and admitting.admits(OTHER)
    assert admitting.confirm() == []
    headscale.silent = False
    headscale.known.discard(ROBOT)
    clock.now += SILENCE
    assert admitting.confirm() == [ROBOT]  # the caller disconnects it
    headscale.silent = True
    clock.now += SILENCE
    assert not admitting.admits(ROBOT) and admitting.admits(OTHER)


def test_a_removed_robot_leaves_the_memory_while_headscale_lives(admitting, headscale, clock):
    assert admitting.admits(ROBOT)
    headscale.known.discard(ROBOT)
    clock.now += CONFIRM_PERIOD
    assert admitting.confirm() == []  # it was not admitted on trust
    headscale.silent = True
    assert not admitting.admits(ROBOT)


def test_confirmations_are_renewed_in_time_and_not_more_often(admitting, headscale, clock):
    assert admitting.admits(ROBOT)
    clock.now += CONFIRM_PERIOD - 1.0
    admitting.confirm()
    assert headscale.asked == [ROBOT]
    clock.now += 1.0
    admitting.confirm()
    assert headscale.asked == [ROBOT] * 2
    headscale.silent = True
    clock.now += LIFETIME - 1.0
    assert admitting.admits(ROBOT)


def test_a_silent_headscale_is_not_asked_for_each_robot(admitting, headscale, clock):
    admitting.admits(ROBOT)
    headscale.silent, headscale.asked = True, []
    for _ in range(50):
        admitting.admits(ROBOT)
        admitting.admits(STRANGER)
    assert len(headscale.asked) == 1
    clock.now += SILENCE
    headscale.silent = False
    assert not admitting.admits(STRANGER) and len(headscale.asked) == 2


def test_confirming_ends_when_headscale_falls_silent_or_the_caller_stops(admitting, headscale, clock):
    assert admitting.admits(ROBOT) and admitting.admits(OTHER)
    clock.now += CONFIRM_PERIOD
    headscale.silent, headscale.asked = True, []
    admitting.confirm()
    assert len(headscale.asked) == 1
    headscale.asked = []
    clock.now += SILENCE
    admitting.confirm(stop=lambda: True)
    assert headscale.asked == []


def test_the_memory_survives_a_restart_with_its_ages(admitting, headscale, clock):
    admitting.admits(ROBOT)
    clock.now += 3600.0
    admitting.admits(OTHER)
    assert admitting.changed
    text = admitting.dump(wall=1.7e9)
    assert not admitting.changed
    headscale.silent = True
    later = Clock()
    again = Admission(headscale.ask, later)
    again.load(text, wall=1.7e9 + LIFETIME - 3600.0)
    assert again.remembered() == 1
    assert not again.admits(ROBOT) and again.admits(OTHER)


def test_a_confirmation_in_the_future_does_not_count(admitting, headscale, clock):
    admitting.admits(ROBOT)
    text = admitting.dump(wall=1.7e9)
    again = Admission(headscale.ask, clock)
    again.load(text, wall=1.7e9 - 60.0)
    assert again.remembered() == 0


@pytest.mark.parametrize('text', [
    '', '[]', '{}', '{"version": 2, "confirmed": {}}', '{"version": 1, "confirmed": []}',
    '{"version": 1, "confirmed": {"x": 1}}', json.dumps({'version': 1, 'confirmed': {ROBOT: 'now'}}),
    json.dumps({'version': 1, 'confirmed': {ROBOT: True}}), '{"version": 1, "confirmed": {"%s": 1e999}}' % ROBOT])
def test_a_damaged_memory_is_an_error(text, admitting):
    with pytest.raises(ValueError):
        admitting.load(text, wall=1.7e9)


def test_the_memory_is_bounded(clock):
    admitting = Admission(lambda key: True, clock)
    for number in range(MOST + 10):
        clock.now += 0.001
        admitting.admits('nodekey:{:064x}'.format(number))
    assert admitting.remembered() == MOST
    assert 'nodekey:{:064x}'.format(0) not in admitting.dump(0.0)


# --- the server that derper asks


@pytest.fixture
def server(admitting):
    serving = AdmissionServer(admitting)
    thread = SupervisedThread('admission', serving.run).start()
    yield serving
    serving.stop()
    assert thread.join(5.0) and thread.failures == 0


def ask(url, body, method='POST'):
    request = urllib.request.Request(url, body, {'Content-Type': 'application/json'}, method=method)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=5) as answer:
        return json.loads(answer.read().decode('utf-8'))


def question(key):
    return json.dumps({'NodePublic': key, 'Source': '10.0.2.15'}).encode('ascii')


def test_derpers_question_is_answered(server, headscale):
    assert ask(server.url, question(ROBOT)) == {'Allow': True}
    assert ask(server.url, question(STRANGER)) == {'Allow': False}
    headscale.silent = True
    assert ask(server.url, question(ROBOT)) == {'Allow': True}


@pytest.mark.parametrize('body', [b'', b'{', b'[]', b'[' * 4000, b'x' * 5000])
def test_anything_else_is_refused_and_the_server_goes_on(body, server):
    with pytest.raises(urllib.error.HTTPError) as caught:
        ask(server.url, body)
    assert caught.value.code == 400
    with pytest.raises(urllib.error.HTTPError):
        ask(server.url.replace('/verify', '/other'), question(ROBOT))
    assert ask(server.url, question(ROBOT)) == {'Allow': True}


def test_a_client_that_says_nothing_holds_nobody_up_for_long(server, monkeypatch):
    port = int(server.url.split(':')[2].split('/')[0])
    with socket.create_connection(('127.0.0.1', port)):
        assert ask(server.url, question(ROBOT)) == {'Allow': True}
    assert admission.AdmissionServer.PATIENCE < 5.0
