"""Print a text that comes from outside this process: the only way in which one reaches a terminal, a log or a topic.

Pure. A foreign text may hold terminal sequences (ECMA-48) that move the cursor, rename the window or hide a line, line
ends that fake a line of a log, and characters that reverse the reading order (Unicode TR36, 3.1).
"""
import unicodedata

#: Longest foreign text in a sentence, in characters.
LONGEST = 200
#: Unicode categories that no terminal shows as themselves: control, format (with the direction marks), surrogate,
#: private use, line separator, paragraph separator.
_HIDDEN = frozenset(('Cc', 'Cf', 'Cs', 'Co', 'Zl', 'Zp'))


def printable(text: object, longest: int = LONGEST) -> str:
    r"""Return ``str(text)`` on one line, with every character that a terminal does not show as itself escaped.

    :param longest: number of characters that are kept; a longer text ends with '…'.
    :returns: '\x1b[2J' for an escape sequence, '\n' for a line end; other text unchanged.
    """
    whole = text if isinstance(text, str) else str(text)
    shown = whole[:longest]
    if not (shown.isascii() and shown.isprintable()):
        shown = ''.join(_escape(character) for character in shown)
    return shown + '…' if len(whole) > longest else shown


def printable_lines(text: str) -> str:
    """Return ``text`` with its line ends and tabs, and with every other hidden character escaped; of any length.

    For whole texts that a person asked for, like a file or the output of a program.
    """
    if text.isascii() and text.isprintable():
        return text
    return ''.join(character if character in '\n\t' else _escape(character) for character in text)


def _escape(character: str) -> str:
    if unicodedata.category(character) not in _HIDDEN:
        return character
    return character.encode('unicode_escape').decode('ascii')
