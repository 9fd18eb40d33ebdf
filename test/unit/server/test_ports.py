"""Which of a site's ports is taken, and who opens it. The sockets are real."""
import socket

import pytest

from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server.ports import Port, StartError, check_ports, control_ports, relay_ports

KINDS = {'port': socket.SOCK_STREAM, 'stun_port': socket.SOCK_DGRAM, 'relay_port': socket.SOCK_DGRAM,
         'derp_port': socket.SOCK_STREAM}


@pytest.mark.parametrize('field, option', [
    ('port', '--port'), ('stun_port', '--stun-port'), ('relay_port', '--relay-port'), ('derp_port', '--derp-port')])
def test_a_taken_port_is_named(field, option):
    free = {}
    for name, kind in KINDS.items():
        free[name] = socket.socket(socket.AF_INET, kind)
        free[name].bind(('127.0.0.1', 0))
    numbers = {name: probe.getsockname()[1] for name, probe in free.items()}
    for probe in free.values():
        probe.close()
    settings = SiteSettings('s.test', (), **numbers)
    ports = control_ports(settings) + relay_ports(settings)
    check_ports(ports)
    with socket.socket(socket.AF_INET, KINDS[field]) as taken:
        taken.bind(('0.0.0.0', numbers[field]))
        if KINDS[field] == socket.SOCK_STREAM:
            taken.listen(1)
        with pytest.raises(StartError, match='port {} is taken'.format(numbers[field])) as caught:
            check_ports(ports)
        assert option in caught.value.next_command


def test_the_relay_and_its_derper_have_ports_of_their_own():
    """A server whose relay runs apart must not find those taken."""
    settings = SiteSettings('s.test')
    assert control_ports(settings) == [Port('TCP', 8080, '--port'), Port('UDP', 3478, '--stun-port')]
    assert relay_ports(settings) == [Port('UDP', 40000, '--relay-port')]
    settings = SiteSettings('s.test', derp_port=8443)
    assert [port.number for port in control_ports(settings)] == [8080]
    assert [port.number for port in relay_ports(settings)] == [40000, 8443, 3478]


def test_a_port_without_permission():
    class Forbidden(socket.socket):
        def bind(self, address):
            raise PermissionError(13, 'Permission denied')

    with pytest.raises(StartError, match='TCP port 443 cannot be opened: Permission denied') as caught:
        check_ports(control_ports(SiteSettings('s.test', port=443)), True, Forbidden)
    assert caught.value.next_command.startswith('sudo ua-overlay server relay run ')
