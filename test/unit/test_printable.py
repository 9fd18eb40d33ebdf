"""A foreign text reaches a terminal, a log or a topic on one line, and without sequences that a terminal obeys."""
import pytest

from ua_overlay.printable import printable, printable_lines


@pytest.mark.parametrize('text, shown', [
    ('dev-1', 'dev-1'), ('Zürich, \u6771\u4eac', 'Zürich, \u6771\u4eac'),
    ('a\x1b[2Jb', r'a\x1b[2Jb'), ('a\r\nb\tc', r'a\r\nb\tc'),
    ('\x00\x07\x7f\x9b', r'\x00\x07\x7f\x9b'), ('a\u202eb\u2066', r'a\u202eb\u2066'), ('a\u2028b', r'a\u2028b'),
    ('\ud800', r'\ud800'), ('\u200b\ufeff', r'\u200b\ufeff'), ('', ''), (17, '17'), (None, 'None'),
    ({'a': '\x1b'}, "{'a': '\\x1b'}")])
def test_hidden_characters_are_escaped(text, shown):
    assert printable(text) == shown


def test_a_long_text_is_cut():
    assert printable('x' * 300) == 'x' * 200 + '…'
    assert printable('abc', 3) == 'abc' and printable('abcd', 3) == 'abc…'


def test_lines_are_kept_where_a_whole_text_is_printed():
    assert printable_lines('a:\n\tb\x1b[0m\r\n' + 'x' * 500) == 'a:\n\tb\\x1b[0m\\r\n' + 'x' * 500
