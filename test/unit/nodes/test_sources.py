"""The probe of the server: plain Python, although it lives with the nodes."""
import datetime
import threading

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.nodes.sources import ServerProbe
from ua_overlay.trust import ca as ca_module
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.probe import ServerError, ServerHealth

URL = 'https://server.ua.test:8080'
CA = certificates.dump_certificates(ca_module.create_ca(
    'lab', ['server.ua.test'], ['203.0.113.10'], datetime.datetime.now(datetime.timezone.utc))[1])


@pytest.fixture
def ca_file(tmp_path):
    (tmp_path / 'ca.pem').write_text(CA)
    return str(tmp_path / 'ca.pem')
HEALTHY = ServerHealth(True, 0.01, 0, datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=90))


def ask(ca_file, check, url=lambda: URL):
    return ServerProbe(url, ca_file, None, check=check).ask()


def test_a_server_that_answers(ca_file):
    asked = []

    def check(url, ca, timeout):
        asked.append((url, ca, timeout))
        return HEALTHY

    assert ask(ca_file, check) == ('OK', '')
    assert asked == [(URL, CA, ServerProbe.TIMEOUT)]
    assert 10.0 + 10.0 * 0.05 + ServerProbe.TIMEOUT < 15.0  # noticed within 15 s


@pytest.mark.parametrize('code, state', [
    ('SERVER_UNREACHABLE', 'UNREACHABLE'), ('BAD_ANSWER', 'UNREACHABLE'), ('WRONG_CA', 'UNTRUSTED'),
    ('WRONG_NAME', 'UNTRUSTED'), ('CLOCK', 'UNTRUSTED'), ('CERT_EXPIRED', 'UNTRUSTED')])
def test_a_server_that_does_not(ca_file, code, state):
    def check(url, ca, timeout):
        raise ServerError('It is so.', 'do this', code)

    assert ask(ca_file, check) == (state, 'It is so. Next: do this')


def never(url, ca, timeout):
    raise AssertionError('asked')


def test_no_network_no_question(ca_file):
    assert ask(ca_file, never, lambda: '') == ('UNKNOWN', '')


def test_no_daemon_to_say_which_server(ca_file):
    def url():
        raise OverlayError('No tailscaled.', 'start it')

    assert ask(ca_file, never, url) == ('UNREACHABLE', 'No tailscaled. Next: start it')


@pytest.mark.parametrize('content', [None, b'', b'no pem', b'\xff\xfe'])
def test_a_ca_that_cannot_be_used(tmp_path, content):
    path = tmp_path / 'ca.pem'
    if content is not None:
        path.write_bytes(content)
    probe = ServerProbe(lambda: URL, str(path), None)  # the real check: it looks at the CA before it connects
    state, text = probe.ask()
    assert state == 'UNTRUSTED' and text
    assert content is not None or 'sudo ua-overlay robot prepare' in text


def test_asks_on_and_at_once_when_poked(ca_file):
    answers, seen = [], threading.Semaphore(0)
    probe = ServerProbe(lambda: URL, ca_file, lambda state: (answers.append(state), seen.release()), period=3600.0,
                        check=lambda url, ca, timeout: HEALTHY)
    thread = threading.Thread(target=probe.run)
    thread.start()
    assert seen.acquire(timeout=10)
    probe.poke()
    assert seen.acquire(timeout=10)
    probe.stop()
    thread.join(10)
    assert not thread.is_alive() and answers == [('OK', '')] * 2


def test_a_fleet_does_not_ask_in_step(ca_file):
    waits = []

    class Wake(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            if len(waits) == 3:
                probe.stop()

    numbers = iter([0.0, 0.5, 1.0])
    probe = ServerProbe(lambda: '', ca_file, lambda state: None, period=10.0, jitter=lambda: next(numbers))
    probe._wake = Wake()
    probe.run()
    assert waits == pytest.approx([9.5, 10.0, 10.5])


def test_a_robot_that_was_removed_takes_two_looks(ca_file):
    """A key that the server does not know may be one that tailscaled is just replacing."""
    answers = iter([True, False, False, False, None, False])
    keys = iter(['nodekey:a', 'nodekey:a', 'nodekey:a', 'nodekey:b', 'nodekey:b', 'nodekey:b'])
    probe = ServerProbe(lambda: URL, ca_file, None, check=lambda *_, **__: HEALTHY, node_key=lambda: next(keys),
                        verify=lambda url, ca, key, timeout: next(answers))
    seen = []
    for _ in range(6):
        assert probe.ask() == ('OK', '')
        seen.append(probe.latest.key_known)
    assert seen == [True, None, False, None, None, None]


def test_without_a_key_nobody_is_asked(ca_file):
    probe = ServerProbe(lambda: URL, ca_file, None, check=lambda *_, **__: HEALTHY, verify=None)
    assert probe.ask() == ('OK', '') and probe.latest.key_known is None


def test_another_machine_with_this_robots_key_is_believed_after_a_minute(ca_file):
    told = [('10.0.0.2:1',)]
    probe = ServerProbe(lambda: URL, ca_file, None, check=lambda *_, **__: HEALTHY, node_key=lambda: 'nodekey:a',
                        verify=lambda *_: True, endpoints=lambda: (('10.0.0.1:1',), told[0]))
    seen = []
    for _ in range(7):
        probe.ask()
        seen.append(probe.latest.strangers)
    assert seen == [()] * 5 + [('10.0.0.2:1',)] * 2
    told[0] = ('10.0.0.1:1',)
    probe.ask()
    assert probe.latest.strangers == ()
