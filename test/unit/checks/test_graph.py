"""Checks of the team graph: names, environment and master."""
from dataclasses import replace

import pytest

from ua_overlay.checks import graph
from ua_overlay.checks.facts import Facts, Graph
from ua_overlay.rosenv.environment import RosEnvironment, decide_environment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from unit.checks.healthy import DESIRED, FACTS, GRAPH, STATUS, TEAM, URI, changed

BROKEN = NameReport(True, ('dev-3.overlay.internal',), 'This robot cannot receive from dev-3: the name is wrong.')


def test_names():
    assert graph.names(FACTS).level == 'OK' and '2 team mates' in graph.names(FACTS).what
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
