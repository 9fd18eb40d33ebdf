"""The loop of a campaign, and the description in its results directory."""
import pytest

from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import campaign, plan, run, sample
from unit.measure.campaigns import TEXT, of_step, short


def test_a_campaign_continues_and_another_is_refused(tmp_path):
    described = run.describe(short(), {'kernel': '6'}, {}, False, 0)
    assert run.goes_on(str(tmp_path), short()) is False
    run.keep_description(str(tmp_path), described)
    assert run.goes_on(str(tmp_path), short()) is True
    assert run.goes_on(str(tmp_path), campaign.changed(short(), repetitions=7)) is True
    with pytest.raises(UsageError, match='holds results of another campaign'):
        run.goes_on(str(tmp_path), campaign.parse(TEXT.replace('seconds: 3', 'seconds: 4')))
    (tmp_path / 'campaign.json').write_text('[')
    with pytest.raises(UsageError, match='does not describe a campaign'):
        run.goes_on(str(tmp_path), short())
    with pytest.raises(sample.SampleError, match='cannot be written'):
        run.keep_description(str(tmp_path / 'gone'), described)


def test_a_results_directory_remembers_its_campaign(tmp_path):
    run.keep_description(str(tmp_path), run.describe(short(), {}, {}, False, 0))
    assert run.remembered(str(tmp_path)) == short() and not run.is_monitor(str(tmp_path))
    monitored = campaign.parse(TEXT + 'monitor: {capacity: 20mbit}\n')
    run.keep_description(str(tmp_path), run.describe(monitored, {}, {}, False, 0))
    assert run.is_monitor(str(tmp_path)) and not run.is_monitor(str(tmp_path / 'none'))
    (tmp_path / 'campaign.json').write_text('[]')
    with pytest.raises(UsageError, match='it describes no campaign'):
        run.remembered(str(tmp_path))


class Clock:
    """Advances only while a sample is taken."""

    now = 0.0

    def __call__(self):
        return self.now


class Recorder:
    """Takes samples that need twice their time, stores them, and records the events of the run."""

    def __init__(self, clock):
        self.clock = clock
        self.events = []

    def take(self, step):
        self.clock.now += 2 * step.seconds
        return of_step(step, sample.FAILED if step.tool.name == 'ping' else sample.OK)

    def append(self, taken):
        self.events.append(('stored', taken.id))
        return 'The disk is full.' if taken.status == sample.FAILED else ''

    def starting(self, step, number, total, seconds_left):
        self.events.append(('starting', step.id, number, total, seconds_left))

    def ended(self, taken, trouble):
        self.events.append(('ended', taken.id, trouble))


def test_each_sample_is_stored_before_the_next():
    clock = Clock()
    recorder = Recorder(clock)
    steps = [plan.steps(short())[0], plan.steps(short())[2]]
    assert run.run(steps, recorder, recorder, recorder, clock) == {'ok': 1, 'failed': 1, 'excluded': 0}
    tcp, ping = steps
    assert recorder.events == [
        ('starting', tcp.id, 1, 2, tcp.seconds + ping.seconds), ('stored', tcp.id), ('ended', tcp.id, ''),
        ('starting', ping.id, 2, 2, 2 * ping.seconds), ('stored', ping.id), ('ended', ping.id, 'The disk is full.')]
