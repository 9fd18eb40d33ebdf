"""The proxy of tailscaled: from its unit, from the file of the egress rule, and from a real process."""
import os
import socket
import subprocess
import sys

import pytest

from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import NFT, Backend
from ua_overlay.tailscale import daemon_proxy
from ua_overlay.tailscale.daemon_proxy import DaemonProxies, proxies_of, unchanged_exceptions
from ua_overlay.tailscale.daemon_unit import DaemonUnit
from ua_overlay.tailscale.prepare import VENDOR_DOMAINS

PROXY = 'http://me:secret@proxy.lan:3128'


def test_an_answer_is_kept_for_a_minute():
    asked, now = [], [0.0]

    def environment():
        asked.append(None)
        return {'HTTPS_PROXY': PROXY, 'NO_PROXY': '.lan'}

    proxies = DaemonProxies(environment, lambda: now[0])
    assert proxies('server.org', 8080).host == 'proxy.lan' and proxies('server.lan', 8080) is None
    now[0] = 61.0
    assert proxies('server.org', 8080) and len(asked) == 2


def test_without_a_unit_the_file_of_the_egress_rule_has_it(tmp_path, monkeypatch):
    monkeypatch.setattr(egress, 'ROBOT', egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft')))
    nothing = dict
    assert daemon_proxy.read_environment(lambda: None, nothing) == {}
    unit = DaemonUnit(('tailscaled',), {'HTTPS_PROXY': PROXY})
    assert daemon_proxy.read_environment(lambda: unit, nothing) == {'HTTPS_PROXY': PROXY}
    settings = egress.Settings(proxies=tuple(proxies_of(unit.environ)))
    (tmp_path / 'egress.nft').write_text(egress.ruleset(egress.ROBOT, settings, Backend(NFT, ('nft',))))
    assert daemon_proxy.read_environment(lambda: None, nothing) == {'HTTPS_PROXY': 'http://proxy.lan:3128'}
    # A tailscaled that the overlay node itself runs (manage_daemon): its process knows best.
    assert daemon_proxy.read_environment(lambda: unit, lambda: {'LANG': 'C'}) == {'LANG': 'C'}
    assert 'secret' not in (tmp_path / 'egress.nft').read_text()


@pytest.mark.skipif(os.geteuid() != 0, reason='Only root reads the environment of other processes.')
def test_the_environment_of_the_process_behind_a_socket(tmp_path):
    path = str(tmp_path / 'socket')
    code = ('import socket, sys; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(5)\n'
            'print("up", flush=True); sys.stdin.read()')
    with subprocess.Popen([sys.executable, '-c', code, path], stdin=-1, stdout=-1,
                          env=dict(os.environ, HTTPS_PROXY=PROXY)) as child:
        assert child.stdout.readline() == b'up\n'
        assert daemon_proxy.listening_process(path) == child.pid
        assert daemon_proxy.running_environment(path)['HTTPS_PROXY'] == PROXY
        child.stdin.close()
    assert daemon_proxy.listening_process(path) is None and daemon_proxy.running_environment(path) == {}
    assert daemon_proxy.running_environment(str(tmp_path / 'none')) == {}


def test_a_silent_socket_has_a_process_too(tmp_path):
    path = str(tmp_path / 'socket')
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        assert daemon_proxy.listening_process(path) == os.getpid()


def test_exceptions_of_the_owner_without_ours():
    assert proxies_of({}) == [] and proxies_of({'https_proxy': 'proxy.lan'}) == ['http://proxy.lan:80']
    ours = ','.join(('.lan', '10.0.0.0/8') + VENDOR_DOMAINS)
    assert unchanged_exceptions({'NO_PROXY': ours}, VENDOR_DOMAINS) == '.lan,10.0.0.0/8'
    assert unchanged_exceptions({}, VENDOR_DOMAINS) == ''
