"""On a robot: a stream by UDP that nobody answers. `udp_flow.py send ADDRESS PORT RATE SIZE` sends RATE packets of SIZE
bytes a second; `udp_flow.py sink PORT` receives them, as otherwise the kernel would answer that nobody listens."""
import socket
import sys
import time

link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[1] == 'sink':
    link.bind(('0.0.0.0', int(sys.argv[2])))
    while True:
        link.recv(65535)

address, (port, rate, size) = sys.argv[2], map(int, sys.argv[3:])
begin, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - begin) * rate)
    for _ in range(due - sent):
        try:
            link.sendto(bytes(size), (address, port))
        except OSError:
            pass  # the queue is full, or there is no way: a camera drops the picture, too
    sent = due
    time.sleep(max(0.001, 0.5 / rate))
