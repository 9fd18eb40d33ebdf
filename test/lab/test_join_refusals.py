"""Refused joins, through `ua-overlay join` as an unprivileged user on a robot of a lab with a real site.

The tests have an order: the robot is prepared step by step, and one invitation has to survive nearly all of them: at
the end the robot joins with it. Everything is real but the daemon that is too old.
"""
import json
import os
import re
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest
from releases import tailscaled
from topologies import TWO_SITES

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.lab.fleet import SITE_DIR, USER, Fleet
from ua_overlay.lab.timeouts import GRAPH, JOIN, START
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale.localapi import DaemonMissing, LocalApi
from ua_overlay.toolchain import locate

KEY = re.compile(r'hskey-auth-[A-Za-z0-9_-]{20,}')
SOCKET = '/run/tailscale/tailscaled.sock'
#: Seconds of silence that show that tailscaled has given up. Between two tries it pauses n * n * 10 ms, by chance up to
#: half as much again (tailscale, util/backoff): 2.7 s after the 8 s for which these joins let it try.
SILENCE = 10
#: The packets of dev-1 that the server host drops: all; or all but those of its first connection, which is the
#: preflight's.
HOLE = '''
table inet hole {{
  counter refused {{ }}
  chain in {{
    type filter hook input priority -10
    ip saddr 203.0.113.21 tcp dport 8080 {rule}
  }}
}}
'''
ALL = 'counter name refused drop'
ALL_BUT_FIRST = 'tcp flags & (syn | ack) == syn limit rate over 1/day burst 1 packets counter name refused {}'
#: A tailscaled of long ago, imitated: it answers every call with its version.
OLD_DAEMON = '''
import http.server, socketserver, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def do_GET(self):
        body = b'{"BackendState": "NeedsLogin", "Version": "1.70.0"}'
        self.send_response(200)
        self.send_header('Tailscale-Version', '1.70.0')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def address_string(self):
        return 'unix'
socketserver.ThreadingUnixStreamServer(sys.argv[1], Handler).serve_forever()
'''


@pytest.fixture(scope='module')
def world(new_lab, install):
    """fleet and lab; text and path of the invitation that is to survive. The host `other` has a site of the same name.
    """
    lab = new_lab(TWO_SITES, 'refuse')
    fleet = Fleet(lab, install)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    fleet.overlay('other', 'server', 'init', '--dir', SITE_DIR, '--name', 'server.ua.test', '--address',
                  '203.0.113.11')
    lab.start_service('other', 'site', [fleet.command, 'server', 'run', '--dir', SITE_DIR],
                      env=fleet.base_environment())
    text = fleet.invite('iris', 'dev-1')
    yield SimpleNamespace(fleet=fleet, lab=lab, text=text, path=fleet.carry('dev-1', text, 'survivor.yaml'))


def robot(world):
    return world.lab.host('dev-1')


def server(world):
    return world.lab.host('server')


def api(world, host='dev-1'):
    return LocalApi(world.lab.host(host).path(SOCKET))


def snapshot(world):
    """All that a refused join must leave as it was: the daemon's preferences and state, the env file, the settings."""
    try:
        status = api(world).status(peers=False)
        daemon = (api(world).prefs(), status['BackendState'], bool(status.get('HaveNodeKey')))
    except OverlayError as error:
        daemon = error.code
    return (daemon, os.path.exists(robot(world).path('/run/ua_overlay/env')),
            os.path.exists(robot(world).path('/var/lib/ua_overlay/robot/settings.yaml')))


def join_argv(world, path, options=(), prefix=()):
    return list(prefix) + [world.fleet.command, 'join', path, '--json'] + list(options)


def join(world, path, options=(), prefix=(), host='dev-1'):
    """`ua-overlay join PATH --json` as the robot's user; returns its answer with the exit status as `status`."""
    done = world.lab.host(host).run(join_argv(world, path, options, prefix), user=USER,
                                    env=world.fleet.user_environment(), check=False, timeout=120)
    assert not KEY.search(done.stdout + done.stderr)
    assert done.stdout, done.stderr
    return SimpleNamespace(status=done.returncode, **json.loads(done.stdout))


def refused(world, path, code, *words, options=(), prefix=()):
    """Join, which must fail with ``code`` and a sentence that holds ``words``, and leave all as it was."""
    before = snapshot(world)
    answer = join(world, path, options, prefix)
    assert (answer.code, answer.status) == (code, 1), answer.message
    for word in words + ('Next: ',):
        assert word in answer.message
    expect_same(before, snapshot(world))
    return answer


def expect_same(before, after):
    if before != after and isinstance(before[0], tuple) and isinstance(after[0], tuple):
        changed = {key: (before[0][0].get(key), after[0][0].get(key)) for key in set(before[0][0]) | set(after[0][0])
                   if before[0][0].get(key) != after[0][0].get(key)}
        assert changed == {}
    assert before == after


def keys(world):
    """The server's keys: {public part: their entry}."""
    done = server(world).run([locate('headscale'), '--config', SITE_DIR + '/headscale.yaml', 'preauthkeys', 'list',
                              '--output', 'json'])
    return {entry['key'].split('-')[2]: entry for entry in json.loads(done.stdout)}


def key_of(world, text):
    return keys(world)[KEY.search(text).group(0).split('-')[2]]


def carry(world, text, name):
    return world.fleet.carry('dev-1', text, name)


class hole:
    """For a block, the server host drops packets of dev-1 by ``rule``."""

    def __init__(self, world, rule):
        self.world, self.rule = world, rule

    def __enter__(self):
        server(self.world).run(['nft', '-f', '-'], input=HOLE.format(rule=self.rule))
        return self

    def __exit__(self, *exc_info):
        server(self.world).run(['nft', 'delete', 'table', 'inet', 'hole'])

    def refused(self):
        """Connection attempts of dev-1 that the hole has dropped so far."""
        done = server(self.world).run(['nft', 'list', 'counter', 'inet', 'hole', 'refused'])
        return int(re.search(r'packets (\d+)', done.stdout).group(1))


def start_daemon(world, **env):
    world.fleet.start_daemon('dev-1', env)
    wait('The start of tailscaled', lambda: snapshot(world)[0] != 'NO_DAEMON', START)


def wait_operator(world, host='dev-1'):
    def is_set():
        try:
            return api(world, host).prefs().get('OperatorUser') == USER
        except DaemonMissing:
            return False  # it is starting

    wait('The operator', is_set, START)


# --- a robot that is not ready ---

@pytest.mark.fault('new', 'A join without a tailscaled', behaviour='NO_DAEMON with the command that starts it',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_no_tailscaled(world):
    # Nor was it prepared, which starts one.
    refused(world, world.path, 'NO_DAEMON', defaults.DAEMON_SOCKET, 'sudo ua-overlay robot prepare')


@pytest.mark.fault('new', 'A join on a robot that was not prepared', behaviour='NOT_PREPARED with the whole command',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_not_prepared_at_all(world):
    start_daemon(world, SSL_CERT_FILE='')
    refused(world, world.path, 'NOT_PREPARED',
            'sudo ua-overlay robot prepare --invitation {} --user {}'.format(world.path, USER))


@pytest.mark.fault('new', 'A join on a robot that was prepared for another site',
                   behaviour="NOT_PREPARED names the site's CA", reported='by join', recovery='-',
                   lost='nothing; the key is unused')
def test_prepared_for_another_site(world):
    other = world.lab.host('other').run(['cat', SITE_DIR + '/ca.pem']).stdout
    robot(world).run(['install', '-m', '644', '/dev/stdin', '/root/other.pem'], input=other)
    world.fleet.overlay('dev-1', 'robot', 'prepare', '--ca', '/root/other.pem', '--user', USER,
                        '--service-manager', 'none')
    world.fleet.start_agent('dev-1')
    wait_operator(world)
    refused(world, world.path, 'NOT_PREPARED', 'CA of https://server.ua.test:8080',
            'sudo ua-overlay robot prepare --invitation {} --user {}'.format(world.path, USER))


@pytest.mark.fault('new', 'A join before tailscaled was restarted after `robot prepare`',
                   behaviour='NOT_PREPARED names tailscaled', reported='by join', recovery='-',
                   lost='nothing; the key is unused')
def test_prepared_but_tailscaled_was_not_restarted(world):
    world.fleet.overlay('dev-1', 'robot', 'prepare', '--invitation', world.path, '--user', USER,
                        '--service-manager', 'none')
    refused(world, world.path, 'NOT_PREPARED', 'tailscaled', 'sudo ua-overlay robot prepare')
    assert not key_of(world, world.text).get('used')


def test_prepared(world):
    world.lab.stop_service('dev-1', 'tailscaled')
    start_daemon(world)
    wait_operator(world)


@pytest.mark.fault('new', "tailscaled's socket is closed to the user", behaviour='NOT_PREPARED names the socket',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_socket_of_another_user(world):
    robot(world).run(['chmod', '600', SOCKET])
    try:
        refused(world, world.path, 'NOT_PREPARED', defaults.DAEMON_SOCKET, 'robot prepare')
    finally:
        robot(world).run(['chmod', '666', SOCKET])


@pytest.mark.fault('new', 'tailscaled is too old',
                   behaviour='DAEMON_TOO_OLD names both versions and the command that installs another',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_an_old_daemon(world):
    """The daemon is an imitation: no release that old is built."""
    world.lab.start_service('dev-1', 'old', ['python3', '-c', OLD_DAEMON, '/run/old.sock'])
    wait('The socket', lambda: os.path.exists(robot(world).path('/run/old.sock')), START)
    robot(world).run(['chmod', '666', '/run/old.sock'])
    answer = refused(world, world.path, 'DAEMON_TOO_OLD', '/run/old.sock', '1.70', '1.80',
                     options=('--socket', '/run/old.sock'))
    assert 'ua-overlay tools install' in answer.message


# --- an invitation that is invalid ---

@pytest.mark.fault('new', 'An invitation that others may read',
                   behaviour='INVITATION_INVALID with the chmod that it needs', reported='by join', recovery='-',
                   lost='nothing; the key is unused')
def test_an_invitation_readable_by_others(world):
    path = carry(world, world.text, 'open.yaml')
    robot(world).run(['chmod', '644', path])
    refused(world, path, 'INVITATION_INVALID', path, 'chmod 600 ' + path)


@pytest.mark.fault('new', 'An expired invitation', behaviour='INVITATION_EXPIRED with the command that makes another',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_an_expired_invitation(world):
    refused(world, world.path, 'INVITATION_EXPIRED', 'ua-overlay invite iris dev-1', prefix=('faketime', '-f', '+2h'))


@pytest.mark.fault('new', "The robot's clock is before the invitation", behaviour='CLOCK_WRONG names both times',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_a_clock_in_the_past(world):
    created = re.search(r'created: "(\S+?)T(\S+?)Z"', world.text)
    refused(world, world.path, 'CLOCK_WRONG', '2001-02-03', created.group(1), created.group(2), 'sudo date -us',
            prefix=('faketime', '2001-02-03 04:05:06'))


@pytest.mark.fault('new', "The robot's clock is before the server's certificate",
                   behaviour='CLOCK_WRONG names both times', reported='by join', recovery='-',
                   lost='nothing; the key is unused')
def test_a_server_certificate_that_begins_after_this_machines_time(world):
    """An old invitation would pass here: the strict check of the server fails the same way, again with both times."""
    text = re.sub('created: .*', 'created: "2001-02-03T00:00:00Z"', world.text)
    today = time.strftime('%Y-%m-%d', time.gmtime())
    refused(world, carry(world, text, 'old.yaml'), 'CLOCK_WRONG', '2001-02-03', 'not yet valid', today, 'sudo date -us',
            prefix=('faketime', '2001-02-03 04:05:06'))


@pytest.mark.fault('new', 'A revoked invitation', behaviour='INVITATION_REFUSED says that it was revoked',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_a_revoked_key(world):
    text = world.fleet.invite('iris', 'dev-1')
    server(world).run([locate('headscale'), '--config', SITE_DIR + '/headscale.yaml', 'preauthkeys', 'expire', '--id',
                       str(key_of(world, text)['id'])])
    refused(world, carry(world, text, 'revoked.yaml'), 'INVITATION_REFUSED', 'revoked', 'not used',
            'ua-overlay invite iris dev-1')
    assert not key_of(world, text).get('used')


@pytest.mark.fault('new', 'An invitation that another robot used', behaviour='INVITATION_SPENT names that robot',
                   reported='by join', recovery='-', lost='nothing')
def test_a_key_that_another_robot_used(world):
    text = world.fleet.invite('iris', 'dev-2')
    path = world.fleet.carry('dev-2', text)
    world.fleet.prepare('dev-2', path)
    wait('tailscaled on dev-2', lambda: os.path.exists(world.lab.host('dev-2').path(SOCKET)), START)
    wait_operator(world, 'dev-2')
    assert join(world, path, host='dev-2').status == 0
    assert key_of(world, text)['used']
    refused(world, carry(world, text, 'spent.yaml'), 'INVITATION_SPENT', 'dev-2', 'ua-overlay invite iris dev-2')


# --- another server, or none ---

@pytest.mark.fault('new', "Another site answers under the server's name", behaviour='SERVER_UNTRUSTED; no key is sent',
                   reported='by join', recovery='-', lost='nothing; the key is unused')
def test_a_server_of_another_ca(world):
    """All is prepared for the invitation's CA, but another site answers under the name."""
    wait('The other site', lambda: world.fleet.overlay('other', 'server', 'status', '--dir', SITE_DIR,
                                                       check=False).returncode == 0, JOIN, poll=1)
    hosts = robot(world).run(['cat', '/etc/hosts']).stdout
    robot(world).run(['tee', '/etc/hosts'], input=hosts + '203.0.113.11 server.ua.test\n')
    try:
        refused(world, world.path, 'SERVER_UNTRUSTED', 'server.ua.test:8080', 'not signed by the CA')
    finally:
        robot(world).run(['tee', '/etc/hosts'], input=hosts)


@pytest.mark.fault('new', "The server's certificate is for another name",
                   behaviour='SERVER_UNTRUSTED names both; no key is sent', reported='by join', recovery='-',
                   lost='nothing; the key is unused')
def test_a_certificate_for_another_name(world):
    text = world.text.replace('https://server.ua.test:8080', 'https://alias.ua.test:8080')
    refused(world, carry(world, text, 'alias.yaml'), 'SERVER_UNTRUSTED', 'alias.ua.test', 'server.ua.test')


@pytest.mark.fault('new', 'A join while packets to the server are dropped',
                   behaviour="SERVER_UNREACHABLE, long before the join's own limit", reported='100 s: join',
                   recovery='-', lost='nothing; the key is unused')
def test_a_server_in_a_black_hole(world):
    """The preflight notices, long before the time for the join is over."""
    with hole(world, ALL) as black:
        begin = time.monotonic()
        refused(world, world.path, 'SERVER_UNREACHABLE', 'server.ua.test:8080', options=('--timeout', '300'))
        assert time.monotonic() - begin < 100
        assert black.refused() > 0


@pytest.mark.fault('new', 'The server disappears after tailscaled got the key',
                   behaviour="join ends in its time, and tailscaled's earlier state is back; it does not try again",
                   reported='8 s, the limit of this join: TIMEOUT', recovery='-', lost='nothing; the key is unused')
@pytest.mark.parametrize('how', ['drop', 'reject with tcp reset'])
def test_a_server_that_disappears_between_preflight_and_registration(world, how):
    """tailscaled has the key by then; it must not use it behind the user's back."""
    with hole(world, ALL_BUT_FIRST.format(how)) as black:
        refused(world, world.path, 'TIMEOUT', 'did not answer', '8 s', 'ua-overlay robot list',
                options=('--timeout', '8'))
        expect_silence(world, black)
    expect_no_join(world)


@pytest.mark.fault('new', 'SIGINT, SIGTERM or SIGHUP during a join',
                   behaviour="join ends, and tailscaled's earlier state is back", reported='60 s: exit status 130',
                   recovery='-', lost='nothing; the key is unused')
@pytest.mark.parametrize('number, status', [(signal.SIGINT, 130), (signal.SIGTERM, 130), (signal.SIGHUP, 130)])
def test_an_interrupted_join(world, number, status):
    before = snapshot(world)
    with hole(world, ALL_BUT_FIRST.format('drop')) as black:
        process = robot(world).popen(join_argv(world, world.path), user=USER, env=world.fleet.user_environment(),
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        try:
            wait('The registration', lambda: api(world).prefs().get('WantRunning'), JOIN)
            wait('A call of tailscaled to the server', black.refused, JOIN, poll=0.3)
            process.send_signal(number)
            output = process.communicate(timeout=60)[0]
        finally:
            process.kill()
        assert process.returncode == status
        assert not KEY.search(output) and 'Traceback' not in output
        expect_same(before, snapshot(world))
    expect_no_join(world)


def expect_silence(world, black):
    """After a join was given up, tailscaled calls the server no more."""
    assert black.refused() > 0
    # One call may be under way still, with its repetitions by the kernel.
    wait('The end of the last call', lambda: not robot(world).run(
        ['ss', '-Htn', 'state', 'syn-sent', 'dst', '203.0.113.10']).stdout.strip(), JOIN, poll=0.3)
    calls = black.refused()
    time.sleep(SILENCE)
    assert black.refused() == calls


def expect_no_join(world):
    assert not api(world).prefs().get('WantRunning')
    assert 'dev-1' not in [entry['robot'] for entry in world.fleet.robots()]
    assert not key_of(world, world.text).get('used')


# --- and after all that ---

def test_the_unused_invitation_admits_the_robot(world):
    answer = join(world, world.path)
    assert (answer.code, answer.status) == ('OK', 0), answer.message
    assert key_of(world, world.text)['used']
    assert answer.dns_name == 'dev-1.overlay.internal'


@pytest.mark.fault('new', 'A rejoin after the server removed the robot', behaviour='FORGOTTEN; a new invitation works',
                   reported='by join', recovery='-', lost='nothing')
def test_a_server_that_forgot_this_robot(world):
    leave(world)
    world.fleet.site('robot', 'remove', 'dev-1')
    refused(world, '', 'FORGOTTEN', 'ua-overlay join INVITATION')


def test_a_new_invitation_for_a_forgotten_robot(world):
    text = world.fleet.invite('iris', 'dev-1')
    answer = join(world, carry(world, text, 'new.yaml'))
    assert (answer.code, answer.status) == ('OK', 0), answer.message
    assert key_of(world, text)['used']


def leave(world, *options):
    """`ua-overlay leave OPTIONS --json`; returns its answer as a dict."""
    done = world.fleet.overlay('dev-1', 'leave', '--json', *options, user=USER, check=False)
    return json.loads(done.stdout)


@pytest.mark.fault('new', 'The server removes a robot that runs',
                   behaviour='The robot knows, and a new invitation works',
                   reported="90 s: tailscaled's state; FORGOTTEN by join", recovery='-', lost='nothing')
def test_a_server_that_forgot_a_running_robot(world):
    world.fleet.site('robot', 'remove', 'dev-1')
    wait('Word of the removal', lambda: snapshot(world)[0][1] == 'NeedsLogin', GRAPH)
    refused(world, '', 'FORGOTTEN', 'ua-overlay join INVITATION')
    text = world.fleet.invite('iris', 'dev-1')
    answer = join(world, carry(world, text, 'newer.yaml'))
    assert (answer.code, answer.status) == ('OK', 0), answer.message
    assert key_of(world, text)['used']


@pytest.mark.fault('new', '`leave --forget` while the server is away',
                   behaviour='The robot stops at once and keeps its identity; it can rejoin, or forget later',
                   reported='by leave', recovery='-', lost='nothing')
def test_forgetting_without_the_server(world):
    """The robot stops at once. It can come back, or give up its identity, when the server answers again."""
    for _ in range(2):
        with hole(world, ALL):
            answer = leave(world, '--forget')
            assert answer['code'] == 'FAILED' and 'not forgotten yet' in answer['message'], answer
            assert snapshot(world)[0][1:] == ('Stopped', True)
        answer = join(world, '')
        assert (answer.code, answer.status) == ('OK', 0), answer.message
    with hole(world, ALL):
        assert leave(world, '--forget')['code'] == 'FAILED'
    answer = leave(world, '--forget')
    assert answer['code'] == 'OK', answer
    assert snapshot(world)[0][1:] == ('NeedsLogin', False)


@pytest.mark.fault('new', '`leave --forget` after the server removed the robot', behaviour='leave works as usual',
                   reported='-', recovery='-', lost='nothing')
def test_forgetting_a_site_that_removed_the_robot(world):
    world.fleet.site('robot', 'remove', 'dev-1')
    wait_operator(world)
    answer = join(world, carry(world, world.fleet.invite('iris', 'dev-1'), 'newest.yaml'))
    assert answer.code == 'OK', answer.message
    leave(world)
    world.fleet.site('robot', 'remove', 'dev-1')
    answer = leave(world, '--forget')
    assert answer['code'] == 'OK', answer
    assert snapshot(world)[0][1:] == ('NeedsLogin', False)


@pytest.mark.fault('new', 'tailscaled does not report its DERP home after a second login',
                   behaviour='The agent has it reported', reported='-', recovery='90 s', lost='nothing')
def test_the_server_learns_the_home_derp_after_a_rejoin_without_udp(world):
    """By itself tailscaled before 1.102 reports its home only when that changes, also to a server that has never heard
    of it (tailscale 20024): here it stays the same, so that the agent has to have it reported."""
    world.lab.nat('nat1', 'udp-blocked')
    world.lab.stop_service('dev-1', 'tailscaled')
    world.fleet.start_daemon('dev-1', program=tailscaled('tailscale-1.98'))
    for _ in range(2):
        wait_operator(world)
        answer = join(world, carry(world, world.fleet.invite('iris', 'dev-1', '--force'), 'derp.yaml'))
        assert answer.code == 'OK', answer.message

        def home(address=answer.addresses[0]):
            """As another robot knows it."""
            return (api(world, 'dev-2').whois(address)['Node'] or {}).get('HomeDERP')

        wait('A home DERP of dev-1 that the server knows', home, GRAPH, poll=1)
        assert leave(world, '--forget')['code'] == 'OK'
        world.fleet.site('robot', 'remove', 'dev-1')
