"""Connect to a DERP as tailscaled does, with any node key, and report whether it admits that key.

Reads a JSON object from stdin: {"address": IP, "port": number, "name": in its certificate, "ca": PEM text, "key": the
private node key in hexadecimal digits, "stay": seconds}. Prints a line at once: `admitted`, `refused`, or another
problem; and, if it was admitted and "stay" is not 0, a second one: `ended` when the DERP ends the connection, `silent`
when it sends nothing for so many seconds.

The protocol is that of tailscale.com v1.102.5, derp/derp.go: the client proves its key with a NaCl box, of which the
cryptography package has all parts but XSalsa20.
"""
import json
import os
import socket
import ssl
import struct
import sys

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.poly1305 import Poly1305

MAGIC = 'DERP\U0001f511'.encode()
SERVER_KEY, CLIENT_INFO, SERVER_INFO = 1, 2, 3
CONSTANTS = struct.unpack('<4I', b'expand 32-byte k')
#: Quarter rounds of a double round of Salsa20: columns, then rows.
QUARTERS = ((0, 4, 8, 12), (5, 9, 13, 1), (10, 14, 2, 6), (15, 3, 7, 11),
            (0, 1, 2, 3), (5, 6, 7, 4), (10, 11, 8, 9), (15, 12, 13, 14))


def rounds(key, words):
    """(state before, state after the 20 rounds) of Salsa20 with ``key`` and four words of nonce and counter."""
    first, second = struct.unpack('<4I', key[:16]), struct.unpack('<4I', key[16:])
    before = ((CONSTANTS[0],) + first + (CONSTANTS[1],) + words + (CONSTANTS[2],) + second + (CONSTANTS[3],))
    state = list(before)
    for _ in range(10):
        for quarter in QUARTERS:
            for step, distance in zip(range(4), (7, 9, 13, 18)):
                target = quarter[(step + 1) % 4]
                total = (state[quarter[step]] + state[quarter[step - 1]]) & 0xffffffff
                state[target] ^= (total << distance | total >> 32 - distance) & 0xffffffff
    return before, state


def hsalsa20(key, nonce):
    _before, state = rounds(key, struct.unpack('<4I', nonce))
    return struct.pack('<8I', *[state[number] for number in (0, 5, 10, 15, 6, 7, 8, 9)])


def xsalsa20(key, nonce, length):
    """``length`` bytes of the stream."""
    key, stream = hsalsa20(key, nonce[:16]), b''
    while len(stream) < length:
        number = len(stream) // 64
        before, state = rounds(key, struct.unpack('<2I', nonce[16:]) + (number & 0xffffffff, number >> 32))
        stream += struct.pack('<16I', *[(a + b) & 0xffffffff for a, b in zip(before, state)])
    return stream[:length]


def seal(private, public, text):
    """The NaCl box of ``text``, its nonce before it."""
    shared = hsalsa20(private.exchange(X25519PublicKey.from_public_bytes(public)), bytes(16))
    nonce = os.urandom(24)
    stream = xsalsa20(shared, nonce, 32 + len(text))
    sealed = bytes(a ^ b for a, b in zip(text, stream[32:]))
    return nonce + Poly1305.generate_tag(stream[:32], sealed) + sealed


def read_frame(stream):
    """(type, body) of the next frame. :raises EOFError: the DERP has closed the connection."""
    head = stream.read(5)
    if len(head) < 5:
        raise EOFError('the DERP closed the connection')
    kind, length = struct.unpack('>BI', head)
    return kind, stream.read(length)


def connect(request):
    """The stream and the socket of a connection that was admitted.

    :raises EOFError: the DERP refused the key. :raises OSError: there is no DERP.
    """
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(request['key']))
    context = ssl.create_default_context(cadata=request['ca'])
    plain = socket.create_connection((request['address'], request['port']), 10)
    tls = context.wrap_socket(plain, server_hostname=request['name'])
    tls.sendall('GET /derp HTTP/1.1\r\nHost: {}\r\nUpgrade: DERP\r\nConnection: Upgrade\r\n\r\n'.format(
        request['name']).encode())
    stream = tls.makefile('rb')
    status = stream.readline()
    if b' 101 ' not in status:
        raise OSError('no DERP: {!r}'.format(status))
    while stream.readline().strip():
        pass
    kind, body = read_frame(stream)
    if kind != SERVER_KEY or not body.startswith(MAGIC):
        raise OSError('no DERP: frame {}'.format(kind))
    public = private.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
    box = seal(private, body[len(MAGIC):len(MAGIC) + 32], b'{"version": 2}')
    tls.sendall(struct.pack('>BI', CLIENT_INFO, len(public + box)) + public + box)
    kind, _body = read_frame(stream)
    if kind != SERVER_INFO:
        raise OSError('frame {} instead of an admission'.format(kind))
    return stream, tls


def say(text):
    print(text, flush=True)


def main():
    request = json.load(sys.stdin)
    try:
        stream, tls = connect(request)
    except EOFError:
        say('refused')
        return
    except OSError as error:
        say(str(error))
        return
    say('admitted')
    if not request['stay']:
        return
    tls.settimeout(request['stay'])
    try:
        while True:
            read_frame(stream)
    except socket.timeout:
        say('silent')
    except (EOFError, OSError):
        say('ended')


if __name__ == '__main__':
    main()
