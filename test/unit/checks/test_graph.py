"""Checks of the team graph."""
from dataclasses import replace

import pytest

from ua_overlay.checks import facts as fact_types
from ua_overlay.checks import graph
from ua_overlay.checks.facts import Facts
from ua_overlay.rosenv.environment import RosEnvironment, decide_environment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from unit.checks.healthy import DESIRED, FACTS, GRAPH, MASTER, MATE, ME, STATUS, TEAM, URI, changed, only

BROKEN = NameReport(True, ('dev-3.overlay.internal',), 'This robot cannot receive from dev-3: the name is wrong.')


def test_names():
    assert graph.names(FACTS).level == 'OK' and '2 team mates' in graph.names(FACTS).what
    found = graph.names(changed(names=BROKEN))
    assert (found.level, found.what) == ('ERROR', BROKEN.why)
    assert found.next_command.endswith('getent ahostsv4 dev-3.overlay.internal')
    found = graph.names(changed(names=NameReport(False, (), 'own name')))
    assert found.level == 'ERROR' and found.next_command.endswith('dev-2.overlay.internal')
    assert graph.names(Facts()) is None
    assert graph.names(changed(preferences=Preferences(addressing='addresses'))).level == 'OK'


def test_names_as_the_node_has_them():
    """The overlay node has the decision, not the resolver's answers."""
    desired = decide_environment(STATUS, Preferences(), NameReport(False, (), 'own name'))
    assert graph.names(Facts(desired=desired)).what == 'own name'
    assert graph.names(Facts(desired=decide_environment(STATUS, Preferences(), BROKEN))).level == 'ERROR'
    assert graph.names(Facts(desired=DESIRED)) is None


def test_environment():
    assert graph.environment(FACTS).level == 'OK'
    assert graph.environment(changed(actual=None)).level == 'OK'
    found = graph.environment(changed(actual={}))
    assert found.level == 'ERROR' and 'overlay.launch' in found.next_command
    found = graph.environment(changed(actual=dict(TEAM, ROS_MASTER_URI='http://dev-3.overlay.internal:11312')))
    assert found.level == 'WARN' and 'dev-3' in found.what and URI in found.what
    assert graph.environment(changed(env_problem='It is not taken.')).level == 'ERROR'
    assert graph.environment(Facts(desired=RosEnvironment())) is None
    assert graph.environment(Facts()) is None


@pytest.mark.parametrize('state, level', [('TWO_MASTERS', 'WARN'), ('NO_MASTER', 'WARN'), ('SETTLING', 'OK'),
                                          ('MASTER_OFFLINE', 'WARN'), ('NAME_UNRESOLVED', None)])
def test_environment_of_every_state(state, level):
    found = graph.environment(changed(desired=replace(DESIRED, state=state, why='This is so.')))
    assert (found and found.level) == level
    assert found is None or found.what == 'This is so.'


def test_master():
    assert graph.master(FACTS).level == 'OK'
    found = graph.master(changed(graph=fact_types.Graph(URI, False, 'No ROS master listens at it.')))
    assert found.level == 'WARN' and found.what == 'No ROS master listens at it.' and 'dev-1' in found.next_command
    mine = changed(graph=fact_types.Graph(URI, False), desired=replace(DESIRED, robot='dev-1'))
    found = graph.master(mine)
    assert found.level == 'WARN' and URI in found.what and 'overlay.launch' in found.next_command
    assert graph.master(changed(graph=None)) is None
    assert graph.master(changed(desired=replace(DESIRED, state='MASTER_OFFLINE'))) is None


def test_foreign_master():
    assert graph.foreign_master(FACTS).level == 'OK'
    found = graph.foreign_master(changed(graph=replace(GRAPH, launched=('camera-2', 'talker-3'))))
    assert found.level == 'WARN' and 'camera-2, talker-3' in found.what and 'on dev-1' in found.next_command
    assert graph.foreign_master(changed(graph=replace(GRAPH, launched=None))) is None
    assert graph.foreign_master(Facts()) is None


def attempt(result, peer='dev-1', port=11312, kind=fact_types.TEAM, ping=True):
    return fact_types.Attempt(peer, port, kind, result, ping)


def test_ports_out():
    assert graph.ports_out(FACTS).level == 'OK'
    assert graph.ports_out(changed(attempts=None)) is graph.ports_out(changed(attempts=())) is None


def test_ports_out_names_the_policy_when_one_port_is_dropped():
    found = only(graph.ports_out(changed(attempts=FACTS.attempts[1:] + (attempt(fact_types.DROPPED),))))
    assert found.level == 'ERROR' and found.what == (
        'Connections to the team port (TCP 11312) of dev-1 are dropped.')
    assert found.why.startswith('Other ports pass') and 'policy' in found.why


def test_ports_out_when_all_is_dropped():
    dropped = (attempt(fact_types.DROPPED), attempt(fact_types.DROPPED, port=59999, kind=fact_types.EPHEMERAL))
    found = only(graph.ports_out(changed(attempts=dropped)))
    assert found.why.startswith('The robot answers pings') and '59999' in found.what
    silent = tuple(replace(item, ping=False) for item in dropped)
    found = only(graph.ports_out(changed(attempts=silent)))
    assert 'does not answer at all' in found.what and 'policy' not in found.why
    elsewhere = dropped + (attempt(fact_types.OPEN, 'dev-3', 59999, fact_types.EPHEMERAL, None),)
    assert only(graph.ports_out(changed(attempts=elsewhere))).why.startswith('The robot answers pings')
    both = dropped + (attempt(fact_types.DROPPED, 'dev-3', 59999, fact_types.EPHEMERAL, False),)
    assert len(graph.ports_out(changed(attempts=both))) == 2


def test_ports_out_without_a_route():
    found = graph.ports_out(changed(attempts=(attempt(fact_types.NO_ROUTE),)))
    assert found.level == 'ERROR' and 'no route' in found.what


def with_callback(callback, **fields):
    return changed(graph=replace(GRAPH, callback=callback), **fields)


def test_ports_in():
    found = graph.ports_in(FACTS)
    assert found.level == 'OK' and found.what.startswith('dev-1, dev-3 reached')


def test_ports_in_by_the_masters_callback():
    found = graph.ports_in(with_callback(fact_types.Callback(False, None)))
    assert found.level == 'ERROR' and 'cannot reach this robot' in found.what and 'firewall' in found.why
    found = graph.ports_in(with_callback(fact_types.Callback(True, False)))
    assert found.level == 'ERROR' and 'under its name dev-2.overlay.internal' in found.what
    assert '100.64.0.2' in found.why and found.next_command.endswith('# on dev-1')


def test_ports_in_is_unknown_when_nobody_came():
    found = graph.ports_in(with_callback(fact_types.Callback(True, True), inbound=()))
    assert found.level == 'UNKNOWN' and 'Whether dev-3 can' in found.what and 'dev-1 reached' in found.what
    found = graph.ports_in(with_callback(None, inbound=()))
    assert found.level == 'UNKNOWN' and 'Whether dev-1, dev-3 can' in found.what
    found = graph.ports_in(with_callback(fact_types.Callback(problem='too slow'), inbound=()))
    assert found.level == 'UNKNOWN'


def test_ports_in_alone():
    alone = replace(STATUS, peers=(replace(MASTER, online=False), replace(MATE, tags=('tag:blue',))))
    assert graph.ports_in(changed(status=alone)) is None
    assert graph.ports_in(changed(inbound=None)) is None


@pytest.mark.parametrize('host, level, words', [
    ('dev-3.overlay.internal', 'OK', ''), ('DEV-3.overlay.internal', 'OK', ''), ('100.64.0.1', 'OK', ''),
    ('dev-3', 'WARN', 'short name'), ('localhost', 'ERROR', 'each machine itself'), ('127.0.1.1', 'ERROR', 'itself'),
    ('robot', 'ERROR', "not the overlay's"), ('10.0.2.15', 'ERROR', "not the overlay's"),
    ('dev-9.overlay.internal', 'ERROR', 'left or was renamed'), ('100.64.0.99', 'ERROR', 'left or was renamed')])
def test_node_names(host, level, words):
    nodes = GRAPH.nodes + (('/late', 'http://{}:1234/'.format(host)),)
    found = only(graph.node_names(changed(graph=replace(GRAPH, nodes=nodes))))
    assert found.level == level and words in found.what + found.why
    if level != 'OK':
        assert found.what.startswith('/late registered') and host in found.what


def test_node_names_are_listed_by_host_and_not_endlessly():
    nodes = tuple(('/n{}'.format(index), 'http://robot:1/') for index in range(9)) + (('/x', 'http://laptop:1/'),)
    first, second = graph.node_names(changed(graph=replace(GRAPH, nodes=nodes)))
    assert first.what == '/x registered as laptop.'
    assert second.what == '/n0, /n1, /n2, /n3 and 5 more registered as robot.'
    assert graph.node_names(changed(graph=replace(GRAPH, nodes=None))) is None
    assert graph.node_names(changed(graph=fact_types.Graph(URI, False))) is None


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
    found = only(graph.half_connected(changed(shell=variables, processes=())))
    assert found.level == ('ERROR' if words else 'OK') and words in found.what
    found = only(graph.half_connected(changed(shell={}, processes=(fact_types.RosProcess(7, '/talker', variables),))))
    assert found.level == ('ERROR' if words else 'OK')
    assert not words or '/talker (process 7)' in found.what


def test_half_connected_without_a_daemon():
    mixed = {'ROS_MASTER_URI': 'http://100.64.0.1:11312', 'ROS_IP': '10.0.2.15'}
    assert only(graph.half_connected(Facts(shell=mixed))).level == 'ERROR'
    assert graph.half_connected(Facts(shell=dict(mixed, ROS_IP='100.64.0.2'))).level == 'OK'
    assert graph.half_connected(Facts()) is None


def test_old_master():
    assert graph.old_master(FACTS).level == 'OK'
    old = fact_types.RosProcess(8, '/camera', dict(TEAM, ROS_MASTER_URI='http://dev-3.overlay.internal:11312'))
    local = fact_types.RosProcess(9, '/local', {'ROS_MASTER_URI': 'http://localhost:11311'})
    lan = fact_types.RosProcess(9, '/lan', {'ROS_MASTER_URI': 'http://10.0.2.9:11311'})
    found = only(graph.old_master(changed(processes=FACTS.processes + (old, local, lan))))
    assert found.level == 'WARN' and found.what.startswith('/camera (process 8) was started for the master http://dev-3')
    slash = replace(FACTS.processes[0], variables=dict(TEAM, ROS_MASTER_URI=URI + '/'))
    assert graph.old_master(changed(processes=(slash,))).level == 'OK'
    found = only(graph.old_master(changed(desired=RosEnvironment())))
    assert found.level == 'WARN' and 'none now' in found.why
    assert graph.old_master(Facts()) is None


def test_this_robot_is_one_of_the_overlays():
    assert ME.dns_name in graph.full_names([ME])
