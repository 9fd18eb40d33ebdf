import os
import socket
import stat

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.system import control_socket


@pytest.fixture
def server(tmp_path):
    (tmp_path / 'run').mkdir()
    path = str(tmp_path / 'run' / 'control.sock')

    def handler(operation):
        if operation == 'fail':
            raise OverlayError('It cannot be done.')
        return {'you said': operation}

    running = control_socket.ControlServer(path, handler)
    yield path
    running.close()


def test_request_and_response(server):
    assert control_socket.ask(server, 'ping') == {'you said': 'ping'}
    assert control_socket.ask(server, 'again') == {'you said': 'again'}


def test_only_the_owner_may_connect(server):
    assert stat.S_IMODE(os.stat(server).st_mode) == 0o600


def test_server_errors_are_raised_in_the_client(server):
    with pytest.raises(OverlayError, match='It cannot be done.'):
        control_socket.ask(server, 'fail')


@pytest.mark.parametrize('nonsense', [b'', b'\n', b'hello\n', b'[]\n', b'{"op": \xff}\n', b'{' * 5000])
def test_a_client_that_sends_garbage_does_no_harm(server, nonsense):
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(server)
        client.sendall(nonsense)
        client.shutdown(socket.SHUT_WR)
        client.settimeout(10)
        client.recv(100)
    assert control_socket.ask(server, 'ping') == {'you said': 'ping'}


def test_a_stopped_server_is_named_with_the_command_to_start_it(tmp_path):
    with pytest.raises(control_socket.NotRunning, match=str(tmp_path)) as caught:
        control_socket.ask(str(tmp_path / 'run' / 'control.sock'), 'ping')
    assert caught.value.next_command == 'ua-overlay server run --dir {}'.format(tmp_path)


def test_a_stale_socket_means_that_no_server_runs(tmp_path):
    path = str(tmp_path / 'control.sock')
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with pytest.raises(control_socket.NotRunning):
        control_socket.ask(path, 'ping')
    server = control_socket.ControlServer(path, lambda operation: {})
    assert control_socket.ask(path, 'ping') == {}
    server.close()
    assert not os.path.exists(path)


def test_a_server_that_does_not_answer_in_time(tmp_path):
    path = str(tmp_path / 'control.sock')
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen(1)
        with pytest.raises(OverlayError, match='did not answer'):
            control_socket.ask(path, 'ping', timeout=0.1)
