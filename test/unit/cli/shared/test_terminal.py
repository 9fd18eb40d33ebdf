"""Lines that are written over, on a real pseudo terminal of changing width."""
import errno
import fcntl
import os
import pty
import struct
import termios

import pytest

from ua_overlay.cli.shared import terminal
from ua_overlay.cli.shared.progress import CampaignProgress, Progress
from ua_overlay.measure.campaign import plan
from unit.measure.campaigns import of_step, short


class Screen:
    """A pseudo terminal, the text written to it, and its width."""

    def __init__(self):
        self.master, slave = pty.openpty()
        self.stream = os.fdopen(slave, 'w')

    def resize(self, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack('HHHH', 24, columns, 0, 0))

    def read(self):
        """All text written so far: a terminal delivers it in pieces and with a delay."""
        self.stream.write('END')
        self.stream.flush()
        seen = ''
        while not seen.endswith('END'):
            seen += os.read(self.master, 100000).decode()
        return seen[:-len('END')]


@pytest.fixture
def screen():
    made = Screen()
    yield made
    made.stream.close()
    os.close(made.master)


def lines(text):
    """The text of each write, without the characters that erase it."""
    return [part.replace('\033[K', '') for part in text.replace('\r\n', '\r').split('\r')]


@pytest.mark.parametrize('columns', [20, 40, 200])
def test_a_bar_is_never_longer_than_the_terminal(screen, columns):
    screen.resize(columns)
    step = plan.steps(short())[0]
    with CampaignProgress(screen.stream) as progress:
        progress.starting(step, 1, 2, 7000)
        progress.ended(of_step(step), '')
        progress.starting(step, 2, 2, 50)
    seen = lines(screen.read())
    assert max(map(len, seen)) < columns and seen[-1] == ''
    assert any('pair+tcp+raw+1' in line for line in seen) == (columns == 200)


def test_the_time_left_counts_down_and_fits_the_width(screen):
    screen.resize(80)
    now, step, seen = [0.0], plan.steps(short())[0], ''
    with CampaignProgress(screen.stream, lambda: now[0]) as progress:
        progress.starting(step, 1, 2, 50)
        now[0] = 8.0
        screen.resize(30)
        # The counter writes once a second; reading waits for it.
        while '42 s left' not in seen:
            seen += os.read(screen.master, 100000).decode()
    counted = [line for line in lines(seen) if '42 s left' in line]
    assert len(counted[0]) < 30


def test_a_long_line_is_shortened_but_keeps_its_seconds(screen):
    screen.resize(24)
    with Progress(screen.stream)('A lab with a site and two robots'):
        pass
    first = lines(screen.read())[1]
    assert len(first) < 24 and first.endswith('…') and first.startswith('A lab with')


def test_default_width_without_a_terminal():
    import io
    assert terminal.width(io.StringIO()) == terminal.USUAL
    assert terminal.fitted(io.StringIO(), 'x' * 100, ' 9 s') == 'x' * 74 + '… 9 s'


def test_a_terminal_that_is_closed_ends_the_line_and_not_the_command(screen, caplog, monkeypatch):
    """As after a broken ssh connection: every write fails with EIO."""
    monkeypatch.setattr(terminal.StatusLine, 'PERIOD', 0.01)
    line = terminal.StatusLine(screen.stream, lambda: 'working')
    with line:
        monkeypatch.setattr(line, '_write', Broken())
        assert line._thread.join(20)
        monkeypatch.undo()
    assert line._thread.problem == '' and not caplog.records


class Broken:
    def __call__(self, text):
        raise OSError(errno.EIO, 'Input/output error')
