"""ansible/site.yml on a site that runs: reboots, changes of its CA, another version, a robot that changes its team.

The tests are one story. The machines begin with this package and its programs in place (playbook.installed_robot).
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
from installed_site import CHECKOUT, ROBOTS, SPACE, assert_team, inventory, listed, nodes, site
from places import ROOT
from playbook import Playbook, installed_robot, installed_server
from topologies import from_config

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.lab.fleet import source
from ua_overlay.lab.images import USER
from ua_overlay.lab.machine_set import MachineSet
from ua_overlay.lab.timeouts import PATH

#: Of the robot's owner.
WORKSPACE = '/home/{}/my_ws'.format(USER)
sys.path.insert(0, os.path.join(ROOT, 'bench'))
import topic_gap  # noqa: E402


@pytest.fixture(scope='module')
def machines(new_lab):
    robot = installed_robot()
    yield MachineSet(new_lab(from_config('machines'), 'changes'), binds=[(ROOT, CHECKOUT)],
                     lower={'server': installed_server(), 'dev-1': robot, 'dev-2': robot}).up()


def make_workspace(machine):
    """A catkin workspace of the robot's owner, with the package my_robot."""
    files = {'package.xml': '<package format="2"><name>my_robot</name><version>1.0.0</version>'
                            '<description>x</description><maintainer email="me@example.test">me</maintainer>'
                            '<license>MIT</license><buildtool_depend>catkin</buildtool_depend></package>\n',
             'CMakeLists.txt': 'cmake_minimum_required(VERSION 3.0.2)\nproject(my_robot)\n'
                               'find_package(catkin REQUIRED)\ncatkin_package()\n',
             'drive.launch': '<launch><node pkg="my_robot" type="drive" name="my_robot"/></launch>\n',
             'drive': '#!/usr/bin/python3\nimport rospy\nrospy.init_node("my_robot")\nrospy.spin()\n'}
    for name, text in files.items():
        machine.write('{}/src/my_robot/{}'.format(WORKSPACE, name), text)
    machine.run(['sh', '-c', 'chmod 755 "$0/src/my_robot/drive" && chown -R "$1" "$0"', WORKSPACE, USER])
    machine.run(['catkin_make', '-C', WORKSPACE, '-DPYTHON_EXECUTABLE=/usr/bin/python3'], user=USER, timeout=200)


@pytest.fixture(scope='module')
def book(machines, tmp_path_factory):
    """The playbook, after a first run: the team is there, and dev-1 runs a launch file of its owner's in its graph."""
    make_workspace(machines['dev-1'])
    hosts = inventory(machines)
    hosts['all']['children']['team_iris']['hosts']['dev-1'].update(
        ua_overlay_workspace=WORKSPACE + '/devel', ua_overlay_launch_arguments=['team_launch:=my_robot/drive.launch'])
    made = Playbook(tmp_path_factory.mktemp('controller'), hosts)
    played = made.run()
    assert played.status == 0, played.text
    return made


@pytest.mark.fault('case 19', "The team's launch file is in a workspace of the robot's owner",
                   behaviour='The service sources it (`ua_overlay_workspace`)', reported='-', recovery='-',
                   lost='nothing')
def test_the_launch_file_of_the_robot_s_own_workspace_runs_in_the_team_graph(machines, book):
    machines['dev-2'].wait('The node of my_robot', lambda: '/my_robot' in nodes(machines['dev-2']), PATH)
    # What the page says about shells.
    script = '. {}/devel/setup.bash; . {}/setup.bash --extend; rospack find my_robot; rospack find ua_overlay'.format(
        WORKSPACE, SPACE)
    found = machines['dev-1'].run(['bash', '-c', script], user=USER).stdout.split()
    assert found == [WORKSPACE + '/src/my_robot', SPACE + '/share/ua_overlay']


@pytest.mark.fault('new', 'Each machine of a site reboots in turn',
                   behaviour='The team is back with the same addresses', reported='-', recovery='180 s', lost='nothing')
def test_everything_returns_after_each_reboot(machines, book):
    addresses = {name: robot['addresses'] for name, robot in listed(machines).items()}
    machines['server'].reboot()
    machines['server'].wait('the server', lambda: machines['server'].run(
        ['ua-overlay', 'server', 'status'], check=False).returncode == 0)
    for name in ROBOTS:
        machines[name].reboot()
        robots = assert_team(machines)
    assert {name: robot['addresses'] for name, robot in robots.items()} == addresses


@contextlib.contextmanager
def beat(machines, directory):
    """A topic at 10 Hz in the team's graph, from dev-1 to dev-2; yields function() -> [(number, arrival)] until now."""
    script = source(SPACE) + ' && exec ua-overlay exec --wait python3 {}/bench/on_robot/beat.py "$0"'.format(CHECKOUT)
    heard = os.path.join(str(directory), 'heard')
    with open(heard, 'wb') as output:
        running = [subprocess.Popen(machines[name].enter_argv(['bash', '-c', script, role], USER,
                                                              {'ROS_HOME': '/tmp/ros', 'PYTHONUNBUFFERED': '1'}),
                                    stdin=subprocess.DEVNULL, stdout=output, stderr=output)
                   for name, role in (('dev-1', 'say'), ('dev-2', 'hear'))]
    try:
        yield lambda: topic_gap.arrivals(topic_gap.read_text(heard))
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


@pytest.mark.fault('new', 'The CA changes while a topic is published',
                   behaviour='The topic goes on, with a gap while a tailscaled restarts; roscore stays', reported='-',
                   recovery="10 s for the server's steps, 60 s for a restart of tailscaled", lost='nothing')
def test_the_ca_changes_while_a_topic_is_published(machines, book, tmp_path):
    """By the steps and in the order of docs/operate.md; prints how long the topic was interrupted."""
    addresses = {name: robot['addresses'] for name, robot in listed(machines).items()}
    server, gaps = machines['server'], {}
    roscore = machines['dev-1'].run(['pgrep', '-f', 'rosmaster --core -p {}'.format(TEAM_PORT)]).stdout

    with beat(machines, tmp_path) as heard:
        def step(what, action):
            mark = len(heard())
            server.wait('messages before: ' + what, lambda: len(heard()) > mark + 10, PATH)
            mark, begin = len(heard()), time.time()
            action()
            server.wait('messages after: ' + what, lambda: len(heard()) > mark + 50
                        and heard()[-1][1] > time.time() - 1, PATH)
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
    print('the topic was interrupted for (s): {}; messages lost: {}'.format(
        ', '.join('{} {:.1f}'.format(*each) for each in gaps.items()), lost))
    # tailscaled is away for a second or two; nothing that the server does is felt on a direct link.
    assert max(gaps.values()) < 60 and all(gap < 10 for what, gap in gaps.items() if 'rotate-ca' in what)
    assert {name: robot['addresses'] for name, robot in assert_team(machines).items()} == addresses
    # The team's graph is the same one.
    assert machines['dev-1'].run(['pgrep', '-f', 'rosmaster --core -p {}'.format(TEAM_PORT)]).stdout == roscore


def test_rostests_and_unit_files_pass_on_a_robot(machines, book):
    """A rostest from the checkout, which is found before what is installed; its own systemd verifies the units."""
    machines['dev-2'].run(['sh', '-c', 'cp -r {} /srv/work && chown -R {} /srv/work'.format(CHECKOUT, USER)])
    units = machines['dev-1'].run(['systemd-analyze', 'verify', 'tailscaled.service', 'ua-overlay.service',
                                   'ua-overlay-guard.service', 'ua-overlay-agent.service'])
    assert units.stdout + units.stderr == ''
    script = (source(SPACE) + ' && export ROS_PACKAGE_PATH=/srv/work:$ROS_PACKAGE_PATH && exec ua-overlay exec '
              '--local rostest --text /srv/work/test/rostest/no_daemon.test')
    # A second overlay node would refuse to start.
    machines['dev-2'].run(['systemctl', 'stop', 'ua-overlay'])
    try:
        done = machines['dev-2'].run(['bash', '-c', script], user=USER, check=False, env={'ROS_HOME': '/tmp/ros'},
                                     timeout=200)
    finally:
        machines['dev-2'].run(['systemctl', 'start', 'ua-overlay'])
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-3000:]


def server_units(machines):
    """What changes when the server, and its relay, are started again."""
    return [machines['server'].property(unit, 'InvocationID') for unit in (
        'ua-overlay-server', 'ua-overlay-server-relay')]


def test_another_version_of_the_package(machines, book, tmp_path):
    source = str(tmp_path / 'checkout')
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns('.git', '.workspace', '__pycache__', 'test', 'bench'))
    with open(os.path.join(source, 'src', 'ua_overlay', 'tags.py'), 'a') as stream:
        stream.write('#: Another version.\n')
    robots = listed(machines)
    old = machines['dev-1'].run(['readlink', '/opt/ua_overlay/current']).stdout
    daemons = {name: machines[name].property('tailscaled', 'InvocationID') for name in ROBOTS}
    server, relay = server_units(machines)
    # Without dev-2, which would do the same as dev-1.
    played = book.run('-e', 'ua_overlay_source=' + source, '--limit', 'server,dev-1', '--tags', 'package')
    assert played.status == 0, played.text
    assert machines['dev-1'].run(['readlink', '/opt/ua_overlay/current']).stdout != old
    assert machines['dev-1'].run(['sh', '-c', 'ls -d /opt/ua_overlay/????????????']).stdout.count('\n') == 1
    # tailscaled was not restarted, nor was the server's relay; what runs the package runs the new version.
    assert {name: machines[name].property('tailscaled', 'InvocationID') for name in ROBOTS} == daemons
    assert server_units(machines)[0] != server and server_units(machines)[1] == relay
    # It answers without the files of the old version.
    machines['server'].wait('the relay', lambda: machines['server'].run(
        ['ua-overlay', 'server', 'relay', 'status'], check=False).returncode == 0)
    assert assert_team(machines)['dev-1']['addresses'] == robots['dev-1']['addresses']


def test_the_ca_changes_by_runs_of_the_playbook(machines, book):
    """Nobody types on a robot: the runs install the roots there and confirm them on the server."""
    robots = listed(machines)
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


def test_a_robot_changes_its_team_with_the_inventory(machines, book):
    before = listed(machines)['dev-2']
    moved = inventory(machines)
    teams = moved['all']['children']
    teams['team_otto'] = {'hosts': {'dev-2': teams['team_iris']['hosts'].pop('dev-2')}}
    book.write(moved)
    part = ('--limit', 'server,dev-2', '--tags', 'server,membership', '--skip-tags', 'packages,toolchain,package')
    played = book.run(*part)
    assert played.status == 0, played.text
    robots = listed(machines)
    assert robots['dev-2']['team'] == 'otto' and robots['dev-2']['addresses'] == before['addresses']
    machines['dev-2'].wait('its new team', lambda: json.loads(machines['dev-2'].run(
        ['ua-overlay', 'status', '--json'], check=False).stdout)['team'] == 'otto')
    assert not any(book.run(*part).changed.values())
