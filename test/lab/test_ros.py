"""The rostests, each on robot dev-1 of a lab: real headscale, tailscaled and roscore, as an unprivileged user.

dev-2 is in dev-1's team iris and behind another NAT with the same private address; dev-3 is in team blue.
"""
import glob
import os
import re
import threading

import pytest
import yaml
from fleets import ROBOTS
from places import WORKSPACE

from ua_overlay.lab.fleet import SOURCE, USER

KEY = re.compile(r'hskey-auth-[A-Za-z0-9_-]{20,}')


class Spy:
    """Searches the arguments and the environment of every process of a lab for keys of invitations."""

    def __init__(self, lab):
        self.lab = lab
        self.found = set()
        self.searched = set()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.search, daemon=True)
        self.thread.start()

    def search(self):
        while not self.stopped.wait(0.05):
            for host in self.lab.hosts.values():
                for pid, argv in host.processes().items():
                    # Both change only when a program is executed, and that changes the arguments.
                    program = host.name, pid, ' '.join(argv)
                    if program not in self.searched:
                        self.searched.add(program)
                        self.judge(program, host.path('/proc/{}/environ'.format(pid)))

    def judge(self, program, environ):
        if KEY.search(program[2]):
            self.found.add('arguments of {} {}: {:.80}'.format(*program))
        try:
            with open(environ, encoding='utf-8', errors='replace') as stream:
                if KEY.search(stream.read()):
                    self.found.add('environment of {} {}: {:.80}'.format(*program))
        except OSError:
            pass  # it ended meanwhile

    def stop(self):
        self.stopped.set()
        self.thread.join()


@pytest.fixture(scope='module')
def fleet(three_robots):
    three_robots.arrange('dev-1', None)
    three_robots.arrange('dev-2', 'iris')
    three_robots.arrange('dev-3', 'blue')
    with three_robots.lab.serve_control():
        yield three_robots


def rostest(fleet, name, timeout):
    """Run test/rostest/NAME.test on dev-1; every test in it must have passed."""
    script = SOURCE + ' && unset ROS_HOSTNAME ROS_IP ROS_MASTER_URI && exec "$@"'
    done = fleet.lab.host('dev-1').run(
        ['bash', '-c', script, os.path.join(WORKSPACE, 'devel'), 'rostest', '--text', 'ua_overlay', name + '.test'],
        user=USER, env=fleet.user_environment(), timeout=timeout, check=False)
    output = done.stdout + done.stderr
    summary = re.search(r'TESTS: (\d+)\s+\* ERRORS: (\d+).*\s+\* FAILURES: (\d+)', output)
    assert summary and done.returncode == 0, output[-8000:]
    assert int(summary.group(1)) > 0 and summary.group(2) == summary.group(3) == '0', output[-8000:]
    print(output[-3000:])


def test_membership(fleet):
    spy = Spy(fleet.lab)
    try:
        rostest(fleet, 'membership', 300)
    finally:
        spy.stop()
    assert spy.found == set()
    # It has searched what holds a key: the program that makes invitations, and the robot's node.
    assert all(any(word in program for _, _, program in spy.searched) for word in ('invite iris', 'overlay __name:='))


@pytest.mark.fault('new', 'Both NATs turn hard, then block UDP',
                   behaviour='The link becomes PEER_RELAY, then DERP; TCP topics go on',
                   reported='180 s: topics links, link_events', recovery='60 s: messages', lost='nothing')
def test_links(fleet):
    fleet.restart_daemon('dev-1')  # it has joined and left before
    rostest(fleet, 'links', 900)


@pytest.mark.fault('new', 'tailscaled is killed',
                   behaviour='The node says NO_DAEMON, and the environment of shells ends; join answers NO_DAEMON',
                   reported='5 s: topic state; 10 s: env file', recovery='60 s', lost='nothing')
@pytest.mark.fault('new', 'The server is stopped',
                   behaviour='Links and ROS go on; the state names the server and the next command',
                   reported='15 s: topic state', recovery='90 s', lost='nothing')
@pytest.mark.fault('new', 'Packets to the server are dropped', behaviour='Links and ROS go on',
                   reported='15 s: topic state', recovery='90 s', lost='nothing')
@pytest.mark.fault('new', 'The overlay node is killed with -9',
                   behaviour='roslaunch starts it again, and its latched topics come back', reported='-',
                   recovery="30 s: topics; 60 s: the server's state", lost='nothing')
def test_faults(fleet):
    rostest(fleet, 'faults', 300)


def test_no_key_in_any_log_or_parameter(fleet):
    """After all of the above: not in the logs of the hosts and of ROS, the parameters, or the files kept."""
    searched = 0
    for path in glob.glob(os.path.join(fleet.lab.directory, 'logs', '*')):
        searched += 1
        with open(path, errors='replace') as stream:
            assert not KEY.search(stream.read()), path
    for robot in ROBOTS:
        host = fleet.lab.host(robot)
        found = host.run(['grep', '-rlE', KEY.pattern, '/home/robot/.ros', '/var/lib/ua_overlay', '/run/ua_overlay'],
                         check=False)
        assert found.returncode == 1 and not found.stdout, found.stdout + found.stderr
        searched += 1
    parameters = yaml.safe_load(fleet.ros('dev-2', 'rosparam', 'dump').stdout)
    assert 'ua_overlay' in parameters and not KEY.search(str(parameters))
    assert searched > 5
