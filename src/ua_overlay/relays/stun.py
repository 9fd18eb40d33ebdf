"""STUN messages that Headscale and derper answer (tailscale: net/stun). Pure: bytes to bytes.

These servers ignore a request without SOFTWARE "tailnode" and FINGERPRINT, so most STUN clients get no answer.
"""
import binascii
import ipaddress
import struct
from typing import Optional, Tuple

_COOKIE = 0x2112A442
_SOFTWARE, _FINGERPRINT, _MAPPED, _XOR_MAPPED = 0x8022, 0x8028, 0x0001, 0x0020
_NAME = b'tailnode'


def request(transaction: bytes) -> bytes:
    """Return a binding request.

    :param transaction: 12 random bytes that identify the answer.
    """
    body = struct.pack('>HH', _SOFTWARE, len(_NAME)) + _NAME
    message = struct.pack('>HHI', 0x0001, len(body) + 8, _COOKIE) + transaction + body
    return message + struct.pack('>HHI', _FINGERPRINT, 4, binascii.crc32(message) & 0xffffffff ^ 0x5354554e)


def parse_response(data: bytes, transaction: bytes) -> Optional[Tuple[str, int]]:
    """Return the (address, port) that the server saw; None when ``data`` does not answer ``transaction``."""
    if len(data) < 20 or data[:2] != b'\x01\x01' or data[8:20] != transaction:
        return None
    position, end = 20, min(len(data), 20 + struct.unpack('>H', data[2:4])[0])
    while position + 4 <= end:
        kind, size = struct.unpack('>HH', data[position:position + 4])
        value = data[position + 4:position + 4 + size]
        if kind in (_MAPPED, _XOR_MAPPED) and len(value) in (8, 20):
            return _address(value, data[4:20] if kind == _XOR_MAPPED else bytes(16))
        position += 4 + (size + 3) // 4 * 4
    return None


def _address(value: bytes, mask: bytes) -> Tuple[str, int]:
    port: int = struct.unpack('>H', value[2:4])[0] ^ struct.unpack('>H', mask[:2])[0]
    packed = bytes(byte ^ other for byte, other in zip(value[4:], mask))
    address = ipaddress.ip_address(packed)
    return str(getattr(address, 'ipv4_mapped', None) or address), port
