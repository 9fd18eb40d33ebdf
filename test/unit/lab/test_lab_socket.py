"""Requests on the lab's control socket: which lab method they call, and which are refused. No socket, no lab."""
import subprocess

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import lab_socket
from ua_overlay.lab.lab_socket import perform


class Lab:
    """Records its calls."""

    def __init__(self, run=None):
        self.asked = []
        self._run = run

    def nat(self, name, kind):
        self.asked.append(('nat', name, kind))

    def stop_service(self, host, service, timeout):
        self.asked.append(('stop', host, service, timeout))
        return True

    def kill_service(self, host, service, number):
        self.asked.append(('kill', host, service, number))

    def log(self, host, service):
        return 'log of {} on {}'.format(service, host)

    def host(self, name):
        return self

    def run(self, argv, *_, **__):
        return self._run(argv)


def test_requests_become_calls_of_the_lab():
    lab = Lab()
    assert perform(lab, {'op': 'nat', 'nat': 'nat1', 'kind': 'hard'}) == {}
    assert perform(lab, {'op': 'stop_service', 'host': 'a', 'service': 'b'}) == {'gentle': True}
    assert perform(lab, {'op': 'kill', 'host': 'a', 'service': 'b', 'signal': 15}) == {}
    assert perform(lab, {'op': 'log', 'host': 'a', 'service': 'b'}) == {'text': 'log of b on a'}
    assert lab.asked == [('nat', 'nat1', 'hard'), ('stop', 'a', 'b', 10.0), ('kill', 'a', 'b', 15)]


def test_a_command_answers_with_status_and_output():
    lab = Lab(lambda argv: subprocess.CompletedProcess(argv, 3, 'out', 'err'))
    assert perform(lab, {'op': 'exec', 'host': 'a', 'argv': ['x']}) == {
        'returncode': 3, 'stdout': 'out', 'stderr': 'err'}


def test_a_slow_command_is_an_error_with_a_code():
    def too_slow(argv):
        raise subprocess.TimeoutExpired(argv, 0.5)

    with pytest.raises(OverlayError, match='exec took longer than 0.5 s') as caught:
        perform(Lab(too_slow), {'op': 'exec', 'host': 'a', 'argv': ['x']})
    assert caught.value.code == 'LAB_TIMEOUT'


@pytest.mark.parametrize('request_, words', [
    ({'op': 'explode'}, 'knows exec, kill, log, nat'), ({}, 'knows exec'), ([], 'knows exec'),
    ({'op': 'nat', 'nat': 'nat1'}, 'The request nat needs kind')])
def test_an_invalid_request_is_refused(request_, words):
    with pytest.raises(UsageError, match=words):
        perform(Lab(), request_)


def test_a_socket_without_a_server_is_named(tmp_path):
    with pytest.raises(OverlayError, match=str(tmp_path)) as caught:
        lab_socket.LabControl(str(tmp_path / 'control.sock')).nat('nat1', 'hard')
    assert caught.value.code == 'LAB_CONTROL'
