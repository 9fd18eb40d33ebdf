"""A report as one HTML file that opens without a network: it embeds the pictures and has no script. Pure."""
import base64
import html
from typing import Mapping, Sequence

from ua_overlay.measure.report.parts import Item, Packets, Part, Picture, Table
from ua_overlay.wire import encryption_page

CSS = '''body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a;
background:#fff}h1,h2{line-height:1.2}h2{margin-top:2.5rem;border-bottom:1px solid #ccc}figure{margin:1.5rem 0}
img{width:100%;height:auto}figcaption,caption{color:#444;font-size:.9rem;text-align:left}.table{overflow-x:auto}
table{border-collapse:collapse;font-size:.85rem;font-variant-numeric:tabular-nums;width:100%;margin:1rem 0}
th,td{border-bottom:1px solid #ddd;padding:.3rem .6rem;text-align:left;vertical-align:top;overflow-wrap:break-word}
thead th{border-bottom:2px solid #888}.made{background:#b00020;color:#fff;padding:.5rem 1rem;font-weight:bold}
nav a{margin-right:1rem}body .proof{gap:.5rem}body .proof pre{font-size:10px;padding:.4em}
@media print{figure,tr{break-inside:avoid}}'''


def page(title: str, parts: Sequence[Part], pictures: Mapping[str, bytes], synthetic: bool = False) -> str:
    """The page.

    :param pictures: name -> SVG of every Picture in the parts.
    :param synthetic: whether a test invented the samples.
    """
    links = ' '.join('<a href="#part-{}">{}</a>'.format(number, html.escape(part.title))
                     for number, part in enumerate(parts))
    body = ''.join('<h2 id="part-{}">{}</h2>{}'.format(number, html.escape(part.title), ''.join(
        _item(item, pictures) for item in part.items)) for number, part in enumerate(parts))
    packets = any(isinstance(item, Packets) for part in parts for item in part.items)
    banner = '<p class="made">SYNTHETIC: a test made these numbers up.</p>' if synthetic else ''
    return ('<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
            'content="width=device-width"><title>{title}</title><style>{css}</style>{style}</head><body><h1>{title}</h1>{banner}'
            '<nav>{links}</nav>{body}</body></html>\n').format(
                title=html.escape(title), css=CSS, style=encryption_page.style() if packets else '', banner=banner,
                links=links, body=body)


def _item(item: Item, pictures: Mapping[str, bytes]) -> str:
    if isinstance(item, Picture):
        data = base64.b64encode(pictures[item.name]).decode('ascii')
        return ('<figure><img alt="{0}" src="data:image/svg+xml;base64,{1}">'
                '<figcaption>{0}</figcaption></figure>').format(
            html.escape(item.caption, quote=True), data)
    if isinstance(item, Table):
        head = _row('th', item.headers) if any(item.headers) else ''
        return '<div class="table"><table><caption>{}</caption><thead>{}</thead><tbody>{}</tbody></table></div>'.format(
            html.escape(item.caption), head, ''.join(_row('td', row) for row in item.rows))
    if isinstance(item, Packets):
        return encryption_page.side_by_side(item.run)
    return '<p>{}</p>'.format(html.escape(item))


def _row(tag: str, cells: Sequence[str]) -> str:
    return '<tr>{}</tr>'.format(''.join('<{0}>{1}</{0}>'.format(tag, html.escape(cell)) for cell in cells))
