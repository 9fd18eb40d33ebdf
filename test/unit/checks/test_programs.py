"""Checks of shells and nodes: the master and the name that they were started with."""
import socket
from dataclasses import replace

import pytest

from ua_overlay.checks import programs
from ua_overlay.checks.facts import Facts, Graph, RosProcess
from ua_overlay.rosenv.environment import RosEnvironment
from unit.checks.healthy import FACTS, GRAPH, TEAM, URI, changed, only


@pytest.mark.parametrize('host, level, words', [
    ('dev-3.overlay.internal', 'OK', ''), ('DEV-3.overlay.internal', 'OK', ''), ('100.64.0.1', 'OK', ''),
    ('dev-3', 'WARN', 'short name'), ('localhost', 'ERROR', 'each machine itself'), ('127.0.1.1', 'ERROR', 'itself'),
    ('robot', 'ERROR', "not the overlay's"), ('10.0.2.15', 'ERROR', "not the overlay's"),
    ('dev-9.overlay.internal', 'ERROR', 'left or was renamed'), ('100.64.0.99', 'ERROR', 'left or was renamed')])
def test_node_names(host, level, words):
    nodes = GRAPH.nodes + (('/late', 'http://{}:1234/'.format(host)),)
    verdict = only(programs.node_names(changed(graph=replace(GRAPH, nodes=nodes))))
    assert verdict.level == level and words in verdict.what + verdict.why
    if level != 'OK':
        assert verdict.what.startswith('/late registered') and host in verdict.what


def test_the_list_of_node_names_is_grouped_and_limited():
    nodes = tuple(('/n{}'.format(index), 'http://robot:1/') for index in range(9)) + (('/x', 'http://laptop:1/'),)
    first, second = programs.node_names(changed(graph=replace(GRAPH, nodes=nodes)))
    assert first.what == '/x registered as laptop.'
    assert second.what == '/n0, /n1, /n2, /n3 and 5 more registered as robot.'
    assert programs.node_names(changed(graph=replace(GRAPH, nodes=None))) is None
    assert programs.node_names(changed(graph=Graph(URI, False))) is None


@pytest.mark.parametrize('variables, words', [
    (TEAM, ''), ({}, ''), ({'ROS_MASTER_URI': 'http://localhost:11311'}, ''),
    ({'ROS_MASTER_URI': 'http://10.0.2.9:11311', 'ROS_IP': '10.0.2.15'}, ''),
    ({'ROS_MASTER_URI': URI, 'ROS_IP': '100.64.0.2'}, ''),
    ({'ROS_MASTER_URI': 'http://100.64.0.1:11312', 'ROS_IP': '100.64.0.2'}, ''),
    ({'ROS_MASTER_URI': URI}, 'neither ROS_HOSTNAME nor ROS_IP'),
    ({'ROS_MASTER_URI': URI, 'ROS_IP': '10.0.2.15'}, 'ROS_IP=10.0.2.15'),
    ({'ROS_MASTER_URI': 'http://100.64.0.1:11312', 'ROS_IP': '10.0.2.15'}, 'ROS_IP=10.0.2.15'),
    ({'ROS_MASTER_URI': 'http://dev-1:11312', 'ROS_HOSTNAME': 'robot'}, 'ROS_HOSTNAME=robot'),
    # ROS_HOSTNAME wins over ROS_IP.
    ({'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'robot', 'ROS_IP': '100.64.0.2'}, 'ROS_HOSTNAME=robot'),
    # Another robot's name is not ours.
    ({'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'dev-3.overlay.internal'}, 'dev-3'),
    ({'ROS_MASTER_URI': 'http://10.0.2.9:11311', 'ROS_HOSTNAME': 'dev-2.overlay.internal'}, 'is not'),
    ({'ROS_MASTER_URI': 'http://[broken'}, '')])
def test_half_connected(variables, words):
    verdict = only(programs.half_connected(changed(shell=variables, processes=())))
    assert verdict.level == ('ERROR' if words else 'OK') and words in verdict.what
    verdict = only(programs.half_connected(changed(shell={}, processes=(RosProcess(7, '/talker', variables),))))
    assert verdict.level == ('ERROR' if words else 'OK')
    assert not words or '/talker (process 7)' in verdict.what


def test_half_connected_without_a_daemon():
    mixed = {'ROS_MASTER_URI': 'http://100.64.0.1:11312', 'ROS_IP': '10.0.2.15'}
    assert only(programs.half_connected(Facts(shell=mixed))).level == 'ERROR'
    assert programs.half_connected(Facts(shell=dict(mixed, ROS_IP='100.64.0.2'))).level == 'OK'
    assert programs.half_connected(Facts()) is None


def test_old_master():
    assert programs.old_master(FACTS).level == 'OK'
    old = RosProcess(8, '/camera', dict(TEAM, ROS_MASTER_URI='http://dev-3.overlay.internal:11312'))
    local = RosProcess(9, '/local', {'ROS_MASTER_URI': 'http://localhost:11311'})
    lan = RosProcess(9, '/lan', {'ROS_MASTER_URI': 'http://10.0.2.9:11311'})
    verdict = only(programs.old_master(changed(processes=FACTS.processes + (old, local, lan))))
    assert verdict.level == 'WARN' and verdict.what.startswith('/camera (process 8) was started for the master http://dev-3')
    slash = replace(FACTS.processes[0], variables=dict(TEAM, ROS_MASTER_URI=URI + '/'))
    assert programs.old_master(changed(processes=(slash,))).level == 'OK'
    assert programs.old_master(Facts()) is None


@pytest.mark.fault('K7', 'Two robots are tagged as master, and doctor sends people to stop a healthy roscore',
                   behaviour='doctor says nothing about nodes while the team has no one master',
                   reported='at once: doctor', recovery='after `ua-overlay team master`', lost='nothing')
def test_without_one_master_no_node_is_told_to_stop():
    roscore = RosProcess(8, 'rosmaster', dict(TEAM))
    assert programs.old_master(changed(desired=RosEnvironment(), processes=(roscore,))) is None


def process(uri='http://10.0.2.9:11311', **fields):
    return RosProcess(8, '/camera', {'ROS_MASTER_URI': uri, 'ROS_IP': '10.0.2.15'}, **fields)


@pytest.mark.parametrize('given, expected', [
    ({'starter': ('/opt/ros/noetic/bin/roslaunch', 'my pkg', "it's.launch"), 'starter_pid': 5},
     'kill 5; ua-overlay exec /opt/ros/noetic/bin/roslaunch \'my pkg\' \'it\'"\'"\'s.launch\''),
    ({'unit': 'base.service', 'starter': ('x',), 'starter_pid': 5}, 'sudo systemctl restart base.service'),
    ({}, 'kill 8; ua-overlay exec COMMAND')])
def test_restart(given, expected):
    assert programs.restart(process(**given)) == expected


def test_a_node_that_waits_for_its_master_ends_on_sigkill_only():
    """Its roslaunch ends in an orderly way: it must end its nodes."""
    alone = process(starter=('python3', 'x.py'), starter_pid=8)
    assert programs.restart(alone, waits=True) == 'kill -9 8; ua-overlay exec python3 x.py'
    launched = process(starter=('roslaunch', 'x.launch'), starter_pid=5)
    assert programs.restart(launched, waits=True) == 'kill 5; ua-overlay exec roslaunch x.launch'


@pytest.mark.fault('case 1', 'A boot script exports another network\'s ROS_IP with the team\'s master',
                   behaviour='doctor names the node, its unit and the variable', reported='at once: doctor',
                   recovery='when the unit starts without it', lost='messages to that node')
def test_a_unit_that_mixes_networks_is_named():
    verdict = only(programs.half_connected(changed(processes=(
        process(URI, unit='base.service', starter=('x',), starter_pid=5),))))
    assert '/camera (process 8, of base.service)' in verdict.what and 'exports it' in verdict.why
    # A restart alone would export it again.
    assert verdict.next_command.startswith('sudo systemctl cat base.service   # mend what it exports')
    assert verdict.next_command.endswith('then: sudo systemctl daemon-reload; sudo systemctl restart base.service')


def test_a_unit_in_the_graph_of_another_network_is_named():
    verdict = only(programs.other_graph(changed(processes=(
        process('http://10.0.2.9:11311', unit='base.service', starter=('x',), starter_pid=5),))))
    assert 'exports it' in verdict.why and verdict.next_command.startswith('sudo systemctl cat base.service   # mend')


@pytest.mark.parametrize('uri, level', [
    ('http://10.0.2.9:11311', 'WARN'), ('http://rover:11311', 'WARN'), ('http://10.0.2.15:11311', 'OK'),
    ('http://localhost:11311', 'OK'), ('http://127.0.1.1:11311', 'OK'), (URI, 'OK'), ('', 'OK'), ('nonsense', 'OK'),
    ('http://{}:11311'.format(socket.gethostname()), 'OK')])
def test_nodes_of_another_graph(uri, level):
    verdict = only(programs.other_graph(changed(processes=(process(uri),))))
    assert verdict.level == level
    assert level == 'OK' or '/camera (process 8)' in verdict.what and uri in verdict.what


def test_nodes_that_moved_from_the_local_graph():
    verdict = only(programs.other_graph(changed(graph=replace(GRAPH, moved=('/base', '/camera')))))
    assert verdict.level == 'WARN' and verdict.what.startswith('/base, /camera moved')
    assert programs.other_graph(Facts()) is None


def test_nodes_of_a_robot_that_is_offline():
    assert programs.offline_nodes(FACTS).level == 'OK'
    gone = replace(FACTS.status, peers=(FACTS.status.peers[0], replace(FACTS.status.peers[1], online=False)))
    nodes = GRAPH.nodes + (('/a', 'http://dev-3.overlay.internal:1/'), ('/b', 'http://100.64.0.3:2/'))
    verdict = only(programs.offline_nodes(changed(status=gone, graph=replace(GRAPH, nodes=nodes))))
    assert verdict.level == 'WARN' and verdict.what == (
        'dev-3 is offline, and /a, /b of it are still registered at the master.')
    assert verdict.next_command == 'yes | ua-overlay exec rosnode cleanup'
    assert programs.offline_nodes(Facts()) is None
