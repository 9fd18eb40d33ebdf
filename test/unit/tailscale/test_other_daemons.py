"""A tailscaled beside tailscaled.service: a snap, a container, a vendor's unit; and the processes of this machine."""
import os
import signal
import subprocess

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale import other_daemons
from ua_overlay.tailscale.other_daemons import DaemonProcess, check_competing

ARGV = ('/usr/sbin/tailscaled', '--state=/x')


def process(pid, cgroup, argv=ARGV, here=True):
    return DaemonProcess(pid, argv, cgroup, here)


OWN = process(7, '/system.slice/tailscaled.service')


@pytest.mark.parametrize('cgroup, how, stop', [
    ('/system.slice/snap.tailscale.tailscaled.service', 'the snap tailscale', 'sudo snap stop --disable tailscale'),
    ('/system.slice/docker-0123456789abcdef.scope', 'a container', 'sudo docker stop 0123456789ab'),
    ('/docker/0123456789abcdef', 'a container', 'sudo docker stop 0123456789ab'),
    ('/machine.slice/libpod-0123456789abcdef.scope/container', 'a process of its own', 'sudo kill 8'),
    ('/machine.slice/libpod-0123456789abcdef.scope', 'a container', 'sudo podman stop 0123456789ab'),
    ('/system.slice/vendor-vpn.service', 'the unit vendor-vpn.service',
     'sudo systemctl disable --now vendor-vpn.service'),
    ('/user.slice/user-1000.slice/session-1.scope', 'a process of its own', 'sudo kill 8')])
@pytest.mark.fault('case 8', 'A snap or a container runs another tailscaled on the robot',
                   behaviour='nothing is written', reported='at once: robot prepare names it',
                   recovery='with the command that it prints', lost='nothing')
def test_another_tailscaled_is_named_with_the_command_that_stops_it(cgroup, how, stop):
    with pytest.raises(OverlayError) as caught:
        check_competing([OWN, process(8, cgroup)], 7)
    assert 'process 8, {})'.format(how) in caught.value.sentence and caught.value.next_command == stop


@pytest.mark.parametrize('harmless', [
    OWN, process(7, '/system.slice/x.service'),
    process(8, '/x', ARGV + ('--tun=userspace-networking',)),  # a site's relay
    process(8, '/lxc.payload.x', here=False), process(8, '/x', ARGV[:1] + ('--cleanup',)),
    process(8, '/user.slice/session-1.scope', ARGV[:1] + ('be-child', 'ssh', '--uid=1'))])
def test_a_tailscaled_that_takes_nothing(harmless):
    check_competing([harmless], 7)


@pytest.mark.skipif(os.geteuid() != 0, reason='Only root sees the namespaces of other processes.')
def test_running_processes_are_found_by_name(tmp_path):
    program = tmp_path / 'tailscaled'
    os.symlink('/bin/sleep', str(program))
    for prefix, here in (([], True), (['unshare', '--net'], False)):
        child = subprocess.Popen(prefix + [str(program), '77'])
        try:
            wait_for(child.pid)
            found = {each.pid: each for each in other_daemons.running_daemons()}
            assert found[child.pid].here is here and found[child.pid].argv == (str(program), '77')
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()


def wait_for(pid):
    """Until the process has its name, which exec gives it."""
    for _ in range(10000):
        with open('/proc/{}/comm'.format(pid)) as stream:
            if stream.read() == 'tailscaled\n':
                return
        os.sched_yield()
    raise AssertionError('exec did not happen')
