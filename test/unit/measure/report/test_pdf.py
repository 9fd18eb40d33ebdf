"""A report as PDF: the layout of its tables. The whole document: test_report."""
import datetime
import struct

import pytest

from ua_overlay.clock import from_unix
from ua_overlay.measure.report import pdf
from ua_overlay.measure.report.parts import Part, Table


def widths(table, whole):
    return pdf._widths(table, len, whole)


def test_a_column_fits_its_longest_word():
    table = Table('', ('a', 'words'), (('b', 'one or two longest'),))
    assert widths(table, 100.0) == (5.0, 95.0)
    # Too narrow for the longest words: all shrink alike.
    narrow = widths(table, 8.0)
    assert sum(narrow) == pytest.approx(8.0) and narrow[1] / narrow[0] == pytest.approx(11.0 / 5.0)


def test_remaining_width_is_shared_by_text_length():
    table = Table('', ('', ''), (('ab cd ef gh', 'ab cd ef gh ij kl'),))
    first, second = widths(table, 22.0)
    assert first + second == pytest.approx(22.0) and first == pytest.approx(6 + 10 * 9 / 24)


def test_a_table_without_rows_has_its_headers():
    assert widths(Table('', ('a', 'b'), ()), 10.0) == (5.0, 5.0)


def test_the_size_of_a_png():
    assert pdf._size(b'\x89PNG\r\n\x1a\n' + bytes(4) + b'IHDR' + struct.pack('>II', 640, 480)) == (640, 480)


def test_the_document_has_the_date_of_its_data(fpdf):
    created = from_unix(1767225600)
    assert isinstance(created, datetime.datetime)
    made = pdf.document('A report', [Part('One', ('a paragraph', Table('t', ('a',), (('1',),))))], {}, created)
    assert made.startswith(b'%PDF-') and b'20260101000000' in made
