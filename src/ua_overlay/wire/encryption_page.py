"""The proof of encryption for people: a table, and a page with the inner packet in clear beside the outer one. Pure.

``run`` is one of `runs` of encryption.as_json.
"""
import html
import re
from typing import Any, List, Sequence, Tuple

from ua_overlay.protocols import JsonObject
from ua_overlay.wire.encryption import RAW

#: Bytes of a packet that a picture shows, out of up to 80 lines: the headers, and the surroundings of the mark.
HEADERS_SHOWN, SHOWN = 64, 256
_INSIDE, _OUTSIDE = 'Inside the tunnel: {} bytes', 'Outside, {}: {} bytes'
_ANY_TAG = re.compile('<[^>]*>')
_STYLE = '''\
.proof{display:flex;margin-top:1em;flex-wrap:wrap;gap:1.5em;font-family:sans-serif;color:#222}.proof figure{margin:0}
.proof pre{font:12px/1.45 monospace;background:#f6f6f6;padding:.8em;margin:.3em 0;overflow-x:auto}
.proof mark{background:#ffd58a;color:inherit}.proof .head{color:#00599c}
.proof-table{border-collapse:collapse;font-family:sans-serif;font-size:90%}
.proof-table th,.proof-table td{border-bottom:1px solid #ccc;padding:.25em .8em;text-align:left}'''


def rows(run: JsonObject) -> List[Tuple[Any, ...]]:
    """The cells of a run's table, under :data:`HEADERS`."""
    return [(point['host'], point['interface'], 'inside' if point['inside'] else 'outside', point['packets'],
             point['found'], point['in_streams'],
             None if point['entropy'] is None else '{:.2f}'.format(point['entropy']),
             ', '.join('{} {}'.format(count['packets'], kind) for kind, count in point['kinds'].items()))
            for point in run['places']]


HEADERS = ('HOST', 'INTERFACE', 'WHERE', 'PACKETS', 'WITH CANARY', 'IN STREAMS', 'BITS/BYTE', 'OUTSIDE IT IS')


def dump(data: bytes, marked: Tuple[int, int] = (0, 0), head: int = 0, shown: int = SHOWN) -> str:
    """A hexadecimal dump as HTML, 16 bytes a line: offset, bytes, characters.

    :param marked: (first, last + 1) byte to highlight. :param head: length of the headers, shown in blue.
    :param shown: most bytes to show.
    """
    lines, behind = [], 0
    jump = max(HEADERS_SHOWN, (marked[0] - 32) // 16 * 16)
    for at in list(range(0, HEADERS_SHOWN, 16)) + list(range(jump, jump + shown - HEADERS_SHOWN, 16)):
        if at >= len(data):
            break
        if at > behind:
            lines.append('…     {} bytes'.format(at - behind))
        behind = at + 16
        part = data[at:at + 16]
        digits = ' '.join(_tag('{:02x}'.format(byte), at + number, marked, head) for number, byte in enumerate(part))
        text = ''.join(_tag(html.escape(chr(byte)) if 32 <= byte < 127 else '·', at + number, marked, head)
                       for number, byte in enumerate(part))
        lines.append('{:04x}  {}{}  {}'.format(at, digits, '   ' * (16 - len(part)), text))
    if len(data) > behind:
        lines.append('…     {} bytes more'.format(len(data) - behind))
    return '\n'.join(lines)


def _tag(text: str, at: int, marked: Tuple[int, int], head: int) -> str:
    if marked[0] <= at < marked[1]:
        return '<mark>{}</mark>'.format(text)
    return '<span class="head">{}</span>'.format(text) if at < head else text


def name_of(run: JsonObject) -> str:
    """The name of a run for people. The run past the tunnel comes first: it shows that the search works."""
    return 'Past the tunnel, where every host on the path must be able to read it' if run['link'] == RAW \
        else str(run['link'])


def outcome_of(run: JsonObject) -> str:
    return 'as expected' if run['ok'] else 'not proven'


def plain(run: JsonObject) -> Sequence[Tuple[str, str]]:
    """((caption, dump) inside, (caption, dump) outside) of a run with a picture, as text without marks."""
    picture = run['picture']
    inner, outer = bytes.fromhex(picture['inner']), bytes.fromhex(picture['outer'])
    return tuple((caption, html.unescape(_ANY_TAG.sub('', dump(data, where)))) for caption, data, where in (
        (_INSIDE.format(len(inner)), inner, _canary(inner, run['canary'])),
        (_OUTSIDE.format(picture['kind'], len(outer)), outer, (0, 0))))


def side_by_side(run: JsonObject) -> str:
    """HTML fragment: a packet inside the tunnel beside the packet that carried it outside; '' without a picture.

    It needs :func:`style` on the page.
    """
    picture = run['picture']
    if not picture:
        return ''
    inner, outer = bytes.fromhex(picture['inner']), bytes.fromhex(picture['outer'])
    where = _canary(inner, run['canary'])
    return ('<div class="proof"><figure><figcaption>{}, the canary marked</figcaption>'
            '<pre>{}</pre></figure><figure><figcaption>{}, headers in blue</figcaption>'
            '<pre>{}</pre></figure></div>').format(
                _INSIDE.format(len(inner)), dump(inner, where),
                html.escape(_OUTSIDE.format(picture['kind'], len(outer))), dump(outer, head=picture['header']))


def _canary(inner: bytes, canary: str) -> Tuple[int, int]:
    at = inner.find(canary.encode())
    return (0, 0) if at < 0 else (at, at + len(canary))


def style() -> str:
    """The <style> element that :func:`side_by_side` and :func:`section` need, once on a page."""
    return '<style>\n{}\n</style>'.format(_STYLE)


def section(proof: JsonObject) -> str:
    """HTML fragment: all runs with their tables and pictures. :param proof: of encryption.as_json."""
    parts = []
    for run in proof['runs']:
        parts.append('<h3>{}: {}</h3>'.format(html.escape(name_of(run)), outcome_of(run)))
        parts += ['<p>{}</p>'.format(html.escape(sentence)) for sentence in run['why']]
        cells = [HEADERS] + rows(run)
        parts.append('<table class="proof-table">{}</table>'.format(''.join('<tr>{}</tr>'.format(''.join(
            '<{0}>{1}</{0}>'.format('td' if number else 'th', html.escape('-' if cell in (None, '') else str(cell)))
            for cell in row)) for number, row in enumerate(cells))))
        parts.append(side_by_side(run))
    return '\n'.join(parts)


def document(proof: JsonObject) -> str:
    """A page that needs no network. :param proof: of encryption.as_json."""
    return ('<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Proof of encryption</title>{}</head>'
            '<body><h2>Proof of encryption</h2><p style="font-family:sans-serif">A page with a random canary went from '
            'one robot to the other. {}</p>{}</body></html>\n').format(
                style(), 'It was readable inside the tunnel and nowhere outside; past the tunnel it was readable.'
                if proof['proven'] else 'The proof is not complete: see below.', section(proof))
