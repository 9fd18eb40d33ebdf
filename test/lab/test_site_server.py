"""`server run` under stress: crashes, kills, restarts, renewals, taken ports, no privileges."""
import os
import signal
import socket
import ssl
import subprocess
import sys

import pytest
from shifted_clock import DAY
from site_on_loopback import COMMAND, LoopbackSite, alive

from ua_overlay.clock import utc_now
from ua_overlay.lab.wait import wait
from ua_overlay.system import files
from ua_overlay.trust import certificate, store


@pytest.fixture
def site():
    made = LoopbackSite()
    try:
        made.init()
        yield made
    finally:
        made.close()


def served_certificate(site):
    """The certificate (DER) that a client of the server gets."""
    context = ssl.create_default_context(cafile=os.path.join(site.directory, 'ca.pem'))
    with socket.create_connection(('127.0.0.1', site.port), 5) as plain:
        with context.wrap_socket(plain, server_hostname='localhost') as connection:
            return connection.getpeercert(binary_form=True)


@pytest.mark.fault('new', 'Headscale or the relay of the server is killed with -9',
                   behaviour='The server starts it again; robots are back', reported='-',
                   recovery='60 s; robots after 90 s', lost='nothing')
@pytest.mark.fault('new', '`server run` is killed with -9', behaviour='Its processes end with it; the next start works',
                   reported='-', recovery='60 s from the next start', lost='nothing')
@pytest.mark.fault('new', 'The relay loses its state', behaviour='It gets its name again; robots see one relay',
                   reported='-', recovery='60 s', lost='nothing')
def test_stops_crashes_renewal_and_restarts_of_one_site(site):
    # A team that was created before the server runs.
    assert 'not running' in site.call('team', 'create', 'iris').stdout
    site.start()
    robot = site.robot('dev-1')
    assert robot.join(site.invite('iris', 'dev-1', '--master')[0]).returncode == 0
    address = robot.address()

    # It stops soon while a robot is connected, and leaves nothing behind.
    pids = site.processes()
    seconds, status = site.stop()
    assert status == 0 and seconds < 15
    assert not any(alive(pid) for pid in pids.values())
    assert os.listdir(os.path.join(site.directory, 'run')) and not os.path.exists(
        os.path.join(site.directory, 'run', 'control.sock'))
    assert 'not running' in site.call('server', 'status', check=False).stdout
    assert site.call('invite', 'iris', 'dev-2', check=False).returncode == 1

    # After another start: the same robots at the same addresses, and one relay.
    site.start()
    wait('dev-1 to be back', lambda: site.is_online('dev-1'), 60)
    assert [row['addresses'][0] for row in site.json('robot', 'list')] == [address]
    assert robot.peers() == {'relay'}

    # Headscale and the relay crash, and are restarted.
    for name in ('headscale', 'relay'):
        before = site.processes()[name]
        os.kill(before, signal.SIGKILL)
        wait('another ' + name, lambda name=name, before=before: site.processes()[name] != before)
        site.wait_healthy()
    wait('dev-1 to be back', lambda: site.is_online('dev-1'), 90)
    assert site.output().count('started again') == 2

    # A new certificate is served; the robot stays.
    old = served_certificate(site)
    site.call('server', 'renew')
    assert served_certificate(site) != old
    wait('dev-1 to be back', lambda: site.is_online('dev-1'), 90)

    # The server itself is killed: its children end with it, and its old sockets do not stop the next start.
    pids = site.processes()
    site.server.kill()
    site.server.wait()
    wait('the children to end', lambda: not any(alive(pid) for pid in pids.values()))
    site.start()
    assert [row['addresses'][0] for row in site.json('robot', 'list')] == [address]

    # site.yaml is edited, and SIGHUP reloads it.
    path = os.path.join(site.directory, 'site.yaml')
    with open(path, encoding='utf-8') as stream:
        text = stream.read()
    with open(path, 'w', encoding='utf-8') as stream:
        stream.write(text.replace('  iris:\n', '  blue:\n    port: 11312\n    addressing: names\n  iris:\n'))
    site.server.send_signal(signal.SIGHUP)
    wait('the policy to be reloaded', lambda: 'The policy was reloaded: 2 team(s)' in site.output())

    # A relay that lost its state gets its name again.
    site.stop()
    for name in os.listdir(os.path.join(site.directory, 'relay')):
        if name.startswith('tailscaled'):
            os.unlink(os.path.join(site.directory, 'relay', name))
    site.start()
    wait('one relay among the peers', lambda: robot.peers() == {'relay'}, 60)
    assert not os.path.exists(os.path.join(site.directory, 'relay', 'auth.key'))


@pytest.mark.fault('new', "The server's certificate ends soon when the server starts", behaviour='The server renews it',
                   reported="at the start: the server's log", recovery='at the start', lost='nothing')
def test_a_certificate_that_ends_soon_is_renewed_at_the_start(site):
    def read(name):
        with open(os.path.join(site.directory, name), 'rb') as stream:
            return stream.read()

    ca = certificate.load_certificates(read('ca.pem'), 'ca.pem')[0]
    key, short = certificate.issue_server_certificate(
        certificate.load_private_key(read('ca.key'), 'ca.key'), ca, ['localhost'], ['127.0.0.1'],
        utc_now(), days=20)
    files.write_secret(os.path.join(site.directory, 'server.key'), certificate.dump_private_key(key))
    files.write_atomic(os.path.join(site.directory, 'server.pem'), certificate.dump_certificates(short, ca))
    site.start(relay=False)
    assert 'certificate of localhost was renewed' in site.output()
    assert not certificate.needs_renewal(store.load(site.directory).server, utc_now())


@pytest.mark.fault('new', 'A port of the server is taken',
                   behaviour='`server run` ends, and names the port and the next command',
                   reported='at once: server run', recovery='-', lost='nothing')
@pytest.mark.parametrize('kind, word', [(socket.SOCK_STREAM, 'TCP'), (socket.SOCK_DGRAM, 'UDP')])
def test_a_port_that_is_in_use_is_named(site, kind, word):
    port = site.port if kind == socket.SOCK_STREAM else site.relay_port
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(('0.0.0.0', port))
        if kind == socket.SOCK_STREAM:
            taken.listen(1)
        result = site.call('server', 'run', check=False)
    assert result.returncode == 1
    assert '{} port {} is taken'.format(word, port) in result.stderr and 'Next:' in result.stderr


@pytest.mark.fault('new', 'Headscale does not start',
                   behaviour="`server run` ends with Headscale's message and its log", reported='by server run',
                   recovery='-', lost='nothing')
def test_the_message_of_a_headscale_that_does_not_start_is_shown(site):
    # A directory instead of the database.
    os.mkdir(os.path.join(site.directory, 'headscale', 'db.sqlite'))
    result = site.call('server', 'run', check=False)
    assert result.returncode == 1 and 'headscale ended at its start' in result.stderr, result.stderr
    assert 'headscale.log' in result.stderr


@pytest.mark.fault('new', 'SIGTERM while the server starts', behaviour='It stops and leaves no socket', reported='-',
                   recovery='30 s', lost='nothing')
def test_stop_during_the_start(site):
    server = subprocess.Popen([sys.executable, COMMAND, 'server', 'run', '--dir', site.directory],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait('the log of headscale', lambda: os.path.exists(os.path.join(site.directory, 'log', 'headscale.log')))
    server.send_signal(signal.SIGTERM)
    output = server.communicate(timeout=30)[0].decode()
    assert 'Stopped' in output and 'Traceback' not in output
    assert not os.path.exists(os.path.join(site.directory, 'run', 'control.sock'))


@pytest.mark.fault('new', "The server's clock jumps by a day, forward and back, while everything runs",
                   behaviour='Nothing restarts; commands work', reported='-', recovery='at once', lost='nothing')
def test_a_clock_that_jumps(site, shifted_clock):
    """For `server run` and the commands; Headscale and the relay keep the real clock."""
    site.environment.update(shifted_clock.environment)
    site.call('team', 'create', 'iris')
    site.start()
    robot = site.robot('dev-1')
    assert robot.join(site.invite('iris', 'dev-1')[0]).returncode == 0
    pids = site.processes()
    for days in (1, -1, 0):
        shifted_clock.set(days * DAY)
        name = 'team{}'.format(days % 3)
        site.call('team', 'create', name)
        invitation, _ = site.invite(name, 'dev-2', '--force')
        assert abs((invitation.created - utc_now()).total_seconds() - days * DAY) < 60
        wait('A healthy server', lambda: site.json('server', 'status', check=False)['healthy'], 60)
        assert site.json('policy', 'show')['in_force'] is True
    assert site.processes() == pids and site.is_online('dev-1')
    assert 'Traceback' not in site.output() and 'renewed' not in site.output()


@pytest.mark.skipif(os.getuid() != 0, reason='only root can become somebody else')
def test_the_server_runs_without_privileges():
    if subprocess.run(['/usr/bin/python3', COMMAND, '--help'], user='nobody', stdout=subprocess.DEVNULL,
                      stderr=subprocess.DEVNULL).returncode != 0:
        pytest.skip('the user nobody cannot read this checkout')
    site = LoopbackSite(user='nobody')
    try:
        site.init()
        site.start()
        site.call('team', 'create', 'iris')
        site.call('invite', 'iris', 'dev-1')
        for pid in site.processes().values():
            assert os.stat('/proc/{}'.format(pid)).st_uid != 0
    finally:
        site.close()
