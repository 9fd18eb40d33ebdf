"""`roslaunch ua_overlay overlay.launch manage_daemon:=true` as root, on a robot that has no tailscaled of its own."""
import os
import re

import pytest
import yaml

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.lab.timeouts import GRAPH, JOIN
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale.localapi import LocalApi

SOCKET = '/run/tailscale/tailscaled.sock'
KEY = re.compile(r'hskey-auth-[A-Za-z0-9_-]{20,}')


@pytest.fixture(scope='module')
def fleet(two_lans):
    return two_lans


def robot(fleet):
    return fleet.lab.host('dev-4')


def status(fleet):
    """tailscaled's status, or {} when none answers."""
    try:
        return LocalApi(robot(fleet).path(SOCKET)).status(peers=False)
    except OverlayError:
        return {}


def daemons(fleet):
    """Process ids of tailscaled on the robot, as the robot counts them."""
    return [pid for pid, argv in robot(fleet).processes().items() if os.path.basename(argv[0]) == 'tailscaled']


def ros(fleet, *argv, check=True, timeout=120):
    """A ROS program as root in the local graph."""
    environment = dict(fleet.base_environment(), HOME='/root', ROS_HOME='/root/.ros')
    return robot(fleet).run(fleet.ros_argv(argv), env=environment, check=check, timeout=timeout)


def launch(fleet):
    fleet.lab.start_service('dev-4', 'overlay', fleet.ros_argv(
        ['roslaunch', 'ua_overlay', 'overlay.launch', 'manage_daemon:=true', 'master:=dev-4']),
                            env=dict(fleet.base_environment(), HOME='/root', ROS_HOME='/root/.ros'))
    fleet.wait_service('dev-4', '/ua_overlay/join', JOIN)


def is_online(fleet):
    now = status(fleet)
    return now.get('BackendState') == 'Running' and now['Self']['Online']


def test_the_robot_joins_without_any_preparation(fleet):
    assert daemons(fleet) == []
    launch(fleet)
    pids = daemons(fleet)
    assert len(pids) == 1
    text = fleet.invite('iris', 'dev-4')
    robot(fleet).run(['install', '-m', '600', '/dev/stdin', '/root/dev-4.yaml'], input=text)
    done = ros(fleet, 'rosservice', 'call', '/ua_overlay/join', '{invitation: /root/dev-4.yaml}')
    answer = yaml.safe_load(done.stdout)
    assert answer['code'] == 0, answer['message']
    assert answer['dns_name'] == 'dev-4.overlay.internal' and is_online(fleet)
    assert len(daemons(fleet)) == 1
    # Only that process trusts the CA, and its telemetry is off.
    environment = robot(fleet).run(['cat', '/proc/{}/environ'.format(daemons(fleet)[0])]).stdout.split('\0')
    assert 'SSL_CERT_FILE=' + defaults.CA_FILE in environment and 'TS_NO_LOGS_NO_SUPPORT=true' in environment
    assert robot(fleet).run(['cat', defaults.CA_FILE]).stdout.strip() in text.replace('\n  ', '\n')
    wait('The env file', lambda: os.path.exists(robot(fleet).path('/run/ua_overlay/env')), GRAPH)
    assert not KEY.search(fleet.lab.log('dev-4', 'overlay'))


@pytest.mark.fault('new', 'tailscaled is killed under `manage_daemon`',
                   behaviour='The node starts another, and the robot is online', reported='-', recovery='60 s',
                   lost='nothing')
def test_a_killed_daemon_restarts_and_the_robot_returns(fleet):
    old = daemons(fleet)
    robot(fleet).run(['kill', '-KILL'] + [str(pid) for pid in old])
    wait('The return of tailscaled', lambda: daemons(fleet) not in ([], old) and is_online(fleet), JOIN)
    assert len(daemons(fleet)) == 1


@pytest.mark.fault('new', 'A second overlay node with `manage_daemon` starts',
                   behaviour='It ends and says that a tailscaled answers already', reported='at once', recovery='-',
                   lost='nothing')
def test_another_node_does_not_start_a_second_daemon(fleet):
    # It would wait for the end of the first one: 10 s are more than its start takes.
    done = ros(fleet, 'timeout', '10', 'rosrun', 'ua_overlay', 'overlay', '__name:=second', '_manage_daemon:=true',
               check=False)
    assert done.returncode == 124 and 'The overlay node runs already' in done.stderr, done.stdout + done.stderr
    assert len(daemons(fleet)) == 1


def test_the_daemon_ends_with_roslaunch(fleet):
    assert fleet.lab.stop_service('dev-4', 'overlay', timeout=60)
    assert daemons(fleet) == [] and status(fleet) == {}
    assert not os.path.exists(robot(fleet).path('/run/ua_overlay/env'))
    links = robot(fleet).run(['ip', '-o', 'link', 'show']).stdout
    assert 'tailscale0' not in links
    left = robot(fleet).run(['ps', '-eo', 'args']).stdout
    assert not re.search('roslaunch|rosmaster|roscore|ua_overlay/overlay', left), left
    # Names are resolved as before.
    assert 'tailscale' not in robot(fleet).run(['cat', '/etc/resolv.conf']).stdout.lower()


def test_the_robot_returns_with_its_identity(fleet):
    """The daemon's state keeps it: no invitation is needed."""
    launch(fleet)
    wait('The return of the robot', lambda: is_online(fleet), JOIN)
    assert status(fleet)['Self']['DNSName'] == 'dev-4.overlay.internal.'


@pytest.mark.fault('new', 'The overlay node is killed under `manage_daemon`',
                   behaviour='tailscaled ends with it; respawn brings back one of each', reported='-', recovery='60 s',
                   lost='nothing')
def test_killing_the_node_ends_the_daemon(fleet):
    """And respawn brings both back."""
    old = daemons(fleet)
    node = min(pid for pid, argv in robot(fleet).processes().items() if 'ua_overlay/overlay' in ' '.join(argv))
    robot(fleet).run(['kill', '-KILL', str(node)])
    wait('The respawned node', lambda: len(daemons(fleet)) == 1 and daemons(fleet) != old and is_online(fleet), JOIN)
    assert fleet.lab.stop_service('dev-4', 'overlay', timeout=60)
    assert daemons(fleet) == []
