"""Parts of several tests: a STUN server's answers, and the administrator of a site with remote hosts."""
import dataclasses
import datetime
import socket
import struct
from types import SimpleNamespace

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.headscale.rest import ServerDown
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays.remote_admin import RemoteAdmin
from ua_overlay.site.site import Site
from ua_overlay.trust import store

NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)


@pytest.fixture
def stun_answer():
    """Function(transaction, packed address, port, kind of attribute) -> the bytes of a STUN server's answer."""
    def answer(transaction, packed, port, kind=0x0020):
        mask = struct.pack('>I', 0x2112A442) + transaction if kind == 0x0020 else bytes(16)
        value = b'\0' + (b'\1' if len(packed) == 4 else b'\2')
        value += struct.pack('>H', port ^ struct.unpack('>H', mask[:2])[0])
        value += bytes(a ^ b for a, b in zip(packed, mask))
        attribute = struct.pack('>HH', kind, len(value)) + value
        return b'\x01\x01' + struct.pack('>HI', len(attribute), 0x2112A442) + transaction + attribute

    return answer


@pytest.fixture
def udp():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        link.bind(('127.0.0.1', 0))
        yield link


class Headscale:
    """Plays the REST interface; ``down`` makes every call fail."""

    def __init__(self):
        self.down, self.nodes_there, self.calls = False, [], []

    def __getattr__(self, name):
        def call(*arguments):
            if self.down:
                raise ServerDown('down')
            self.calls.append((name,) + arguments)
            if name in ('nodes', 'keys'):
                return list(self.nodes_there) if name == 'nodes' else []
            if name == 'expire_node':
                self.nodes_there = [dataclasses.replace(node, expiry=NOW) for node in self.nodes_there]
            if name == 'delete_node':
                self.nodes_there = [node for node in self.nodes_there if node.id != arguments[0]]
            return SimpleNamespace(id='7', key='hskey-auth-aaaaaaaaaaaa-bbbb')
        return call


@pytest.fixture
def headscale():
    return Headscale()


@pytest.fixture
def requests():
    """What the running server was asked."""
    return []


@pytest.fixture
def admin(tmp_path, headscale, requests):
    settings = SiteSettings('s.test', ('203.0.113.10',))
    site = Site.create(str(tmp_path / 'site'), settings, lambda directory: store.init(
        directory, 's.test', ['s.test'], ['203.0.113.10'], utc_now()))
    return RemoteAdmin(site, lambda: headscale, lambda: NOW, lambda path, operation: requests.append(operation))
