"""Bytes between a pair of pipes and a connection, as ssh's ProxyCommand has them."""
import os
import socket
import threading

from ua_overlay.lab import pipe


def test_bytes_flow_both_ways_until_the_connection_ends():
    ours, theirs = socket.socketpair()
    (read_end, typed), (printed, write_end) = os.pipe(), os.pipe()
    carrier = threading.Thread(target=pipe.copy, args=(ours, read_end, write_end))
    carrier.start()
    with ours, theirs:
        os.write(typed, b'question')
        assert theirs.recv(64) == b'question'
        # The end of stdin closes one half only: the answer still comes.
        os.close(typed)
        assert theirs.recv(64) == b''
        theirs.sendall(b'answer')
        theirs.shutdown(socket.SHUT_WR)
        carrier.join(10)
        assert not carrier.is_alive()
        assert os.read(printed, 64) == b'answer'
    for end in (read_end, printed, write_end):
        os.close(end)
