"""The proof of encryption for people: a table, and a page with the inner packet in clear beside the outer one. Pure."""
import html
import re

#: Bytes of a packet that a picture shows (a page's segment is 80 lines long): its headers, and around what is marked.
HEADERS_SHOWN, SHOWN = 64, 256
_INSIDE, _OUTSIDE = 'Inside the tunnel: {} bytes', 'Outside, {}: {} bytes'
_ANY_TAG = re.compile('<[^>]*>')
_STYLE = '''\
.proof{display:flex;margin-top:1em;flex-wrap:wrap;gap:1.5em;font-family:sans-serif;color:#222}.proof figure{margin:0}
.proof pre{font:12px/1.45 monospace;background:#f6f6f6;padding:.8em;margin:.3em 0;overflow-x:auto}
.proof mark{background:#ffd58a;color:inherit}.proof .head{color:#00599c}
.proof-table{border-collapse:collapse;font-family:sans-serif;font-size:90%}
.proof-table th,.proof-table td{border-bottom:1px solid #ccc;padding:.25em .8em;text-align:left}'''


def rows(run):
    """The cells of a run's table. :param run: one of `runs` of encryption.as_json."""
    return [(point['host'], point['interface'], 'inside' if point['inside'] else 'outside', point['packets'],
             point['found'], point['in_streams'],
             None if point['entropy'] is None else '{:.2f}'.format(point['entropy']),
             ', '.join('{} {}'.format(count['packets'], kind) for kind, count in point['kinds'].items()))
            for point in run['places']]


HEADERS = ('HOST', 'INTERFACE', 'WHERE', 'PACKETS', 'WITH CANARY', 'IN STREAMS', 'BITS/BYTE', 'OUTSIDE IT IS')


def dump(data, marked=(0, 0), head=0, shown=SHOWN):
    """A hexadecimal dump as HTML, 16 bytes a line: offset, bytes, characters.

    :param marked: (first, behind the last) byte of what is highlighted. :param head: bytes of headers, in blue.
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


def _tag(text, at, marked, head):
    if marked[0] <= at < marked[1]:
        return '<mark>{}</mark>'.format(text)
    return '<span class="head">{}</span>'.format(text) if at < head else text


def name_of(run):
    """What a run is called. The counter-check comes first: without it the others would prove little."""
    return 'Past the tunnel, where everybody on the way has to read it' if run['link'] == 'raw' else run['link']


def plain(run):
    """((caption, dump) inside, (caption, dump) outside) as text without marks; for a run that has a picture."""
    picture = run['picture']
    inner, outer = bytes.fromhex(picture['inner']), bytes.fromhex(picture['outer'])
    return tuple((caption, html.unescape(_ANY_TAG.sub('', dump(data, where)))) for caption, data, where in (
        (_INSIDE.format(len(inner)), inner, _canary(inner, run['canary'])),
        (_OUTSIDE.format(picture['kind'], len(outer)), outer, (0, 0))))


def side_by_side(run):
    """HTML fragment: a packet inside the tunnel beside the one that carried it outside; '' when there is none.

    It uses the class names of :func:`style`, and needs nothing else.
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


def _canary(inner, canary):
    at = inner.find(canary.encode())
    return (0, 0) if at < 0 else (at, at + len(canary))


def style():
    """The <style> element that :func:`side_by_side` and :func:`section` need, once a page."""
    return '<style>\n{}\n</style>'.format(_STYLE)


def section(proof):
    """HTML fragment: all runs with their tables and pictures. :param proof: of encryption.as_json."""
    parts = []
    for run in proof['runs']:
        parts.append('<h3>{}: {}</h3>'.format(html.escape(name_of(run)),
                                              'as it has to be' if run['ok'] else 'not proven'))
        parts += ['<p>{}</p>'.format(html.escape(sentence)) for sentence in run['why']]
        cells = [HEADERS] + rows(run)
        parts.append('<table class="proof-table">{}</table>'.format(''.join('<tr>{}</tr>'.format(''.join(
            '<{0}>{1}</{0}>'.format('td' if number else 'th', html.escape('-' if cell in (None, '') else str(cell)))
            for cell in row)) for number, row in enumerate(cells))))
        parts.append(side_by_side(run))
    return '\n'.join(parts)


def document(proof):
    """A page of its own that needs no network."""
    return ('<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Proof of encryption</title>{}</head>'
            '<body><h2>Proof of encryption</h2><p style="font-family:sans-serif">A page with a random canary went from '
            'one robot to the other. {}</p>{}</body></html>\n').format(
                style(), 'It was readable inside the tunnel and nowhere outside; past the tunnel it was.'
                if proof['proven'] else 'The proof is not complete: see below.', section(proof))
