"""derper with its certificate and admission: a played program, and a played probe. Real ones: test/lab."""
import dataclasses
import json
import os
import re
import time
import urllib.request

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.relays import derp_process
from ua_overlay.relays.derp_process import MUTE_AFTER, DerpProcess, DerpSettings, DerpTrust
from ua_overlay.relays.probe import Unreachable
from ua_overlay.trust import store

KEY = 'nodekey:' + 64 * 'a'
STRANGER = 'nodekey:' + 64 * 'b'


def issue(tmp_path, name):
    trust = store.init(str(tmp_path / name), 's.test', ['s.test'], [], utc_now())
    with open(trust.certificate_path) as chain, open(trust.key_path) as key:
        return DerpTrust(chain.read(), key.read(), trust.ca_pem)


class Made:
    """A DerpProcess and what it was given: change ``reason`` (why derper does not answer), ``trust``, ``now``."""

    def __init__(self, tmp_path, monkeypatch):
        program = tmp_path / 'derper'
        program.write_text('#!/bin/sh\necho "$@"\nexec sleep 600\n')
        program.chmod(0o755)
        self.directory = tmp_path / 'state'
        self.directory.mkdir()
        self.reason, self.now, self.said, self.answers, self.probed = '', 0.0, [], {}, []
        self.trust = issue(tmp_path, 'one')
        monkeypatch.setattr(derp_process, 'probe_derp_page', self.probe)
        settings = DerpSettings('lab-b', str(self.directory), str(tmp_path / 'log'), 's.test', 8443, 3478, 1000)
        self.process = DerpProcess(lambda name: str(program), settings, self.read, self.answers.get, self.said.append,
                                   lambda: self.now, 5.0)
        self.log = tmp_path / 'log'

    def probe(self, *arguments):
        self.probed.append(arguments)
        if self.reason:
            raise Unreachable(self.reason)
        return 0.0

    def read(self):
        if isinstance(self.trust, Exception):
            raise self.trust
        return self.trust

    @property
    def pid(self):
        return self.process.report()['pid']

    def step(self, now):
        self.now = now
        self.process.step()


@pytest.fixture
def made(tmp_path, monkeypatch):
    made = Made(tmp_path, monkeypatch)
    yield made
    made.process.stop()


def test_derper_asks_an_admission_that_remembers(made):
    """The played Headscale knows one key, then it is dead."""
    made.process.start()
    deadline = time.monotonic() + 20
    while not made.log.exists() or b'-verify-client-url ' not in made.log.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    words = made.log.read_text()
    assert '-verify-client-url-fail-open=false' in words and '-a :8443' in words and '-stun-port 3478' in words
    url = re.search('-verify-client-url (http://127[^ ]+)', words).group(1)

    def admitted(key):
        with urllib.request.urlopen(url, json.dumps({'NodePublic': key}).encode(), 5) as answer:
            return json.loads(answer.read())['Allow']

    made.answers.update({KEY: True, STRANGER: False})
    assert (admitted(KEY), admitted(STRANGER)) == (True, False)
    made.answers.clear()
    assert (admitted(KEY), admitted(STRANGER)) == (True, False) and made.process.report()['remembered'] == 1
    made.process.stop()
    assert KEY in (made.directory / 'admitted.json').read_text()


def test_its_files_and_its_state(made):
    made.process.start()
    modes = {name: os.stat(str(made.directory / name)).st_mode & 0o777 for name in os.listdir(str(made.directory))}
    assert modes == {'ca.pem': 0o644, 's.test.crt': 0o644, 's.test.key': 0o600}
    assert made.trust.key not in repr(made.trust)
    assert made.process.report()['state'] == 'starting'
    made.step(0.0)
    assert made.probed == [('127.0.0.1', 8443, 's.test', {'ca_pem': made.trust.ca_pem}, 3)]
    assert made.said == ['DERP lab-b answers (TCP 8443, STUN on UDP 3478).']
    report = made.process.report()
    assert report['ok'] and report['state'] == 'up' and report['certificate_until'].endswith(' UTC')
    made.step(9.0)
    assert len(made.probed) == 1
    made.step(10.0)
    assert len(made.probed) == 2


def test_a_mute_derper_is_restarted(made):
    made.process.start()
    made.step(0.0)
    first, made.reason = made.pid, 'connection refused'
    made.step(MUTE_AFTER)
    made.step(MUTE_AFTER + 0.5)
    assert made.pid == first
    made.step(MUTE_AFTER + 2)
    made.step(MUTE_AFTER + 2.5)
    assert made.said[1:] == ['derper does not answer (connection refused); it restarts.'] and made.pid != first
    second = made.pid
    made.step(2 * MUTE_AFTER)
    assert made.pid == second and made.process.report()['state'] == 'connection refused'


def test_a_new_certificate_restarts_derper(made, tmp_path):
    made.process.start()
    made.step(0.0)
    first = made.pid
    made.step(10.0)
    assert made.pid == first
    made.trust = issue(tmp_path, 'two')
    made.step(20.0)
    assert made.pid != first and made.said[1:] == [
        'The certificate of DERP lab-b is a new one; derper restarts with it.']
    assert (made.directory / 's.test.crt').read_text() == made.trust.chain
    assert (made.directory / 's.test.key').read_text() == made.trust.key


def test_a_certificate_that_cannot_be_read_is_reported_once(made):
    made.process.start()
    made.step(0.0)
    first, made.trust = made.pid, OverlayError('It is damaged.')
    for now in (10.0, 20.0):
        made.step(now)
    assert made.pid == first and made.said[1:] == ['DERP lab-b keeps its certificate: It is damaged.']


def test_without_a_certificate_it_does_not_start(made):
    made.trust = OverlayError('It is damaged.')
    with pytest.raises(OverlayError, match='It is damaged'):
        made.process.start()
    made.process.step()
    assert made.pid is None and made.process.log_problem == ''


def test_waiting_for_its_first_answer(made):
    made.process.start()
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        made.now += seconds
        made.reason = '' if len(slept) == 3 else 'connection refused'

    made.process.wait(10.0, sleep)
    assert len(slept) == 3 and made.process.report()['ok']
    made.process.wait(10.0, sleep)
    assert len(slept) == 3


def test_the_settings_are_values():
    settings = DerpSettings('a', '/d', '/l', 's', 1, 2, 3)
    assert settings.path('x') == '/d/x' and dataclasses.replace(settings, port=5).port == 5
