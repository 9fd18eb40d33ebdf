"""A tailscaled of our own: started, supervised, stopped, and gone when we are."""
import os
import signal
import subprocess
import sys

import pytest
from releases import RELEASES, tailscaled

from ua_overlay.lab.wait import wait
from ua_overlay.tailscale.daemon import Daemon, DaemonRunning
from ua_overlay.tailscale.localapi import LocalApi

SOURCE = os.path.join(os.path.dirname(__file__), '..', '..', 'src')


def make(tmp_path, release=RELEASES[0], **more):
    return Daemon(tailscaled(release), ca_file='/etc/ua_overlay/ca.pem', tun='userspace-networking',
                  state_dir=str(tmp_path / 'state'), socket_path=str(tmp_path / 'sock'),
                  log_path=str(tmp_path / 'log'), **more)


def alive(pid):
    try:
        with open('/proc/{}/stat'.format(pid)) as stream:
            return stream.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except OSError:
        return False


@pytest.mark.fault('new', 'A tailscaled of our own is killed', behaviour='It starts again', reported='-',
                   recovery='90 s', lost='nothing')
@pytest.mark.parametrize('release', RELEASES)
def test_start_restart_stop(tmp_path, release):
    daemon = make(tmp_path, release)
    with daemon:
        api = LocalApi(daemon.socket_path)
        assert api.status()['BackendState'] == 'NeedsLogin'
        first = daemon.pid
        with open('/proc/{}/environ'.format(first), 'rb') as stream:
            environment = stream.read().split(b'\0')
        assert b'SSL_CERT_FILE=/etc/ua_overlay/ca.pem' in environment
        assert b'TS_NO_LOGS_NO_SUPPORT=true' in environment
        with pytest.raises(DaemonRunning):
            make(tmp_path).start()
        os.kill(first, signal.SIGKILL)
        wait('another one', lambda: daemon.pid not in (None, first), 60)
        wait('it answers', lambda: os.path.exists(daemon.socket_path) and _answers(api))
        assert daemon.restarts == 1
        last = daemon.pid
    assert daemon.pid is None and not alive(last) and not alive(first)


@pytest.mark.fault('new', 'The process that runs our own tailscaled is killed', behaviour='tailscaled ends with it',
                   reported='-', recovery='60 s', lost='nothing')
def test_the_daemon_ends_with_its_parent(tmp_path):
    code = ('import sys, time; sys.path.insert(0, {!r})\n'
            'from ua_overlay.tailscale.daemon import Daemon\n'
            'daemon = Daemon({!r}, tun="userspace-networking", state_dir={!r}, socket_path={!r}).start()\n'
            'print(daemon.pid, flush=True)\ntime.sleep(60)\n').format(
                os.path.abspath(SOURCE), tailscaled(RELEASES[0]), str(tmp_path / 'state'), str(tmp_path / 'sock'))
    parent = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE)
    pid = int(parent.stdout.readline())
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait('tailscaled ended', lambda: not alive(pid), 60)


def _answers(api):
    from ua_overlay.errors import OverlayError
    try:
        return api.status(peers=False)
    except OverlayError:
        return None
