import contextlib
import os
import socket
import stat
import threading
import time

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.lab.wait import wait
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


def test_the_server_of_a_service_is_started_as_one(tmp_path):
    unit = tmp_path / 'ua-overlay-server.service'
    assert control_socket.start_command('/srv/a site', str(unit)) == "ua-overlay server run --dir '/srv/a site'"
    unit.write_text('[Service]\nExecStart=/usr/local/bin/ua-overlay server run --dir "/srv/a site"\nRestart=always\n')
    assert control_socket.start_command('/srv/a site', str(unit)) == 'sudo systemctl start ua-overlay-server'
    # The service is that of another site.
    assert control_socket.start_command('/srv/a', str(unit)) == 'ua-overlay server run --dir /srv/a'


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


def test_a_socket_that_somebody_removed_is_made_again(server, caplog):
    os.unlink(server)
    with pytest.raises(control_socket.NotRunning):
        control_socket.ask(server, 'ping')
    wait('The socket', lambda: os.path.exists(server), 10)
    assert control_socket.ask(server, 'ping') == {'you said': 'ping'}
    assert stat.S_IMODE(os.stat(server).st_mode) == 0o600 and 'was removed; it is there again' in caplog.text


def test_a_directory_that_is_moved_away_for_a_while_does_no_harm(server, tmp_path):
    (tmp_path / 'run').rename(tmp_path / 'elsewhere')
    time.sleep(2 * control_socket.LOOK)
    (tmp_path / 'elsewhere').rename(tmp_path / 'run')
    assert control_socket.ask(server, 'ping') == {'you said': 'ping'}


def test_a_server_that_does_not_answer_in_time(tmp_path):
    path = str(tmp_path / 'control.sock')
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(path)
        silent.listen(1)
        with pytest.raises(OverlayError, match='did not answer'):
            control_socket.ask(path, 'ping', timeout=0.1)


def test_the_next_command_and_the_code_of_an_error_cross_the_socket(tmp_path):
    def handler(operation):
        raise OverlayError('No.', 'do that', 'WHY')

    server = control_socket.ControlServer(str(tmp_path / 'control.sock'), handler)
    with pytest.raises(OverlayError) as caught:
        control_socket.ask(str(tmp_path / 'control.sock'), 'x')
    assert (caught.value.sentence, caught.value.next_command, caught.value.code) == ('No.', 'do that', 'WHY')
    server.close()


@pytest.mark.fault('K1', 'A request to server run fails unexpectedly', behaviour='the command gets an error, the next '
                   'request an answer', reported='at once', recovery='at once', lost='nothing')
@pytest.mark.parametrize('failure, words', [(KeyError('x'), 'KeyError. Its log says more.'), (
    OSError(28, 'No space left on device'), 'cannot do "fail": No space left on device.')])
def test_an_unexpected_failure_of_a_request(tmp_path, failure, words, caplog):
    def handler(operation):
        if operation == 'fail':
            raise failure
        return {}

    path = str(tmp_path / 'control.sock')
    server = control_socket.ControlServer(path, handler)
    with pytest.raises(OverlayError) as caught:
        control_socket.ask(path, 'fail')
    assert caught.value.sentence.endswith(words)
    assert control_socket.ask(path, 'ping') == {}
    server.close()


def answering(path, data):
    """A thread that accepts one client on ``path`` and sends ``data``."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)

    def serve():
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):
            connection.recv(4096)
            for _ in range(300):
                connection.sendall(data)
        listener.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize('data', [b'[]\n', b'no json\n', b'{"a": 1e999}\n', b'[' * 100000, b'x' * 100000, b'\xff\n'],
                         ids=lambda data: repr(data[:8]))
def test_an_answer_that_is_none(tmp_path, data):
    thread = answering(str(tmp_path / 'control.sock'), data)
    with pytest.raises(OverlayError, match='did not answer'):
        control_socket.ask(str(tmp_path / 'control.sock'), 'ping', timeout=5)
    thread.join(10)


def test_a_slow_answer_ends_in_time(tmp_path):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / 'control.sock'))
        listener.listen(1)
        stop = threading.Event()

        def drip():
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                while not stop.wait(0.05):
                    connection.sendall(b'x')

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        start = time.monotonic()
        with pytest.raises(OverlayError, match='did not answer'):
            control_socket.ask(str(tmp_path / 'control.sock'), 'ping', timeout=0.5)
        assert time.monotonic() - start < 5
        stop.set()
        thread.join(10)


def test_odd_things_in_place_of_the_socket(tmp_path):
    path = tmp_path / 'control.sock'
    path.write_text('x')
    with pytest.raises(control_socket.NotRunning):
        control_socket.ask(str(path), 'ping')
    with pytest.raises(control_socket.NotRunning):
        control_socket.ask(str(path / 'run' / 'x'), 'ping')
    control_socket.ControlServer(str(path), lambda operation: {}).close()
    path.mkdir()
    with pytest.raises(OSError) as caught:
        control_socket.ControlServer(str(path), lambda operation: {})
    assert caught.value.filename == str(path)


def test_a_long_request_keeps_nobody_waiting(tmp_path):
    """`server status` during a `policy apply` for which Headscale takes its time."""
    path, busy, go = str(tmp_path / 'control.sock'), threading.Event(), threading.Event()

    def handler(operation):
        if operation == 'reload':
            busy.set()
            go.wait(20)
        return {'did': operation}

    server = control_socket.ControlServer(path, handler)
    answers = []
    thread = threading.Thread(target=lambda: answers.append(control_socket.ask(path, 'reload')))
    thread.start()
    assert busy.wait(20) and control_socket.ask(path, 'status', timeout=5) == {'did': 'status'}
    go.set()
    thread.join(20)
    assert answers == [{'did': 'reload'}]
    server.close()


def test_a_server_that_ends_before_its_answer_leaves_open_what_it_did(tmp_path):
    thread = answering(str(tmp_path / 'control.sock'), b'')
    with pytest.raises(control_socket.NoAnswer, match='did not answer "reload" and ended'):
        control_socket.ask(str(tmp_path / 'control.sock'), 'reload', timeout=5)
    thread.join(10)


def test_a_server_of_another_release_is_named(tmp_path):
    path = str(tmp_path / 'run' / 'control.sock')
    (tmp_path / 'run').mkdir()
    server = control_socket.ControlServer(path, lambda operation: {'relay': {'state': 'up'}, 'list': [{}]})
    answer = control_socket.ask(path, 'status')
    server.close()
    assert answer == {'relay': {'state': 'up'}, 'list': [{}]} and answer.get('derp') is None
    for read in (lambda: answer['derp'], lambda: answer['relay']['ok']):
        with pytest.raises(OverlayError, match='does not report "(derp|ok)": it is of another release'):
            read()
