"""`sudo ua-overlay robot prepare` on a machine with its own systemd, behind a lab's router, with a real site.

The machine has what tailscale's package installs: the unit as its vendor ships it (test/data/tailscale) and the daemon.
Tests that take `used_robot` go on with the machine of the test before them.
"""
import json
import os
import time

import pytest
import vendor
import yaml
from places import ROOT
from topologies import TWO_NATS

from ua_overlay import defaults
from ua_overlay.firewall import egress
from ua_overlay.lab import dns, images
from ua_overlay.lab.fleet import SERVER_NAME, SITE_DIR, Fleet
from ua_overlay.lab.images import USER
from ua_overlay.lab.machines import Machine
from ua_overlay.lab.timeouts import START, scaled
from ua_overlay.lab.wait import wait
from ua_overlay.rosenv import hosts
from ua_overlay.tailscale import old_paths
from ua_overlay.tailscale.prepare import AGENT_NAME

CHECKOUT = '/opt/ua_overlay'
COMMAND = '/usr/local/bin/ua-overlay'
TEAM = 'iris'
DAEMON = 'tailscaled.service'
AGENT = 'ua-overlay-agent.service'
INVITATION = '/home/{}/invitation.yaml'.format(USER)


@pytest.fixture(scope='module')
def site(new_lab):
    """A lab with a running site; machines use the networks of the robots' hosts."""
    lab = new_lab(TWO_NATS, 'systemd')
    fleet = Fleet(lab, workspace=None, command=os.path.join(ROOT, 'scripts', 'ua-overlay'))
    # On the port of HTTPS, the only one to which proxies connect.
    fleet.overlay('server', 'server', 'init', '--dir', SITE_DIR, '--name', SERVER_NAME, '--address', '203.0.113.10',
                  '--port', '443')
    fleet.start_server()
    fleet.site('team', 'create', TEAM)
    yield fleet


class Robot:
    """A machine, and the commands typed on it."""

    def __init__(self, machine):
        self.machine = machine

    def overlay(self, *argv, user=USER, check=True, **options):
        return self.machine.run(['ua-overlay'] + list(argv), user=user, check=check, **options)

    def sudo(self, *argv, check=True):
        """`sudo ua-overlay ARGV` as the robot's user."""
        return self.machine.run(['sudo', 'ua-overlay'] + list(argv), user=USER, check=check, timeout=120)

    def prepare(self):
        return self.sudo('robot', 'prepare', '--invitation', INVITATION, '--user', USER)

    def join(self, *argv, check=True):
        return self.outcome('join', *argv, check=check)

    def outcome(self, *argv, check=True):
        return json.loads(self.overlay(*(argv + ('--json',)), check=check).stdout)

    def status(self):
        """`ua-overlay status --json`; its exit status depends on membership, so any is accepted."""
        return json.loads(self.overlay('status', '--json', check=False).stdout)

    def operator(self):
        """The user whom tailscaled allows to join and leave."""
        return json.loads(self.machine.run(['tailscale', 'debug', 'prefs']).stdout).get('OperatorUser') or ''

    def environment(self, unit=DAEMON):
        """The environment of the unit's process, as the kernel has it."""
        pid = self.machine.property(unit, 'MainPID')
        words = self.machine.run(['cat', '/proc/{}/environ'.format(pid)]).stdout.split('\0')
        return dict(word.split('=', 1) for word in words if word)

    def services(self):
        """What changes when a service is started again."""
        return {unit: self.machine.property(unit, 'InvocationID') for unit in (DAEMON, AGENT)}

    def files(self):
        """What is below the directories that `prepare` writes to: path -> kind, mode, owner, and content or target.

        Without tailscaled's own state and DNS settings, the journal, and the time stamps and credentials that systemd
        keeps.
        """
        script = '''look() {
            find /etc /usr/lib/systemd /usr/lib/tmpfiles.d /var/lib /run/ua_overlay \\
                \\( -path /var/lib/tailscale -o -path /var/lib/systemd -o -path /var/lib/dpkg \\
                   -o -path /var/lib/private -o -path '/etc/resolv.*' \\) -prune -o "$@"
        }
        look -printf '%p %y %m %U:%G %l\\n'
        look -type f -exec sha256sum {} +'''
        # /run/ua_overlay exists neither before nor after.
        return sorted(self.machine.run(['sh', '-c', script], check=False).stdout.splitlines())

    def times(self):
        """Modification times below /etc."""
        return self.machine.run(['find', '/etc', '-printf', '%p %T@\\n']).stdout.splitlines()


def start_robot(site, service=True, base=images.SERVER, flags=''):
    """Boot the robot dev-1; ``service``: with tailscale's package installed."""
    binds = [(ROOT, CHECKOUT)] + vendor.binds(vendor.PROGRAMS if service else ['tailscale'])
    machine = Machine(site.lab, 'dev-1', images.get(base), binds=binds).__enter__()
    try:
        machine.run(['ln', '-s', CHECKOUT + '/scripts/ua-overlay', COMMAND])
        if service:
            vendor.install_service(machine)
        if flags:
            machine.write('/etc/default/tailscaled', flags)
    except BaseException:
        machine.kill()
        raise
    return Robot(machine)


class Kept:
    """The robot that runs: booting one for each test would cost more than most tests.

    :ivar failed: how many tests had failed when it was booted.
    """

    def __init__(self):
        self.robot, self.failed = None, 0

    def end(self):
        if self.robot is not None:
            machine, self.robot = self.robot.machine, None
            machine.__exit__(None, None, None)


@pytest.fixture(scope='module')
def kept(site):
    holder = Kept()
    yield holder
    holder.end()


@pytest.fixture
def new_machine(site, kept):
    """Function(options of start_robot): a robot for one test."""
    kept.end()

    def make(**options):
        kept.robot = start_robot(site, **options)
        return kept.robot

    yield make
    kept.end()


@pytest.fixture
def robot(site, kept, request):
    """A robot as tailscale's package leaves it: the service enabled and running."""
    kept.end()
    kept.robot, kept.failed = start_robot(site), request.session.testsfailed
    kept.robot.machine.run(['systemctl', 'enable', '--now', DAEMON])
    return kept.robot


@pytest.fixture
def used_robot(site, kept, request):
    """Such a robot, or the one of the test before, if that passed: in no site, and perhaps prepared."""
    if kept.robot is None or kept.failed != request.session.testsfailed:
        request.getfixturevalue('robot')
    return kept.robot


def carry(site, robot, name, *options):
    """Copy a new invitation into the home of the robot's user."""
    robot.machine.write(INVITATION, site.invite(TEAM, name, *options), mode='600', user=USER)


def second_robot(site):
    """Join dev-2, a host of the lab without systemd, whose tailscaled runs from then on; return its name."""
    path = site.carry('dev-2', site.invite(TEAM, 'dev-2'))
    if not getattr(site, 'second', False):
        site.prepare('dev-2', path)
        site.second = True
    return json.loads(site.overlay('dev-2', 'join', path, '--json', user=USER).stdout)['dns_name']


def wait_operator(robot, who=USER):
    deadline = time.monotonic() + 30
    while robot.operator() != who:
        assert time.monotonic() < deadline, robot.machine.journal(AGENT)
        time.sleep(0.1)


def assert_same(before, after):
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    assert not gone and not new


def runs(pid):
    """Whether a process exists and is no zombie."""
    try:
        with open('/proc/{}/stat'.format(pid)) as stream:
            return stream.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_prepared(robot):
    """Check that what `prepare` promises is in force, in the kernel and in tailscaled."""
    environment = robot.environment()
    assert environment['SSL_CERT_FILE'] == defaults.CA_FILE
    assert environment['TS_NO_LOGS_NO_SUPPORT'] == 'true'
    for unit in (DAEMON, AGENT):
        assert robot.machine.property(unit, 'ActiveState') == 'active'
        assert robot.machine.property(unit, 'UnitFileState') == 'enabled'
    wait_operator(robot)
    for path in (defaults.STATE_DIR, defaults.RUN_DIR):
        assert robot.machine.run(['stat', '-c', '%U %a', path]).stdout.split() == [USER, '755']
    # The rule is loaded, with the server's address, and tailscaled runs without other capabilities.
    assert robot.machine.property(egress.ROBOT.unit, 'ActiveState') == 'active'
    listed = robot.machine.run(['nft', 'list', 'table', 'inet', egress.ROBOT.table]).stdout
    assert '203.0.113.10' in listed
    kernel = robot.machine.run(['cat', '/proc/{}/status'.format(robot.machine.property(DAEMON, 'MainPID'))]).stdout
    assert 'CapBnd:\t0000000000003000\n' in kernel and 'NoNewPrivs:\t1\n' in kernel
    # Only tailscaled trusts the site's CA: the agent's environment does not name it.
    assert 'SSL_CERT_FILE' not in robot.environment(AGENT)


def use_resolved(robot):
    """Use systemd-resolved, as Ubuntu does: programs ask its stub, and tailscaled configures it for the overlay."""
    robot.machine.write('/etc/systemd/resolved.conf.d/lab.conf', '[Resolve]\nDNS=203.0.113.2\nDNSSEC=no\n')
    robot.machine.run(['systemctl', 'enable', '--now', 'systemd-resolved'])
    robot.machine.run(['ln', '-sf', '/run/systemd/resolve/stub-resolv.conf', '/etc/resolv.conf'])


def resolves(robot, names):
    """Whether the machine's resolver, which ROS nodes use, resolves each of ``names``."""
    return all(robot.machine.run(['timeout', '5', 'getent', 'ahostsv4', name], check=False).stdout.startswith('100.')
               for name in names)


def has_block(robot):
    return hosts.has_block(robot.machine.run(['cat', '/etc/hosts']).stdout)


@pytest.mark.fault('new', 'systemd-resolved restarts, or is stopped for good',
                   behaviour="Names resolve again, if need be from the hosts file; no service restarts",
                   reported='-', recovery='120 s', lost='nothing')
def test_names_resolve_after_a_restart_of_systemd_resolved_and_without_it(site, new_machine):
    robot = new_machine(base=images.ROBOT)  # resolved is a part of systemd there, as it is on Ubuntu 20.04
    use_resolved(robot)
    robot.machine.run(['systemctl', 'enable', '--now', DAEMON])
    carry(site, robot, 'dev-1')
    robot.prepare()
    own = robot.join(INVITATION)['dns_name']
    other = second_robot(site)
    robot.machine.wait('both names', lambda: resolves(robot, (own, other)))
    with_link = robot.machine.run(['resolvectl', 'dns', 'tailscale0']).stdout
    assert '100.100.100.100' in with_link and not has_block(robot)

    # It loses its settings for tailscale0; tailscaled notices the restart on D-Bus and sets them again.
    before = robot.services()
    robot.machine.run(['systemctl', 'restart', 'systemd-resolved'])
    robot.machine.wait('both names after the restart', lambda: resolves(robot, (own, other)))
    assert robot.services() == before

    # Stopped for good (masked: tailscaled's call on D-Bus would start it again), its stub does not answer: the agent
    # writes the team into the hosts file.
    robot.machine.run(['systemctl', 'mask', '--now', 'systemd-resolved'])
    robot.machine.wait('the block in the hosts file', lambda: has_block(robot))
    assert resolves(robot, (own, other)) and robot.services() == before
    assert robot.outcome('leave', '--forget')['code'] == 'OK'
    robot.machine.wait('a hosts file without the block', lambda: not has_block(robot))
    for name in ('dev-1', 'dev-2'):
        site.site('robot', 'remove', name)


def test_undo_restores_everything(site, robot):
    # Everything that `prepare` replaces exists before: another operator, another drop-in, another owner.
    robot.machine.run(['useradd', '--create-home', 'pi'])
    robot.machine.run(['tailscale', 'set', '--operator=pi'])
    robot.machine.write('/etc/systemd/system/tailscaled.service.d/10-ua_overlay.conf', '[Service]\nNice=1\n', '640')
    robot.machine.run(['systemctl', 'daemon-reload'])
    robot.machine.run(['install', '-d', '-o', 'pi', '-m', '700', defaults.STATE_DIR])
    before = robot.files()
    carry(site, robot, 'dev-1')
    robot.prepare()
    assert robot.files() != before
    robot.sudo('robot', 'prepare', '--undo')
    assert_same(before, robot.files())
    assert robot.operator() == 'pi'
    assert 'SSL_CERT_FILE' not in robot.environment()
    assert robot.machine.property(DAEMON, 'ActiveState') == 'active'
    assert robot.machine.property(AGENT, 'LoadState') == 'not-found'
    assert robot.sudo('robot', 'prepare', '--undo').stdout == 'Nothing was prepared here.\n'


@pytest.mark.fault('new', '/etc/default/tailscaled overrides the CA of `robot prepare`',
                   behaviour='`robot prepare` ends and names the setting', reported='at once: robot prepare',
                   recovery='-', lost='nothing')
def test_a_file_that_overrides_the_drop_in_is_named(site, used_robot):
    robot = used_robot
    robot.machine.run(['sh', '-c', 'echo SSL_CERT_FILE=/etc/other.pem >>/etc/default/tailscaled'])
    carry(site, robot, 'dev-1')
    done = robot.sudo('robot', 'prepare', '--invitation', INVITATION, '--user', USER, check=False)
    assert done.returncode == 1 and 'SSL_CERT_FILE=/etc/other.pem' in done.stderr and 'systemctl cat' in done.stderr
    vendor.install_service(robot.machine)
    robot.sudo('robot', 'prepare', '--undo')


def test_a_tailscaled_without_an_interface_is_refused(site, used_robot):
    robot = used_robot
    robot.machine.run(['systemctl', 'stop', DAEMON])
    robot.machine.write('/etc/default/tailscaled', 'PORT=0\nFLAGS=--tun=userspace-networking\n')
    carry(site, robot, 'dev-1')
    before = robot.files()
    done = robot.sudo('robot', 'prepare', '--invitation', INVITATION, '--user', USER, check=False)
    assert done.returncode == 1 and 'without a network interface' in done.stderr
    assert_same(before, robot.files())
    vendor.install_service(robot.machine)


def test_undo_leaves_a_stopped_service_stopped(site, new_machine):
    robot = new_machine()
    robot.machine.run(['systemctl', 'daemon-reload'])
    before = robot.files()
    carry(site, robot, 'dev-1')
    robot.prepare()
    assert_prepared(robot)
    robot.sudo('robot', 'prepare', '--undo')
    assert_same(before, robot.files())
    assert robot.machine.property(DAEMON, 'ActiveState') == 'inactive'


def test_a_machine_without_the_service_gets_one_and_undo_removes_it(site, new_machine):
    robot = new_machine(service=False)
    before = robot.files()
    carry(site, robot, 'dev-1')
    robot.prepare()
    assert_prepared(robot)
    verify = robot.machine.run(['systemd-analyze', 'verify', DAEMON, AGENT, egress.ROBOT.unit])
    assert verify.stdout + verify.stderr == ''
    assert robot.join(INVITATION)['code'] == 'OK'
    robot.machine.reboot()
    robot.machine.wait('membership after the reboot', lambda: robot.status()['state'] == 'Running')
    robot.outcome('leave', '--forget')
    site.site('robot', 'remove', 'dev-1')
    robot.sudo('robot', 'prepare', '--undo')
    assert_same(before, robot.files())
    assert robot.machine.property(DAEMON, 'LoadState') == 'not-found'


def enlist(site, robot, name):
    """Prepare and join; return the answer of the join."""
    carry(site, robot, name)
    robot.prepare()
    joined = robot.join(INVITATION)
    assert joined['code'] == 'OK', joined
    return joined


def forget(site, robot, name):
    robot.outcome('leave', '--forget')
    site.site('robot', 'remove', name)


@pytest.mark.fault('case 10', 'State, socket, interface and port of tailscaled are the owner\'s own',
                   behaviour='robot prepare reads them; join, the egress rule and the guard follow',
                   reported='nothing to report', recovery='none needed', lost='nothing')
def test_the_owners_flags_are_followed(site, new_machine):
    robot = new_machine(flags='PORT=443\nFLAGS="--state=/data/ts/robot.state --statedir=/data/ts '
                              '--socket=/data/ts.sock --tun=ts0"\n')
    robot.machine.run(['mkdir', '/data'])
    robot.machine.run(['systemctl', 'daemon-reload'])
    before = robot.files()
    enlist(site, robot, 'dev-1')
    machine = robot.machine
    assert machine.run(['stat', '-c', '%a', '/data/ts', '/data/ts/robot.state']).stdout.split() == ['700', '600']
    assert machine.run(['ip', '-4', '-brief', 'address', 'show', 'ts0']).stdout.split()[2].startswith('100.')
    # The port below 1024 needs a capability; without it tailscaled silently takes another one.
    assert ':443' in machine.run(['ss', '-Hlun', 'sport = :443']).stdout
    assert 'oifname "ts0" return' in machine.run(['nft', 'list', 'table', 'inet', egress.ROBOT.table]).stdout
    robot.sudo('guard', 'on')
    assert 'ts0' in machine.run(['nft', 'list', 'table', 'inet', 'ua_overlay']).stdout
    robot.sudo('guard', 'off')
    machine.reboot()
    machine.wait('membership after the reboot', lambda: robot.status()['state'] == 'Running')
    forget(site, robot, 'dev-1')
    robot.sudo('robot', 'prepare', '--undo')
    assert_same(before, robot.files())


OTHER = 'other.ua.test'


@pytest.fixture
def other_site(site):
    """A second site on the same host: for this machine, the tailnet of somebody else."""
    def overlay(*argv):
        return site.overlay('server', *(argv + ('--dir', '/var/lib/other')))

    overlay('server', 'init', '--name', OTHER, '--address', '203.0.113.10', '--port', '9443', '--stun-port', '9478',
            '--relay-port', '49000')
    site.lab.start_service('server', 'other', [site.command, 'server', 'run', '--dir', '/var/lib/other'],
                           env=site.base_environment())
    wait('The other site', lambda: site.overlay('server', 'server', 'status', '--dir', '/var/lib/other',
                                                check=False).returncode == 0, START)
    overlay('team', 'create', 'theirs')
    yield overlay
    site.lab.stop_service('server', 'other')


def login(machine, line):
    """Run a line of Python as root on ``api``, a LocalApi."""
    line = 'from ua_overlay.tailscale.localapi import LocalApi; api = LocalApi(); ' + line
    machine.run(['/usr/bin/python3', '-c', line], env={'PYTHONPATH': CHECKOUT + '/src'})


@pytest.mark.fault('case 8', 'The robot is in another tailnet when robot prepare --take-over runs',
                   behaviour='tailscaled keeps the other login and joins the site beside it',
                   reported='before: robot prepare names the other server and what would be lost, join the server',
                   recovery='robot prepare --undo returns to the other tailnet', lost='nothing')
def test_a_machine_of_another_tailnet(site, robot, other_site):
    machine = robot.machine
    machine.run(['sh', '-c', 'echo 203.0.113.10 {} >>/etc/hosts'.format(OTHER)])
    invited = json.loads(other_site('invite', 'theirs', 'dev-9', '--json', '--output', '/run/other.yaml').stdout)
    assert invited
    text = site.lab.host('server').run(['cat', '/run/other.yaml']).stdout
    values = yaml.safe_load(text)
    # As an owner does it: the CA in the system's store, and `tailscale up`.
    machine.write('/usr/local/share/ca-certificates/other.crt', site.lab.host('server').run(
        ['cat', '/var/lib/other/ca.pem']).stdout)
    machine.run(['update-ca-certificates'])
    machine.run(['systemctl', 'restart', DAEMON])
    machine.write('/run/key', values['key'], mode='600')
    machine.run(['tailscale', 'up', '--login-server=https://{}:9443'.format(OTHER), '--auth-key=file:/run/key',
                 '--hostname=dev-9', '--advertise-routes=10.9.0.0/24', '--timeout=30s'], timeout=60)
    address = machine.run(['tailscale', 'ip', '-4']).stdout.strip()
    before = robot.files()

    carry(site, robot, 'dev-1')
    done = robot.sudo('robot', 'prepare', '--invitation', INVITATION, '--user', USER, check=False)
    assert done.returncode == 1 and 'https://{}:9443'.format(OTHER) in done.stderr and address in done.stderr
    assert '10.9.0.0/24' in done.stderr and '--take-over' in done.stderr
    assert_same(before, robot.files())
    # Stopped, the state file tells the same.
    machine.run(['systemctl', 'stop', DAEMON])
    done = robot.sudo('robot', 'prepare', '--invitation', INVITATION, '--user', USER, check=False)
    assert done.returncode == 1 and 'https://{}:9443'.format(OTHER) in done.stderr
    machine.run(['systemctl', 'start', DAEMON])
    assert_same(before, robot.files())

    machine.run(['tailscale', 'set', '--operator=' + USER])
    refused = robot.join(INVITATION, check=False)
    assert refused['code'] == 'NOT_PREPARED' and 'https://{}:9443'.format(OTHER) in refused['message'], refused
    machine.run(['tailscale', 'set', '--operator='])

    robot.sudo('robot', 'prepare', '--invitation', INVITATION, '--user', USER, '--take-over')
    joined = robot.join(INVITATION)
    assert joined['code'] == 'OK' and joined['dns_name'].startswith('dev-1.'), joined
    # Repeated without the option, as Ansible does: the login that was kept is no surprise.
    assert 'nothing changed' in robot.prepare().stdout
    machine.reboot()
    machine.wait('membership after the reboot', lambda: robot.status()['self']['dns_name'].startswith('dev-1.'))

    # A new login beside others (`tailscale login`, --take-over once more) is not saved yet: a restart would end it, so
    # the agent, which restarts tailscaled after a logout, leaves it alone.
    instance = machine.property(DAEMON, 'InvocationID')
    login(machine, 'api.new_profile()')
    for _ in range(15):
        assert machine.property(DAEMON, 'InvocationID') == instance, machine.journal(AGENT)
        assert robot.status()['state'] == 'NeedsLogin'
        time.sleep(0.2)
    login(machine, 'api.switch_profile(next(each["ID"] for each in api.profiles()[0] if "{}" in each["ControlURL"]))'
          .format(SERVER_NAME))
    machine.wait('the login of the site', lambda: robot.status()['state'] == 'Running')

    forget(site, robot, 'dev-1')
    robot.sudo('robot', 'prepare', '--undo')
    machine.wait('the other tailnet', lambda: machine.run(
        ['tailscale', 'ip', '-4'], check=False).stdout.strip() == address)
    assert_same(before, robot.files())


#: What nft says on the kernel of a Jetson board.
NO_NF_TABLES = '#!/bin/sh\necho "netlink: Error: cache initialization failed: Protocol not supported" >&2\nexit 1\n'
CONNECT_MARKED = '''
import socket, sys
with socket.socket() as link:
    link.settimeout(3)
    link.setsockopt(socket.SOL_SOCKET, 36, 0x80000)  # SO_MARK, as tailscaled marks its sockets
    try:
        link.connect((sys.argv[1], int(sys.argv[2])))
        print('open')
    except OSError as error:
        print(type(error).__name__)
'''


@pytest.mark.fault('case 13', 'The kernel has no nf_tables but the old iptables (Jetson boards)',
                   behaviour='the egress rule and the guard are chains of iptables',
                   reported='nothing to report', recovery='the agent loads a flushed rule again within 60 s',
                   lost='nothing')
def test_a_kernel_without_nf_tables(site, new_machine):
    robot = new_machine(base=images.ROBOT_IPTABLES)
    machine = robot.machine
    for name in ('iptables', 'ip6tables'):
        machine.run(['update-alternatives', '--set', name, '/usr/sbin/{}-legacy'.format(name)])
    machine.run(['systemctl', 'enable', '--now', DAEMON])
    before = robot.files()
    machine.write('/usr/local/sbin/nft', NO_NF_TABLES, mode='755')

    def marked(address, port=9):
        return machine.run(['python3', '-c', CONNECT_MARKED, address, str(port)]).stdout.strip()

    enlist(site, robot, 'dev-1')
    assert machine.property(egress.ROBOT.unit, 'ActiveState') == 'active'
    assert 'tcp-reset' in machine.run(['iptables', '-S', egress.ROBOT.table]).stdout
    assert marked('203.0.113.2') == 'ConnectionRefusedError' and marked('203.0.113.10', 443) == 'open'
    security = machine.run(['systemd-analyze', 'security', '--no-pager', '--threshold=26', egress.ROBOT.unit],
                           check=False)
    assert security.returncode == 0, security.stdout
    # Another program flushes it: the agent, which runs in its sandbox, loads it again at its next step.
    machine.run(['iptables', '-F', 'OUTPUT'])
    machine.run(['systemctl', 'restart', AGENT])
    machine.wait('the rule again', lambda: 'ua_overlay_egress' in machine.run(['iptables', '-S', 'OUTPUT']).stdout)
    machine.reboot()
    machine.wait('the rule after the reboot',
                 lambda: 'ua_overlay_egress' in machine.run(['iptables', '-S', 'OUTPUT']).stdout)

    robot.sudo('guard', 'on')
    on = json.loads(robot.sudo('guard', 'status', '--json').stdout)
    assert on['on'] and on['problems'] == []
    assert '--dport 32768:60999' in machine.run(['iptables', '-S', 'ua_overlay_guard']).stdout
    robot.sudo('guard', 'off')
    assert 'ua_overlay_guard' not in machine.run(['iptables-save']).stdout

    # Without iptables too: a sentence before anything is written, and --no-egress removes what was there.
    for name in ('iptables', 'iptables-legacy', 'ip6tables', 'ip6tables-legacy'):
        machine.write('/usr/local/sbin/' + name, '#!/bin/sh\necho no >&2\nexit 3\n', mode='755')
    files = robot.files()
    refused = robot.sudo('robot', 'prepare', '--user', USER, check=False)
    assert refused.returncode == 1 and '--no-egress' in refused.stderr and 'Protocol not supported' in refused.stderr
    assert_same(files, robot.files())
    refused = robot.sudo('guard', 'on', check=False)
    assert refused.returncode == 1 and 'Protocol not supported' in refused.stderr
    assert_same(files, robot.files())
    removed = robot.sudo('robot', 'prepare', '--user', USER, '--no-egress').stdout
    assert 'removed /etc/ua_overlay/egress.iptables' in removed
    for name in ('iptables', 'iptables-legacy', 'ip6tables', 'ip6tables-legacy'):
        machine.run(['rm', '/usr/local/sbin/' + name])
    assert machine.property(egress.ROBOT.unit, 'LoadState') == 'not-found'
    forget(site, robot, 'dev-1')
    machine.run(['rm', '/usr/local/sbin/nft'])
    robot.sudo('robot', 'prepare', '--undo')
    assert_same(before, robot.files())


PROXY = 'http://10.0.2.2:3128'


@pytest.fixture
def proxied(site):
    """The router of dev-1 forwards nothing, and has an HTTP proxy; yields the targets that were asked of it."""
    router, log = site.lab.host('nat1'), '/run/connect_proxy.log'
    site.lab.start_service('nat1', 'proxy', ['python3', os.path.join(os.path.dirname(__file__), 'connect_proxy.py'),
                                             '10.0.2.2', '3128', log], env=site.base_environment())
    router.run(['nft', '-f', '-'], input='table inet closed { chain forward { type filter hook forward priority -10; '
                                         'policy drop; }; }')
    yield lambda: set(router.run(['cat', log], check=False).stdout.split())
    router.run(['nft', 'delete', 'table', 'inet', 'closed'])
    site.lab.stop_service('nat1', 'proxy')


@pytest.mark.fault('case 12', 'An HTTP proxy is the only way out of the robot\'s network',
                   behaviour='tailscaled, join and doctor go through it; links are DERP on port 443',
                   reported='robot prepare names the proxy', recovery='none needed', lost='nothing')
def test_an_http_proxy_is_the_only_way_out(site, new_machine, proxied):
    robot = new_machine(flags='PORT=41641\nFLAGS=\nHTTPS_PROXY={}\n'.format(PROXY))
    robot.machine.run(['systemctl', 'enable', '--now', DAEMON])
    carry(site, robot, 'dev-1')
    assert 'uses the proxy ' + PROXY in robot.prepare().stdout
    assert '10.0.2.2' in robot.machine.run(['nft', 'list', 'table', 'inet', egress.ROBOT.table]).stdout
    # Before that tailscaled reported to its vendor.
    site.lab.host('nat1').run(['truncate', '--size=0', '/run/connect_proxy.log'])
    joined = robot.join(INVITATION)
    assert joined['code'] == 'OK', joined
    # Its link to a robot elsewhere is by DERP, which tailscaled asks of the proxy on port 443.
    second_robot(site)
    robot.machine.wait('a ping by DERP', lambda: 'via DERP' in robot.machine.run(
        ['tailscale', 'ping', '-c', '1', '--timeout=2s', 'dev-2'], check=False).stdout)
    found = json.loads(robot.sudo('doctor', '--json', check=False).stdout)
    server = [each for each in found['findings'] if each['id'] in ('server', 'egress')]
    assert [each['level'] for each in server] == ['OK'] * len(server) and server, server
    # The vendor's hosts are not asked, and nothing but the site is.
    assert proxied() == {'server.ua.test:443'}
    site.overlay('dev-2', 'leave', '--forget', user=USER)
    site.site('robot', 'remove', 'dev-2')
    forget(site, robot, 'dev-1')


@pytest.mark.fault('new', 'tailscaled 1.102 logs out under systemd, or loses its keys, and would keep old paths',
                   behaviour='The agent restarts it; the command returns after that, so a join can follow at once',
                   reported='-', recovery='6 s', lost='nothing')
def test_an_unprivileged_user_joins_leaves_and_rejoins_also_after_a_reboot(site, robot):
    carry(site, robot, 'dev-1')
    refused = robot.join(INVITATION, check=False)
    assert refused['code'] == 'NOT_PREPARED' and 'robot prepare' in refused['message']
    robot.prepare()
    joined = robot.join(INVITATION)
    assert joined['code'] == 'OK' and joined['dns_name'].startswith('dev-1.')
    address = joined['addresses'][0]

    # Root's `tailscale up` clears the operator, and the agent restores it: the user leaves and rejoins.
    robot.machine.run(['tailscale', 'up', '--reset', '--login-server=https://server.ua.test:443', '--accept-dns',
                       '--hostname=dev-1', '--timeout=30s'])
    wait_operator(robot)
    assert robot.outcome('leave')['code'] == 'OK' and robot.status()['state'] == 'Stopped'
    assert robot.join()['addresses'][0] == address

    robot.machine.reboot()
    assert_prepared(robot)
    robot.machine.wait('membership after the reboot', lambda: robot.status()['state'] == 'Running')
    assert robot.status()['self']['addresses'][0] == address
    for order in (['stop', AGENT], ['kill', '--signal=STOP', AGENT]):
        robot.machine.run(['systemctl'] + order)
        restart_the_agent_as_doctor_says(robot)
    # The name resolves for programs on the machine, because tailscaled configured its resolver.
    robot.machine.wait('its own name', lambda: robot.machine.run(
        ['getent', 'ahostsv4', joined['dns_name']], check=False).stdout.startswith(address))

    # tailscaled is killed: systemd starts it again, with the CA, and the keeper connects to it.
    robot.machine.run(['systemctl', 'kill', '--signal=KILL', '--kill-whom=main', DAEMON])
    robot.machine.wait('tailscaled again', lambda: robot.machine.property(DAEMON, 'ActiveState') == 'active' and
                       robot.machine.property(DAEMON, 'NRestarts') == '1')
    assert_prepared(robot)
    robot.machine.wait('membership after the kill', lambda: robot.status()['state'] == 'Running')

    # A logout clears the operator, too, and the user can join again, at once.
    let_the_agent_look()
    forget_and_restart(site, robot, 'leave', '--forget')
    carry(site, robot, 'dev-1')
    again = robot.join(INVITATION)
    assert again['code'] == 'OK' and again['dns_name'] == joined['dns_name']
    # So does the loss of the keys, and a logout of a robot that has left before.
    let_the_agent_look()
    forget_and_restart(site, robot, 'leave', '--new-identity')
    carry(site, robot, 'dev-1')
    again = robot.join(INVITATION)
    assert again['code'] == 'OK' and again['dns_name'] == joined['dns_name']
    let_the_agent_look()
    robot.outcome('leave')
    forget_and_restart(site, robot, 'leave', '--forget')


def restart_the_agent_as_doctor_says(robot):
    """Type the next command of the agent's finding, and see the finding gone."""
    def finding():
        said = json.loads(robot.overlay('doctor', '--json', check=False).stdout)
        return next(found for found in said['findings'] if found['id'] == 'agent')

    found = finding()
    assert found['level'] == 'ERROR' and 'does not answer' in found['what'], found
    assert found['next_command'] in ('sudo systemctl restart ' + AGENT, 'sudo systemctl restart ' + AGENT_NAME), found
    robot.machine.run(['sh', '-c', found['next_command']], user=USER, timeout=60)
    robot.machine.wait('duties of the agent', lambda: finding()['level'] == 'OK')


def let_the_agent_look():
    """It restarts only a tailscaled that it has seen run; it looks every half a second, and nobody can see when."""
    time.sleep(scaled(6 * old_paths.PERIOD))


def forget_and_restart(site, robot, *argv):
    """Give the identity up, and check that the agent, in its sandbox, has tailscaled restarted before the command ends:
    from 1.101 on it would keep the old paths to its peers."""
    before, agent = robot.machine.property(DAEMON, 'InvocationID'), robot.machine.property(AGENT, 'InvocationID')
    left = robot.outcome(*argv)
    assert left['code'] == 'OK' and 'Restart tailscaled' not in left['message'], robot.machine.journal(AGENT)
    after = robot.machine.property(DAEMON, 'InvocationID')
    assert after != before, robot.machine.journal(AGENT)
    assert robot.machine.property(AGENT, 'InvocationID') == agent
    site.site('robot', 'remove', 'dev-1')
    # Once, and nobody's join is cut off by it.
    assert robot.machine.property(DAEMON, 'InvocationID') == after


def test_prepare_is_in_force_and_a_second_time_changes_nothing(site, used_robot):
    robot = used_robot
    carry(site, robot, 'dev-1')
    robot.prepare()
    assert_prepared(robot)
    verify = robot.machine.run(['systemd-analyze', 'verify', DAEMON, AGENT, egress.ROBOT.unit])
    assert verify.stdout + verify.stderr == ''
    files, times, services = robot.files(), robot.times(), robot.services()
    said = robot.prepare().stdout
    assert 'nothing changed' in said and 'wrote' not in said
    assert_same(files, robot.files())
    assert_same(times, robot.times())
    assert robot.services() == services
    # The services have no more of root's privileges than they need.
    for unit, most in ((DAEMON, 30), (AGENT, 21), (egress.ROBOT.unit, 15)):
        score = robot.machine.run(['systemd-analyze', 'security', '--no-pager', '--threshold={}'.format(most), unit],
                                  check=False)
        assert score.returncode == 0, score.stdout


def test_no_key_is_in_the_journal(site, used_robot):
    robot = used_robot
    carry(site, robot, 'dev-1')
    robot.prepare()
    robot.join(INVITATION)
    journal = robot.machine.run(['journalctl', '--no-pager', '-b', '-o', 'export']).stdout
    assert 'tailscaled' in journal and 'hskey-' not in journal
    robot.outcome('leave', '--forget')
    site.site('robot', 'remove', 'dev-1')


@pytest.mark.fault('case 9', 'Many robots are made of one disk image', behaviour='robot image removes the keys before '
                   'the disk is copied; each copy makes its own', reported='nothing to report',
                   recovery='none needed', lost='nothing')
def test_an_image_for_many_robots(site, used_robot):
    robot = used_robot
    enlist(site, robot, 'dev-1')

    def machine_key():
        state = json.loads(robot.machine.run(['cat', '/var/lib/tailscale/tailscaled.state']).stdout)
        return state['_machinekey']

    before = machine_key()
    said = robot.sudo('robot', 'image').stdout
    assert 'ua-overlay robot remove dev-1' in said and 'poweroff' in said
    assert robot.machine.property(DAEMON, 'ActiveState') == 'inactive'
    assert robot.machine.run(['find', '/var/lib/tailscale', defaults.STATE_DIR, '-type', 'f', '-name', '*.state', '-o',
                              '-name', 'settings.yaml', '-o', '-name', 'profile-data']).stdout == ''
    # As a copy boots: another machine for the server, which still has dev-1.
    robot.machine.reboot()
    assert_prepared(robot)
    carry(site, robot, 'dev-3')
    joined = robot.join(INVITATION)
    assert joined['code'] == 'OK' and joined['dns_name'].startswith('dev-3.') and machine_key() != before
    assert {each['robot'] for each in site.robots()} >= {'dev-1', 'dev-3'}
    forget(site, robot, 'dev-3')
    site.site('robot', 'remove', 'dev-1')


OUTSIDE = 'outside.example.org'


@pytest.fixture
def cgnat_lan(site):
    """The network of dev-1 also is 100.64.0.0/24, as a carrier's, with a name server at 100.64.0.1."""
    router = site.lab.host('nat1')
    routes = json.loads(router.run(['ip', '-json', '-4', 'address']).stdout)
    inside = next(each['ifname'] for each in routes
                  if any(address['local'] == '10.0.2.2' for address in each['addr_info']))
    router.run(['ip', 'address', 'add', '100.64.0.1/24', 'dev', inside])
    site.lab.start_service('nat1', 'carrier', dns.command('100.64.0.1', {OUTSIDE: '203.0.113.99'}),
                           env=site.base_environment())
    yield
    site.lab.stop_service('nat1', 'carrier')
    router.run(['ip', 'address', 'del', '100.64.0.1/24', 'dev', inside])


@pytest.mark.fault('case 18', 'The name server of the robot\'s network is in 100.64.0.0/10 (LTE)',
                   behaviour='doctor names the conflict; with the switch of the site its answers arrive',
                   reported='at once: doctor', recovery='30 s after `policy cgnat-lans on`', lost='names until then')
def test_a_network_inside_the_overlays_range(site, used_robot, cgnat_lan):
    robot = used_robot
    machine = robot.machine
    links = json.loads(machine.run(['ip', '-json', '-4', 'address']).stdout)
    own = next(each['ifname'] for each in links if any(a['local'] == '10.0.2.15' for a in each['addr_info']))
    machine.run(['ip', 'address', 'add', '100.64.0.77/24', 'dev', own])
    machine.run(['systemctl', 'stop', DAEMON])
    machine.write('/etc/resolv.conf', 'nameserver 100.64.0.1\n')
    machine.write('/etc/hosts', machine.run(['cat', '/etc/hosts']).stdout + '203.0.113.10 server.ua.test\n')
    machine.run(['systemctl', 'start', DAEMON])

    def resolved():
        return machine.run(['timeout', '3', 'getent', 'ahostsv4', OUTSIDE], check=False).stdout.startswith(
            '203.0.113.99')

    def finding():
        found = json.loads(robot.overlay('doctor', '--json', check=False).stdout)['findings']
        return next(each for each in found if each['id'] == 'address-range')

    assert resolved()
    enlist(site, robot, 'dev-1')
    wait('tailscaled to drop the answers of the name server', lambda: not resolved(), START)
    advice = finding()
    assert advice['level'] == 'WARN' and own in advice['what']
    # What the doctor says, typed on the server.
    assert advice['next_command'] == 'sudo ua-overlay policy cgnat-lans on   # on the server'
    site.site('policy', 'cgnat-lans', 'on')
    wait('the outside name', resolved, 30)
    assert finding()['level'] == 'OK'
    site.site('policy', 'cgnat-lans', 'off')
    wait('tailscaled to drop them again', lambda: not resolved(), 30)
    forget(site, robot, 'dev-1')


def test_a_machine_leaves_nothing_behind(site):
    with Machine(site.lab, 'dev-2', images.get(images.SERVER)) as machine:
        assert machine.run(['hostname']).stdout == 'robot\n'
        leader = machine.leader
        # As when the lab is killed: nothing is asked to end, and everything ends.
        machine.process.kill()
        wait('The end of what ran on it', lambda: not runs(leader), 30, poll=0.05)
    assert not os.path.exists(machine.directory)
    with open('/proc/self/mountinfo') as stream:
        assert machine.directory not in stream.read()
    # The leader ended with nspawn, and its processes with the leader: a cgroup with a process cannot be removed.
    assert machine.is_gone()
