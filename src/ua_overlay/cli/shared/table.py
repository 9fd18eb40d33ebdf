"""Tables for people."""


def format_table(headers, rows):
    """Return ``rows`` under ``headers`` as aligned text, without trailing blanks.

    :param headers: sequence of str.
    :param rows: sequences of values of the same length; None shows as '-'.
    """
    cells = [[str(header) for header in headers]]
    cells += [['-' if value is None or value == '' else str(value) for value in row] for row in rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headers))]
    return '\n'.join('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in cells)
