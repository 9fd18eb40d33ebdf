"""The change of the CA: which step may follow which."""
import pytest

from ua_overlay.trust import rotation
from ua_overlay.trust.rotation import STARTED, STEADY, SWITCHED, RobotTrust, RotationError, check_step, robot_trust


@pytest.mark.parametrize('held, key, following, phase', [
    (['A'], 'A', '', STEADY), (['A', 'B'], 'A', 'B', STARTED), (['B', 'A'], 'A', 'B', SWITCHED),
    (['B'], 'none', 'B', rotation.PROMOTE), (['A'], 'A', 'none', rotation.DISCARD),
    (['A'], '', '', STEADY), (['A'], 'none', '', ''), (['A', 'B'], 'A', '', ''), (['A', 'B', 'C'], 'A', 'B', '')])
def test_the_phase_follows_from_the_files(held, key, following, phase):
    assert rotation.phase_of(held, key, following) == phase


@pytest.mark.parametrize('step, allowed', [
    ('start', {STEADY}), ('switch', {STARTED}), ('finish', {SWITCHED}), ('cancel', {STARTED, SWITCHED}),
    ('confirm', {STARTED, SWITCHED})])
def test_steps_out_of_order_are_refused(step, allowed):
    for phase in (STEADY, STARTED, SWITCHED):
        if phase in allowed:
            check_step(step, phase)
        else:
            with pytest.raises(RotationError) as caught:
                check_step(step, phase)
            assert 'rotate-ca' in caught.value.next_command


def test_a_switch_waits_for_robots_in_use():
    robots = [RobotTrust('a', True, 'confirmed'), RobotTrust('b', True), RobotTrust('c', False)]
    with pytest.raises(RotationError, match='This robot may not trust the new root yet: b\\.'):
        check_step('switch', STARTED, robots)
    with pytest.raises(RotationError, match='This robot may not trust the new root yet: d\\.'):
        check_step('switch', STARTED, [RobotTrust('d', False, '', recent=True)])
    check_step('switch', STARTED, robots, force=True)
    check_step('switch', STARTED, [robots[0], robots[2]])


def test_robot_state_during_a_rotation():
    assert robot_trust('a', True, 5, False, 5).evidence == 'joined'
    assert robot_trust('a', True, 4, False, 5).evidence == ''
    assert robot_trust('a', True, 4, True, 5).evidence == 'confirmed'
    assert robot_trust('a', True, None, False, 5).evidence == ''
