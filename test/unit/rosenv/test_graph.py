"""When the team's nodes start, are replaced, and stop."""
import pytest

from ua_overlay.rosenv.environment import MASTER_OFFLINE, NAME_UNRESOLVED, NO_MASTER, NO_OVERLAY, OK, RosEnvironment
from ua_overlay.rosenv.graph import STABLE, Decision, decide_graph
from ua_overlay.rosenv.master import MasterAnswer

HERE = RosEnvironment(master_uri='http://dev-1.overlay.internal:11312', hostname='dev-3.overlay.internal',
                      master='dev-1', robot='dev-3', team='iris', state=OK, names_ok=True, usable=True)
SILENT = MasterAnswer(False, why='No.')


def variant(**changes):
    return RosEnvironment(**dict({name: getattr(HERE, name) for name in HERE.__dataclass_fields__}, **changes))


MOVED = variant(master='dev-2', master_uri='http://dev-2.overlay.internal:11312')
LEFT = RosEnvironment(state=NO_OVERLAY, left=True, why='Left.')


def answer(run_id='a'):
    return MasterAnswer(True, 7, run_id)


class Robot:
    def __init__(self):
        self.decision = Decision()

    def see(self, now, environment=HERE, master=None):
        self.decision = decide_graph(self.decision, environment, master or answer(), now)
        return self.decision.graph

    @classmethod
    def running(cls):
        robot = cls()
        assert robot.see(0).run_id == 'a'
        return robot


def test_the_nodes_start_when_overlay_name_and_master_are_ready():
    robot = Robot()
    for environment in (RosEnvironment(why='Not in.'), variant(state=NAME_UNRESOLVED, usable=False, why='Deaf.'),
                        variant(state=NO_MASTER, master='', master_uri='', usable=False, why='Nobody.')):
        assert robot.see(0, environment) is None
        assert robot.decision.why == environment.why
    assert robot.see(1, variant(state=MASTER_OFFLINE, why='Offline.')) is None
    assert robot.see(1, HERE, SILENT) is None and 'does not answer yet' in robot.decision.why
    assert robot.see(2, HERE, answer('')) is None and '/run_id' in robot.decision.why
    graph = robot.see(3)
    assert (graph.uri, graph.robot, graph.run_id) == (HERE.master_uri, 'dev-3', 'a')
    assert dict(graph.variables) == HERE.variables()


@pytest.mark.parametrize('environment, master', [
    (HERE, SILENT), (HERE, answer('')), (variant(state=MASTER_OFFLINE), SILENT),
    (variant(names_ok=False), answer()), (variant(state=NAME_UNRESOLVED, usable=False), SILENT),
    (variant(state=NAME_UNRESOLVED, usable=False, master='dev-2', master_uri=MOVED.master_uri), answer('b')),
    (variant(state=NO_MASTER, master='', master_uri='', usable=False), SILENT),
    (RosEnvironment(state=NO_OVERLAY, left=False), SILENT)])
def test_conditions_that_never_replace_nodes(environment, master):
    robot = Robot.running()
    graph = robot.decision.graph
    for now in (1, 5, 100, 10000):
        assert robot.see(now, environment, master) == graph
    assert robot.see(10001) == graph


def test_another_run_id_is_another_roscore():
    robot = Robot.running()
    robot.see(1, HERE, SILENT)
    assert robot.see(2, HERE, answer('b')).run_id == 'b'
    assert 'anew' in robot.decision.why
    assert robot.see(3, HERE, answer('b')).run_id == 'b'


def test_the_run_id_of_another_master_counts_only_when_it_is_stable():
    robot = Robot.running()
    assert robot.see(1, MOVED, answer('b')).run_id == 'a'


def test_another_master_for_two_seconds():
    robot = Robot.running()
    old = robot.decision.graph
    assert robot.see(10, MOVED, SILENT) == old
    assert robot.see(10 + STABLE - 0.1, MOVED, SILENT) == old
    assert robot.see(10 + STABLE, MOVED, SILENT) is None
    assert robot.see(15, MOVED, answer('b')).uri == MOVED.master_uri


def test_another_master_that_answers_is_used_at_once():
    robot = Robot.running()
    robot.see(10, MOVED, answer('b'))
    assert robot.see(12, MOVED, answer('b')).run_id == 'b'


def test_a_flicker_restarts_the_timer():
    robot = Robot.running()
    old = robot.decision.graph
    robot.see(10, MOVED, SILENT)
    robot.see(11, HERE)
    assert robot.see(12.5, MOVED, SILENT) == old
    assert robot.see(13, variant(master='dev-9', master_uri='http://dev-9.overlay.internal:11312'), SILENT) == old
    assert robot.see(14.6, MOVED, SILENT) == old
    assert robot.see(16.6, MOVED, SILENT) is None


def test_another_name_of_this_robot_is_another_graph():
    robot = Robot.running()
    renamed = variant(hostname='dev-3-1.overlay.internal', robot='dev-3-1')
    robot.see(1, renamed)
    assert robot.see(3, renamed).robot == 'dev-3-1'


def test_leaving_stops_the_nodes_and_a_short_stop_does_not():
    robot = Robot.running()
    assert robot.see(1, LEFT, SILENT) is not None
    assert robot.see(2, HERE) is not None
    assert robot.see(3, LEFT, SILENT) is not None
    assert robot.see(5, LEFT, SILENT) is None
    assert robot.decision.why == 'Left.'
    assert robot.see(6).run_id == 'a'
