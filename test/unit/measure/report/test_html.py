"""A report as one HTML file."""
import pytest

from ua_overlay.measure.report import html
from ua_overlay.measure.report.parts import Packets, Part, Picture, Table

RUN = {'canary': 'ab' * 8, 'picture': {'inner': (b'x' * 20 + b'ab' * 8).hex(), 'outer': bytes(60).hex(), 'header': 28,
                                       'kind': 'WireGuard 4 data'}}


def page(*items, **options):
    return html.page('A <title>', [Part('A & B', items)], {'map': b'<svg/>'}, **options)


@pytest.mark.parametrize('item, text', [
    ('a <b> paragraph', '<p>a &lt;b&gt; paragraph</p>'),
    (Table('of <x>', ('a', ''), (('1', '<N>'),)), '<caption>of &lt;x&gt;</caption><thead><tr><th>a</th><th></th></tr>'),
    (Table('', ('', ''), (('1', '<N>'),)), '<thead></thead><tbody><tr><td>1</td><td>&lt;N&gt;</td></tr></tbody>'),
    (Picture('map', 'A "map"', None), '<img alt="A &quot;map&quot;" src="data:image/svg+xml;base64,PHN2Zy8+">')])
def test_rendered_items(item, text):
    assert text in page(item)


def test_headings_are_linked():
    text = page('x')
    assert '<a href="#part-0">A &amp; B</a>' in text and '<h2 id="part-0">A &amp; B</h2>' in text
    assert '<title>A &lt;title&gt;</title>' in text


def test_packet_styles_appear_only_with_packets():
    assert page('x').count('<style>') == 1
    text = page(Packets(RUN))
    assert text.count('<style>') == 2 and '<mark>61</mark>' in text


@pytest.mark.parametrize('synthetic', [False, True])
def test_synthetic_samples_are_named(synthetic):
    assert ('SYNTHETIC' in page('x', synthetic=synthetic)) == synthetic
