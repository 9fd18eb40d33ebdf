"""The progress that a command shows."""
import dataclasses
import io

import pytest

from ua_overlay.cli.shared.progress import CampaignProgress, Progress, count
from ua_overlay.measure.campaign import plan, sample
from unit.measure.campaigns import of_step, short

ERASE = '\r\033[K'


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.terminal = terminal

    def isatty(self):
        return self.terminal


def clock(*times):
    left = list(times)
    return lambda: left.pop(0) if len(left) > 1 else left[0]


def test_a_log_gets_one_line_per_step():
    stream = Stream(False)
    with Progress(stream, clock(10.0, 12.34))('Building x'):
        assert stream.getvalue() == 'Building x …\n'
    assert stream.getvalue() == 'Building x …\nBuilding x: done in 2.3 s\n'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize('terminal', [False, True])
def test_a_failure_is_shown_and_raised(error, terminal):
    stream = Stream(terminal)
    with pytest.raises(error):
        with Progress(stream, clock(0.0, 1.0))('Building x'):
            raise error
    assert stream.getvalue().endswith('Building x: failed in 1.0 s\n')


def test_a_terminal_has_one_line_that_counts_seconds():
    stream = Stream(True)
    with Progress(stream, clock(0.0, 0.0, 7.0))('Building x'):
        assert stream.getvalue() == ERASE + 'Building x …'
        counted = wait_for(lambda: ERASE + 'Building x … 7 s' in stream.getvalue())
    assert counted
    assert stream.getvalue().endswith(ERASE + 'Building x: done in 7.0 s\n')


def wait_for(condition):
    """The line is renewed once a second."""
    import threading
    stop = threading.Event()
    for _ in range(500):
        if condition():
            return True
        stop.wait(0.01)
    return False


def test_stderr_by_default(capsys):
    with Progress()('x'):
        pass
    captured = capsys.readouterr()
    assert captured.out == '' and captured.err.startswith('x …\n')


def campaign(stream):
    """The output of a campaign of two samples; the second fails."""
    step = plan.steps(short())[0]
    progress = CampaignProgress(stream, lambda: 0.0)
    progress.starting(step, 1, 2, 100)
    progress.ended(of_step(step), '')
    progress.starting(step, 2, 2, 50)
    progress.ended(dataclasses.replace(of_step(step, sample.FAILED), problem='The host is gone.'), 'The disk is full.')
    return stream.getvalue()


def test_a_log_has_one_line_per_sample():
    assert campaign(Stream(False)) == '2 samples, about 2 min\n[1/2] pair+tcp+raw+1: ok\n' \
        '[2/2] pair+tcp+raw+1: failed. The host is gone.\nThe disk is full.\n'


def test_a_terminal_shows_a_bar_and_keeps_failures():
    text = campaign(Stream(True))
    assert ERASE + 12 * '#' + 12 * '.' + ' 2/2, 50 s left: pair+tcp+raw+1' in text
    assert 'pair+tcp+raw+1: ok' not in text and 'failed. The host is gone.\n' in text


@pytest.mark.parametrize('number, text', [(0, '0 samples'), (1, '1 sample'), (2, '2 samples')])
def test_samples_are_counted(number, text):
    assert count(number) == text
