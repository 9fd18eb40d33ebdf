"""Two relays and two DERP regions on two hosts: one relay ends and the link goes on over the other; Headscale is away
and links over the remote DERP do not notice; robots restart while the server is dead, and find each other over that
DERP, which admits nobody else.

The tests have an order. The figures are in bench/relay_failover.py and bench/team_reboot.py.
"""
import base64
import contextlib
import json
import os
import subprocess
import time

import pytest
from topologies import from_config

from ua_overlay import defaults
from ua_overlay.lab import link, shape
from ua_overlay.lab.fleet import SITE_DIR
from ua_overlay.lab.relays import REMOTE_HOST, ROBOTS, Pair, gaps
from ua_overlay.lab.timeouts import JOIN, START
from ua_overlay.lab.wait import wait

RELAYS = {'203.0.113.10': 'server', '203.0.113.11': 'second'}
DERP_CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'on_robot', 'derp_client.py')
#: Seconds after which robots that restarted without their server have heard each other: three of grace before the first
#: knock, two between knocks (tailscale.knocks), and the time that tailscaled needs to connect to its DERP.
KNOCKED = 20
#: Seconds after which the DERP has dropped a robot that its server refuses: the server's silence is remembered for 3 s
#: (relays.admission), confirmations are looked at every 5 s (relays.admission_keeper), and derper restarts.
DROPPED = 20


@pytest.fixture(scope='module')
def pair(new_lab, install):
    lab = new_lab(from_config('two_hosts'), 'hosts')
    # Of two DERPs at the same distance chance makes one a robot's home: the one in Headscale is farther away, from the
    # beginning, because tailscaled goes by the best round trip of five minutes (netcheck: bestRecent).
    link.set_shape(lab, 'server', shape.parse({'delay': '20ms'}))
    fleet = Pair(lab, install)
    fleet.start_site()
    fleet.start_remote_hosts()
    fleet.join_robots()
    yield fleet


def answers(output):
    return output().count('icmp_seq')


def wait_answers(output, more, what):
    before = answers(output)
    wait(what, lambda: answers(output) > before + more, START)


def test_the_remote_derp_is_allowed_as_soon_as_a_robot_learns_of_it(pair):
    """It is their home from the first minute. An egress rule updated once a minute would refuse it until then, and the
    first answer would come after 45 s. (When tailscaled itself has to try again, it comes after 5 s.)"""
    with pair.traffic() as output:
        wait('An answer of the other robot', lambda: 'icmp_seq' in output(), 20)
    assert [pair.home(robot) for robot in ROBOTS] == ['second', 'second']


def test_the_server_reaches_both_hosts(pair):
    # Headscale was restarted for the region of the second host: its own relay hears of that within seconds, and reports
    # it with its next check.
    wait('A check without findings', lambda: pair.site('server', 'check', check=False).returncode == 0, JOIN, poll=1)
    text = pair.site('server', 'status').stdout
    assert 'second up' in text


@pytest.mark.fault('new', 'A relay that carries a link loses its power or its packets',
                   behaviour='The link goes on over the other relay', reported='-', recovery='20 s without an answer',
                   lost='packets of UDP')
def test_a_link_continues_over_the_other_relay(pair):
    with pair.traffic() as output:
        used = pair.wait_link('PEER_RELAY')[1].split(':')[0]
        begin = time.time()
        # The whole relay, as a power cut ends it.
        if RELAYS[used] == 'second':
            pair.lab.kill_service('second', 'relay')
        else:
            pair.lab.host('server').run(['nft', 'add', 'table', 'inet', 'cut'])
            pair.lab.host('server').run(['nft', 'add', 'chain', 'inet', 'cut', 'in',
                                         '{ type filter hook input priority -10; policy accept; }'])
            pair.lab.host('server').run(['nft', 'add', 'rule', 'inet', 'cut', 'in', 'udp', 'dport', '40000', 'drop'])
        other = next(address for address in RELAYS if address != used)
        pair.wait_link('PEER_RELAY', other + ':')
        longest = [gap for gap in gaps(output()) if gap[0] >= begin - 1][0]
        # DERP takes over when the path has not answered for 6.5 s (magicsock: trustUDPAddrDuration).
        assert longest[1] < 20, longest
    if RELAYS[used] == 'second':
        pair.start_remote_host('relay')
    else:
        pair.lab.host('server').run(['nft', 'delete', 'table', 'inet', 'cut'])


@pytest.mark.fault('new', 'The server restarts while a link goes over its own relay, which is a unit of its own',
                   behaviour='The link goes on', reported='-', recovery='1 s without an answer', lost='nothing')
def test_a_link_over_the_server_s_own_relay_survives_its_restart(pair):
    """As under systemd, where the two are units (test_server_service.py): on a calm machine no gap is above 0.2 s."""
    pair.stop_server()
    pair.start_relay_apart()
    pair.start_server()
    process = pair.relay_report()
    assert process['apart'] is True
    pair.lab.kill_service('second', 'relay')
    with pair.traffic() as output:
        pair.wait_link('PEER_RELAY', '203.0.113.10:')
        wait_answers(output, 30, 'Thirty answers over the relay of the server')
        begin = time.time()
        pair.stop_server()
        wait_answers(output, 20, 'Twenty answers without the server')
        pair.start_server()
        wait_answers(output, 30, 'Thirty answers after its start')
        assert pair.link()[1].startswith('203.0.113.10:')
        longest = [gap for gap in gaps(output()) if gap[0] >= begin - 0.2][0]
    assert pair.relay_report()['pid'] == process['pid']
    print('longest gap over the relay of a server that restarts: {:.2f} s'.format(longest[1]))
    assert longest[1] < 1.0, longest
    # From here on the server runs its relay itself again.
    pair.stop_server()
    pair.lab.stop_service('server', 'site-relay')
    pair.start_server()
    pair.start_remote_host('relay')


@pytest.mark.fault('new', 'Headscale stops while links go over a remote DERP', behaviour='The links go on',
                   reported='-', recovery='1 s without an answer', lost='nothing')
def test_links_over_the_remote_derp_survive_without_headscale(pair):
    """Away for some seconds: a mere restart costs the embedded DERP less than half a second."""
    pair.set_nats('udp-blocked')
    pair.wait_home('second')
    with pair.traffic() as output:
        pair.wait_link('DERP', 'second')
        # The change to DERP itself leaves a gap.
        wait('An answer', lambda: answers(output), JOIN)
        wait_answers(output, 50, 'Fifty answers over DERP')
        begin = time.time()
        pair.stop_server()
        wait_answers(output, 50, 'Fifty answers without Headscale')
        pair.start_server()
        wait_answers(output, 20, 'Twenty answers after it came back')
        longest = [gap for gap in gaps(output()) if gap[0] >= begin - 0.2][0]
    assert longest[1] < 1.0, longest


def received(fleet, robot):
    """Bytes that a robot has received from its team mate since its tailscaled started; 0 while it does not answer."""
    done = fleet.tailscale(robot, 'status', '--json', check=False)
    peers = (json.loads(done.stdout).get('Peer') or {}).values() if done.stdout.startswith('{') else ()
    return sum(peer['RxBytes'] for peer in peers if peer['DNSName'].split('.')[0] in ROBOTS)


@pytest.mark.fault('new', 'The server is dead while all robots of a team restart',
                   behaviour='They keep their network map, knock at each other, and have addresses, names and links',
                   reported='-', recovery='20 s', lost='nothing')
def test_robots_that_restart_without_their_server_find_each_other(pair):
    """Nobody sends anything but the overlay nodes: the first bytes are those of their knocks."""
    for robot in ROBOTS:
        pair.launch(robot)
    pair.cut_off('server')
    pair.stop_server()
    try:
        for robot in ROBOTS:
            pair.lab.stop_service(robot, 'tailscaled')
        for robot in ROBOTS:
            pair.start_daemon(robot)
        for robot in ROBOTS:
            wait('Bytes of the team mate on ' + robot, lambda robot=robot: received(pair, robot), KNOCKED, poll=0.3)
        for robot, other in zip(ROBOTS, reversed(ROBOTS)):
            pair.lab.host(robot).run(['ping', '-c', '1', '-W', '5', other + '.overlay.internal'])
        assert_says_that_the_server_is_away(pair, 'dev-1')
    finally:
        for robot in ROBOTS:
            pair.lab.stop_service(robot, 'overlay')
        pair.connect_again('server')
        pair.start_server()


def assert_says_that_the_server_is_away(pair, robot):
    """The command, the topic and doctor, with since when and until when."""
    team = json.loads(pair.overlay(robot, 'status', '--json').stdout)['remembered_team']
    assert team['state'] == 'LASTING' and 0 < time.time() - team['since'] < 600
    assert team['until'] - team['since'] == pytest.approx(defaults.ADMISSION_MEMORY, abs=2)
    assert team['text'] in pair.overlay(robot, 'status').stdout
    state = pair.ros(robot, 'rostopic', 'echo', '-n', '1', '/ua_overlay/state', timeout=60).stdout
    assert 'remembered: True' in state and 'The server has been away since' in state
    findings = json.loads(pair.overlay(robot, 'doctor', '--json', check=False).stdout)['findings']
    assert [each['level'] for each in findings if each['id'] == 'remembered-team'] == ['WARN']


def node_key(fleet, robot):
    """The private node key of a robot, in hexadecimal digits."""
    with open(fleet.lab.host(robot).path(defaults.DAEMON_STATE_DIR + '/tailscaled.state'), encoding='utf-8') as stream:
        state = json.load(stream)
    profile = base64.b64decode(state['_current-profile']).decode()
    return json.loads(base64.b64decode(state[profile]))['Config']['PrivateNodeKey'][len('privkey:'):]


@contextlib.contextmanager
def derp_connection(fleet, key, stay=0):
    """A connection to the DERP of `second` with that private key, from a machine on the internet; yields a function
    that returns the next line of derp_client.py."""
    with open(fleet.lab.host('server').path(SITE_DIR + '/ca.pem'), encoding='utf-8') as stream:
        request = {'address': '203.0.113.11', 'port': defaults.DERP_PORT, 'name': REMOTE_HOST + '.server.ua.test',
                   'ca': stream.read(), 'key': key, 'stay': stay}
    # The key goes by stdin: argv and environment can be read by others.
    with fleet.lab.host('nat1').popen(['/usr/bin/python3', DERP_CLIENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      universal_newlines=True) as client:
        try:
            client.stdin.write(json.dumps(request))
            client.stdin.close()
            yield lambda: client.stdout.readline().strip()
        finally:
            client.terminate()


def asked(fleet, key):
    """'admitted' or 'refused', or why there was no answer."""
    with derp_connection(fleet, key) as report:
        return report()


@contextlib.contextmanager
def unanswered_derp(fleet):
    """Drop what the DERP of `second` sends to the server, as when the server's machine is dead."""
    host = fleet.lab.host('second')
    host.run(['nft', '-f', '-'], input='table inet unanswered {\n chain out {\n  type filter hook output priority 0;\n'
                                       '  ip daddr 203.0.113.10 tcp dport 8080 drop\n }\n}\n')
    try:
        yield
    finally:
        host.run(['nft', 'delete', 'table', 'inet', 'unanswered'])


@pytest.mark.fault('new', 'A stranger asks a DERP whose server is dead for admission',
                   behaviour='It is refused; robots that the server confirmed are admitted', reported='-', recovery='-',
                   lost='nothing')
@pytest.mark.fault('new', 'A robot is removed while a DERP does not reach the server',
                   behaviour='That DERP admits it until the server answers, then drops and refuses it',
                   reported='20 s: log of the DERP', recovery='-', lost='nothing')
def test_a_derp_without_its_server_admits_whom_it_remembers_and_drops_who_was_removed(pair):
    """The keys are the robots' own; the stranger's is as real, but of no robot of the site."""
    keys = {robot: node_key(pair, robot) for robot in ROBOTS}
    stranger = os.urandom(32).hex()
    # The DERP asks the server now, and so has both robots in its memory, whatever they did last.
    assert [asked(pair, key) for key in (keys['dev-1'], keys['dev-2'], stranger)] == ['admitted', 'admitted', 'refused']
    with contextlib.ExitStack() as stack:
        with unanswered_derp(pair):
            assert [asked(pair, key) for key in (keys['dev-1'], stranger)] == ['admitted', 'refused']
            pair.site('robot', 'remove', 'dev-2')
            report = stack.enter_context(derp_connection(pair, keys['dev-2'], stay=2 * DROPPED))
            assert report() == 'admitted'
        begin = time.monotonic()
        assert report() == 'ended'
        assert time.monotonic() - begin < DROPPED
    wait('The DERP after its restart', lambda: asked(pair, keys['dev-1']) == 'admitted', START, poll=0.5)
    assert asked(pair, keys['dev-2']) == 'refused'
    assert 'refused by it now' in pair.lab.log('second', 'derp')
