"""Which of a site's ports is taken. The sockets are real."""
import socket

import pytest

from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server.ports import StartError, check_ports


@pytest.mark.parametrize('kind, field, option', [
    (socket.SOCK_STREAM, 'port', '--port'),
    (socket.SOCK_DGRAM, 'stun_port', '--stun-port'),
    (socket.SOCK_DGRAM, 'relay_port', '--relay-port'),
])
def test_a_taken_port_is_named(kind, field, option):
    free = []
    for each in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_DGRAM):
        probe = socket.socket(socket.AF_INET, each)
        probe.bind(('127.0.0.1', 0))
        free.append(probe)
    ports = dict(zip(('port', 'stun_port', 'relay_port'), (probe.getsockname()[1] for probe in free)))
    for probe in free:
        probe.close()
    settings = SiteSettings('s.test', (), **ports)
    check_ports(settings)
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(('0.0.0.0', ports[field]))
        if kind == socket.SOCK_STREAM:
            taken.listen(1)
        with pytest.raises(StartError, match='port {} is taken'.format(ports[field])) as caught:
            check_ports(settings)
        assert option in caught.value.next_command


def test_a_port_without_permission():
    class Forbidden(socket.socket):
        def bind(self, address):
            raise PermissionError(13, 'Permission denied')

    with pytest.raises(StartError, match='TCP port 443 cannot be opened: Permission denied') as caught:
        check_ports(SiteSettings('s.test', port=443), Forbidden)
    assert caught.value.next_command.startswith('sudo')
