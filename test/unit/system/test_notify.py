"""The messages of a service to systemd."""
import socket

from ua_overlay.system.notify import notify


def test_systemd_is_notified_when_present(tmp_path):
    notify('READY=1', {})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / 'notify'))
        notify('READY=1', {'NOTIFY_SOCKET': str(tmp_path / 'notify')})
        assert listener.recv(100) == b'READY=1'
