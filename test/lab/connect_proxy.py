"""A small HTTP proxy that knows CONNECT alone: connect_proxy.py ADDRESS PORT LOG. Runs on a host of a lab.

It writes the target of each request to LOG, one a line, and connects to it.
"""
import socket
import sys
import threading


def pump(source, target):
    try:
        while True:
            data = source.recv(65536)
            if not data:
                break
            target.sendall(data)
    except OSError:
        pass  # the other direction ended first
    for each in (source, target):
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # it was down already


def serve(client, log):
    with client:
        request = b''
        while not request.endswith(b'\r\n\r\n'):
            byte = client.recv(1)
            if not byte:
                return
            request += byte
        method, target = request.split(b' ')[:2]
        with open(log, 'ab') as stream:
            stream.write(target + b'\n')
        host, port = target.decode().rsplit(':', 1)
        try:
            if method != b'CONNECT':
                raise OSError(method)
            server = socket.create_connection((host, int(port)), 10)
        except OSError:
            client.sendall(b'HTTP/1.1 502 Bad Gateway\r\n\r\n')
            return
        with server:
            client.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')
            threads = [threading.Thread(target=pump, args=pair, daemon=True)
                       for pair in ((client, server), (server, client))]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()


def main(address, port, log):
    with socket.create_server((address, int(port))) as listener:
        while True:
            threading.Thread(target=serve, args=(listener.accept()[0], log), daemon=True).start()


if __name__ == '__main__':
    main(*sys.argv[1:])
