"""A report as PDF on A4, with fpdf2, which is imported when one is written."""
import datetime
import io
import os
from typing import Any, Callable, Mapping, Sequence, Tuple

from ua_overlay.measure.report import figures
from ua_overlay.measure.report.parts import Item, Packets, Part, Picture, Table
from ua_overlay.wire import encryption_page

#: Size of the font in points, and height of a line in millimetres.
SIZE = 9
LINE = 4.6
#: Horizontal padding of a cell in mm. It leaves room for headings: they are bold, so wider than their measured width.
_AIR = 4.0
#: A document of fpdf2.
Document = Any


def library() -> Any:
    """fpdf. :raises figures.ExtraError: it is not installed."""
    try:
        import fpdf
    except ImportError as error:
        raise figures.ExtraError('A report as PDF needs fpdf2 ({}).'.format(error),
                                 'pip install -r requirements/analysis.txt')
    return fpdf


def document(title: str, parts: Sequence[Part], pictures: Mapping[str, bytes], created: datetime.datetime) -> bytes:
    """The PDF.

    :param pictures: name -> PNG of every Picture in the parts.
    :param created: the date of the file.
    """
    fpdf = library()
    pdf = _document_class(fpdf)(format='A4')
    pdf.set_title(title)
    pdf.set_creation_date(created)
    # matplotlib has this font, with every letter that the name of a place may have.
    folder = os.path.join(figures.library().get_data_path(), 'fonts', 'ttf')
    for family, style, name in (('DejaVu', '', 'DejaVuSans.ttf'), ('DejaVu', 'B', 'DejaVuSans-Bold.ttf'),
                                ('Mono', '', 'DejaVuSansMono.ttf')):
        pdf.add_font(family, style, os.path.join(folder, name))
    pdf.set_auto_page_break(True, margin=18)
    pdf.add_page()
    _paragraph(pdf, title, 17, 'B')
    for part in parts:
        if pdf.will_page_break(12 + _height(pdf, part.items[0], pictures)):
            pdf.add_page()
        pdf.ln(4)
        _paragraph(pdf, part.title, 13, 'B')
        for item in part.items:
            _item(pdf, item, pictures)
    return bytes(pdf.output())


def _document_class(fpdf: Any) -> Any:
    class WithFooter(fpdf.FPDF):  # type: ignore[misc]  # the library is imported lazily
        def footer(self) -> None:
            self.set_y(-12)
            self.set_font('DejaVu', '', 7)
            self.cell(0, 5, '{}    {}'.format(self.title, self.page_no()), align='C')
    return WithFooter


def _paragraph(pdf: Document, text: str, size: float = SIZE, style: str = '') -> None:
    pdf.set_font('DejaVu', style, size)
    pdf.multi_cell(0, LINE * size / SIZE, text, align='L', new_x='LMARGIN', new_y='NEXT')
    pdf.ln(1.5)


def _item(pdf: Document, item: Item, pictures: Mapping[str, bytes]) -> None:
    if isinstance(item, Picture):
        if pdf.will_page_break(_height(pdf, item, pictures)):
            pdf.add_page()
        pdf.image(io.BytesIO(pictures[item.name]), w=pdf.epw)
        _paragraph(pdf, item.caption, 8)
    elif isinstance(item, Table):
        if pdf.will_page_break(25):
            pdf.add_page()
        _paragraph(pdf, item.caption, 8, 'B')
        pdf.set_font('DejaVu', '', 7)
        options = {} if any(item.headers) else {'first_row_as_headings': False}
        with pdf.table(line_height=4, text_align='LEFT', padding=0.6, borders_layout='HORIZONTAL_LINES',
                       col_widths=_widths(item, pdf.get_string_width, pdf.epw), **options) as table:
            for cells in ((item.headers,) if any(item.headers) else ()) + item.rows:
                table.row(cells)
        pdf.ln(3)
    elif isinstance(item, Packets):
        _packets(pdf, encryption_page.plain(item.run))
    else:
        # Keep a paragraph with the item that it introduces.
        if pdf.will_page_break(25):
            pdf.add_page()
        _paragraph(pdf, item)


def _packets(pdf: Document, sides: Sequence[Tuple[str, str]]) -> None:
    """Two dumps (caption, text) side by side, with 71 characters per line."""
    line = 2.6
    height = line * (2 + max(text.count('\n') for _, text in sides)) + LINE
    if pdf.will_page_break(height):
        pdf.add_page()
    top, width = pdf.get_y(), pdf.epw / 2
    for number, (caption, text) in enumerate(sides):
        for family, size, content, down in (('DejaVu', 7, caption, 0), ('Mono', 5.6, text, LINE)):
            pdf.set_font(family, '', size)
            pdf.set_xy(pdf.l_margin + number * width, top + down)
            pdf.multi_cell(width, line, content, align='L')
    pdf.set_xy(pdf.l_margin, top + height)
    pdf.ln(2)


def _height(pdf: Document, item: Item, pictures: Mapping[str, bytes]) -> float:
    """The space in mm that an item needs to begin on the current page."""
    if not isinstance(item, Picture):
        return 28.0
    width, height = _size(pictures[item.name])
    return float(pdf.epw * height / width + 3 * LINE)


def _widths(table: Table, width_of: Callable[[str], float], whole: float) -> Tuple[float, ...]:
    """Widths of the columns in mm: at least the longest word, and a share of the rest by the longest text.

    :param width_of: function of a text -> mm. :param whole: width of all columns together.
    """
    lines = ((table.headers,) if any(table.headers) else ()) + table.rows or (table.headers,)
    columns = list(zip(*lines))
    least = [_AIR + max(width_of(word) for cell in column for word in cell.split() or ['']) for column in columns]
    more = [_AIR + max(map(width_of, column)) - low for column, low in zip(columns, least)]
    left = whole - sum(least)
    if left < 0:
        return tuple(low * whole / sum(least) for low in least)
    share = left / sum(more) if sum(more) else 0.0
    # The last column gets the remaining space.
    widths = [low + min(1.0, share) * extra for low, extra in zip(least, more)]
    return tuple(widths[:-1] + [whole - sum(widths[:-1])])


def _size(png: bytes) -> Tuple[int, int]:
    """(width, height) of a PNG in pixels."""
    return int.from_bytes(png[16:20], 'big'), int.from_bytes(png[20:24], 'big')
