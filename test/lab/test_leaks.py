"""Nothing leaves the site: what is seen on the lab's internet while all goes wrong that makes tailscaled call home.

Two labs live through the same story: a first join, a server that restarts, a relay that is lost (robots then look for a
captive portal), a robot that starts while the server is a black hole, one that starts while no name server answers.
One has the egress rule and the policy as they are; the other has no rule, loses its relay without the attribute against
captive-portal detection, and has to leak, or the observer proves nothing.

`make proof` tells it in ten minutes (UA_OVERLAY_PROOF_SECONDS=600); `make test` makes each hole shorter.
"""
import contextlib
import functools
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from places import COMMAND
from topologies import TWO_NATS

from ua_overlay import defaults
from ua_overlay.firewall import egress
from ua_overlay.firewall.egress_keeper import EgressKeeper
from ua_overlay.lab import dns
from ua_overlay.lab.fleet import SITE_DIR, USER, Fleet
from ua_overlay.lab.timeouts import JOIN, PATH
from ua_overlay.lab.topology import INET
from ua_overlay.lab.wait import wait
from ua_overlay.server import service
from ua_overlay.system import nft
from ua_overlay.toolchain import locate

HERE = os.path.dirname(os.path.abspath(__file__))
#: How long the whole story takes at least; the holes in it are made as much shorter as this is than WHOLE.
SECONDS = float(os.environ.get('UA_OVERLAY_PROOF_SECONDS', '150'))
WHOLE = 600.0
SERVER = '203.0.113.10'
#: All that anybody in the lab has to ask for; the second is the lab's own question at its start.
NAMES = {'server.ua.test', 'up.ua-lab.test'}
ROBOTS = ('dev-1', 'dev-2')
CAPTIVE = 'disable-captive-portal-detection'
OTHER = 'custom:proof'
#: What tailscaled logs before captive-portal detection, whether or not the attribute forbids it.
TRIGGER = 'triggering captive portal detection'
#: Seconds from then until it has looked, if it may (tailscale.com v1.102.5: captivePortalDetectionInterval in
#: feature/captiveportal/captiveportal.go, and captivedetection.Timeout).
LOOKS = 2 + 3
#: New connections get lost, and those that are there go on.
NO_NEW = '''
table inet refuse {
  chain new {
    type filter hook input priority -300
    iifname != "lo" tcp flags & (syn | ack) == syn drop
  }
}
'''


class Watched:
    """A lab with a site and two robots, and an observer on its internet."""

    def __init__(self, lab, guarded):
        self.lab = lab
        self.guarded = guarded
        self.fleet = Fleet(lab, workspace=None, command=COMMAND)
        lab.start_service(INET, 'observer', ['/usr/bin/python3', os.path.join(HERE, 'outside_observer.py'), INET,
                                             str(lab.topology.subnet)])
        wait('The observer', lambda: 'observing' in lab.log(INET, 'observer'), 30)

    def start(self):
        """Site and relay, as a user of their own, who is limited in the guarded lab."""
        self.fleet.overlay('server', 'server', 'init', '--dir', SITE_DIR, '--name', 'server.ua.test',
                           '--address', SERVER)
        self.fleet.site('server', 'service', 'install', '--service-manager', 'none',
                        *(() if self.guarded else ('--no-egress',)))
        self.start_server()
        self.fleet.site('team', 'create', 'iris')

    def start_server(self):
        self.lab.start_service('server', 'site', [COMMAND, 'server', 'run', '--dir', SITE_DIR],
                               env=self.fleet.base_environment(), user=service.USER)
        self.fleet.wait_server(60)

    def restart_server(self):
        self.lab.stop_service('server', 'site', timeout=30)
        self.start_server()

    def join(self):
        for robot in ROBOTS:
            path = self.fleet.carry(robot, self.fleet.invite('iris', robot))
            self.fleet.overlay(robot, 'robot', 'prepare', '--invitation', path, '--user', USER, '--service-manager',
                               'none', *(() if self.guarded else ('--no-egress',)))
            self.fleet.start_daemon(robot)
            self.lab.start_service(robot, 'agent', [COMMAND, 'robot', 'agent', '--user', USER],
                                   env=self.fleet.base_environment())
            answer = wait('The join of ' + robot, functools.partial(self.try_join, robot, path), 60, poll=1)
            assert answer['code'] == 'OK'

    def try_join(self, robot, path):
        done = self.fleet.overlay(robot, 'join', path, '--json', user=USER, check=False, timeout=120)
        answer = json.loads(done.stdout)
        # The operator may not have been set yet.
        return answer if answer['code'] != 'NOT_PREPARED' else None

    def status(self, robot):
        done = self.lab.host(robot).run([locate('tailscale'), 'status', '--json'], check=False)
        return json.loads(done.stdout or '{}')

    @contextlib.contextmanager
    def other_policy(self):
        """Let Headscale have another policy than the site's. `server run` is stopped meanwhile: it reads back what is
        in force, and reloads its own within seconds."""
        run = self.lab.service('server', 'site')
        run.send_signal(signal.SIGSTOP)
        try:
            self.change_policy()
            yield
            # Nobody took it back before its end.
            self.check_policy()
        finally:
            run.send_signal(signal.SIGCONT)

    def change_policy(self):
        """Give Headscale a policy with one more attribute, which means nothing, and where the lab is left open without
        the one against captive-portal detection. Robots get a network map with it, so that what follows begins with as
        fresh a map on each."""
        host = self.lab.host('server')
        with open(host.path(SITE_DIR + '/policy.json')) as stream:
            policy = json.load(stream)
        if not self.guarded:
            policy['nodeAttrs'] = [each for each in policy['nodeAttrs'] if CAPTIVE not in each['attr']]
        policy['nodeAttrs'].append({'target': ['*'], 'attr': [OTHER]})
        host.run(['sh', '-c', 'cat >{}/policy.json && pkill -HUP -x headscale'.format(SITE_DIR)],
                 input=json.dumps(policy))
        for robot in ROBOTS:
            wait('The other policy', lambda name=robot: OTHER in self.attributes(name), 30)
        self.check_policy()

    def check_policy(self):
        for robot in ROBOTS:
            attributes = self.attributes(robot)
            assert OTHER in attributes
            assert (CAPTIVE in attributes) == self.guarded

    def attributes(self, robot):
        return (self.status(robot).get('Self') or {}).get('CapMap') or {}

    def lose_relay(self):
        """dev-1 loses its DERP connection while its network map goes on: the server takes no new connection for as long
        as it takes tailscaled to look for a captive portal. It does so where it has been without its relay for ten
        seconds, but not once it is without network maps either (health/health.go, noDERPConnectionWarnable; the names
        are in net/captivedetection/endpoints.go; 1.102.5)."""
        with self.other_policy():
            self.look_for_portal()

    def look_for_portal(self):
        server = self.lab.host('server')
        server.run(['nft', '-f', '-'], input=NO_NEW)
        self.lab.host('dev-1').run([locate('tailscale'), 'debug', 'break-derp-conns'])
        wait('A robot that looks for a captive portal', lambda: TRIGGER in self.lab.log('dev-1', 'tailscaled'), JOIN)
        if not self.guarded:
            wait('A name of the vendor', lambda: any(name.endswith('tailscale.com') for name in self.asked()), JOIN)
        else:
            # A relay that is back before would be why nobody asks.
            time.sleep(LOOKS)
        server.run(['nft', 'delete', 'table', 'inet', 'refuse'])

    def black_hole(self, on):
        """The server hears nobody, and its own relay does not reach it either; what it sends itself is seen."""
        rules = ('add table inet hole; '
                 'add chain inet hole drops { type filter hook input priority -300; policy accept; }; '
                 'add rule inet hole drops iifname != "lo" drop; '
                 'add rule inet hole drops tcp dport 8080 drop') if on else 'delete table inet hole'
        self.lab.host('server').run(['nft', rules])

    def restart_daemon(self, robot):
        self.lab.stop_service(robot, 'tailscaled')
        self.fleet.start_daemon(robot)

    def name_server(self, on, **names):
        """The lab's resolver, with other addresses of some names if wanted."""
        if on:
            topology = self.lab.topology
            self.lab.start_service(INET, dns.SERVICE, dns.command(topology.dns, dict(topology.names, **names)))
        else:
            self.lab.stop_service(INET, dns.SERVICE)

    def addresses(self, robot):
        """The kernel's list of the site's addresses."""
        return self.lab.host(robot).run(['nft', 'list', 'set', 'inet', egress.ROBOT.table, 'site4']).stdout

    def online(self):
        return all((self.status(robot).get('Self') or {}).get('Online') for robot in ROBOTS)

    def direct(self):
        """Whether the robots reach each other without a relay: the rule leaves UDP between them alone."""
        done = self.lab.host('dev-1').run([locate('tailscale'), 'ping', '--c=5', '--timeout=2s', 'dev-2'], check=False)
        return 'via 203.0.113.22:' in done.stdout

    def outside(self):
        """Packets that left: lines of the observer."""
        return [line for line in self.lab.log(INET, 'observer').splitlines() if line != 'observing']

    def asked(self):
        """Names that the resolver was asked for besides the site's. While tailscaled is down and MagicDNS with it, who
        asks for a team mate asks the network's resolver: that is the robots' own question, and not tailscaled's."""
        names = {name for _, name, _ in self.lab.dns_queries()} - NAMES
        return {name for name in names if not name.endswith('.' + defaults.BASE_DOMAIN)}

    def count_refused(self):
        """What the rule refused, by host."""
        found = {}
        for host, which in [(robot, egress.ROBOT) for robot in ROBOTS] + [('server', egress.SERVER)]:
            table = self.lab.host(host).run(['nft', '-j', 'list', 'table', 'inet', which.table]).stdout
            found[host] = nft.refused_packets(table, '')
        return found


@pytest.fixture(scope='module')
def labs(new_lab):
    guarded = new_lab(TWO_NATS, 'leak-guarded')
    left_open = new_lab(TWO_NATS, 'leak-open')
    yield Watched(guarded, True), Watched(left_open, False)


def at(begin, second):
    """Wait until ``second`` of the story, which is told as if it took ten minutes."""
    time.sleep(max(0.0, begin + second * SECONDS / WHOLE - time.monotonic()))


def each(labs, what):
    """Do the same in both labs, side by side."""
    with ThreadPoolExecutor(len(labs)) as pool:
        list(pool.map(what, labs))


@pytest.mark.fault('new', "Server, relay or name server disappear, or the server's name gets another address",
                   behaviour='No packet and no question leaves the site; the egress rule learns the new address',
                   reported='-', recovery='180 s', lost='nothing')
def test_nothing_leaves_the_site(labs):
    guarded, left_open = labs
    begin = time.monotonic()

    def all_online(after):
        each(labs, lambda lab: wait('Both robots after ' + after, lab.online, PATH, poll=0.5))

    each(labs, Watched.start)
    each(labs, Watched.join)
    assert CAPTIVE in guarded.attributes('dev-1')
    at(begin, 60)
    each(labs, Watched.restart_server)
    all_online('the restart of the server')

    each(labs, Watched.lose_relay)
    all_online('the loss of a relay')

    hole = time.monotonic()
    for lab in labs:
        lab.black_hole(True)
    at(hole, 30)
    each(labs, lambda lab: lab.restart_daemon('dev-2'))
    at(hole, 180)
    # It had something to refuse, on each of them.
    wait('Something that the rule refuses on each host', lambda: min(guarded.count_refused().values()) > 0, PATH,
         poll=1)
    for lab in labs:
        lab.black_hole(False)
    all_online('the black hole')

    dead = time.monotonic()
    for lab in labs:
        lab.name_server(False)
        lab.restart_daemon('dev-1')
    at(dead, 60)
    for lab in labs:
        lab.name_server(True)
    all_online('the return of the name server')
    wait('A direct link in spite of the rule', guarded.direct, PATH, poll=1)
    # The server's name gets another address: the rule follows, without anybody doing anything on a robot.
    guarded.name_server(False)
    guarded.name_server(True, **{'server.ua.test': '203.0.113.77'})
    wait('The new address', lambda: '203.0.113.77' in guarded.addresses('dev-1'), 3 * EgressKeeper.PERIOD)
    assert SERVER in guarded.addresses('dev-1')  # the CA vouches for it
    at(begin, WHOLE)

    assert guarded.outside() == []
    assert guarded.asked() == set()
    # Without the rule and the attribute the same observer sees both: the vendor's relays, and the vendor's names.
    assert [line for line in left_open.outside() if line.startswith('6 ') and line.endswith(' 443')]
    assert any(name.endswith('tailscale.com') for name in left_open.asked()), left_open.asked()


def test_telemetry_is_off(labs):
    guarded = labs[0]
    for robot in ROBOTS:
        pid = guarded.lab.service(robot, 'tailscaled').pid
        with open('/proc/{}/environ'.format(pid), 'rb') as stream:
            assert b'TS_NO_LOGS_NO_SUPPORT=true' in stream.read().split(b'\0')
        assert SERVER in guarded.addresses(robot)
