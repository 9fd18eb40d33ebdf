"""`server service install` on a machine with its own systemd: the service works, survives a reboot, and can be removed.

The package lies in root's home, which the server's user may not enter: the unit has to make it visible.
"""
import contextlib
import json
import os
import time

import pytest
import vendor
from places import ROOT
from topologies import network

from ua_overlay.firewall import egress
from ua_overlay.lab import images
from ua_overlay.lab.fleet import SERVER_NAME, SITE_DIR, Fleet
from ua_overlay.lab.images import USER
from ua_overlay.lab.machines import Machine
from ua_overlay.server import service
from ua_overlay.toolchain import locate

CHECKOUT = '/root/ua_overlay'
ADDRESS = '203.0.113.10'
SECRETS = ('ca.key', 'server.key', 'api.key', 'headscale/noise.key', 'headscale/derp.key', 'headscale/db.sqlite')
SOCKETS = ('run/headscale.sock', 'run/control.sock', 'run/relay.sock', 'run/tailscaled.sock')
UNITS = (service.SERVER.unit, service.SERVER_RELAY.unit)


@contextlib.contextmanager
def machine_on(lab, host):
    """A machine with the package in root's home."""
    binds = [(ROOT, CHECKOUT), vendor.tools()]
    with Machine(lab, host, images.get(images.SERVER), hostname='box', binds=binds) as machine:
        machine.run(['ln', '-s', CHECKOUT + '/scripts/ua-overlay', '/usr/local/bin/ua-overlay'])
        yield machine


@pytest.fixture(scope='module')
def lab(new_lab):
    running = new_lab(network({'dev-1': 'nat1'}, hosts=('server', 'lab-b')), 'server')
    yield running


@pytest.fixture(scope='module')
def server(lab):
    """A machine in the network of a lab's server, with a new site on it."""
    with machine_on(lab, 'server') as machine:
        overlay(machine, 'server', 'init', '--name', SERVER_NAME, '--address', ADDRESS)
        yield machine


def overlay(machine, *argv, check=True, user=None):
    return machine.run(['ua-overlay'] + list(argv), check=check, timeout=120, user=user)


def status(machine):
    return json.loads(overlay(machine, 'server', 'status', '--json', check=False).stdout)


def wait_up(machine):
    machine.wait('server and relay', lambda: status(machine)['healthy'] and status(machine)['relay'] == 'up')


def owners(machine):
    return set(machine.run(['find', SITE_DIR, '-printf', '%u\\n']).stdout.split())


def test_the_server_works_in_its_sandbox_and_after_a_reboot(server):
    shown = overlay(server, 'server', 'service', 'install', '--dry-run').stdout
    assert 'User={}\n'.format(service.USER) in shown and 'write ' + service.UNIT in shown
    assert server.property(service.UNIT_NAME, 'LoadState') == 'not-found'
    overlay(server, 'server', 'service', 'install')
    # systemctl returns when Headscale answers: no wait here.
    assert status(server)['healthy'], server.journal(service.UNIT_NAME)
    wait_up(server)
    for unit in UNITS:
        verify = server.run(['systemd-analyze', 'verify', unit])
        assert verify.stdout + verify.stderr == ''
        score = server.run(['systemd-analyze', 'security', '--no-pager', '--threshold=15', unit], check=False)
        assert score.returncode == 0, score.stdout
        kernel = server.run(['cat', '/proc/{}/status'.format(server.property(unit, 'MainPID'))]).stdout
        assert 'NoNewPrivs:\t1\n' in kernel and 'CapBnd:\t0000000000000000\n' in kernel
        assert server.property(unit, 'NRestarts') == '0'
    assert 'in a process of its own' in overlay(server, 'server', 'status').stdout

    server.reboot()
    wait_up(server)
    verify = server.run(['systemd-analyze', 'verify', egress.SERVER.unit])
    assert verify.stdout + verify.stderr == ''
    assert server.property(egress.SERVER.unit, 'ActiveState') == 'active'
    assert ADDRESS in server.run(['nft', 'list', 'table', 'inet', egress.SERVER.table]).stdout


def rule_of(machine, which):
    return machine.run(['nft', 'list', 'table', 'inet', which.table], check=False).stdout


def seen_rule(machine):
    """The row of `server check` about the rule: (ok, text)."""
    rows = json.loads(overlay(machine, 'server', 'check', '--json', check=False).stdout)
    return next((row['ok'], row['text']) for row in rows if row['what'] == 'egress rule')


@pytest.mark.fault('new', "The server's egress rule is deleted or gets an address too many",
                   behaviour='`server check` says so; the keeper loads it again', reported='at once: server check',
                   recovery='120 s', lost='nothing')
def test_the_keeper_restores_the_egress_rule_and_the_check_reports_it(server):
    keeper = egress.SERVER.keeper
    verify = server.run(['systemd-analyze', 'verify', keeper])
    assert verify.stdout + verify.stderr == ''
    score = server.run(['systemd-analyze', 'security', '--no-pager', '--threshold=20', keeper], check=False)
    assert score.returncode == 0, score.stdout
    server.wait('the keeper', lambda: 'Servers of the site: ' + ADDRESS in server.journal(keeper))
    assert seen_rule(server) == (True, 'in force for ' + ADDRESS)
    server.run(['systemctl', 'stop', keeper])
    server.run(['nft', 'delete', 'table', 'inet', egress.SERVER.table])
    ok, text = seen_rule(server)
    assert ok is False and 'not loaded' in text
    shown = overlay(server, 'server', 'check', check=False)
    assert shown.returncode == 1 and 'sudo systemctl restart ' + keeper in shown.stdout
    server.run(['systemctl', 'restart', keeper])
    server.wait('the rule again', lambda: seen_rule(server)[0])
    assert 'missing; it is loaded again' in server.journal(keeper)
    server.run(['nft', 'add', 'element', 'inet', egress.SERVER.table, 'site4', '{ 198.51.100.7 }'])
    server.wait('the address to go', lambda: '198.51.100.7' not in rule_of(server, egress.SERVER))


def test_the_server_user_connects_only_to_the_site(server):
    def connect(user, address, port):
        code = 'import socket, sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)'
        done = server.run(['runuser', '-u', user, '--', 'python3', '-c', code, address, str(port)], check=False)
        return done.stderr.strip().split('\n')[-1]

    assert connect(service.USER, ADDRESS, 8080) == connect(service.USER, '127.0.0.1', 8080) == ''
    # The lab's internet answers that the address is unreachable; the rule refuses before that.
    assert 'refused' in connect(service.USER, '198.51.100.1', 443)
    assert 'unreachable' in connect('root', '198.51.100.1', 443).lower()


#: Prints the statuses that the peerAPI of a peer answers: argv[1] is its name; the others are a method and a path each.
ASK_RELAY = '''
import json, subprocess, sys, urllib.request, urllib.error
status = json.loads(subprocess.run(['tailscale', 'status', '--json'], stdout=subprocess.PIPE).stdout)
relay = next(peer for peer in status['Peer'].values() if peer['DNSName'].startswith(sys.argv[1] + '.'))
for method, path in zip(sys.argv[2::2], sys.argv[3::2]):
    request = urllib.request.Request(relay['PeerAPIURL'][0] + path, method=method)
    try:
        with urllib.request.urlopen(request, timeout=15) as answer:
            print(answer.status)
    except urllib.error.HTTPError as error:
        print(error.code)
'''


@pytest.mark.fault('K9', 'A robot uses the relay as a DNS forwarder (peerAPI /dns-query)',
                   behaviour='the egress rule of the server refuses every query but those for names of the site',
                   reported='-', recovery='-', lost='nothing')
def test_a_robot_cannot_resolve_names_through_the_relay(lab, server):
    overlay(server, 'team', 'create', 'blue')
    fleet = Fleet(lab, workspace=None, command=os.path.join(ROOT, 'scripts', 'ua-overlay'))
    overlay(server, 'invite', 'blue', 'dev-1', '--output', '/root/blue.yaml')
    path = fleet.carry('dev-1', server.run(['cat', '/root/blue.yaml']).stdout)
    fleet.prepare('dev-1', path)
    fleet.overlay('dev-1', 'join', path, user=USER)
    programs = os.path.dirname(locate('tailscale'))

    def statuses(*words):
        """Those of the relay's answers, [] while it is no peer."""
        return lab.host('dev-1').run(['python3', '-c', ASK_RELAY, 'relay'] + list(words), check=False, env=dict(
            fleet.base_environment(), PATH='{}:{}'.format(programs, os.environ['PATH']))).stdout.split()

    def ask(name):
        """Whether the lab's name server got the query from the server's machine."""
        assert statuses('GET', '/dns-query?q=' + name) in (['200'], ['500'])
        return any(query[1:] == (name, ADDRESS) for query in lab.dns_queries())

    server.wait('the relay among the peers', lambda: statuses('GET', '/dns-query?q=' + SERVER_NAME) == ['200'])
    # The other doors of the peerAPI are closed: files, debugging, ingress, wake-on-LAN.
    assert statuses('PUT', '/v0/put/file', 'GET', '/v0/env', 'GET', '/v0/metrics', 'GET', '/v0/goroutines',
                    'GET', '/v0/magicsock', 'GET', '/v0/dnsfwd', 'GET', '/v0/interfaces', 'GET', '/v0/sockstats',
                    'GET', '/v0/doctor', 'POST', '/v0/ingress', 'POST', '/v0/wol') == ['403'] * 11
    assert not ask('secret.example.org') and not ask('x.' + SERVER_NAME)
    # Without the rule any name of the server's network can be read, and the query leaves through the server.
    server.run(['systemctl', 'stop', egress.SERVER.keeper])
    server.run(['nft', 'flush', 'chain', 'inet', egress.SERVER.table, 'output'])
    assert ask('open.example.org')
    server.run(['systemctl', 'start', egress.SERVER.keeper])
    server.wait('the rule again', lambda: seen_rule(server)[0])
    fleet.overlay('dev-1', 'leave', '--forget', user=USER)
    overlay(server, 'robot', 'remove', 'dev-1')
    overlay(server, 'team', 'remove', 'blue')


def test_a_second_install_changes_nothing(server):
    before = [server.property(unit, 'InvocationID') for unit in UNITS]
    assert 'nothing changed' in overlay(server, 'server', 'service', 'install').stdout
    assert [server.property(unit, 'InvocationID') for unit in UNITS] == before


@pytest.mark.fault('new', 'The server is restarted or killed while its relay carries links',
                   behaviour='The relay is a unit of its own and goes on', reported='-', recovery='-', lost='nothing')
def test_the_relay_goes_on_when_the_server_restarts_or_dies(server):
    """Links over it: test_two_hosts.py."""
    def relay():
        # Its status may be 1: just after a restart of the server it waits for Headscale.
        return server.property(service.SERVER_RELAY.unit, 'MainPID'), json.loads(
            overlay(server, 'server', 'relay', 'status', '--json', check=False).stdout)['relay']['pid']

    wait_up(server)
    before = relay()
    server.run(['systemctl', 'restart', service.UNIT_NAME])
    assert status(server)['healthy'] and relay() == before
    server.run(['systemctl', 'stop', service.UNIT_NAME])
    shown = overlay(server, 'server', 'status', check=False)
    assert shown.returncode == 1 and 'not running' in shown.stdout and 'in a process of its own' in shown.stdout
    server.run(['systemctl', 'start', service.UNIT_NAME])
    assert relay() == before
    # The other way round: the server goes on, and says what is missing.
    server.run(['systemctl', 'stop', service.SERVER_RELAY.unit])
    report = status(server)
    assert report['healthy'] and report['relay'] == "The relay's process does not run"
    checked = overlay(server, 'server', 'check', check=False)
    assert checked.returncode == 1 and 'sudo systemctl start ua-overlay-server-relay' in checked.stdout
    server.run(['systemctl', 'start', service.SERVER_RELAY.unit])
    wait_up(server)


@pytest.mark.fault('new', 'root changes files of the site',
                   behaviour="They belong to the server's user after its next start", reported='-',
                   recovery='with the next start', lost='nothing')
def test_files_belong_to_the_server_after_root_changed_them(server):
    overlay(server, 'team', 'create', 'iris')
    overlay(server, 'invite', 'iris', 'dev-1', '--output', '/root/dev-1.yaml')
    assert server.run(['stat', '-c', '%U %a', '/root/dev-1.yaml']).stdout == 'root 600\n'
    overlay(server, 'server', 'renew')
    assert owners(server) == {service.USER}
    server.run(['systemctl', 'reload', service.UNIT_NAME])
    server.run(['systemctl', 'restart', service.UNIT_NAME])
    assert status(server)['healthy'] and status(server)['teams'] == ['iris']
    # A file that root adds, such as a restored backup, belongs to the server after its next start.
    server.run(['touch', SITE_DIR + '/headscale/of-root'])
    server.run(['systemctl', 'restart', service.UNIT_NAME])
    assert owners(server) == {service.USER}


def test_keys_database_and_sockets_are_closed_to_others(server):
    wait_up(server)
    for name in SECRETS:
        path = os.path.join(SITE_DIR, name)
        assert server.run(['stat', '-c', '%U %a', path]).stdout == '{} 600\n'.format(service.USER), name
        assert server.run(['cat', path], user=USER, check=False).returncode != 0
    for name in SOCKETS:
        assert server.run(['test', '-S', os.path.join(SITE_DIR, name)]).returncode == 0, name
        assert server.run(['test', '-e', os.path.join(SITE_DIR, name)], user=USER, check=False).returncode != 0
    # The only TCP service for others is control: no gRPC, no metrics. The relay's peerAPI listens on every address, as
    # that of every tailscaled without an interface, and closes connections that are not from peers.
    tcp = {line.split()[3].rsplit(':', 1)[1] for line in server.run(['ss', '-Hltn']).stdout.splitlines()
           if not line.split()[3].startswith(('127.', '[::1]'))} - {'8080'}
    for port in tcp:
        code = ('import socket, sys\n'
                'with socket.create_connection((sys.argv[1], int(sys.argv[2])), 10) as link:\n'
                '    link.settimeout(10)\n'
                '    try:\n'
                '        link.sendall(b"GET / HTTP/1.0\\r\\n\\r\\n")\n'
                '        print(link.recv(100))\n'
                '    except ConnectionError:\n'
                '        print(b"")\n')
        assert server.run(['python3', '-c', code, ADDRESS, port]).stdout == "b''\n", port


def test_a_remote_host_runs_its_relay_and_its_derp_as_services(lab, server):
    overlay(server, 'relay', 'create', 'lab-b', '--address', '203.0.113.11', '--output', '/root/relay.yaml')
    overlay(server, 'derp', 'create', 'lab-b', '--address', '203.0.113.11', '--output', '/root/derp.yaml')
    # The site has one more address: the server's rule includes it.
    server.wait('the new address', lambda: '203.0.113.11' in rule_of(server, egress.SERVER))
    with machine_on(lab, 'lab-b') as host:
        for served in (service.RELAY, service.DERP):
            path = '/root/{}.yaml'.format(served.kind)
            host.write(path, server.run(['cat', path]).stdout, mode='600')
            overlay(host, served.kind, 'service', 'install', '--enrolment', path)
            place = '/var/lib/ua_overlay/' + served.kind
            host.wait(served.kind, lambda words=(served.kind, 'status', '--dir', place): overlay(
                host, *words, check=False).returncode == 0)
            owner = host.run(['find', place, '-printf', '%u\\n']).stdout.split()
            assert set(owner) == {served.user}
            assert 'nothing changed' in overlay(host, served.kind, 'service', 'install').stdout
            verify = host.run(['systemd-analyze', 'verify', served.unit, served.egress.unit, served.egress.keeper])
            assert verify.stdout + verify.stderr == ''
            assert ADDRESS in rule_of(host, served.egress)
            assert 'in force for' in overlay(host, served.kind, 'status', '--dir', place).stdout
        # A new certificate is in force when the command returns.
        begun = host.property(service.DERP.unit, 'InvocationID')
        overlay(server, 'derp', 'create', 'lab-b', '--again', '--output', '/root/derp.yaml', '--overwrite')
        host.write('/root/derp.yaml', server.run(['cat', '/root/derp.yaml']).stdout, mode='600')
        assert 'nothing changed' not in overlay(
            host, 'derp', 'service', 'install', '--enrolment', '/root/derp.yaml').stdout
        assert host.property(service.DERP.unit, 'InvocationID') != begun
        assert 'nothing changed' in overlay(host, 'derp', 'service', 'install', '--enrolment', '/root/derp.yaml').stdout
        # The server's name gets another address.
        host.run(['sh', '-c', 'echo 203.0.113.77 {} >> /etc/hosts'.format(SERVER_NAME)])
        for served in (service.RELAY, service.DERP):
            host.run(['systemctl', 'restart', served.egress.keeper])
            host.wait('the new address', lambda which=served.egress: '203.0.113.77' in rule_of(host, which))
            host.run(['systemctl', 'stop', served.egress.keeper])
            host.run(['nft', 'flush', 'chain', 'inet', served.egress.table, 'output'])
            place = '/var/lib/ua_overlay/' + served.kind
            flawed = overlay(host, served.kind, 'status', '--dir', place, check=False)
            assert flawed.returncode == 4 and 'another program changed it' in flawed.stdout
        for served in (service.RELAY, service.DERP):
            overlay(host, served.kind, 'service', 'remove')
            assert host.run(['getent', 'passwd', served.user], check=False).returncode == 2
        assert host.run(['nft', 'list', 'tables']).stdout == ''
        assert host.run(['test', '-e', '/etc/ua_overlay'], check=False).returncode == 1


@pytest.mark.fault('new', "The server's main process is killed under systemd", behaviour='systemd starts it again',
                   reported='-', recovery='120 s', lost='nothing')
def test_the_server_stops_in_time_and_is_restarted_after_a_crash(server):
    begin = time.monotonic()
    server.run(['systemctl', 'stop', service.UNIT_NAME])
    assert time.monotonic() - begin < 20 and server.property(service.UNIT_NAME, 'Result') == 'success'
    server.run(['systemctl', 'start', service.UNIT_NAME])
    server.run(['systemctl', 'kill', '--signal=KILL', '--kill-whom=main', service.UNIT_NAME])
    server.wait('the next start', lambda: server.property(service.UNIT_NAME, 'NRestarts') == '1' and
                server.property(service.UNIT_NAME, 'ActiveState') == 'active')
    assert status(server)['healthy']


def test_a_derper_beside_headscale_is_added_to_a_running_site(server):
    """As docs/operate.md says: one line in site.yaml, and one command, which restarts both units in the right order."""
    server.run(['sh', '-c', 'echo "derp_port: 8443" >> ' + SITE_DIR + '/site.yaml'])
    assert 'nothing changed' not in overlay(server, 'server', 'service', 'install').stdout
    server.wait('derper', lambda: (status(server)['own_derp'] or {}).get('ok'))
    rows = json.loads(overlay(server, 'server', 'check', '--json', check=False).stdout)
    assert [row['ok'] for row in rows if row['what'] in ('DERP beside Headscale', 'STUN')] == [True, True], rows
    listening = server.run(['ss', '-Hlunp', 'sport', '=', ':3478']).stdout
    assert 'derper' in listening and 'headscale' not in listening
    assert owners(server) == {service.USER}
    wait_up(server)
    assert 'nothing changed' in overlay(server, 'server', 'service', 'install').stdout


def test_removal_leaves_only_the_site(server):
    overlay(server, 'server', 'service', 'remove')
    for unit in UNITS:
        assert server.property(unit, 'LoadState') == 'not-found'
    assert server.property(egress.SERVER.unit, 'LoadState') == 'not-found'
    assert server.property(egress.SERVER.keeper, 'LoadState') == 'not-found'
    assert server.run(['nft', 'list', 'tables']).stdout == ''
    assert server.run(['getent', 'passwd', service.USER], check=False).returncode == 2
    assert owners(server) == {'root'}
    assert server.run(['test', '-e', '/etc/ua_overlay'], check=False).returncode == 1
    assert overlay(server, 'server', 'service', 'remove').stdout == 'There was no service.\n'
    assert status(server)['teams'] == ['iris'] and not status(server)['running']
