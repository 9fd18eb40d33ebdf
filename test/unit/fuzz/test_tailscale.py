"""Whatever tailscaled sends becomes a value or an OverlayError, and every value fits what the package makes of it."""
import io
import json
import math
import os
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paths import DATA

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.membership import settings as settings_module
from ua_overlay.printable import printable
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv.environment import decide_environment
from ua_overlay.rosenv.hosts import entries_of, hosts_text
from ua_overlay.rosenv.preferences import Preferences, follow_map
from ua_overlay.tags import memory_of
from ua_overlay.tailscale import byte_counters, fields, home_derp, http_unix, model, snapshot, version
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.watcher import is_telling
from unit.fuzz.json_places import places, with_value
from unit.tailscale.raw_server import OK, Server

ANSWERS = os.path.join(DATA, 'tailscale')
#: Answers of every kind, as recorded.
RECORDED = {name: json.load(io.open(os.path.join(ANSWERS, name))) for name in sorted(os.listdir(ANSWERS))
            if name.endswith('.json')}
STATUSES = [value for name, value in RECORDED.items() if not name.startswith('bus')]
MESSAGES = [message for name, value in RECORDED.items() if name.startswith('bus') for message in value]
METRICS = [open(os.path.join(ANSWERS, name), 'rb').read() for name in sorted(os.listdir(ANSWERS))
           if name.startswith('usermetrics')]
PREFS = {'ControlURL': 'https://gate:8080', 'OperatorUser': 'ana', 'WantRunning': True, 'LoggedOut': False}
WHOIS = {'Node': {'Endpoints': ['192.0.2.1:41641'], 'HomeDERP': 999, 'Addresses': ['100.64.0.1/32']}}
PING = {'IP': '100.64.0.2', 'NodeName': 'dev-2', 'LatencySeconds': 0.01, 'Endpoint': '192.0.2.2:41641', 'Err': ''}
DERP_MAP = {'Regions': {'999': {'RegionID': 999, 'Nodes': [{'HostName': 'gate', 'IPv4': '192.0.2.9', 'IPv6': ''}]}}}

#: Values that a field may hold instead of its own: every type of JSON, and the edges of each.
ODD = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(min_value=2 ** 62), st.floats(allow_nan=False), st.text(),
    st.sampled_from(['', '.', '..', '-', '\x00', '\x1b]0;x\x07', '\ud800', '\u202e', 'a' * 70 + '.b', 'tag:', 'tag:\n',
                     'ua-overlay:team-port=', 'ua-overlay:team-port=٣', 'ua-overlay:team-port=²',
                     'ua-overlay:team-port=' + '9' * 5000,
                     'ua-overlay:addressing=\x00', 'ua-overlay:memory=1e9', 'ua-overlay:memory=³',
                     '9999-12-31T23:59:59-23:59', '0000-00-00T00:00:00Z', '::', '1.2.3.4',
                     '$(reboot)', 'dev-1; reboot', 'http://x', 'nodekey:', '１.1.1.1']),
    st.lists(st.one_of(st.none(), st.text(max_size=5), st.integers()), max_size=3),
    st.dictionaries(st.text(max_size=5), st.one_of(st.none(), st.text(max_size=5), st.integers()), max_size=3))


@st.composite
def mutated(draw, originals):
    """One of ``originals`` with up to three values replaced, or with one more field."""
    value = draw(st.sampled_from(originals))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([path for path in places(value) if path] or [()]))
        value = with_value(value, path, draw(ODD))
        if not isinstance(value, dict):
            break
    return value if isinstance(value, dict) else {}


def typed(parse, raw):
    """The value of ``raw``, None for an OverlayError with a sentence; any other exception fails the test."""
    try:
        return parse(raw)
    except OverlayError as error:
        assert error.sentence.endswith('.')
        assert printable(error.sentence, 10 ** 6) == error.sentence
        return None


def check_text(text):
    """A text that a ROS string, a log and a terminal can hold."""
    text.encode('utf-8')
    assert printable(text, fields.LONGEST_TEXT + 1) == text


def check_time(seconds):
    """A time that a ROS time can hold: genpy has 32 bits of seconds, and refuses a negative one."""
    assert seconds is None or (isinstance(seconds, float) and 0.0 < seconds < 2.0 ** 32)


def check_value(value):
    """Recursively: every text, number and tuple of a dataclass or NamedTuple."""
    if isinstance(value, str):
        check_text(value)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        assert 0 <= value < 2 ** 63
    elif isinstance(value, float):
        assert math.isfinite(value) and value >= 0.0
    elif isinstance(value, tuple):
        for each in value:
            check_value(each)
    else:
        for each in vars(value).values():
            check_value(each)


@given(mutated(STATUSES))
def test_a_status(raw):
    status = typed(model.parse_status, json.loads(json.dumps(raw)))
    if status is None:
        return
    check_value(status)
    for each in (status.self_node.key_expiry,) + tuple(peer.last_seen for peer in status.peers):
        check_time(each)
    now = snapshot.snapshot_of(status, 1000.0)
    check_value(now.links)
    snapshot.diff(None, now)
    snapshot.diff(snapshot.snapshot_of(model.parse_status(STATUSES[0]), 0.0), now)
    version.is_supported(status.version)


@given(mutated(STATUSES))
def test_what_a_robot_makes_of_a_status(raw):
    status = typed(model.parse_status, raw)
    if status is None:
        return
    preferences = follow_map(Preferences(), status.self_node)
    assert 0 < preferences.team_port < 65536 and preferences.addressing in ('names', 'addresses')
    settings_module.follow({'team': 'iris'}, status.self_node)
    shortest, longest = defaults.ADMISSION_MEMORY_RANGE
    assert shortest <= memory_of(status.self_node.attributes) <= longest
    variables = decide_environment(status, preferences, None, 0.0).variables()
    if variables:
        try:
            assert envfile.parse(envfile.dump(variables)) == variables
        except ValueError:
            assert any(not envfile.VALUE.match(value) for value in variables.values())
    lines = hosts_text('127.0.0.1 localhost\n', entries_of(status)).split('\n')
    assert all(line.startswith('#') or len(line.split()) in (0, 2) for line in lines)


@given(mutated(MESSAGES + [{'Prefs': PREFS}]))
def test_a_message_of_the_bus(raw):
    is_telling(raw)
    notice = typed(model.parse_notice, raw)
    if notice is not None:
        check_value(notice)
    prefs = typed(model.prefs_in, raw)
    if prefs is not None:
        check_value(prefs)


@pytest.mark.parametrize('parse, original', [
    (model.parse_prefs, PREFS), (model.parse_whois, WHOIS), (model.parse_ping, PING)],
    ids=['prefs', 'whois', 'ping'])
def test_the_other_answers(parse, original):
    @given(mutated([original]))
    def check(raw):
        value = typed(parse, raw)
        if value is not None:
            check_value(value)

    check()


@given(mutated([DERP_MAP]))
def test_a_derp_map(raw):
    parsed = typed(model.parse_derp_map, raw)
    for region in (parsed or {'Regions': {}})['Regions'].values():
        for node in region['Nodes']:
            for text in node.values():
                check_text(text)


@given(mutated(STATUSES), mutated([WHOIS]))
def test_a_home_derp(status, whois):
    own, node = typed(model.parse_status, status), typed(model.parse_whois, whois)
    if own is not None and node is not None:
        assert home_derp.is_unreported(own, node) in (True, False)


@given(st.sampled_from(METRICS), st.integers(0), st.binary(max_size=40))
def test_metrics(text, at, odd):
    at %= len(text)
    for mutant in (text[:at] + odd + text[at:], text[:at] + odd, odd + text[at:],
                   text.replace(b'"} ', b'"} ' + b'9' * 5000)):
        counters = byte_counters.parse_bytes(mutant)
        byte_counters.moved({}, counters)
        assert all(0 <= value < 10 ** 21 for value in counters.values())
        assert home_derp.netchecks(mutant) >= 0


#: Whole answers, as bytes, from which an HTTP answer is made.
BODIES = [json.dumps(STATUSES[0]).encode(), b'{}', b'']


@st.composite
def answers(draw):
    """The bytes of an answer: a good one with some bytes replaced, or anything."""
    body = draw(st.sampled_from(BODIES))
    head = OK + draw(st.sampled_from([
        b'Content-Length: %d\r\n\r\n' % len(body), b'\r\n', b'Transfer-Encoding: chunked\r\n\r\n%x\r\n' % len(body),
        b'Content-Length: ', b'Transfer-Encoding: chunked\r\n\r\n']))
    whole = head + body + draw(st.sampled_from([b'', b'\r\n0\r\n\r\n', b'HTTP/1.1 200 OK\r\n\r\n']))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(whole)))
        whole = whole[:at] + draw(st.binary(max_size=6)) + whole[at + draw(st.integers(0, 20)):]
    return whole


def test_bytes_on_the_socket(tmp_path):
    numbers = iter(range(10 ** 6))

    @given(answers())
    def check(whole):
        path = str(tmp_path / str(next(numbers)))
        Server(path, [None, whole])
        api = LocalApi(path, timeout=2.0)
        try:
            typed(lambda _: model.parse_status(api.status()), None)
        finally:
            api.close()

    check()


def test_bytes_on_the_bus(tmp_path):
    numbers = iter(range(10 ** 6))
    message = json.dumps(MESSAGES[0]).encode() + b'\n'

    @given(st.lists(st.one_of(st.just(message), st.binary(max_size=20), st.just(b'\n'), st.just(b'[]\n')), max_size=5),
           st.binary(max_size=4))
    def check(parts, tail):
        path = str(tmp_path / str(next(numbers)))
        chunks = b''.join(b'%x\r\n%s\r\n' % (len(part), part) for part in parts if part)
        Server(path, [None, OK + b'Transfer-Encoding: chunked\r\n\r\n' + chunks + tail])

        def read(_):
            with LocalApi(path, timeout=2.0).watch() as bus:
                while bus.next(timeout=2.0) is not None:
                    continue

        typed(read, None)

    check()


def test_no_thread_of_the_servers_above_remains():
    assert threading.active_count() < 50, 'the tests above leave their connections open'


def test_the_fuzzed_module_reads_every_answer():
    """A new reader in model.py has to be added above."""
    tested = {'parse_status', 'parse_ping', 'parse_prefs', 'prefs_in', 'parse_whois', 'parse_notice', 'parse_derp_map'}
    assert {name for name in vars(model) if name.startswith('parse_') or name == 'prefs_in'} == tested
    assert http_unix.LONGEST_BODY < 200e6 / 3
