"""Checks of the team graph: names, environment and master."""
from dataclasses import replace

import pytest

from ua_overlay.checks import graph
from ua_overlay.checks.facts import Disk, Facts, Graph, Holder
from ua_overlay.rosenv.environment import RosEnvironment, decide_environment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from unit.checks.healthy import DESIRED, FACTS, GRAPH, STATUS, TEAM, URI, changed

BROKEN = NameReport(True, ('dev-3.overlay.internal',), 'This robot cannot receive from dev-3: the name is wrong.')


def test_names():
    assert graph.names(FACTS).level == 'OK' and '2 peers' in graph.names(FACTS).what
    verdict = graph.names(changed(names=BROKEN))
    assert (verdict.level, verdict.what) == ('ERROR', BROKEN.why)
    assert verdict.next_command.endswith('getent ahostsv4 dev-3.overlay.internal')
    verdict = graph.names(changed(names=NameReport(False, (), 'own name')))
    assert verdict.level == 'ERROR' and verdict.next_command.endswith('dev-2.overlay.internal')
    assert graph.names(Facts()) is None
    assert graph.names(changed(preferences=Preferences(addressing='addresses'))).level == 'OK'


def test_names_decided_by_the_overlay_node():
    """The decision of the overlay node counts, not the answers of the resolver."""
    desired = decide_environment(STATUS, Preferences(), NameReport(False, (), 'own name'))
    assert graph.names(Facts(desired=desired)).what == 'own name'
    assert graph.names(Facts(desired=decide_environment(STATUS, Preferences(), BROKEN))).level == 'ERROR'
    assert graph.names(Facts(desired=DESIRED)) is None


def test_environment():
    assert graph.environment(FACTS).level == 'OK'
    assert graph.environment(changed(actual=None)).level == 'OK'
    verdict = graph.environment(changed(actual={}))
    assert verdict.level == 'ERROR' and 'overlay.launch' in verdict.next_command
    verdict = graph.environment(changed(actual=dict(TEAM, ROS_MASTER_URI='http://dev-3.overlay.internal:11312')))
    assert verdict.level == 'WARN' and 'dev-3' in verdict.what and URI in verdict.what
    assert graph.environment(changed(env_problem='It is not used.')).level == 'ERROR'
    assert graph.environment(Facts(desired=RosEnvironment())) is None
    assert graph.environment(Facts()) is None


@pytest.mark.parametrize('state, level', [('TWO_MASTERS', 'WARN'), ('NO_MASTER', 'WARN'), ('SETTLING', 'OK'),
                                          ('MASTER_OFFLINE', 'WARN'), ('NAME_UNRESOLVED', None)])
def test_environment_of_every_state(state, level):
    verdict = graph.environment(changed(desired=replace(DESIRED, state=state, why='This is so.')))
    assert (verdict and verdict.level) == level
    assert verdict is None or verdict.what == 'This is so.'


def test_master():
    assert graph.master(FACTS).level == 'OK'
    verdict = graph.master(changed(graph=Graph(URI, False, 'No ROS master listens at it.')))
    assert (verdict.level, verdict.what) == ('WARN', 'No ROS master listens at it.')
    assert 'dev-1' in verdict.next_command
    mine = changed(graph=Graph(URI, False), desired=replace(DESIRED, robot='dev-1'))
    verdict = graph.master(mine)
    assert verdict.level == 'WARN' and URI in verdict.what and 'overlay.launch' in verdict.next_command
    assert graph.master(changed(graph=None)) is None
    assert graph.master(changed(desired=replace(DESIRED, state='MASTER_OFFLINE'))) is None


def test_foreign_master():
    assert graph.foreign_master(FACTS).level == 'OK'
    verdict = graph.foreign_master(changed(graph=replace(GRAPH, launched=('camera-2', 'talker-3'))))
    assert verdict.level == 'WARN' and 'camera-2, talker-3' in verdict.what and 'on dev-1' in verdict.next_command
    assert graph.foreign_master(changed(graph=replace(GRAPH, launched=None))) is None
    assert graph.foreign_master(Facts()) is None


@pytest.mark.fault('K3', 'The file system of /run/ua_overlay is full', behaviour='doctor names the directory',
                   reported='at once: doctor', recovery='when there is room', lost='nothing')
def test_a_full_run_directory_is_not_a_missing_node():
    full = changed(actual={}, disks=(Disk('/run/ua_overlay', 0),))
    assert graph.environment(full) is None
    assert graph.environment(changed(actual={})).level == 'ERROR'


HOLDER = Holder(11312, 'ana', 77, 'my server.py', '', ('python3', 'my server.py'), 77)


@pytest.mark.parametrize('holder, words, advice', [
    (HOLDER, 'my server.py (process 77 of ana) listens on its port 11312', 'sudo kill 77'),
    (replace(HOLDER, unit='web.service'), 'web.service', 'sudo systemctl stop web.service'),
    (Holder(11312, 'ana'), 'only root sees', 'sudo ua-overlay doctor'),
    (replace(HOLDER, ros=True), 'overlay.launch', 'roslaunch'), (None, 'overlay.launch', 'roslaunch')])
def test_the_team_port_of_another_program(holder, words, advice):
    desired = replace(DESIRED, master=DESIRED.robot)
    verdict = graph.master(changed(desired=desired, team_holder=holder, graph=Graph(URI, False, 'Silence.')))
    assert words in verdict.why and advice in verdict.next_command


def test_the_local_port_of_another_program():
    verdict = graph.environment(changed(actual={}, local_holder=replace(HOLDER, port=11311)))
    assert verdict.level == 'ERROR' and 'port 11311' in verdict.why and verdict.next_command == 'sudo kill 77'
    verdict = graph.environment(changed(actual={}, local_holder=replace(HOLDER, port=11311, ros=True)))
    assert 'overlay.launch' in verdict.next_command


def test_the_launch_of_a_foreign_master():
    launched = replace(GRAPH, launched=('talker-2',))
    verdict = graph.foreign_master(changed(graph=launched))
    assert verdict.next_command == 'ua-overlay doctor   # on dev-1'
    desired = replace(DESIRED, master=DESIRED.robot)
    verdict = graph.foreign_master(changed(graph=launched, desired=desired, team_holder=HOLDER))
    assert verdict.next_command == "kill 77; tail --pid=77 -f /dev/null; ua-overlay exec --wait python3 'my server.py'"
    verdict = graph.foreign_master(changed(graph=launched, desired=desired, team_holder=Holder(11312, 'ana')))
    assert verdict.next_command == 'sudo ua-overlay doctor'
