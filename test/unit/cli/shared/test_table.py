"""Tables."""
import pytest

from ua_overlay.cli.shared.table import format_table


def test_columns_are_aligned_without_trailing_spaces():
    assert format_table(('A', 'LONG', 'B'), [('x', 1, ''), ('longer', None, 'y')]) == (
        'A       LONG  B\n'
        'x       1     -\n'
        'longer  -     y')


def test_no_rows():
    assert format_table(('A', 'B'), []) == 'A  B'


def test_a_zero_is_shown():
    assert format_table(('N',), [(0,), (False,)]) == 'N\n0\nFalse'


@pytest.mark.fault('K4', 'A foreign name has control characters', behaviour='tables and errors show them escaped',
                   reported='at once', recovery='at once', lost='nothing')
def test_hidden_characters_are_escaped():
    text = format_table(('A', 'B'), [('x\x1b[2J', 'y\nz')])
    assert text == 'A         B\n' + 'x\\x1b[2J  y\\nz'
