"""Relays and DERP regions of a site on loopback: a relay that hangs is restarted; commands add a remote host of each
kind, robots find it, and commands remove it; relay and derper apart from the server go on without it."""
import base64
import dataclasses
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys

import pytest
from site_on_loopback import COMMAND, LoopbackSite, free_ports, running_site

from ua_overlay.clock import utc_now
from ua_overlay.lab.wait import wait
from ua_overlay.relays import derp_certificate
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.system import files
from ua_overlay.trust import store


@pytest.fixture(scope='module')
def site():
    with running_site(('iris',)) as made:
        yield made


def relay_report(site):
    return site.control()['relay']


@pytest.mark.fault('new', "The site's relay hangs (SIGSTOP)", behaviour='The server restarts its tailscaled',
                   reported="120 s: the server's log", recovery='240 s', lost='nothing')
def test_a_hanging_relay_is_restarted(site):
    before = relay_report(site)
    os.kill(before['pid'], signal.SIGSTOP)
    try:
        wait('another tailscaled', lambda: relay_report(site)['pid'] not in (None, before['pid']), 120)
    finally:
        if os.path.exists('/proc/{}'.format(before['pid'])):
            os.kill(before['pid'], signal.SIGCONT)
    wait('a relay that is up', lambda: relay_report(site)['ok'], 120)
    assert 'does not answer' in site.output()


@pytest.fixture(scope='module')
def second(site):
    """A relay and a DERP region as on another host. Yields (their processes, their directories)."""
    tcp, stun, udp = free_ports()
    site.call('derp', 'create', 'lab-b', '--address', '127.0.0.1', '--port', str(tcp), '--stun-port', str(stun))
    site.call('relay', 'create', 'lab-b', '--address', '127.0.0.1', '--port', str(udp))
    processes, directories = {}, {}
    try:
        for kind in ('derp', 'relay'):
            enrolment = os.path.join(site.base, 'lab-b.{}.yaml'.format(kind))
            assert os.stat(enrolment).st_mode & 0o777 == 0o600
            directories[kind] = os.path.join(site.base, kind[0])
            with open(os.path.join(site.base, kind + '.log'), 'wb') as log:
                processes[kind] = subprocess.Popen(
                    [sys.executable, COMMAND, kind, 'run', '--dir', directories[kind], '--enrolment', enrolment],
                    env=site.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait('both', lambda: all(row['state'] == 'up' for row in site.json('derp', 'list', check=False)) and all(
            row['ok'] for row in site.json('relay', 'list', check=False)), 90)
        yield processes, directories
    finally:
        for process in processes.values():
            process.terminate()
            process.wait(30)


def test_robots_find_the_remote_host(site, second):
    # The relay's node is online a moment before its port is open: wait.
    wait('A check without faults', lambda: all(
        row['ok'] for row in site.json('server', 'check', '--from-outside', check=False)), 60)
    robots = [site.robot(name, relayed=True) for name in ('iris-1', 'iris-2')]
    for robot in robots:
        made = robot.join(site.invite('iris', robot.name)[0])
        assert made.returncode == 0, made.stderr
    assert robots[0].peers() >= {'relay', 'relay-lab-b'}
    address = robots[1].address()
    # The remote region is their home DERP: the first pongs pass it.
    assert 'Nearest DERP: lab-b' in robots[0].tailscale('netcheck').stdout

    def relayed():
        return 'peer-relay' in robots[0].tailscale('ping', '--c', '1', '--timeout', '3s', address).stdout

    wait('a path over a relay', relayed, 150)
    # The key is used up and not kept; the other secrets are for their owner alone.
    directory = second[1]['relay']
    with open(os.path.join(directory, 'enrolment.yaml'), encoding='utf-8') as stream:
        assert 'hskey' not in stream.read()
    for folder in second[1].values():
        assert os.stat(folder).st_mode & 0o777 == 0o700
        for root, _, names in os.walk(folder):
            for name in names:
                if name.endswith(('.key', 'enrolment.yaml')):
                    assert os.stat(os.path.join(root, name)).st_mode & 0o777 == 0o600, name


def test_headscale_tells_the_remote_derp_to_refuse_unknown_nodes(site, second):
    """derper sends this request for every node, and refuses a node without an answer to it
    (-verify-client-url-fail-open=false).
    """
    context = ssl.create_default_context(cafile=os.path.join(site.directory, 'ca.pem'))

    def allowed(key):
        connection = http.client.HTTPSConnection('localhost', site.port, context=context, timeout=10)
        connection.request('POST', '/verify', json.dumps({'NodePublic': key, 'Source': '127.0.0.1'}))
        return json.loads(connection.getresponse().read())['Allow']

    assert allowed(site.robots[0].status()['Self']['PublicKey']) is True
    assert allowed('nodekey:' + '7' * 64) is False
    with open('/proc/{}/cmdline'.format(derper_pid(site, second)), encoding='utf-8') as stream:
        assert '-verify-client-url-fail-open=false' in stream.read().split('\0')


def derper_pid(site, second):
    return derp_status(site, second)[1]['pid']


def run_derp(site, second, *more):
    """Start the DERP of the remote host again."""
    with open(os.path.join(site.base, 'derp.log'), 'ab') as log:
        second[0]['derp'] = subprocess.Popen(
            [sys.executable, COMMAND, 'derp', 'run', '--dir', second[1]['derp']] + list(more), env=site.environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)


@pytest.mark.fault('new', 'A remote DERP is stopped', behaviour='Robots use the DERP in Headscale until it is back',
                   reported='60 s: derp list, server check', recovery='60 s', lost='nothing')
def test_the_embedded_derp_is_home_without_the_remote_one(site, second):
    process = second[0]['derp']
    process.terminate()
    assert process.wait(30) == 0
    wait('the embedded region as home', lambda: site.json('derp', 'list', check=False)[0]['home'], 60)
    status = site.call('server', 'check', check=False)
    assert status.returncode == 1 and 'DERP lab-b' in status.stdout and 'Next: on that host' in status.stdout
    run_derp(site, second)
    wait('the remote region as home', lambda: site.json('derp', 'list', check=False)[1]['home'], 60)


def derp_status(site, second):
    """(exit status, report) of `derp status` on the remote host."""
    answer = subprocess.run([sys.executable, COMMAND, 'derp', 'status', '--json', '--dir', second[1]['derp']],
                            env=site.environment, stdout=subprocess.PIPE, text=True)
    return answer.returncode, json.loads(answer.stdout)


@pytest.mark.fault('new', 'The certificate of a remote DERP ends soon',
                   behaviour='Server and remote host warn with the command, and exit with status 4',
                   reported='60 s: server status, server check, derp status', recovery='60 s', lost='nothing')
def test_a_certificate_that_ends_soon_is_reported_everywhere_and_replaced(site, second):
    assert site.call('server', 'status').returncode == 0 and derp_status(site, second)[0] == 0
    path = os.path.join(second[1]['derp'], 'enrolment.yaml')
    enrolment = enrolments.read(path, 'derp')
    # It began a day ago: 19 whole days are left.
    key, chain = store.issue(site.directory, [enrolment.host_name], utc_now(), 21)
    files.write_secret(path, enrolments.dump(dataclasses.replace(enrolment, certificate=chain, certificate_key=key)))
    second[0]['derp'].terminate()
    assert second[0]['derp'].wait(30) == 0
    run_derp(site, second)
    wait('the warning', lambda: site.json('server', 'status', check=False)['warnings'], 60)
    status = site.call('server', 'status', check=False)
    assert status.returncode == 4 and 'healthy' in status.stdout
    assert 'DERP lab-b ends in 19 days' in status.stderr and 'derp create lab-b --again' in status.stderr
    check = site.call('server', 'check', check=False)
    assert check.returncode == 1 and 'certificate of DERP at lab-b failed' in check.stdout
    until = derp_certificate.format_end(derp_certificate.end_of(chain))
    assert site.json('derp', 'list', check=False)[1]['certificate_until'] == until
    wait('The warning of the remote host', lambda: derp_status(site, second)[0] == 4, 60)
    told = derp_status(site, second)[1]
    assert told['certificate_until'] == until and 'ends in 19 days' in told['warning']
    with open(os.path.join(site.base, 'derp.log'), encoding='utf-8') as stream:
        assert stream.read().count('ends in 19 days') == 1
    assert site.output().count('ends in 19 days') == 1
    # The command that the warning names.
    site.call('derp', 'create', 'lab-b', '--again', '--overwrite')
    second[0]['derp'].terminate()
    assert second[0]['derp'].wait(30) == 0
    run_derp(site, second, '--enrolment', os.path.join(site.base, 'lab-b.derp.yaml'))
    wait('no warning', lambda: not site.json('server', 'status', check=False)['warnings'], 60)
    assert site.call('server', 'status').returncode == 0
    wait('A remote host without warnings', lambda: derp_status(site, second)[0] == 0, 60)


@pytest.mark.fault('new', 'A remote relay starts after `relay create NAME --again` removed its node',
                   behaviour='It joins with the key of its new enrolment', reported='-', recovery='60 s',
                   lost='nothing')
def test_a_relay_joins_again_with_a_new_enrolment(site, second):
    def relay_id():
        return [node.id for node in site.client().nodes() if node.requested_name == 'relay-lab-b' and node.online]

    wait('a relay that is online', relay_id, 60)
    before = relay_id()
    second[0]['relay'].terminate()
    assert second[0]['relay'].wait(30) == 0
    site.call('relay', 'create', 'lab-b', '--again', '--overwrite')
    with open(os.path.join(site.base, 'relay.log'), 'ab') as log:
        second[0]['relay'] = subprocess.Popen(
            [sys.executable, COMMAND, 'relay', 'run', '--dir', second[1]['relay'],
             '--enrolment', os.path.join(site.base, 'lab-b.relay.yaml')], env=site.environment,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    wait('its new node', lambda: relay_id() not in ([], before), 60)
    wait('a relay that is up', lambda: all(row['ok'] for row in site.json('relay', 'list', check=False)), 30)


def test_robots_no_longer_see_a_removed_relay(site, second):
    site.call('relay', 'remove', 'lab-b')
    wait('robots that know one relay', lambda: 'relay-lab-b' not in site.robots[0].peers(), 60)
    assert [row['name'] for row in site.json('relay', 'list')] == ['site']
    assert site.call('relay', 'remove', 'lab-b', check=False).returncode == 1


@pytest.mark.fault('new', 'The enrolment of a relay is given to a DERP',
                   behaviour='The command refuses it, shows no key and writes nothing', reported='at once: derp run',
                   recovery='-', lost='nothing')
def test_an_enrolment_of_another_kind_is_refused_and_shows_no_key(site, second):
    result = subprocess.run([sys.executable, COMMAND, 'relay', 'status', '--dir', os.path.join(site.base, 'none')],
                            env=site.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and 'is not running' in result.stderr
    enrolment = os.path.join(site.base, 'lab-b.relay.yaml')
    wrong = subprocess.run([sys.executable, COMMAND, 'derp', 'run', '--dir', os.path.join(site.base, 'x'),
                            '--enrolment', enrolment], env=site.environment, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, text=True)
    assert wrong.returncode == 1 and 'enrolment of a relay' in wrong.stderr and 'hskey' not in wrong.stderr
    assert not os.path.exists(os.path.join(site.base, 'x'))


DERP_CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'on_robot', 'derp_client.py')


@pytest.fixture(scope='module')
def apart():
    """A site whose relay and derper run apart from its server, with two robots of one team."""
    made = LoopbackSite(derp=True)
    try:
        made.init()
        made.launch_relay_apart()
        # Its server finds derper at work, so that it is the home of robots from the beginning.
        wait('derper', lambda: (apart_report(made).get('own_derp') or {}).get('ok'), 60)
        made.start()
        made.call('team', 'create', 'iris')
        for name in ('apart-1', 'apart-2'):
            joined = made.robot(name, relayed=True).join(made.invite('iris', name)[0])
            assert joined.returncode == 0, joined.stderr
        wait('each other', lambda: 'apart-2' in made.robots[0].peers() and 'apart-1' in made.robots[1].peers(), 60)
        yield made
    finally:
        made.close()


def apart_report(apart):
    """What `server relay status` shows, {} while it does not run."""
    return json.loads(apart.call('server', 'relay', 'status', '--json', check=False).stdout or '{}')


def home(robot):
    return robot.status()['Self']['Relay']


def answers_of(apart, key):
    """Whether derper admits a private node key, as derp_client.py says."""
    with open(os.path.join(apart.directory, 'ca.pem'), encoding='ascii') as stream:
        request = {'address': '127.0.0.1', 'port': apart.derp_port, 'name': 'localhost', 'ca': stream.read(),
                   'key': key, 'stay': 0}
    # The key goes by stdin: argv and environment can be read by others.
    return subprocess.run([sys.executable, DERP_CLIENT], input=json.dumps(request), stdout=subprocess.PIPE, text=True,
                          timeout=60).stdout.strip()


def node_key(robot):
    """Its private node key, in hexadecimal digits."""
    with open(os.path.join(robot.directory, 'tailscaled.state'), encoding='utf-8') as stream:
        state = json.load(stream)
    profile = base64.b64decode(state['_current-profile']).decode()
    return json.loads(base64.b64decode(state[profile]))['Config']['PrivateNodeKey'][len('privkey:'):]


def test_derper_beside_headscale_is_the_home_of_robots(apart):
    assert [(row['name'], row['home'], row['state']) for row in apart.json('derp', 'list')] == [
        ('site', False, 'up'), ('server', True, 'up')]
    wait('derper as home of both', lambda: [home(robot) for robot in apart.robots] == ['server'] * 2, 60)
    report = apart.control()
    assert report['relay']['apart'] is True and report['own_derp']['ok']
    # Every path by which robots reach the site: STUN, too, which is derper's.
    rows = apart.json('server', 'check', check=False)
    assert [row for row in rows if row['ok'] is False] == []
    assert 'DERP beside Headscale' in [row['what'] for row in rows]


def test_a_restarted_server_leaves_relay_and_derper_alone(apart):
    before = apart.control()
    assert apart.stop()[1] == 0
    told = apart_report(apart)
    assert told['own_derp']['ok'] and told['relay']['pid'] == before['relay']['pid']
    apart.start()
    after = apart.control()
    assert [after[name]['pid'] for name in ('relay', 'own_derp')] == [
        before[name]['pid'] for name in ('relay', 'own_derp')]


@pytest.mark.fault('new', 'Headscale is dead on a server with a derper of its own',
                   behaviour='derper admits robots that Headscale confirmed, and no stranger', reported='-',
                   recovery='-', lost='nothing')
def test_derper_admits_robots_and_refuses_strangers_while_headscale_is_dead(apart):
    keys = [node_key(robot) for robot in apart.robots]
    assert [answers_of(apart, key) for key in keys] == ['admitted'] * 2
    # A tailscaled on loopback would look for its server on the internet.
    for robot in apart.robots:
        robot.kill()
    assert apart.stop()[1] == 0
    assert [answers_of(apart, key) for key in keys + [os.urandom(32).hex()]] == ['admitted'] * 2 + ['refused']
    # Nor does derper forget when it is restarted itself, as by a reboot of the machine.
    apart.relay.terminate()
    assert apart.relay.wait(30) == 0
    apart.launch_relay_apart()
    wait('derper again', lambda: (apart_report(apart).get('own_derp') or {}).get('ok'), 60)
    assert [answers_of(apart, key) for key in keys + [os.urandom(32).hex()]] == ['admitted'] * 2 + ['refused']
