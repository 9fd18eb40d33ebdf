"""`roslaunch ua_overlay overlay.launch manage_daemon:=true` as root, on a robot that has no tailscaled of its own."""
import os
import re

import pytest
import yaml
from places import INSTALL
from topologies import ONE_NAT

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.lab.fleet import Fleet
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale.localapi import LocalApi

SOCKET = '/run/tailscale/tailscaled.sock'
KEY = re.compile(r'hskey-auth-[A-Za-z0-9_-]{20,}')


@pytest.fixture(scope='module')
def fleet(new_lab, install):
    lab = new_lab(ONE_NAT, 'manage')
    fleet = Fleet(lab, INSTALL)
    fleet.start_site()
    fleet.site('team', 'create', 'iris')
    yield fleet


def robot(fleet):
    return fleet.lab.host('dev-1')


def status(fleet):
    """tailscaled's status, or {} when none answers."""
    try:
        return LocalApi(robot(fleet).path(SOCKET)).status(peers=False)
    except OverlayError:
        return {}


def daemons(fleet):
    """Process ids of tailscaled on the robot, as the robot counts them."""
    return robot(fleet).run(['pgrep', '-x', 'tailscaled'], check=False).stdout.split()


def ros(fleet, *argv, check=True, timeout=120):
    """A ROS program as root in the local graph."""
    environment = dict(fleet.base_environment(), HOME='/root', ROS_HOME='/root/.ros')
    return robot(fleet).run(fleet.ros_argv(argv), env=environment, check=check, timeout=timeout)


def launch(fleet):
    fleet.lab.start_service('dev-1', 'overlay', fleet.ros_argv(
        ['roslaunch', 'ua_overlay', 'overlay.launch', 'manage_daemon:=true', 'master:=dev-1']),
                            env=dict(fleet.base_environment(), HOME='/root', ROS_HOME='/root/.ros'))
    wait('The service /ua_overlay/join',
         lambda: ros(fleet, 'rosservice', 'type', '/ua_overlay/join', check=False).returncode == 0, 60)


def running(fleet):
    seen = status(fleet)
    return seen.get('BackendState') == 'Running' and seen['Self']['Online']


def test_it_joins_without_any_preparation(fleet):
    assert daemons(fleet) == []
    launch(fleet)
    pids = daemons(fleet)
    assert len(pids) == 1
    text = fleet.invite('iris', 'dev-1')
    robot(fleet).run(['install', '-m', '600', '/dev/stdin', '/root/dev-1.yaml'], input=text)
    done = ros(fleet, 'rosservice', 'call', '/ua_overlay/join', '{invitation: /root/dev-1.yaml}')
    answer = yaml.safe_load(done.stdout)
    assert answer['code'] == 0, answer['message']
    assert answer['dns_name'] == 'dev-1.overlay.internal' and running(fleet)
    assert len(daemons(fleet)) == 1
    # The CA is for that process alone, and its telemetry is off.
    environment = robot(fleet).run(['cat', '/proc/{}/environ'.format(daemons(fleet)[0])]).stdout.split('\0')
    assert 'SSL_CERT_FILE=' + defaults.CA_FILE in environment and 'TS_NO_LOGS_NO_SUPPORT=true' in environment
    assert robot(fleet).run(['cat', defaults.CA_FILE]).stdout.strip() in text.replace('\n  ', '\n')
    wait('The env file', lambda: os.path.exists(robot(fleet).path('/run/ua_overlay/env')), 60)
    assert not KEY.search(fleet.lab.log('dev-1', 'overlay'))


def test_a_killed_daemon_comes_back_and_the_robot_with_it(fleet):
    old = daemons(fleet)
    robot(fleet).run(['kill', '-KILL'] + old)
    wait('The return of tailscaled', lambda: daemons(fleet) not in ([], old) and running(fleet), 60)
    assert len(daemons(fleet)) == 1


def test_another_node_does_not_start_a_second_daemon(fleet):
    done = ros(fleet, 'rosrun', 'ua_overlay', 'overlay', '__name:=second', '_manage_daemon:=true', check=False)
    assert done.returncode == 1 and 'A tailscaled already answers at' in done.stdout + done.stderr
    assert len(daemons(fleet)) == 1


def test_the_end_of_roslaunch_is_the_end_of_the_daemon(fleet):
    assert fleet.lab.stop_service('dev-1', 'overlay', timeout=60)
    assert daemons(fleet) == [] and status(fleet) == {}
    assert not os.path.exists(robot(fleet).path('/run/ua_overlay/env'))
    links = robot(fleet).run(['ip', '-o', 'link', 'show']).stdout
    assert 'tailscale0' not in links
    left = robot(fleet).run(['ps', '-eo', 'args']).stdout
    assert not re.search('roslaunch|rosmaster|roscore|ua_overlay/overlay', left), left
    # Names are resolved as before.
    assert 'tailscale' not in robot(fleet).run(['cat', '/etc/resolv.conf']).stdout.lower()


def test_it_comes_back_as_it_was(fleet):
    """The identity is kept in the daemon's state: no invitation is needed."""
    launch(fleet)
    wait('The return of the robot', lambda: running(fleet), 60)
    assert status(fleet)['Self']['DNSName'] == 'dev-1.overlay.internal.'


def test_a_node_that_is_killed_takes_the_daemon_along(fleet):
    """And respawn brings both back."""
    old = daemons(fleet)
    node = robot(fleet).run(['pgrep', '-of', 'ua_overlay/overlay']).stdout.split()[0]
    robot(fleet).run(['kill', '-KILL', node])
    wait('The respawned node', lambda: len(daemons(fleet)) == 1 and daemons(fleet) != old and running(fleet), 60)
    assert fleet.lab.stop_service('dev-1', 'overlay', timeout=60)
    assert daemons(fleet) == []
