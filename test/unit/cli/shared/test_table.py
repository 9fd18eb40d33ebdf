"""Tables."""
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
