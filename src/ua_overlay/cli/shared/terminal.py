"""Lines on a terminal that are written over: never longer than it is wide, or they would stay and pile up."""
import os

#: Where nobody says how wide it is.
USUAL = 80
_LEAST = 10


def width(stream):
    """Columns of the terminal of a text stream, as they are now: people change its size."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or USUAL
    except (OSError, ValueError, AttributeError):
        return USUAL


def fitted(stream, text, tail=''):
    """``text`` and ``tail`` on one line of the terminal; where there is no room, the end of ``text`` is left out."""
    room = max(width(stream), _LEAST) - 1 - len(tail)
    if len(text) > room:
        text = text[:max(0, room - 1)] + '…'
    return text + tail
