"""The main job, as `make demo` shows it at length: two robots behind two NATs join, and ROS talks by host name.

`make quick` runs this file and no other of the lab: the soonest word on whether everything still fits together.
"""
import pytest
from topologies import TWO_NATS

from ua_overlay.lab.fleet import USER, Fleet
from ua_overlay.lab.timeouts import GRAPH
from ua_overlay.lab.wait import wait

ROBOTS = ('dev-1', 'dev-2')


@pytest.fixture(scope='module')
def fleet(new_lab, install):
    made = Fleet(new_lab(TWO_NATS, 'main-job'), install)
    made.start_site()
    made.site('team', 'create', 'iris')
    return made


def test_two_robots_join_and_talk_by_host_name_and_leave(fleet):
    for robot, options in zip(ROBOTS, (['--master'], [])):
        path = fleet.carry(robot, fleet.invite('iris', robot, *options))
        fleet.prepare(robot, path)
        fleet.launch(robot)
        answer = fleet.join(robot, path)
        assert answer['code'] == 0 and answer['dns_name'] == robot + '.overlay.internal', answer['message']

    # Nothing is exported by hand: what a new shell would get.
    for robot, program in zip(ROBOTS, ('talker', 'listener')):
        fleet.lab.start_service(robot, program, fleet.ros_argv(
            ['ua-overlay', 'exec', '--wait', '--timeout', '60', 'rosrun', 'ua_overlay', program + '.py'],
            graph='shell'), env=fleet.user_environment(), user=USER)
    wait('Ten messages from dev-1', lambda: fleet.lab.log('dev-2', 'listener').count('hello') >= 10, GRAPH)
    assert 'dev-1' in [link['peer'] for link in fleet.topic('dev-2', '/ua_overlay/links')['links']]

    for robot in reversed(ROBOTS):
        assert fleet.call(robot, '/ua_overlay/leave', '{forget: false}')['code'] == 0
    wait('Both robots offline for the server', lambda: [row['online'] for row in fleet.robots()] == [False, False],
         GRAPH, poll=1)
