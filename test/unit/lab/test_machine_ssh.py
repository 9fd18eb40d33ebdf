"""The configuration of ssh into machines."""
import collections

from ua_overlay.lab import machine_ssh


def test_each_host_has_its_own_proxy_command():
    process = collections.namedtuple('Process', 'pid start')
    text = machine_ssh.config('/keys', {'dev-1': process(17, 4), 'server': process(18, 5)})
    assert 'Host dev-1\n' in text and '--pid 17 --start 4' in text and 'StrictHostKeyChecking yes' in text
    assert 'IdentityFile /keys/key\n' in text
