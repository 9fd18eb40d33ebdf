"""One touch: ansible/site.yml makes a site and a team of a bookworm server and two bullseye robots, over real ssh.

The tests are one story, in the order of the file: from nothing to a team, through changes and reboots, to nothing.
"""
import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import vendor
from places import ROOT
from playbook import Playbook
from topologies import from_config

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.lab.images import USER
from ua_overlay.lab.machine_set import MachineSet

sys.path.insert(0, os.path.join(ROOT, 'bench'))
import topic_gap  # noqa: E402

SPACE = '/opt/ua_overlay/current/install'
CHECKOUT = '/srv/checkout'
ROBOTS = ('dev-1', 'dev-2')
#: Nothing answers there, like a robot that is switched off.
ABSENT = {'dev-9': {'ansible_ssh_common_args': '-o ProxyCommand=false -o ConnectTimeout=2'}}
#: Seconds until paths and graphs are there on a busy machine.
PATIENCE = 180.0


@pytest.fixture(scope='module')
def machines(new_lab):
    """The machines, as their distribution made them."""
    lab = new_lab(from_config('machines'), 'fleet')
    yield MachineSet(lab, binds=[(ROOT, CHECKOUT)]).up()


@pytest.fixture(scope='module')
def before(machines):
    """Files of each machine before anything of ours."""
    # The first sudo and the first ssh leave something behind, which is not ours.
    for machine in machines.machines.values():
        machine.run(['sudo', '-n', 'true'], user=USER)
    return {name: files(machine) for name, machine in machines.machines.items()}


@pytest.fixture(scope='module')
def book(machines, tmp_path_factory):
    return Playbook(tmp_path_factory.mktemp('controller'), inventory(machines, ABSENT))


def inventory(machines, more=()):
    """One team of two robots, and perhaps more."""
    robots = {'dev-1': {'ua_overlay_master': True}, 'dev-2': {}}
    robots.update(more)
    return {'all': {
        'vars': {'ansible_user': USER, 'ansible_ssh_common_args': '-F ' + machines.ssh.config},
        'children': {
            'ua_overlay_server': {'hosts': {'server': {
                'ua_overlay_server_name': 'server.ua.test', 'ua_overlay_server_addresses': ['203.0.113.10']}}},
            'team_iris': {'hosts': robots}}}}


def files(machine):
    """What is below the directories that the playbook writes to: path, kind, mode, owner, and content or target.

    Without what the distribution keeps by itself: the journal, systemd's time stamps, apt's and ssh's caches.
    """
    script = '''look() {
        find /etc /opt /usr/local /usr/lib/systemd /usr/share/keyrings /var/lib /home /run/ua_overlay /run/tailscale \\
            \\( -path /var/lib/systemd -o -path /var/lib/dpkg -o -path /var/lib/private -o -path /var/lib/apt \\
               -o -path /etc/resolv.conf -o -path '/etc/resolv.*.conf' -o -path /var/lib/sudo \\
               -o -path '/home/*/.ansible' -o -path '/home/*/.ros' -o -path '/etc/*-' \\) -prune -o "$@"
    }
    look -printf '%p %y %m %U:%G %l\\n'
    look -type f -exec sha256sum {} +'''
    return sorted(machine.run(['sh', '-c', script], check=False).stdout.splitlines())


def site(machines, *argv):
    return machines['server'].run(['ua-overlay'] + list(argv))


def invocations(machines):
    """What changes when a service starts anew."""
    units = {'server': ['ua-overlay-server'], 'dev-1': ['tailscaled', 'ua-overlay', 'ua-overlay-agent']}
    units['dev-2'] = units['dev-1']
    return {(name, unit): machines[name].property(unit, 'InvocationID') for name in units for unit in units[name]}


def nodes(machine):
    """Nodes of the team graph, as a program that the robot's user starts sees them."""
    script = '. {}/setup.bash && exec timeout 20 ua-overlay exec rosnode list'.format(SPACE)
    return machine.run(['bash', '-c', script], user=USER, check=False, env={'ROS_HOME': '/tmp/ros'}).stdout.split()


def assert_team(machines):
    """Both robots see each other's node in the graph of the team, by themselves."""
    for name in ROBOTS:
        machine = machines[name]
        machine.wait('the team graph', lambda machine=machine: {'/dev_1/overlay', '/dev_2/overlay'} <= set(
            nodes(machine)), PATIENCE)
    robots = {robot['robot']: robot for robot in json.loads(site(machines, 'robot', 'list', '--json').stdout)}
    assert sorted(robots) == list(ROBOTS) and all(robot['team'] == 'iris' for robot in robots.values())
    assert robots['dev-1']['master'] and not robots['dev-2']['master']
    return robots


def test_check_mode_on_machines_with_nothing(machines, before, book):
    book.write(inventory(machines))
    played = book.run('--check', '--diff')
    assert played.status == 0, played.text
    assert played.changed['server'] and played.changed['dev-1']  # it says what it would do
    for name, machine in machines.machines.items():
        assert files(machine) == before[name]


def test_the_unit_tests_hold_on_a_robot(machines):
    """Python 3.9, cryptography 3.3, PyYAML 5.3, glibc 2.31: what a robot of Noetic's age has, before anything of ours.

    Without those that measure time, and those that want a score of units that are not installed, which its systemd
    does not give.
    """
    machine = machines['dev-2']
    machine.run(['sh', '-c', 'cp -r {} /srv/work && chown -R {} /srv/work'.format(CHECKOUT, USER)])
    done = machine.run(['sh', '-c', 'cd /srv/work && PYTHONPATH=src:dev exec python3 -m pytest -q -p no:cacheprovider '
                        '-c /dev/null --rootdir . -k "not for_systemd and not is_fast" test/unit'], user=USER,
                       check=False, timeout=500)
    assert done.returncode == 0, done.stdout[-5000:]
    assert ' passed' in done.stdout.splitlines()[-1]
    # Keys for show are in what the tests wrote: not here, where the next test looks for real ones.
    machine.run(['rm', '-r', '/tmp/pytest-of-' + USER])


def test_install_from_nothing_and_a_robot_that_is_off_stops_nobody(machines, before, book):
    book.write(inventory(machines, ABSENT))
    played = book.run()
    assert played.status == 4, played.text  # some hosts were unreachable
    assert played.unreachable['dev-9'] == 1
    assert not any(played.failed.values()), played.text
    assert_team(machines)
    assert book.keys_on_disk() == [] and 'hskey-' not in played.text
    for name in ROBOTS:
        machine = machines[name]
        assert machine.run(['sh', '-c', 'ls /run/ua_overlay']).stdout.split() == ['env', 'preferences.json']
        for place in ('/home', '/root', '/tmp', '/etc', '/var'):
            assert machine.run(['grep', '-rl', 'hskey-', place], check=False).stdout == ''
        assert 'hskey-' not in machine.run(['journalctl', '--no-pager', '-o', 'export']).stdout
        assert machine.run(['ua-overlay', 'guard', 'status']).returncode == 0
        assert machine.run(['runuser', '-u', USER, '--', 'ua-overlay', 'doctor', '--json'], check=False).stdout


def test_a_second_run_changes_nothing(machines, book):
    book.write(inventory(machines))
    services, everything = invocations(machines), {name: files(machines[name]) for name in machines.machines}
    played = book.run()
    assert played.status == 0, played.text
    assert not any(played.changed.values()), played.text
    checked = book.run('--check', '--diff')
    assert checked.status == 0 and not any(checked.changed.values()), checked.text
    assert invocations(machines) == services
    for name in ROBOTS:
        assert set(files(machines[name])) == set(everything[name])


def test_everything_returns_after_each_reboot(machines):
    addresses = {name: robot['addresses'] for name, robot in assert_team(machines).items()}
    machines['server'].reboot()
    machines['server'].wait('the server', lambda: machines['server'].run(
        ['ua-overlay', 'server', 'status'], check=False).returncode == 0)
    for name in ROBOTS:
        machines[name].reboot()
        robots = assert_team(machines)
    assert {name: robot['addresses'] for name, robot in robots.items()} == addresses


@contextlib.contextmanager
def beat(machines, directory):
    """A topic at 10 Hz in the team's graph, from dev-1 to dev-2; yields function() -> [(number, arrival)] so far."""
    script = '. {}/setup.bash && exec ua-overlay exec --wait python3 {}/bench/on_robot/beat.py "$0"'.format(
        SPACE, CHECKOUT)
    heard = os.path.join(str(directory), 'heard')
    with open(heard, 'wb') as output:
        running = [subprocess.Popen(machines[name].enter_argv(['bash', '-c', script, role], USER,
                                                              {'ROS_HOME': '/tmp/ros', 'PYTHONUNBUFFERED': '1'}),
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=output)
                   for name, role in (('dev-1', 'say'), ('dev-2', 'hear'))]
    try:
        yield lambda: topic_gap.arrivals(topic_gap.open_text(heard))
    finally:
        for name, process in zip(ROBOTS, running):
            machines[name].run(['pkill', '-f', 'beat.py'], check=False)
            process.wait(60)


def prepare_again(machines, *names):
    """Give robots the site's CA as it is now, all at once: `robot prepare` starts their tailscaleds again."""
    ca = machines['server'].run(['cat', '/var/lib/ua_overlay/site/ca.pem']).stdout
    for name in names:
        machines[name].write('/root/ca.pem', ca)
    started = {name: machines[name].property('tailscaled', 'InvocationID') for name in names}
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: machines[name].run(
            ['ua-overlay', 'robot', 'prepare', '--ca', '/root/ca.pem', '--user', USER]), names))
    for name in names:
        machines[name].run(['rm', '/root/ca.pem'])
        assert machines[name].property('tailscaled', 'InvocationID') != started[name]


def test_the_ca_changes_while_a_topic_goes_on(machines, tmp_path):
    """By the steps and in the order of docs/operate.md; says how long the topic stood still."""
    addresses = {name: robot['addresses'] for name, robot in assert_team(machines).items()}
    server, gaps = machines['server'], {}
    roscore = machines['dev-1'].run(['pgrep', '-f', 'rosmaster --core -p {}'.format(TEAM_PORT)]).stdout

    with beat(machines, tmp_path) as heard:
        def step(what, action):
            mark = len(heard())
            server.wait('messages before: ' + what, lambda: len(heard()) > mark + 10, PATIENCE)
            mark, begin = len(heard()), time.time()
            action()
            server.wait('messages after: ' + what, lambda: len(heard()) > mark + 50
                        and heard()[-1][1] > time.time() - 1, PATIENCE)
            gaps[what] = topic_gap.longest(heard(), begin, time.time())

        def change(name):
            step('rotate-ca ' + name, lambda: site(machines, 'server', 'rotate-ca', name))

        change('start')
        for name in ROBOTS:
            step('prepare on ' + name, lambda name=name: prepare_again(machines, name))
            site(machines, 'server', 'rotate-ca', 'confirm', name)
        change('switch')
        change('finish')
        step('prepare on both at once', lambda: prepare_again(machines, *ROBOTS))
        lost = topic_gap.lost(heard())
    print('the topic stood still for (s): {}; messages lost: {}'.format(
        ', '.join('{} {:.1f}'.format(*each) for each in gaps.items()), lost))
    # tailscaled is away for a second or two; nothing that the server does is felt on a direct link.
    assert max(gaps.values()) < 60 and all(gap < 10 for what, gap in gaps.items() if 'rotate-ca' in what)
    assert {name: robot['addresses'] for name, robot in assert_team(machines).items()} == addresses
    # The team's graph is the same one.
    assert machines['dev-1'].run(['pgrep', '-f', 'rosmaster --core -p {}'.format(TEAM_PORT)]).stdout == roscore


def test_rostests_and_units_hold_on_a_robot(machines):
    """A rostest from the checkout, which is found before what is installed; and its own systemd judges the units."""
    units = machines['dev-1'].run(['systemd-analyze', 'verify', 'tailscaled.service', 'ua-overlay.service',
                                   'ua-overlay-guard.service', 'ua-overlay-agent.service'])
    assert units.stdout + units.stderr == ''
    script = ('. {}/setup.bash && export ROS_PACKAGE_PATH=/srv/work:$ROS_PACKAGE_PATH && exec ua-overlay exec '
              '--local rostest --text /srv/work/test/rostest/no_daemon.test'.format(SPACE))
    done = machines['dev-2'].run(['bash', '-c', script], user=USER, check=False, env={'ROS_HOME': '/tmp/ros'},
                                 timeout=200)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]


def test_another_version_of_the_package(machines, book, tmp_path):
    source = str(tmp_path / 'checkout')
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns('.git', '.workspace', '__pycache__', 'test', 'bench'))
    with open(os.path.join(source, 'src', 'ua_overlay', 'tags.py'), 'a') as stream:
        stream.write('#: Another version.\n')
    robots = assert_team(machines)
    old = machines['dev-1'].run(['readlink', '/opt/ua_overlay/current']).stdout
    daemons = {name: machines[name].property('tailscaled', 'InvocationID') for name in ROBOTS}
    played = book.run('-e', 'ua_overlay_source=' + source)
    assert played.status == 0, played.text
    assert machines['dev-1'].run(['readlink', '/opt/ua_overlay/current']).stdout != old
    assert machines['dev-1'].run(['sh', '-c', 'ls -d /opt/ua_overlay/????????????']).stdout.count('\n') == 1
    # The overlay itself did not notice; what runs the package runs the new one.
    assert {name: machines[name].property('tailscaled', 'InvocationID') for name in ROBOTS} == daemons
    assert assert_team(machines)['dev-1']['addresses'] == robots['dev-1']['addresses']


def test_tailscale_as_its_vendor_publishes_it(machines, book, tmp_path):
    """Each kind of toolchain: an archive on dev-1, the package of a repository on dev-2."""
    part = ('--tags', 'toolchain,service')
    archive = ['--limit', 'dev-1', '-e', 'ua_overlay_toolchain=file', '-e',
               'ua_overlay_toolchain_file=' + vendor.make_archive(tmp_path)]
    played = book.run(*part, *archive)
    assert played.status == 0 and played.changed['dev-1'], played.text
    assert not any(book.run(*part, *archive).changed.values())

    repository, key = vendor.make_repository(tmp_path)
    machine = machines['dev-2']
    machine.copy_in(repository, '/srv/repository')
    line = 'deb [signed-by=/usr/share/keyrings/ua_overlay_tailscale.gpg] file:/srv/repository ./'
    package = ['--limit', 'dev-2', '-e', json.dumps({
        'ua_overlay_toolchain': 'repository', 'ua_overlay_repository_line': line, 'ua_overlay_repository_key': key})]
    played = book.run(*part, *package)
    assert played.status == 0, played.text
    assert machine.run(['which', 'tailscaled', 'tailscale']).stdout.split() == [
        '/usr/sbin/tailscaled', '/usr/bin/tailscale']
    assert '/usr/sbin/tailscaled' in machine.property('tailscaled', 'ExecStart')
    assert not any(book.run(*part, *package).changed.values())
    assert_team(machines)


def test_the_ca_changes_with_a_run_after_each_step(machines, book):
    """Nobody types on a robot: the runs carry the roots there and write down on the server who has them."""
    robots = assert_team(machines)
    site(machines, 'server', 'rotate-ca', 'start')
    refused = machines['server'].run(['ua-overlay', 'server', 'rotate-ca', 'switch'], check=False)
    assert refused.returncode == 1 and 'dev-1, dev-2' in refused.stderr
    played = book.run('--tags', 'ca')
    assert played.status == 0 and all(played.changed[name] for name in ROBOTS), played.text
    site(machines, 'server', 'rotate-ca', 'switch')
    daemons = {name: machines[name].property('tailscaled', 'InvocationID') for name in ROBOTS}
    site(machines, 'server', 'rotate-ca', 'finish')
    played = book.run('--tags', 'ca')
    assert played.status == 0 and not played.changed['server'], played.text
    for name in ROBOTS:
        assert machines[name].property('tailscaled', 'InvocationID') != daemons[name]
        assert machines[name].run(['cat', '/etc/ua_overlay/ca.pem']).stdout == machines['server'].run(
            ['cat', '/var/lib/ua_overlay/site/ca.pem']).stdout
    assert assert_team(machines)['dev-1']['addresses'] == robots['dev-1']['addresses']


def test_a_robot_that_is_moved_in_the_inventory_changes_its_team(machines, book):
    before = assert_team(machines)['dev-2']
    moved = inventory(machines)
    teams = moved['all']['children']
    teams['team_otto'] = {'hosts': {'dev-2': teams['team_iris']['hosts'].pop('dev-2')}}
    book.write(moved)
    part = ('--limit', 'server,dev-2', '--tags', 'server,membership')
    played = book.run(*part)
    assert played.status == 0, played.text
    robots = {robot['robot']: robot for robot in json.loads(site(machines, 'robot', 'list', '--json').stdout)}
    assert robots['dev-2']['team'] == 'otto' and robots['dev-2']['addresses'] == before['addresses']
    machines['dev-2'].wait('its new team', lambda: json.loads(machines['dev-2'].run(
        ['ua-overlay', 'status', '--json'], check=False).stdout)['team'] == 'otto')
    assert not any(book.run(*part).changed.values())


def test_absent_leaves_nothing(machines, before, book):
    played = book.run('-e', 'ua_overlay_state=absent')
    assert played.status == 0, played.text
    for name, machine in machines.machines.items():
        left = set(files(machine)) - set(before[name])
        gone = set(before[name]) - set(files(machine))
        assert not left and not gone, name
        assert machine.run(['sh', '-c', 'systemctl list-unit-files --no-legend "ua-overlay*" "tailscaled*"'],
                           check=False).stdout == ''
    again = book.run('-e', 'ua_overlay_state=absent')
    assert again.status == 0 and not any(again.changed.values()), again.text
