"""The order of a campaign, and what is left of it."""
from ua_overlay.measure.campaign import plan, sample
from unit.measure.steps import of_step, short

STEPS = plan.steps(short())


def test_the_paths_take_turns_and_ros_has_one():
    assert [step.id for step in STEPS] == [
        'pair+{}+{}+{}'.format(tool, path, repetition) for repetition in (1, 2)
        for tool, path in (('tcp', 'raw'), ('tcp', 'overlay'), ('ping', 'raw'), ('ping', 'overlay'),
                           ('topic', 'overlay'))]


def test_what_has_a_sample_is_not_measured_again():
    done = [of_step(STEPS[0]), of_step(STEPS[1], sample.FAILED), of_step(STEPS[2], sample.EXCLUDED)]
    assert plan.remaining(STEPS, done) == STEPS[3:]
    assert plan.remaining(STEPS, []) == STEPS
    assert plan.remaining(STEPS, [of_step(step) for step in STEPS]) == []


def test_again_takes_the_bad_ones_as_another_attempt():
    done = [of_step(STEPS[0]), of_step(STEPS[1], sample.FAILED)]
    again = plan.remaining(STEPS, done, again=True)
    assert [step.id for step in again[:2]] == ['pair+tcp+overlay+1~2', STEPS[2].id]
    done.append(of_step(again[0], sample.FAILED))
    again = plan.remaining(STEPS, done, again=True)
    assert again[0].id == 'pair+tcp+overlay+1~3'
    done.append(of_step(again[0]))
    assert plan.remaining(STEPS, done, again=True)[0] == STEPS[2]
    # And without it the attempts count as the one sample that they are about.
    assert plan.remaining(STEPS, done)[0] == STEPS[2]


def test_the_time_left_learns_from_what_was_done():
    planned = STEPS[0].seconds + STEPS[1].seconds
    assert planned == 12.0
    assert plan.time_left(STEPS[:2], 0, 0) == planned
    assert plan.time_left(STEPS[:2], 10, 20) == 2 * planned
    assert plan.time_left(STEPS[:2], 10, 5) == planned
    assert plan.time_left([], 10, 20) == 0
