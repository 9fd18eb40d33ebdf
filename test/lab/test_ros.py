"""The rostests, each on robot dev-1 of a lab: real headscale, real tailscaled, real roscore, an unprivileged user.

dev-2 is in dev-1's team iris and behind another NAT with the same private address; dev-3 is in team blue.
"""
import glob
import os
import re
import threading

import pytest
import yaml
from places import INSTALL, WORKSPACE
from topologies import THREE_NATS

from ua_overlay.lab.fleet import USER, Fleet

KEY = re.compile(r'hskey-auth-[A-Za-z0-9_-]{20,}')


class Spy:
    """Looks for keys of invitations in the arguments and the environment of every process of the machine."""

    def __init__(self):
        self.found = set()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self.look, daemon=True)
        self.thread.start()

    def look(self):
        while not self.stopped.wait(0.05):
            for path in glob.glob('/proc/[0-9]*/cmdline') + glob.glob('/proc/[0-9]*/environ'):
                try:
                    with open(path, 'rb') as stream:
                        data = stream.read().decode('utf-8', 'replace')
                except OSError:
                    continue  # it ended meanwhile
                if KEY.search(data):
                    self.found.add(path.rsplit('/', 1)[1] + ' of ' + data.replace('\0', ' ')[:80])

    def stop(self):
        self.stopped.set()
        self.thread.join()


@pytest.fixture(scope='module')
def fleet(new_lab, install):
    lab = new_lab(THREE_NATS, 'ros')
    fleet = Fleet(lab, INSTALL)
    fleet.start_site()
    for team in ('iris', 'blue'):
        fleet.site('team', 'create', team)
    for robot, team in (('dev-1', 'iris'), ('dev-2', 'iris'), ('dev-3', 'blue')):
        path = fleet.carry(robot, fleet.invite(team, robot), 'first.yaml')
        fleet.prepare(robot, path)
        if robot != 'dev-1':
            fleet.launch(robot)
            answer = fleet.join(robot, path)
            assert answer['code'] == 0, answer['message']
    with lab.serve_control():
        yield fleet


def rostest(fleet, name, timeout):
    """Run test/rostest/NAME.test on dev-1; every test in it must have passed."""
    script = '. "$0/setup.bash" && unset ROS_HOSTNAME ROS_IP ROS_MASTER_URI && exec "$@"'
    done = fleet.lab.host('dev-1').run(
        ['bash', '-c', script, os.path.join(WORKSPACE, 'devel'), 'rostest', '--text', 'ua_overlay', name + '.test'],
        user=USER, env=fleet.user_environment(), timeout=timeout, check=False)
    output = done.stdout + done.stderr
    summary = re.search(r'TESTS: (\d+)\s+\* ERRORS: (\d+).*\s+\* FAILURES: (\d+)', output)
    assert summary and done.returncode == 0, output[-8000:]
    assert int(summary.group(1)) > 0 and summary.group(2) == summary.group(3) == '0', output[-8000:]
    print(output[-3000:])


def test_membership(fleet):
    spy = Spy()
    try:
        rostest(fleet, 'membership', 300)
    finally:
        spy.stop()
    assert spy.found == set()


def test_links(fleet):
    rostest(fleet, 'links', 900)


def test_faults(fleet):
    rostest(fleet, 'faults', 300)


def test_no_key_in_any_log_or_parameter(fleet):
    """After all of the above: neither the logs of the hosts and of ROS, nor the parameters, nor what is kept."""
    looked = 0
    for path in glob.glob(os.path.join(fleet.lab.directory, 'logs', '*')):
        looked += 1
        with open(path, errors='replace') as stream:
            assert not KEY.search(stream.read()), path
    for robot in ('dev-1', 'dev-2', 'dev-3'):
        host = fleet.lab.host(robot)
        found = host.run(['grep', '-rlE', KEY.pattern, '/home/robot/.ros', '/var/lib/ua_overlay', '/run/ua_overlay'],
                         check=False)
        assert found.returncode == 1 and not found.stdout, found.stdout + found.stderr
        looked += 1
    parameters = yaml.safe_load(fleet.ros('dev-2', 'rosparam', 'dump').stdout)
    assert 'ua_overlay' in parameters and not KEY.search(str(parameters))
    assert looked > 5
