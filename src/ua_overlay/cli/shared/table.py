"""Tables as text. Pure."""
from typing import Iterable, Sequence

from ua_overlay.printable import printable


def format_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Align ``rows`` below ``headers``, without trailing blanks.

    :param rows: each has one value for each header; None and '' appear as '-'. Values may be foreign texts: hidden
        characters are escaped, so that a row stays a line and a terminal shows what is there.
    """
    cells = [[str(header) for header in headers]]
    cells += [['-' if value is None or value == '' else printable(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
