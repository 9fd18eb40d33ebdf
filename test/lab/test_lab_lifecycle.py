"""A lab comes and goes as one thing: nothing is left behind, whatever happened to its maker."""
import json
import os
import signal
import subprocess
import sys

import pytest
from places import ROOT
from topologies import TWO_NATS
from topologies import TWO_NATS_FILE as TOPOLOGY

from ua_overlay.errors import OverlayError
from ua_overlay.lab import host as hosts
from ua_overlay.lab.kernel import start_ticks
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.state import LabState

MAKER = '''
import sys, time
sys.path.insert(0, {source!r})
from ua_overlay.lab.lab import Lab, load_topology
lab = Lab.up(load_topology({topology!r}), {name!r}, {root!r}, bound={bound})
print('up', flush=True)
time.sleep(600)
'''


@pytest.fixture
def root(tmp_path, lab_possible):
    """A state root of this test's own, empty again afterwards even when the test fails."""
    path = str(tmp_path / 'labs')
    yield path
    for name in Lab.names(path):
        LabState(name, path).remove()


def maker(root, name, bound=False):
    code = MAKER.format(source=os.path.join(ROOT, 'src'), topology=TOPOLOGY, name=name, root=root, bound=bound)
    return subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process):
    process.kill()
    process.communicate()


def namespaces_in_use(kinds=('net', 'mnt', 'pid', 'uts')):
    """Names of the namespaces that any process of the machine is in, with their kinds."""
    found = set()
    for entry in os.listdir('/proc'):
        # A zombie holds no namespace but may still show one.
        if entry.isdigit() and start_ticks(int(entry)) is not None:
            try:
                found.update(os.readlink('/proc/{}/ns/{}'.format(entry, kind)) for kind in kinds)
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                # Ended meanwhile, or one that nobody may look into: none of ours.
                continue
    return found


def namespaces_of(lab):
    return {os.readlink('/proc/{}/ns/{}'.format(host.pid, kind))
            for host in lab.hosts.values() for kind in ('net', 'mnt', 'pid', 'uts')}


def machine():
    """What a lab must not change: mounts, interfaces, named namespaces, files."""
    with open('/proc/self/mountinfo') as stream:
        mounts = stream.read()
    files = {path: os.path.exists(path) and os.stat(path).st_mtime_ns
             for path in ('/etc', '/etc/hosts', '/etc/resolv.conf', '/etc/passwd', '/var/lib/tailscale',
                          '/var/lib/ua_overlay', '/run/ua_lab', '/home/robot', '/mnt')}
    named = subprocess.run(['ip', 'netns', 'list'], stdout=subprocess.PIPE, check=True).stdout
    return mounts, set(os.listdir('/sys/class/net')), named, files


def dirty(lab):
    """Leave what could stay behind: stubborn processes, mounts, devices, files."""
    robot = lab.host('dev-1')
    lab.start_service('dev-1', 'deaf', ['sh', '-c', 'trap "" TERM HUP INT; while :; do sleep 1; done'], user='robot')
    robot.run(['sh', '-c', 'setsid sleep 4321 </dev/null >/dev/null 2>&1 &'])
    robot.run(['sh', '-c', 'mkdir -p /etc/ua_overlay /var/lib/tailscale; echo x | tee /etc/ua_overlay/ca.pem '
                           '/var/lib/tailscale/state /run/leftover >/dev/null; mkdir /run/m; mount -t tmpfs m /run/m'])
    robot.run(['ip', 'tuntap', 'add', 'left', 'mode', 'tun'])
    robot.run(['unshare', '--net', '--mount', 'true'])
    return robot.popen(['sleep', '4322'])


def test_down_leaves_nothing(root):
    before = machine()
    lab = Lab.up(TWO_NATS, 'gone', root)
    attached = dirty(lab)
    used = namespaces_of(lab)
    assert used <= namespaces_in_use()
    lab.down()
    assert attached.wait(10) != 0
    assert not used & namespaces_in_use()
    assert hosts.find(lab.directory) == []
    assert machine() == before
    assert not os.path.exists(root)
    assert Lab.names(root) == []


def test_a_lab_outlives_its_creator_and_another_process_removes_it(root):
    process = maker(root, 'orphan')
    assert process.stdout.readline() == b'up\n'
    finish(process)
    lab = Lab.attach('orphan', root)
    assert lab.host('dev-2').run(['getent', 'ahostsv4', 'server.ua.test']).stdout.startswith('203.0.113.10 ')
    lab.nat('nat1', 'hard')
    assert Lab.attach('orphan', root).nat_kind('nat1') == 'hard'
    lab.start_service('dev-1', 'sleep', ['sleep', '4321'])
    assert Lab.attach('orphan', root).services() == [('dev-1', 'sleep'), ('inet', 'dns')]
    used = namespaces_of(lab)
    lab.down()
    assert not used & namespaces_in_use()
    assert not os.path.exists(root)


def test_a_bound_lab_ends_with_its_creator(root):
    process = maker(root, 'bound', bound=True)
    assert process.stdout.readline() == b'up\n'
    lab = Lab.attach('bound', root)
    finish(process)
    assert all(host.process.wait(10) for host in lab.hosts.values())
    with pytest.raises(OverlayError, match='lab bound is broken: host .* has ended') as caught:
        Lab.attach('bound', root)
    assert caught.value.code == 'LAB_BROKEN'
    # The name is free again without a word.
    Lab.up(TWO_NATS, 'bound', root).down()
    assert not os.path.exists(root)


def stage_reached(root, name, stage):
    """Whether the making of a lab has come to ``stage``, as its directory and processes show."""
    directory = os.path.join(root, name)
    if stage == 'claimed':
        return os.path.isdir(directory)
    if stage == 'first host':
        return bool(hosts.find(directory))
    path = os.path.join(directory, 'lab.json')
    if not os.path.exists(path):
        return False
    if stage == 'hosts recorded':
        with open(path) as stream:
            return bool(json.load(stream)['hosts'])
    return os.path.exists(os.path.join(directory, stage))


@pytest.mark.fault('new', 'The maker of a lab is killed at any stage',
                   behaviour='Its hosts end, and the next `lab up` takes the name', reported='-', recovery='10 s',
                   lost='nothing')
@pytest.mark.parametrize('stage', ['claimed', 'first host', 'hosts recorded', 'nats/nat1', 'services/inet-dns.json'])
def test_a_killed_creator_leaves_no_process_and_frees_the_name(root, stage):
    before = machine()
    process = maker(root, 'half')
    while not stage_reached(root, 'half', stage):
        assert process.poll() is None
    process.send_signal(signal.SIGKILL)
    finish(process)
    left = hosts.find(os.path.join(root, 'half'))
    assert all(host.wait(10) for host in left), 'hosts must end with a maker that never finished'
    with pytest.raises(OverlayError):
        Lab.attach('half', root)
    lab = Lab.up(TWO_NATS, 'half', root)
    assert lab.host('dev-1').run(['hostname']).stdout == 'robot\n'
    lab.down()
    assert machine() == before
    assert not os.path.exists(root)


@pytest.mark.fault('new', '`lab down` while another `lab up` runs', behaviour='`lab up` fails, and nothing is left',
                   reported='at once', recovery='-', lost='nothing')
def test_down_during_another_up(root):
    """`down` from a second terminal wins; the first one fails with a sentence and leaves nothing either."""
    process = maker(root, 'race')
    while not stage_reached(root, 'race', 'first host'):
        assert process.poll() is None
    assert LabState('race', root).remove()
    process.communicate(timeout=20)
    assert process.returncode != 0
    assert hosts.find(os.path.join(root, 'race')) == []
    assert not os.path.exists(root)


def test_a_failing_up_leaves_nothing(root):
    before = machine()
    with pytest.raises(OverlayError, match=r'Host \S+ could not be made: mount .*No such file') as caught:
        Lab.up(TWO_NATS, 'fails', root, share=['/home/no/such/directory'])
    assert caught.value.code == 'LAB_HOST'
    assert machine() == before
    assert not os.path.exists(root)


def test_two_labs_in_parallel(root):
    with Lab.up(TWO_NATS, 'one', root, bound=True) as one, Lab.up(TWO_NATS, 'two', root, bound=True) as two:
        assert Lab.names(root) == ['one', 'two']
        one.nat('nat1', 'udp-blocked')
        assert two.nat_kind('nat1') == 'easy'
        # By number: a machine without /etc/protocols has no names for them.
        rules = [lab.host('nat1').run(['nft', '-p', 'list', 'ruleset']).stdout for lab in (one, two)]
        assert 'l4proto 17 drop' in rules[0] and 'l4proto 17 drop' not in rules[1]
        one.host('dev-1').run(['touch', '/etc/only-one'])
        assert two.host('dev-1').run(['test', '-e', '/etc/only-one'], check=False).returncode == 1
        with pytest.raises(OverlayError, match='lab one exists already') as caught:
            Lab.up(TWO_NATS, 'one', root)
        assert caught.value.code == 'LAB_EXISTS'
        one.down()
        assert two.host('dev-2').run(['getent', 'ahostsv4', 'server.ua.test']).stdout
    assert not os.path.exists(root)


@pytest.mark.fault('new', 'A host of a lab ends', behaviour='The lab is called broken with the name of the host',
                   reported='at once: LAB_BROKEN', recovery='-', lost='nothing')
def test_a_host_that_ended_is_named(root):
    lab = Lab.up(TWO_NATS, 'broken', root)
    lab.host('dev-2').process.kill()
    with pytest.raises(OverlayError, match='lab broken is broken: host dev-2 has ended') as caught:
        Lab.attach('broken', root)
    assert caught.value.next_command == 'ua-overlay lab down --name broken'
    assert lab.host('dev-2').run(['true'], check=False).returncode == 125
    lab.down()
    assert not os.path.exists(root)


def test_a_robot_environment_of_the_machine_is_not_inherited(root, tmp_path):
    """What the machine has of an overlay must not show in a host. Made in a private view, not on the machine."""
    code = '''
import os, sys
sys.path.insert(0, {source!r})
from ua_overlay.lab.lab import Lab, load_topology
with Lab.up(load_topology({topology!r}), 'nested', {root!r}, bound=True) as lab:
    print(lab.host('dev-1').run(['ls', '-d', '/var/lib/tailscale', '/etc/ua_overlay'], check=False).stdout, end='')
    print('files', flush=True)
'''.format(source=os.path.join(ROOT, 'src'), topology=TOPOLOGY, root=root)
    setup = '''
for tree in etc var; do
    mkdir -p {0}/$tree/upper {0}/$tree/work
    mount -t overlay o -o lowerdir=/$tree,upperdir={0}/$tree/upper,workdir={0}/$tree/work /$tree
done
mkdir -p /var/lib/tailscale /etc/ua_overlay; echo secret > /var/lib/tailscale/tailscaled.state
exec "$@"
'''.format(tmp_path)
    done = subprocess.run(['unshare', '--mount', 'sh', '-ec', setup, 'sh', sys.executable, '-c', code],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.stdout, done.stderr) == ('files\n', '')
