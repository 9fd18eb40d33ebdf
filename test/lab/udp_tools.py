"""Small UDP programs that the lab's tests run inside hosts.

    echo ADDRESS:PORT…        answer every packet with the sender's address, as a STUN server does
    ask SOURCE_PORT           for each line `ADDRESS:PORT` on stdin, print how that destination sees us, or `nothing`
    punch SOURCE_PORT PEER    send to and listen for the peer; exit 0 when its packet came through, 1 after 3 s
    flood ADDRESS SECONDS     one packet from a new port to each of 200 ports, again and again: many paths of all ages
"""
import select
import socket
import sys
import time


def address(text):
    host, port = text.rsplit(':', 1)
    return host, int(port)


def bound(port, host='0.0.0.0'):
    link = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    link.bind((host, port))
    return link


def echo(places):
    links = [bound(port, host) for host, port in map(address, places)]
    print('ready', flush=True)
    while True:
        for link in select.select(links, [], [])[0]:
            data, sender = link.recvfrom(2048)
            link.sendto('{}:{}'.format(*sender).encode(), sender)


def ask(port):
    link = bound(port)
    link.settimeout(0.3)
    for line in sys.stdin:
        print(seen(link, address(line.strip())), flush=True)


def seen(link, destination):
    for _ in range(5):
        link.sendto(b'?', destination)
        try:
            while True:
                data, sender = link.recvfrom(2048)
                if sender == destination:
                    return data.decode()
        except socket.timeout:
            continue
    return 'nothing'


def punch(port, peer):
    link = bound(port)
    link.settimeout(0.1)
    deadline = time.monotonic() + 3.0
    heard = False
    while time.monotonic() < deadline:
        link.sendto(b'!', peer)
        try:
            if link.recvfrom(2048)[1] == peer:
                heard = True
                # Once more, so that the peer hears us as well even if its path opened last.
                link.sendto(b'!', peer)
                break
        except socket.timeout:
            continue
    return 0 if heard else 1


def flood(host, seconds):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for port in range(20000, 20200):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
                link.sendto(b'!', (host, port))


if __name__ == '__main__':
    if sys.argv[1] == 'echo':
        echo(sys.argv[2:])
    elif sys.argv[1] == 'ask':
        ask(int(sys.argv[2]))
    elif sys.argv[1] == 'flood':
        flood(sys.argv[2], float(sys.argv[3]))
    else:
        sys.exit(punch(int(sys.argv[2]), address(sys.argv[3])))
