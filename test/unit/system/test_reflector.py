"""Clock offsets and connections back, over real sockets on loopback."""
import socket
import threading
import time

import pytest

from ua_overlay.system import reflector
from ua_overlay.system.reflector import Reflector, ask


@pytest.fixture
def running(request):
    """A Reflector on loopback whose clock is 0.25 s ahead."""
    ahead = Reflector('127.0.0.1', 0, now=lambda: time.time() + 0.25)
    thread = threading.Thread(target=ahead.run)
    thread.start()
    yield ahead
    ahead.close()
    thread.join(5)
    assert not thread.is_alive()


def test_the_offset_in_milliseconds(running):
    found = ask('127.0.0.1', running.port, 2.0)
    assert abs(found.offset - 0.25) <= found.error + 0.001 and found.error < 0.05


def test_nobody_answers():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(('127.0.0.1', 0))
        began = time.monotonic()
        assert ask('127.0.0.1', silent.getsockname()[1], 0.2) is None
        assert time.monotonic() - began < 1
        port = silent.getsockname()[1]
    assert ask('127.0.0.1', port, 0.2) is None


def test_a_connection_back_reaches_the_asker_only_when_asked_for(running):
    with socket.socket() as listener:
        listener.bind(('127.0.0.1', 0))
        listener.listen(8)
        listener.settimeout(0.3)
        assert ask('127.0.0.1', running.port, 2.0)
        with pytest.raises(socket.timeout):
            listener.accept()
        listener.settimeout(5)
        assert ask('127.0.0.1', running.port, 2.0, back=listener.getsockname()[1])
        listener.accept()[0].close()
        listener.settimeout(0.3)
        with pytest.raises(socket.timeout):
            listener.accept()  # once, not in each exchange


def test_junk_gets_no_answer_and_does_not_end_it(running):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(('127.0.0.1', running.port))
        asker.settimeout(0.2)
        for junk in (b'', b'x', b'\xff' * 34, b'ua-time!' + b'\0' * 26, b'ua-time?' + b'\0' * 100):
            asker.send(junk)
            with pytest.raises(socket.timeout):
                asker.recv(100)
    assert ask('127.0.0.1', running.port, 2.0)


def test_the_answer_is_not_longer_than_the_question(running):
    question = reflector._PACKET.pack(b'ua-time?', 1.0, 0.0, 0.0, 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        asker.connect(('127.0.0.1', running.port))
        asker.settimeout(5)
        asker.send(question)
        assert len(asker.recv(1000)) == len(question)


def test_a_port_in_use():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(('127.0.0.1', 0))
        with pytest.raises(OSError):
            Reflector('127.0.0.1', taken.getsockname()[1])
