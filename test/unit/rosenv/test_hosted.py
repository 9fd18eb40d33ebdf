"""The overlay node's end of the team host, against hosts that misbehave. Against a real one: test_team_host.py."""
import os
import socket
import subprocess
import threading

import pytest

from ua_overlay.rosenv.hosted import LOST, HostedProcess, popen_in
from unit.rosenv.programs import VARIABLES

ENVIRON = dict(VARIABLES, UA_OVERLAY_RUN='ab12', PATH='/bin')


@pytest.fixture
def host(tmp_path):
    """A host that answers each request with the given bytes: (path, requests)."""
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(tmp_path / 'socket'))
    server.listen(4)
    requests = []

    def answer(data):
        def serve():
            connection = server.accept()[0]
            requests.append(connection.recv(65536))
            try:
                connection.sendall(data)
            except OSError:
                requests.append(b'left early')
            connection.close()
        threading.Thread(target=serve, daemon=True).start()
        return str(tmp_path / 'socket')

    yield answer, requests
    server.close()


@pytest.mark.parametrize('data, status', [
    (b'{"status": 0, "last": ""}\n', 0), (b'{"status": 4, "last": "x"}\n', 4), (b'', LOST), (b'\n', LOST),
    (b'[1]\n', LOST), (b'{"status": "0", "last": ""}\n', LOST), (b'{"status": 0}\n', LOST),
    (b'[' * 50000 + b'\n', LOST),
    (b'x' * 300000, LOST), (b'\xff\xfe\n', LOST)])
def test_any_answer_ends_the_run(host, data, status):
    answer, requests = host
    read_end, write_end = os.pipe()
    process = popen_in(answer(data))(['ignored'], env=ENVIRON, pass_fds=(write_end,), start_new_session=True)
    os.close(write_end)
    assert process.wait(10) == process.poll() == process.returncode == status
    process.stdin.close()
    with os.fdopen(read_end, 'rb') as last:
        assert last.read() == {0: b'', 4: b'x', LOST: b'The service ua-overlay-team ended.'}[status]
    assert b'"PATH"' not in requests[0] and b'"ROS_MASTER_URI"' in requests[0]


def test_no_host(tmp_path):
    with pytest.raises(OSError):
        HostedProcess(str(tmp_path / 'none'), ENVIRON)


def test_a_host_that_says_nothing(host):
    server = socket.socket(socket.AF_UNIX)
    path = host[0](b'') + '-silent'
    server.bind(path)
    server.listen(1)
    process = HostedProcess(path, ENVIRON)
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.1)
    process.stdin.close()
    server.close()
    assert process.wait(10) == LOST
