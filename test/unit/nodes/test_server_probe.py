"""The probe of the server."""
import datetime
import threading

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.nodes.server_probe import STRANGE_PROBES, ServerProbe
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
    """(state, text) of one probe."""
    view = ServerProbe(url, ca_file, None, check=check).ask()
    return view.state, view.text


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
def test_state_of_each_error_code(ca_file, code, state):
    def check(url, ca, timeout):
        raise ServerError('It is so.', 'do this', code)

    assert ask(ca_file, check) == (state, 'It is so. Next: do this')


def never(url, ca, timeout):
    raise AssertionError('asked')


def test_outside_a_network_no_probe_is_sent(ca_file):
    assert ask(ca_file, never, lambda: '') == ('UNKNOWN', '')


def test_without_tailscaled_the_server_is_unknown(ca_file):
    def url():
        raise OverlayError('No tailscaled.', 'start it')

    assert ask(ca_file, never, url) == ('UNREACHABLE', 'No tailscaled. Next: start it')


@pytest.mark.parametrize('content', [None, b'', b'no pem', b'\xff\xfe'])
def test_an_unusable_ca(tmp_path, content):
    path = tmp_path / 'ca.pem'
    if content is not None:
        path.write_bytes(content)
    view = ServerProbe(lambda: URL, str(path), None).ask()  # the real check: it reads the CA before it connects
    assert view.state == 'UNTRUSTED' and view.text
    assert content is not None or 'sudo ua-overlay robot prepare' in view.text


def test_probes_repeat_and_can_be_triggered(ca_file):
    states, emitted = [], threading.Semaphore(0)
    probe = ServerProbe(lambda: URL, ca_file, lambda view: (states.append(view.state), emitted.release()),
                        period=3600.0, check=lambda url, ca, timeout: HEALTHY)
    thread = threading.Thread(target=probe.run)
    thread.start()
    assert emitted.acquire(timeout=10)
    probe.poke()
    assert emitted.acquire(timeout=10)
    probe.stop()
    thread.join(10)
    assert not thread.is_alive() and states == ['OK'] * 2


def test_probes_of_a_fleet_are_spread_in_time(ca_file):
    waits = []

    class Wake(threading.Event):
        def wait(self, timeout=None):
            waits.append(timeout)
            if len(waits) == 3:
                probe.stop()

    numbers = iter([0.0, 0.5, 1.0])
    probe = ServerProbe(lambda: '', ca_file, lambda view: None, period=10.0, jitter=lambda: next(numbers))
    probe._wake = Wake()
    probe.run()
    assert waits == pytest.approx([9.5, 10.0, 10.5])


def test_a_removal_is_confirmed_by_two_probes(ca_file):
    """tailscaled may be about to replace a key that the server does not know."""
    answers = iter([True, False, False, False, None, False])
    keys = iter(['nodekey:a', 'nodekey:a', 'nodekey:a', 'nodekey:b', 'nodekey:b', 'nodekey:b'])
    probe = ServerProbe(lambda: URL, ca_file, None, check=lambda *_, **__: HEALTHY, node_key=lambda: next(keys),
                        verify=lambda url, ca, key, timeout: next(answers))
    views = [probe.ask() for _ in range(6)]
    assert {view.state for view in views} == {'OK'}
    assert [view.facts.key_known for view in views] == [True, None, False, None, None, None]


def test_without_a_key_nothing_is_verified(ca_file):
    probe = ServerProbe(lambda: URL, ca_file, None, check=lambda *_, **__: HEALTHY, verify=None)
    view = probe.ask()
    assert (view.state, view.facts.key_known) == ('OK', None)


def test_a_duplicate_key_is_confirmed_after_a_minute(ca_file):
    on_server = [('10.0.0.2:1',)]
    probe = ServerProbe(lambda: URL, ca_file, None, check=lambda *_, **__: HEALTHY, node_key=lambda: 'nodekey:a',
                        verify=lambda *_: True, endpoints=lambda: (('10.0.0.1:1',), on_server[0]))
    strangers = [probe.ask().facts.strangers for _ in range(STRANGE_PROBES + 1)]
    assert strangers == [()] * (STRANGE_PROBES - 1) + [('10.0.0.2:1',)] * 2
    on_server[0] = ('10.0.0.1:1',)
    assert probe.ask().facts.strangers == ()


def test_the_server_url_is_kept_while_tailscaled_is_silent(ca_file):
    urls = [URL]

    def url():
        if not urls:
            raise OverlayError('No tailscaled.')
        return urls.pop()

    probe = ServerProbe(url, ca_file, None, check=lambda *_, **__: HEALTHY)
    assert (probe.ask().url, probe.ask().url) == (URL, URL)


def test_after_a_failure_nothing_is_known(ca_file):
    """Neither whether the server answers, nor whether it knows this robot, nor whether another one has its identity."""
    views = []
    probe = ServerProbe(lambda: URL, ca_file, views.append, check=lambda *_, **__: HEALTHY,
                        node_key=lambda: 'nodekey:a', verify=lambda *_: False,
                        endpoints=lambda: (('10.0.0.1:1',), ('10.0.0.2:1',)))
    for _ in range(STRANGE_PROBES):
        view = probe.ask()
    assert view.facts.key_known is False and view.facts.strangers
    probe.fail('The thread server probe failed: ValueError: odd.')
    view, = views
    assert view.state == 'UNKNOWN' and view.facts.key_known is None and view.facts.strangers is None
    assert view.text == ('The thread server probe failed: ValueError: odd. Whether the server answers is not known. '
                         'Next: ua-overlay doctor')
    assert view.facts.problem.code == 'UNOBSERVED' and probe.ask().facts.key_known is None  # confirmed anew
