"""A line for what takes long."""
import io

import pytest

from ua_overlay.cli.shared.progress import Progress

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


def test_in_a_log():
    stream = Stream(False)
    with Progress(stream, clock(10.0, 12.34))('Building x'):
        assert stream.getvalue() == 'Building x …\n'
    assert stream.getvalue() == 'Building x …\nBuilding x: done in 2.3 s\n'


@pytest.mark.parametrize('error', [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize('terminal', [False, True])
def test_a_failure_is_said_and_passed_on(error, terminal):
    stream = Stream(terminal)
    with pytest.raises(error):
        with Progress(stream, clock(0.0, 1.0))('Building x'):
            raise error
    assert stream.getvalue().endswith('Building x: failed in 1.0 s\n')


def test_on_a_terminal_one_line_counts():
    stream = Stream(True)
    with Progress(stream, clock(0.0, 0.0, 7.0))('Building x'):
        assert stream.getvalue() == ERASE + 'Building x …'
        shown = waiting_for(lambda: ERASE + 'Building x … 7 s' in stream.getvalue())
    assert shown
    assert stream.getvalue().endswith(ERASE + 'Building x: done in 7.0 s\n')


def waiting_for(condition):
    """The counter speaks once a second."""
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
