"""`ua-overlay doctor`, roswtf and /diagnostics in a lab: a healthy team, then one fault at a time.

Each test makes a fault, types the `next` of its finding (typed.py), and sees the finding gone. test/unit/project/
test_doctor_advice.py lists all advice with the test that types it, or the reason why none can.

dev-1 is the master behind nat1; dev-2 and dev-3 share the LAN behind nat2; dev-4 has never joined.
"""
import contextlib
import glob
import ipaddress
import json
import os
import re
import signal
import subprocess

import pytest
from follow import Follower
from places import INSTALL
from topologies import TWO_LANS
from typed import steps, type_it

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.firewall import egress
from ua_overlay.lab.fleet import SITE_DIR, SOURCE, USER, Fleet
from ua_overlay.lab.timeouts import GRAPH
from ua_overlay.lab.wait import NotInTime, wait
from ua_overlay.toolchain import locate

TEAM_URI = 'http://dev-1.overlay.internal:{}'.format(TEAM_PORT)
#: The checks that a robot of a healthy team must have passed.
PASSED = {'daemon', 'login', 'key-expiry', 'server', 'certificate', 'clock', 'address-range', 'names', 'environment',
          'master', 'foreign-master', 'ports-out', 'node-names', 'half-connected', 'old-master', 'link-derp',
          'link-lan', 'mtu', 'health', 'disk', 'team-clocks', 'ports-in', 'other-graph', 'offline-nodes'}


@pytest.fixture(scope='module')
def fleet(new_lab, install):
    lab = new_lab(TWO_LANS, 'doctor')
    fleet = Fleet(lab, INSTALL)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    for robot, options in (('dev-1', ['--master']), ('dev-2', []), ('dev-3', [])):
        fleet.enlist(robot, 'iris', *options)
    fleet.start_daemon('dev-4')
    fleet.topics = Follower(fleet, 'dev-2')
    wait_healthy(fleet, 'dev-2', 'dev-3', 'dev-1')
    # The overlay nodes appear in the team graph, and answer one another.
    wait('Clocks of the team', lambda: all('ports-in' in found and 'team-clocks' in found for found in (
        doctor(fleet, robot) for robot in ('dev-1', 'dev-2', 'dev-3'))), GRAPH, poll=1)
    yield fleet


def doctor(fleet, host, env=None, user=USER):
    """{id: [finding]} of `ua-overlay doctor --json`, its exit status under 'status'."""
    environment = dict(fleet.user_environment(), **env or {})
    done = fleet.lab.host(host).run([fleet.command, 'doctor', '--json'], user=user, env=environment, check=False,
                                    timeout=120)
    assert done.stdout, done.stderr
    found = {'status': done.returncode}
    for finding in json.loads(done.stdout)['findings']:
        found.setdefault(finding['id'], []).append(finding)
    return found


def bad(found):
    """The findings that are warnings or errors, as {id: level}."""
    return {key: finding['level'] for key, findings in found.items() if key != 'status' for finding in findings
            if finding['level'] in ('WARN', 'ERROR')}


def wait_found(fleet, host, key, level, word=''):
    """The finding ``key`` of ``level`` whose first sentence holds ``word``, as soon as the doctor has it: a fault takes
    its time to show."""
    def finding():
        return next((item for item in doctor(fleet, host).get(key, ()) if item['level'] == level and
                     word in item['what']), None)
    return wait('The finding {} {} {} on {}'.format(key, level, word, host), finding, GRAPH, poll=1)


def wait_gone(fleet, host, key, env=None, user=USER):
    """Wait until the doctor's finding ``key`` is neither a warning nor an error."""
    found = {}

    def gone():
        found.clear()
        found.update(doctor(fleet, host, env, user))
        return key not in bad(found)
    try:
        wait('No finding {} on {}'.format(key, host), gone, GRAPH, poll=1)
    except NotInTime:
        print(host, json.dumps(found, indent=1))
        raise


@contextlib.contextmanager
def typed_service(fleet, host):
    """For a block: stop what a next command of it leaves running in the foreground."""
    try:
        yield
    finally:
        if fleet.lab.service_running(host, 'typed'):
            fleet.lab.stop_service(host, 'typed')


def wait_healthy(fleet, *hosts):
    """Wait until the doctor finds nothing on any of ``hosts``."""
    for host in hosts:
        found = {}

        def healthy(host=host, found=found):
            found.clear()
            found.update(doctor(fleet, host))
            return not bad(found)
        try:
            wait('A healthy ' + host, healthy, GRAPH, poll=1)
        except NotInTime:
            print(host, json.dumps(found, indent=1))
            raise


@contextlib.contextmanager
def edited(fleet, host, path, text):
    """``path`` on ``host`` with other contents, for a block."""
    machine = fleet.lab.host(host)
    before = machine.run(['cat', path]).stdout
    machine.run(['tee', path], input=text)
    try:
        yield before
    finally:
        machine.run(['tee', path], input=before)


@contextlib.contextmanager
def overwritten(fleet, host, path, text):
    """As `edited`, and nobody can write over it: tailscaled would write its own text again."""
    machine = fleet.lab.host(host)
    machine.run(['tee', '/run/fault'], input=text)
    machine.run(['mount', '--bind', '/run/fault', path])
    machine.run(['mount', '-o', 'remount,bind,ro', path])
    try:
        yield
    finally:
        machine.run(['umount', path])


@contextlib.contextmanager
def without_agent(fleet, host):
    """Without the agent, which would repair names and rules within seconds."""
    fleet.lab.stop_service(host, 'agent')
    try:
        yield
    finally:
        if not fleet.lab.service_running(host, 'agent'):  # a next command may have started it
            fleet.start_agent(host)


@contextlib.contextmanager
def firewall(fleet, host, hook, rule):
    """An nft rule in a table of its own on ``host``, for a block."""
    machine = fleet.lab.host(host)
    chain = 'chain c {{\ntype filter hook {} priority -10;\n{}\n}}'.format(hook, rule)
    machine.run(['nft', '-f', '-'], input='table inet fault {{\n{}\n}}\n'.format(chain))
    try:
        yield
    finally:
        machine.run(['nft', 'delete', 'table', 'inet', 'fault'])


@contextlib.contextmanager
def node(fleet, host, *argv, **environment):
    """A ROS program with exactly this ROS environment, as an old shell would start it."""
    argv = ['bash', '-c', SOURCE + '; unset ROS_HOSTNAME ROS_IP; export {}; exec "$@"'.format(
        ' '.join('{}={}'.format(*item) for item in environment.items())), fleet.workspace] + list(argv)
    process = fleet.lab.host(host).popen(argv, user=USER, env=fleet.user_environment(), stdout=subprocess.DEVNULL,
                                         stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def test_a_healthy_robot_has_no_findings(fleet):
    for host in ('dev-1', 'dev-2', 'dev-3'):
        found = doctor(fleet, host)
        assert bad(found) == {} and found['status'] == 0, found
        assert PASSED <= set(found), (host, PASSED - set(found))
    assert 'dev-1, dev-3 reached this robot' in doctor(fleet, 'dev-2')['ports-in'][0]['what']
    text = fleet.overlay('dev-2', 'doctor', user=USER).stdout
    assert 'No problem found' in text and 'ERROR' not in text and 'WARNING' not in text


@pytest.mark.fault('new', 'Somebody deletes or changes the egress rule',
                   behaviour='doctor names it, and its next command loads it again; so does the agent',
                   reported='at once: doctor as root', recovery='90 s', lost='nothing')
def test_the_egress_rule(fleet):
    finding = doctor(fleet, 'dev-3')['egress'][0]
    assert finding['level'] == 'UNKNOWN' and 'sudo' in finding['next_command']

    def as_root(level):
        found = doctor(fleet, 'dev-3', user=None)['egress'][0]
        assert found['level'] == level, found
        return found

    def nft(*words):
        fleet.lab.host('dev-3').run(['nft'] + list(words))

    assert '203.0.113.10' in as_root('OK')['what']
    with without_agent(fleet, 'dev-3'):
        nft('delete', 'table', 'inet', egress.ROBOT.table)
        missing = as_root('ERROR')
        assert 'not loaded' in missing['what']
        type_it(fleet, 'dev-3', missing['next_command'])
        as_root('OK')
        nft('insert', 'rule', 'inet', egress.ROBOT.table, 'output', 'accept')
        assert 'another program changed it' in as_root('ERROR')['what']
    wait('The egress rule', lambda: doctor(fleet, 'dev-3', user=None)['egress'][0]['level'] == 'OK', GRAPH, poll=1)
    assert 'it is loaded again' in fleet.lab.log('dev-3', 'agent')


def test_the_doctor_leaves_no_node_in_the_graph(fleet):
    doctor(fleet, 'dev-2')
    nodes = fleet.ros('dev-2', 'rosnode', 'list', graph='shell').stdout.split()
    assert '/rosout' in nodes and not [name for name in nodes if 'doctor' in name]


@pytest.mark.fault('new', 'The robot was never in a team', behaviour='doctor warns, and exits with status 4',
                   reported='at once: doctor', recovery='-', lost='nothing')
def test_a_robot_in_no_team(fleet):
    found = doctor(fleet, 'dev-4')
    assert bad(found) == {'login': 'WARN'} and found['status'] == 4
    assert 'no team' in found['login'][0]['what']


@pytest.mark.fault('new', 'The robot has left its team', behaviour='doctor names the command that rejoins',
                   reported='90 s: doctor', recovery='90 s', lost='nothing')
def test_leave_and_rejoin(fleet):
    fleet.overlay('dev-3', 'leave', user=USER)
    try:
        finding = wait_found(fleet, 'dev-3', 'login', 'WARN')
        assert finding['next_command'] == 'ua-overlay join'
        type_it(fleet, 'dev-3', finding['next_command'])
    finally:
        fleet.overlay('dev-3', 'join', user=USER, check=False)
    wait_healthy(fleet, 'dev-3')


@pytest.mark.fault('new', 'tailscaled does not run', behaviour='doctor and roswtf name its socket',
                   reported='at once: doctor, roswtf', recovery='90 s', lost='nothing')
def test_no_daemon(fleet):
    fleet.lab.stop_service('dev-3', 'tailscaled')
    try:
        found = doctor(fleet, 'dev-3')
        assert found['daemon'][0]['level'] == 'ERROR' and found['status'] == 1
        assert 'tailscaled.sock' in found['daemon'][0]['what']
        text = roswtf(fleet, 'dev-3')
        assert 'overlay daemon' in text
        type_it(fleet, 'dev-3', found['daemon'][0]['next_command'])
    finally:
        if not fleet.lab.service_running('dev-3', 'tailscaled'):
            fleet.start_daemon('dev-3')
    wait_healthy(fleet, 'dev-3')


@pytest.mark.fault('new', 'resolv.conf is overwritten and the agent does not run',
                   behaviour='doctor, roswtf and /diagnostics say which names fail', reported='90 s: doctor',
                   recovery='90 s', lost='nothing')
def test_resolv_conf_overwritten(fleet):
    with without_agent(fleet, 'dev-2'), overwritten(fleet, 'dev-2', '/etc/resolv.conf', 'nameserver 203.0.113.2\n'):
        finding = wait_found(fleet, 'dev-2', 'names', 'ERROR')
        assert '.overlay.internal does not resolve on this machine' in finding['what']
        assert 'overlay names' in roswtf(fleet, 'dev-2')
        wait_diagnostics(fleet, 'An ERROR', 'environment', lambda status: status['level'] == 2)
        # resolv.conf stays as it is: the agent takes the names into the hosts file.
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'names')
        finding = wait_found(fleet, 'dev-2', 'health', 'WARN', 'resolv.conf')
    # The file can be written again, and tailscaled tries that when it starts.
    type_it(fleet, 'dev-2', finding['next_command'])
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('new', "The master takes this robot's name for another address",
                   behaviour='doctor says so on both robots', reported='90 s: doctor', recovery='90 s', lost='nothing')
def test_the_master_cannot_resolve_our_name(fleet):
    hosts = fleet.lab.host('dev-1').run(['cat', '/etc/hosts']).stdout
    hosts += '203.0.113.99 dev-2.overlay.internal\n'
    with without_agent(fleet, 'dev-1'), edited(fleet, 'dev-1', '/etc/hosts', hosts):
        finding = wait_found(fleet, 'dev-2', 'ports-in', 'ERROR')
        assert 'by its name dev-2.overlay.internal' in finding['what']
        assert wait_found(fleet, 'dev-1', 'names', 'ERROR')['what'].startswith('This robot cannot receive from dev-2')
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'ports-in')
    wait_healthy(fleet, 'dev-2', 'dev-1')


@pytest.mark.fault('new', "A shell has ROS_IP of the LAN and the team's master",
                   behaviour='doctor and roswtf name the variable, the program and, on other robots, its node',
                   reported='at once: doctor in that shell; 90 s: elsewhere', recovery='90 s', lost='nothing')
def test_lan_address_with_the_overlays_master(fleet):
    mixed = {'ROS_MASTER_URI': TEAM_URI, 'ROS_IP': '10.0.2.15'}
    finding = doctor(fleet, 'dev-2', mixed)['half-connected'][0]
    assert finding['level'] == 'ERROR' and 'ROS_IP=10.0.2.15' in finding['what']
    assert 'overlay half-connected' in roswtf(fleet, 'dev-2', mixed)
    # Typed in that very shell.
    script = 'export {}; {}; ua-overlay doctor --json'.format(
        ' '.join('{}={}'.format(*item) for item in mixed.items()), finding['next_command'])
    shell = json.loads(fleet.shell('dev-2', script, check=False).stdout)['findings']
    assert [item['level'] for item in shell if item['id'] == 'half-connected'] == ['OK']
    with node(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'talker.py', **mixed), typed_service(fleet, 'dev-2'):
        finding = wait_found(fleet, 'dev-2', 'half-connected', 'ERROR')
        assert 'talker.py' in finding['what']
        elsewhere = wait_found(fleet, 'dev-3', 'node-names', 'ERROR')
        assert '/talker registered as 10.0.2.15' in elsewhere['what']
        assert 'overlay node-names' in roswtf(fleet, 'dev-3', {'ROS_MASTER_URI': TEAM_URI})
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'half-connected')
        wait_gone(fleet, 'dev-3', 'node-names')
    wait_healthy(fleet, 'dev-2', 'dev-3')


@pytest.mark.fault('new', 'A program still has the former master',
                   behaviour='doctor and status name the program and both masters', reported='90 s: doctor',
                   recovery='90 s', lost='nothing')
def test_node_of_a_former_master(fleet):
    with node(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'talker.py', ROS_MASTER_URI='http://dev-3.overlay.internal:{}'.format(TEAM_PORT),
              ROS_HOSTNAME='dev-2.overlay.internal'):
        finding = wait_found(fleet, 'dev-2', 'old-master', 'WARN')
        assert 'talker.py' in finding['what'] and 'dev-3' in finding['what'] and TEAM_URI in finding['why']
        status = fleet.overlay('dev-2', 'status', user=USER).stdout
        assert finding['what'] in status and finding['next_command'] in status
        with typed_service(fleet, 'dev-2'):
            type_it(fleet, 'dev-2', finding['next_command'])
            wait_gone(fleet, 'dev-2', 'old-master')
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('case 2', 'A node runs in the graph of another network, or moved from the local one to the team\'s',
                   behaviour='doctor names the node, its process and its master', reported='90 s: doctor',
                   recovery='after its next command', lost='nothing')
def test_nodes_of_other_graphs(fleet):
    lan = {'ROS_MASTER_URI': 'http://10.0.2.99:11311', 'ROS_IP': '10.0.2.15'}
    with node(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'talker.py', **lan), typed_service(fleet, 'dev-2'):
        finding = wait_found(fleet, 'dev-2', 'other-graph', 'WARN')
        assert 'talker.py' in finding['what'] and lan['ROS_MASTER_URI'] in finding['what']
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'other-graph')
        fleet.lab.stop_service('dev-2', 'typed')
        # A bringup that was in the local graph, and is in the team's after its restart.
        with node(fleet, 'dev-2', 'rosrun', 'ua_overlay', 'talker.py', ROS_MASTER_URI='http://localhost:11311',
                  ROS_HOSTNAME='localhost'):
            wait('/talker in the local graph', lambda: '/talker' in fleet.ros('dev-2', 'rosnode', 'list').stdout, GRAPH)
            fleet.lab.host('dev-2').run(['pkill', '-9', '-f', 'talker.py'])
        type_it(fleet, 'dev-2', 'ua-overlay exec rosrun ua_overlay talker.py')
        finding = wait_found(fleet, 'dev-2', 'other-graph', 'WARN', 'moved from the local graph')
        assert '/talker' in finding['what']
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'other-graph')
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('case 5', 'A robot loses power while its nodes are registered at the team\'s master',
                   behaviour='doctor names the robot and its nodes', reported='90 s: doctor',
                   recovery='after its next command', lost='-')
def test_nodes_of_a_robot_that_lost_power(fleet):
    for service in ('overlay', 'tailscaled'):
        fleet.lab.service('dev-3', service).signal_group(signal.SIGKILL)
        fleet.lab.stop_service('dev-3', service)
    try:
        finding = wait_found(fleet, 'dev-2', 'offline-nodes', 'WARN')
        assert 'dev-3 is offline' in finding['what'] and '/dev_3/overlay' in finding['what']
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'offline-nodes')
    finally:
        fleet.start_daemon('dev-3')
        fleet.launch('dev-3')
    wait_healthy(fleet, 'dev-2', 'dev-3')


@pytest.mark.fault('new', "The master runs no roscore, then a roslaunch of somebody's owns the port",
                   behaviour='doctor says so on both robots, and names the launch', reported='90 s: doctor',
                   recovery='90 s', lost='nothing')
def test_the_master_runs_no_roscore_then_somebodys_roslaunch(fleet):
    path = '/home/{}/foreign.launch'.format(USER)
    fleet.lab.host('dev-1').run(['tee', path], input='<launch><node name="talker" pkg="ua_overlay" type="talker.py"/>'
                                                     '</launch>')
    fleet.lab.stop_service('dev-1', 'overlay')
    try:
        finding = wait_found(fleet, 'dev-2', 'master', 'WARN')
        assert 'No ROS master listens' in finding['what'] and 'dev-1' in finding['next_command']
        finding = wait_found(fleet, 'dev-1', 'environment', 'ERROR')
        assert 'overlay.launch' in finding['next_command']
        # Another program has the team port when overlay.launch starts.
        squatter = fleet.lab.host('dev-1').popen(['/usr/bin/python3', '-m', 'http.server', str(TEAM_PORT)], user=USER,
                                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with typed_service(fleet, 'dev-1'):
            type_it(fleet, 'dev-1', finding['next_command'])
            held = wait_found(fleet, 'dev-1', 'master', 'ERROR')
            assert 'http.server' in held['why'] or 'python3' in held['why'], held
            assert 'of {}'.format(USER) in held['why'] and 'port {}'.format(TEAM_PORT) in held['why']
            type_it(fleet, 'dev-1', held['next_command'])
            squatter.wait(10)
            wait_gone(fleet, 'dev-1', 'master')
            wait_gone(fleet, 'dev-1', 'environment')
        with node(fleet, 'dev-1', 'roslaunch', path, ROS_MASTER_URI=TEAM_URI, ROS_HOSTNAME='dev-1.overlay.internal'):
            finding = wait_found(fleet, 'dev-2', 'foreign-master', 'WARN')
            assert 'talker' in finding['what'] and finding['next_command'] == 'ua-overlay doctor   # on dev-1'
            fleet.launch('dev-1')
            with typed_service(fleet, 'dev-1'):
                here = wait_found(fleet, 'dev-1', 'foreign-master', 'WARN')
                type_it(fleet, 'dev-1', here['next_command'])
                wait_gone(fleet, 'dev-2', 'foreign-master')
                wait('The nodes of that launch', lambda: '/talker' in fleet.ros(
                    'dev-2', 'rosnode', 'list', graph='shell', check=False).stdout, GRAPH)
    finally:
        if not fleet.lab.service_running('dev-1', 'overlay'):
            fleet.launch('dev-1')
    wait_healthy(fleet, 'dev-1', 'dev-2')


@pytest.mark.fault('new', 'The overlay node hangs while the master moves', behaviour='doctor names its process',
                   reported='90 s: doctor', recovery='after its next command', lost='nothing')
def test_a_node_that_hangs(fleet):
    machine = fleet.lab.host('dev-2')
    pids = machine.run(['pgrep', '-f', '__name:=ua_overlay( |$)'], user=USER).stdout.split()
    machine.run(['kill', '-STOP'] + pids)
    try:
        fleet.site('team', 'master', 'iris', 'dev-3')
        finding = wait_found(fleet, 'dev-2', 'environment', 'WARN', 'The env file names')
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'environment')
    finally:
        machine.run(['kill', '-CONT'] + pids, check=False)
        fleet.site('team', 'master', 'iris', 'dev-1')
    wait_healthy(fleet, 'dev-1', 'dev-2', 'dev-3')


def set_policy(fleet, change):
    """Spoil the policy in force behind the back of `server run`, which would never make such a one."""
    path = fleet.lab.host('server').path(SITE_DIR + '/policy.json')
    with open(path) as stream:
        before = stream.read()
    policy = json.loads(before)
    # They are there to refuse what follows.
    policy.pop('tests', None)
    change(policy)
    write_policy(fleet, json.dumps(policy))
    return before


def write_policy(fleet, text):
    server = fleet.lab.host('server')
    server.run(['tee', SITE_DIR + '/policy.json'], input=text)
    server.run(['pkill', '-HUP', '-x', 'headscale'])


@pytest.mark.fault('new', 'The policy in force drops ports that ROS needs',
                   behaviour='doctor names the ports and the policy', reported='90 s: doctor', recovery='90 s',
                   lost='nothing')
def test_the_policy_blocks_ports(fleet):
    """The team port, then the ephemeral ones."""
    def block_team_port(policy):
        policy['grants'][0]['ip'] = ['tcp:1-11311', 'tcp:11313-65535', 'udp:*', 'icmp:*']

    def block_ephemeral_ports(policy):
        policy['grants'][0]['ip'] = ['tcp:{}'.format(TEAM_PORT), 'udp:*', 'icmp:*']

    # `server run` reads back what is in force, and reloads its own within seconds.
    server = fleet.lab.host('server')
    server.run(['pkill', '-STOP', '-f', 'ua-overlay server run'])
    before = set_policy(fleet, block_team_port)
    try:
        finding = wait_found(fleet, 'dev-2', 'ports-out', 'ERROR', 'TCP {}'.format(TEAM_PORT))
        assert 'of dev-1 are dropped' in finding['what']
        assert "the site's policy does not grant it" in finding['why'] and finding['why'].startswith('Other ports pass')
        set_policy(fleet, block_ephemeral_ports)
        finding = wait_found(fleet, 'dev-2', 'ports-out', 'ERROR', 'phemeral port')
        assert 'TCP {}'.format(TEAM_PORT) not in finding['what']
        assert wait_found(fleet, 'dev-2', 'ports-in', 'ERROR')
    finally:
        write_policy(fleet, before)
        server.run(['pkill', '-CONT', '-f', 'ua-overlay server run'])
    wait_healthy(fleet, 'dev-2', 'dev-3')


@pytest.mark.fault('new', 'A firewall on this robot drops incoming connections',
                   behaviour='doctor says so here and on the master', reported='90 s: doctor', recovery='90 s',
                   lost='nothing')
def test_own_firewall_blocks_incoming_connections(fleet):
    with firewall(fleet, 'dev-2', 'input', 'iifname "tailscale0" ct state new tcp dport != 22 drop'):
        finding = wait_found(fleet, 'dev-2', 'ports-in', 'ERROR')
        assert 'firewall on this machine' in finding['why']
        assert doctor(fleet, 'dev-2')['ports-out'][0]['level'] == 'OK'
        # The same fault, seen from the other side.
        assert 'of dev-2 are dropped' in wait_found(fleet, 'dev-1', 'ports-out', 'ERROR')['what']
    wait_healthy(fleet, 'dev-2', 'dev-1')


@pytest.mark.fault('K7', 'Somebody types `tailscale set --shields-up`',
                   behaviour='doctor says that tailscaled itself refuses connections, and how to end it',
                   reported='90 s: doctor', recovery='90 s after the next command', lost='nothing')
def test_tailscaled_refuses_connections(fleet):
    fleet.lab.host('dev-2').run([locate('tailscale'), 'set', '--shields-up'])
    try:
        finding = wait_found(fleet, 'dev-2', 'ports-in', 'ERROR', 'tailscaled refuses')
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'ports-in')
    finally:
        fleet.lab.host('dev-2').run([locate('tailscale'), 'set', '--shields-up=false'])
    wait_healthy(fleet, 'dev-2', 'dev-1')


@pytest.mark.fault('K7', 'New connections of one robot are dropped while an old one lives',
                   behaviour='doctor has that robot connect anew, and says that it did not arrive',
                   reported='90 s: doctor', recovery='90 s', lost='nothing')
def test_an_old_connection_proves_nothing(fleet):
    # At a port from the range of ROS nodes, which the policy opens; the kernel chooses one that is free.
    listen = ('import socket; s = socket.create_server(("", 0)); print(s.getsockname()[1], flush=True); '
              'c = s.accept(); print("in", flush=True); input()')
    call = ('import socket, sys; s = socket.create_connection(("dev-2.overlay.internal", int(sys.argv[1])), 10); '
            'input()')
    pipes = {'stdin': subprocess.PIPE, 'stdout': subprocess.PIPE, 'universal_newlines': True}
    with fleet.lab.host('dev-2').popen(['/usr/bin/python3', '-c', listen], **pipes) as server:
        port = server.stdout.readline().strip()
        with fleet.lab.host('dev-3').popen(['/usr/bin/python3', '-c', call, port], **pipes) as client:
            assert server.stdout.readline() == 'in\n'
            address = fleet.overlay('dev-3', 'status', '--json').stdout
            address = json.loads(address)['self']['addresses'][0]
            with firewall(fleet, 'dev-2', 'input', 'ip saddr {} tcp flags & (syn | ack) == syn drop'.format(address)):
                finding = wait_found(fleet, 'dev-2', 'ports-in', 'ERROR')
                assert finding['what'].startswith('dev-3 cannot reach')
            client.communicate('\n')
        server.communicate('\n')
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('case 7', 'The clocks of two robots of a team differ by 300 ms',
                   behaviour='doctor says by how many milliseconds, on both', reported='at once: doctor',
                   recovery='at once', lost='nothing')
def test_clocks_of_the_team(fleet):
    library = glob.glob('/usr/lib/*/faketime/libfaketime.so.1')[0]
    faked = {'LD_PRELOAD': library, 'FAKETIME_DONT_FAKE_MONOTONIC': '1'}
    finding = doctor(fleet, 'dev-2', dict(faked, FAKETIME='-0.3s'))['team-clocks'][0]
    offsets = [tuple(map(int, each)) for each in re.findall(r'\(([+-]\d+) ms, measured to (\d+) ms', finding['what'])]
    assert finding['level'] == 'WARN' and len(offsets) == 2, finding
    assert all(abs(offset - 300) <= accuracy + 20 for offset, accuracy in offsets), finding
    assert 'server.ua.test iburst' in finding['next_command']
    assert doctor(fleet, 'dev-2', dict(faked, FAKETIME='+90s'))['team-clocks'][0]['level'] == 'ERROR'
    assert doctor(fleet, 'dev-2')['team-clocks'][0]['level'] == 'OK'


@pytest.mark.fault('new', 'The clock is 10 s, 10 min or five years off',
                   behaviour='doctor says how far, warning from seconds on, error from minutes on',
                   reported='at once: doctor', recovery='-', lost='nothing')
def test_clock_offset(fleet):
    library = glob.glob('/usr/lib/*/faketime/libfaketime.so.1')[0]
    faked = {'LD_PRELOAD': library, 'FAKETIME_DONT_FAKE_MONOTONIC': '1'}
    finding = doctor(fleet, 'dev-2', dict(faked, FAKETIME='-10s'))['clock'][0]
    assert finding['level'] == 'WARN' and 'behind' in finding['what']
    finding = doctor(fleet, 'dev-2', dict(faked, FAKETIME='+600s'))['clock'][0]
    assert finding['level'] == 'ERROR' and 'ahead' in finding['what']
    # So far off that no certificate is valid.
    finding = doctor(fleet, 'dev-2', dict(faked, FAKETIME='-5y'))['clock'][0]
    assert finding['level'] == 'ERROR' and 'not yet valid' in finding['what'] and finding['next_command']


@pytest.mark.fault('new', "The server's certificate ends soon and nobody renews it",
                   behaviour='doctor and /diagnostics warn with the date and the command', reported='90 s: doctor',
                   recovery='90 s', lost='nothing')
def test_certificate_ends_soon(fleet):
    script = '''
import sys
from datetime import timedelta
sys.path.insert(0, sys.argv[2])
from ua_overlay import clock
from ua_overlay.trust import certificate, store
site = sys.argv[1]
issue = certificate.issue_server_certificate
certificate.issue_server_certificate = lambda *args: issue(*args, days=10)
store.renew(site, clock.utc_now())
'''
    packages = glob.glob(os.path.join(INSTALL, 'lib/python3*/*-packages'))[0]
    fleet.stop_server()
    # A running site would renew it at once, so only Headscale itself comes back.
    server = fleet.lab.host('server')
    server.run(['/usr/bin/python3', '-c', script, SITE_DIR, packages])
    fleet.lab.start_service('server', 'alone', [locate('headscale'), '--config', SITE_DIR + '/headscale.yaml', 'serve'],
                            env=fleet.base_environment())
    try:
        finding = wait_found(fleet, 'dev-2', 'certificate', 'WARN')
        assert 'expires on' in finding['what'] and 'ua-overlay server renew' in finding['next_command']
        wait_diagnostics(fleet, 'The warning', 'server', lambda status: 'expires on' in status['message'])
    finally:
        fleet.lab.stop_service('server', 'alone')
        fleet.start_server()
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('new', 'Another interface has an address in 100.64.0.0/10',
                   behaviour='doctor warns, or says which robot it hides', reported='at once: doctor', recovery='90 s',
                   lost='nothing')
def test_range_used_by_another_interface(fleet):
    machine = fleet.lab.host('dev-2')
    interface = machine.run(['sh', '-c', 'ip -o -4 route show default | cut -d" " -f5']).stdout.strip()
    other = next(each for each in fleet.robots() if each['robot'] == 'dev-1')['addresses'][0]
    # In the same /24 as dev-1, and in another one.
    near = ipaddress.ip_address(int(ipaddress.ip_address(other)) ^ 1)
    far = ipaddress.ip_address(int(ipaddress.ip_address(other)) ^ 0x10000)
    for address, level, words in (('{}/24'.format(far), 'WARN', str(far)), ('{}/24'.format(near), 'ERROR', 'dev-1')):
        machine.run(['ip', 'address', 'add', address, 'dev', interface])
        try:
            found = doctor(fleet, 'dev-2')['address-range'][0]
            assert found['level'] == level and words in found['what'] + found['why']
        finally:
            machine.run(['ip', 'address', 'del', address, 'dev', interface])
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('new', 'Large UDP packets are lost on the way', behaviour='doctor names the peers that it concerns',
                   reported='90 s: doctor', recovery='90 s', lost='nothing')
def test_large_packets_are_lost(fleet):
    with firewall(fleet, 'nat1', 'forward', 'meta l4proto udp meta length > 1300 drop'):
        finding = wait_found(fleet, 'dev-2', 'mtu', 'ERROR')
        assert 'dev-1' in finding['what'] and 'dev-3' not in finding['what']
        # Only pings tell: the rule counts what the kernel has put together (GSO) as one packet.
        with fitted(fleet, 'dev-2', finding):
            pass
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('K7', "A robot's own interface carries 1330 bytes", reported='90 s: doctor',
                   behaviour='doctor finds it, and its next command lets large messages pass, also after a restart',
                   recovery='after its next command', lost='large messages until then')
def test_an_interface_that_is_too_small(fleet):
    machine = fleet.lab.host('dev-2')
    interface = machine.run(['sh', '-c', 'ip -o -4 route show default | cut -d" " -f5']).stdout.strip()
    machine.run(['ip', 'link', 'set', interface, 'mtu', '1330'])
    try:
        finding = wait_found(fleet, 'dev-2', 'mtu', 'ERROR', 'at most 1330 bytes')
        assert megabytes(fleet, 'dev-2', 'dev-1') < 1
        with fitted(fleet, 'dev-2', finding):
            assert megabytes(fleet, 'dev-2', 'dev-1') > 1 and megabytes(fleet, 'dev-1', 'dev-2') > 1
            fleet.lab.stop_service('dev-2', 'tailscaled')
            fleet.start_daemon('dev-2')
            wait_healthy(fleet, 'dev-2')
            assert megabytes(fleet, 'dev-2', 'dev-1') > 1
    finally:
        machine.run(['ip', 'link', 'set', interface, 'mtu', '1500'])
    wait_healthy(fleet, 'dev-2')


@contextlib.contextmanager
def fitted(fleet, host, finding):
    """Type the advice of the check `mtu`, see the finding gone, and undo it after the block."""
    type_it(fleet, host, finding['next_command'])
    try:
        wait_gone(fleet, host, 'mtu')
        yield
    finally:
        fleet.overlay(host, 'robot', 'mtu', 'off')


def megabytes(fleet, sender, receiver):
    """The megabytes that a new TCP connection over the overlay carries in a second."""
    receive = ('import socket, time; s = socket.create_server(("", 0)); print(s.getsockname()[1], flush=True); '
               'c = s.accept()[0]; c.settimeout(3); n = 0; end = time.time() + 3\n'
               'try:\n while time.time() < end:\n  part = c.recv(1 << 20); n += len(part)\n  if not part: break\n'
               'except OSError: pass\nprint(n)')
    send = ('import socket, sys, time; s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 10); '
            's.settimeout(1); end = time.time() + 1\n'
            'try:\n while time.time() < end: s.sendall(b"x" * 65536)\nexcept OSError: pass')
    with fleet.lab.host(receiver).popen(['/usr/bin/python3', '-c', receive], stdout=subprocess.PIPE,
                                        universal_newlines=True) as process:
        port = process.stdout.readline().strip()
        fleet.lab.host(sender).run(['/usr/bin/python3', '-c', send, receiver + '.overlay.internal', port], timeout=30)
        return int(process.stdout.readline()) / 1e6


@pytest.mark.fault('new', 'An access point keeps its clients apart',
                   behaviour='doctor names the robot on the same LAN that is reached by a relay only',
                   reported='90 s: doctor', recovery='90 s', lost='nothing')
def test_relayed_within_one_lan(fleet):
    """An access point that keeps its clients apart."""
    with firewall(fleet, 'dev-3', 'input', 'ip saddr { 10.0.2.15, 203.0.113.22 } drop'):
        finding = wait_found(fleet, 'dev-2', 'link-lan', 'WARN')
        assert 'dev-3' in finding['what'] and '10.0.2.0/24' in finding['what']
    wait_healthy(fleet, 'dev-2', 'dev-3')


#: An iptables on a kernel without the target CONNMARK, as on JetPack 6.
NO_CONNMARK = """\
#!/bin/sh
case "$*" in
  *--version*) echo 'iptables v1.8.7 (nf_tables)' ;;
  *CONNMARK* | *connmark*) echo 'iptables: No chain/target/match by that name.' >&2; exit 1 ;;
  *-C*) exit 1 ;;
esac
"""


@pytest.mark.fault('case 14', 'tailscaled cannot set up its packet filter, so MagicDNS never works',
                   behaviour='doctor and /diagnostics show its words and the way out', reported='90 s: doctor',
                   recovery='after its next command', lost='nothing')
def test_the_daemons_own_health(fleet):
    machine = fleet.lab.host('dev-2')
    machine.run(['sh', '-c', 'mkdir -p /run/broken; cat > /run/broken/iptables; chmod 755 /run/broken/iptables; '
                             'cp -p /run/broken/iptables /run/broken/ip6tables'], input=NO_CONNMARK)
    broken = {'PATH': '/run/broken:' + fleet.base_environment()['PATH'], 'TS_DEBUG_FIREWALL_MODE': 'iptables'}
    fleet.lab.stop_service('dev-2', 'tailscaled')
    fleet.start_daemon('dev-2', broken)
    try:
        finding = wait_found(fleet, 'dev-2', 'health', 'ERROR')
        wait_diagnostics(fleet, 'The daemon\'s words', 'daemon', lambda status: 'tailscaled says' in status['message'])
        type_it(fleet, 'dev-2', finding['next_command'])
        wait_gone(fleet, 'dev-2', 'health')
    finally:
        fleet.lab.stop_service('dev-2', 'tailscaled')
        fleet.start_daemon('dev-2')
        type_it(fleet, 'dev-2', 'sudo tailscale set --netfilter-mode=on')
    wait_healthy(fleet, 'dev-2')


@pytest.mark.fault('case 11', 'A power cut damages tailscaled.state', reported='90 s: doctor',
                   behaviour='doctor says so, and the way back, step by step', recovery='after its next commands',
                   lost='the robot\'s identity and address')
def test_a_damaged_state(fleet):
    machine = fleet.lab.host('dev-3')
    fleet.lab.stop_service('dev-3', 'tailscaled')
    machine.run(['sh', '-c', 'echo "{\\"_machinekey\\": " > /var/lib/tailscale/tailscaled.state'])
    fleet.start_daemon('dev-3')
    finding = wait_found(fleet, 'dev-3', 'health', 'ERROR')
    assert 'damaged' in finding['why']
    text = type_it(fleet, 'dev-3', finding['next_command'])
    assert 'has lost its identity' in text
    finding = wait_found(fleet, 'dev-3', 'login', 'ERROR')
    assert 'dev-3 was in team iris' in finding['what']
    typed = list(steps(finding['next_command'], 'dev-3'))
    assert [host for host, _ in typed] == ['server', 'server', 'dev-3'], typed
    type_it(fleet, 'dev-3', finding['next_command'])
    wait_healthy(fleet, 'dev-3', 'dev-2')


@pytest.mark.fault('K7', 'A robot was removed on the server',
                   behaviour='doctor names the commands that bring it back', reported='90 s: doctor',
                   recovery='after its next command', lost='its address')
def test_a_removed_robot_comes_back(fleet):
    fleet.site('robot', 'remove', 'dev-3')

    def finding():
        found = doctor(fleet, 'dev-3')
        return next((item for key in ('registered', 'login') for item in found.get(key, ())
                     if item['level'] == 'ERROR'), None)
    type_it(fleet, 'dev-3', wait('The removal on dev-3', finding, GRAPH, poll=1)['next_command'])
    wait_healthy(fleet, 'dev-3', 'dev-2')


# --- roswtf and /diagnostics ---

def set_up_rosdep(fleet, host):
    """roswtf finds its plugins only where rosdep was set up. Returns the environment for both."""
    environment = dict(fleet.user_environment(), ROSDISTRO_INDEX_URL='file:///etc/ros/rosdep/index-v4.yaml')
    machine = fleet.lab.host(host)
    if os.path.exists(machine.path('/etc/ros/rosdep/index-v4.yaml')):
        return environment
    machine.run(['sh', '-c', 'mkdir -p /etc/ros/rosdep/sources.list.d && cd /etc/ros/rosdep && '
                 'rm -f sources.list.d/* && '
                 'echo "python3-yaml: {debian: [python3-yaml], ubuntu: [python3-yaml]}" > base.yaml && '
                 'echo "yaml file:///etc/ros/rosdep/base.yaml" > sources.list.d/10-base.list && '
                 'printf "%%YAML 1.1\\n---\\ndistributions: {}\\ntype: index\\nversion: 4\\n" > index-v4.yaml'])
    done = machine.run(['rosdep', 'update'], user=USER, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return environment


def roswtf(fleet, host, env=None):
    """The output of the real roswtf."""
    environment = dict(set_up_rosdep(fleet, host), **env or {})
    done = fleet.lab.host(host).run(['bash', '-c', SOURCE + ' && cd && exec roswtf', fleet.workspace],
                                    user=USER, env=environment, check=False, timeout=120)
    text = done.stdout + done.stderr
    assert 'Loaded plugin ua_overlay.wtf' in text and 'Traceback' not in text, text
    return text


@pytest.mark.fault('new', 'roslaunch starts nodes on another robot, without a shell of its own',
                   behaviour="env_loader.sh sets the overlay's names and leaves another network's master alone",
                   reported='-', recovery='-', lost='nothing')
def test_env_loader_of_a_remote_machine(fleet):
    """As roslaunch runs it over ssh (roslaunch/remoteprocess.py): nothing but ROS_MASTER_URI in the environment."""
    loader = os.path.join(fleet.workspace, 'lib/ua_overlay/env_loader.sh')
    script = 'echo "$ROS_MASTER_URI $ROS_HOSTNAME"; exec roslaunch --nodes ua_overlay overlay.launch'

    def remote(uri):
        done = fleet.lab.host('dev-2').run(['env', 'ROS_MASTER_URI=' + uri, loader, 'sh', '-c', script], user=USER,
                                           env={'PATH': '/usr/bin:/bin'})
        return done.stdout.split()
    # With or without the slash: roslaunch hands on what its own shell has.
    for uri in (TEAM_URI, TEAM_URI + '/'):
        assert remote(uri)[:2] == [TEAM_URI, 'dev-2.overlay.internal']
    assert remote(TEAM_URI)[2:] == ['/ua_overlay']
    # It leaves another network's master alone.
    assert remote('http://10.0.2.99:11311') == ['http://10.0.2.99:11311', '/ua_overlay']


def by_check(message):
    """{check: status} of one message on /diagnostics."""
    return {status['name'].split(': ')[-1]: status for status in message['status']}


def wait_diagnostics(fleet, what, check, condition):
    """Wait until dev-2's status of ``check`` in /diagnostics fulfils ``condition(status)``."""
    fleet.topics.wait('{} in /diagnostics of dev-2'.format(what), 'diagnostics',
                      lambda message: condition(by_check(message)[check]), GRAPH)


def test_roswtf_finds_nothing_on_a_healthy_robot(fleet):
    # Both kinds of checks: the team's master is there, so the ones that need it run too.
    text = roswtf(fleet, 'dev-2')
    assert 'Online' in text and ' overlay ' not in text.replace('Loaded plugin', ''), text


def test_diagnostics_of_a_healthy_robot(fleet):
    statuses = by_check(fleet.topics.now('diagnostics'))
    assert set(statuses) >= {'daemon', 'server', 'links', 'environment'}
    assert all(status['name'].startswith('dev-2: overlay: ') for status in statuses.values())
    assert statuses['daemon']['level'] == statuses['server']['level'] == statuses['environment']['level'] == 0
    values = {item['key']: item['value'] for item in statuses['server']['values']}
    assert values['clock'].startswith('OK') and values['certificate'].startswith('OK')
