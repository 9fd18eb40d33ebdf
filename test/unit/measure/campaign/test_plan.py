"""The order of a campaign, and its remaining steps."""
from ua_overlay.measure.campaign import plan, sample
from unit.measure.campaigns import of_step, short

STEPS = plan.steps(short())


def test_paths_alternate_and_ros_has_one_path():
    assert [step.id for step in STEPS] == [
        'pair+{}+{}+{}'.format(tool, path, repetition) for repetition in (1, 2)
        for tool, path in (('tcp', 'raw'), ('tcp', 'overlay'), ('ping', 'raw'), ('ping', 'overlay'),
                           ('topic', 'overlay'))]


def test_a_step_with_a_sample_is_not_measured_again():
    done = [of_step(STEPS[0]), of_step(STEPS[1], sample.FAILED), of_step(STEPS[2], sample.EXCLUDED)]
    assert plan.remaining(STEPS, done) == STEPS[3:]
    assert plan.remaining(STEPS, []) == STEPS
    assert plan.remaining(STEPS, [of_step(step) for step in STEPS]) == []


def test_again_retries_failed_steps_as_new_attempts():
    done = [of_step(STEPS[0]), of_step(STEPS[1], sample.FAILED)]
    again = plan.remaining(STEPS, done, again=True)
    assert [step.id for step in again[:2]] == ['pair+tcp+overlay+1~2', STEPS[2].id]
    done.append(of_step(again[0], sample.FAILED))
    again = plan.remaining(STEPS, done, again=True)
    assert again[0].id == 'pair+tcp+overlay+1~3'
    done.append(of_step(again[0]))
    assert plan.remaining(STEPS, done, again=True)[0] == STEPS[2]
    # Without it the attempts count as one sample.
    assert plan.remaining(STEPS, done)[0] == STEPS[2]


def test_the_time_left_is_corrected_by_finished_steps():
    planned = STEPS[0].seconds + STEPS[1].seconds
    assert planned == 12.0
    assert plan.time_left(STEPS[:2]) == plan.time_left(STEPS[:2], 0, 0) == planned
    assert plan.time_left(STEPS[:2], 10, 20) == 2 * planned
    assert plan.time_left(STEPS[:2], 10, 5) == planned
    assert plan.time_left([], 10, 20) == 0


def test_the_progress_of_each_place():
    done = [of_step(STEPS[0]), of_step(STEPS[1], sample.FAILED), of_step(STEPS[2], sample.FAILED)]
    again = plan.remaining(STEPS, done, again=True)[0]
    place, = plan.by_place(STEPS, done + [of_step(again)])
    assert (place.place, place.good, place.bad, list(place.todo)) == ('pair', 2, 1, STEPS[3:])
