"""A whole report of synthetic samples: written with the real libraries, which a robot does not have."""
import html.parser
import json
import xml.etree.ElementTree

import pytest

from ua_overlay.cli import main
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import figures, report
from ua_overlay.measure.report import text as report_text
from unit.measure import samples as measure_samples

WHY = 'no {}: pip install -r requirements/analysis.txt'


@pytest.fixture(scope='module')
def written(tmp_path_factory):
    pytest.importorskip('matplotlib', reason=WHY.format('matplotlib'))
    pytest.importorskip('fpdf', reason=WHY.format('fpdf2'))
    results = measure_samples.write(tmp_path_factory.mktemp('results'), measure_samples.samples(3, 4))
    assert main(['measure', 'report', str(results)]) == 0
    return results / 'report'


class Page(html.parser.HTMLParser):
    """Which tags, and which addresses they load."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ('src', 'href', 'data', 'poster', 'srcset')]


def test_the_page_needs_no_network(written):
    text = (written / 'report.html').read_text(encoding='utf-8')
    page = Page(text)
    assert 'script' not in page.tags and 'link' not in page.tags and '@import' not in text and 'url(' not in text
    assert all(value.startswith(('data:image/svg+xml;base64,', '#')) for value in page.loaded)
    assert page.tags.count('img') == 11


def test_names_from_the_campaign_are_no_markup(written):
    text = (written / 'report.html').read_text(encoding='utf-8')
    assert 'Bar &lt;N&gt;' in text and '<N>' not in text and '<while>' not in text


def test_each_picture_has_units_and_is_whole(written):
    figures = sorted(path.name for path in (written / 'figures').iterdir())
    assert figures == ['age-2.svg', 'age.svg', 'jitter.svg', 'links.svg', 'map.svg', 'raw-overlay.svg', 'rtt.svg',
                       'service.svg', 'tcp.svg', 'throughput-time.svg', 'udp_lost.svg']
    for name in figures:
        assert xml.etree.ElementTree.parse(str(written / 'figures' / name)).getroot().tag.endswith('svg')


def test_the_pdf_is_one(written):
    data = (written / 'report.pdf').read_bytes()
    assert data.startswith(b'%PDF-') and data.rstrip().endswith(b'%%EOF')
    assert data.count(b'/Subtype /Image') >= 11


@pytest.mark.parametrize('change', ['one repetition', 'no raw', 'only ping', 'no places'])
def test_a_small_campaign_has_a_report_too(tmp_path, change):
    pytest.importorskip('matplotlib', reason=WHY.format('matplotlib'))
    samples, campaign = measure_samples.samples(1, 2), measure_samples.campaign()
    samples = [each for each in samples if each['place'] == 'lab']
    if change == 'no raw':
        samples = [each for each in samples if each['path'] != 'raw']
    elif change == 'only ping':
        samples = [each for each in samples if each['tool'] == 'ping']
    elif change == 'no places':
        campaign['places'] = {}
    results = measure_samples.write(tmp_path / 'results', samples, campaign)
    assert main(['measure', 'report', str(results), '--format', 'html', '--output', str(tmp_path / 'out')]) == 0
    assert (tmp_path / 'out' / 'report.html').exists() and not (tmp_path / 'out' / 'report.pdf').exists()


def test_a_line_that_was_being_written_is_left_out(tmp_path):
    results = measure_samples.write(tmp_path, measure_samples.samples(1, 2))
    before = len(report.load(str(results)).samples)
    with open(str(results / 'samples.jsonl'), 'a') as stream:
        stream.write('{"schema": 1, "id": "ha')
    assert len(report.load(str(results)).samples) == before


@pytest.mark.parametrize('name, content, said', [
    ('samples.jsonl', '{"schema": 1}\n', 'Line 1 of'), ('samples.jsonl', 'no\n', 'Line 1 of'),
    ('samples.jsonl', '{"schema": 2}\n', 'which this program reads'),
    ('samples.jsonl', '', 'no sample that can be used'),
    ('samples.jsonl', '[]\n', 'Line 1 of'), ('campaign.json', '[]', 'no description'),
    ('campaign.json', '{', 'no description'), ('samples.jsonl', None, 'no sample that can be used'),
    ('campaign.json', None, 'cannot be read'),
    ('samples.jsonl', json.dumps(measure_samples.sample('lab', 'raw', 'ping', 1, {'rtt_ms': 'x', 'sent': 1, 'lost': 0}))
     + '\n', 'Line 1 of')])
def test_what_is_no_result_gets_a_sentence(tmp_path, capsys, name, content, said):
    results = measure_samples.write(tmp_path, measure_samples.samples(1, 2))
    if content is None:
        (results / name).unlink()
    else:
        (results / name).write_text(content)
    assert main(['measure', 'report', str(results)]) == 1
    error = capsys.readouterr().err
    assert said in error and 'Traceback' not in error and not (results / 'report').exists()


def test_a_proof_of_encryption_that_lies_with_the_results_is_in_it(tmp_path):
    pytest.importorskip('matplotlib', reason=WHY.format('matplotlib'))
    pytest.importorskip('fpdf', reason=WHY.format('fpdf2'))
    results = measure_samples.write(tmp_path / 'results', [
        each for each in measure_samples.samples(1, 2) if each['tool'] == 'ping'])
    canary = '1f' * 32
    place = {'host': 'dev-<1>', 'interface': 'eth0', 'inside': False, 'packets': 3, 'found': 0, 'in_streams': 0,
             'kinds': {'WireGuard data': {'packets': 3, 'bytes': 300}}, 'entropy': 7.98}
    picture = {'inner': (b'E' * 40 + canary.encode()).hex(), 'outer': (b'\x45' + bytes(120)).hex(), 'header': 28,
               'kind': 'WireGuard data'}
    (results / 'encryption').mkdir()
    (results / 'encryption' / 'encryption.json').write_text(json.dumps({'schema': 1, 'proven': True, 'runs': [
        {'link': 'DIRECT', 'canary': canary, 'ok': True, 'why': [], 'picture': picture, 'places': [place]}]}))
    assert main(['measure', 'report', str(results)]) == 0
    text = (results / 'report' / 'report.html').read_text(encoding='utf-8')
    assert 'Proof of encryption' in text and 'dev-&lt;1&gt;' in text and '<mark>31</mark>' in text
    assert text.count('<style>') == 2 and '<figcaption>Outside, WireGuard data: 121 bytes' in text
    # Fonts of the PDF are subsets: that of the dump is there.
    assert b'DejaVuSansMono' in (results / 'report' / 'report.pdf').read_bytes()


def test_what_is_no_proof_gets_a_sentence(tmp_path, capsys):
    results = measure_samples.write(tmp_path, measure_samples.samples(1, 2))
    (results / 'encryption.json').write_text('{"runs": [{}], "proven": true}')
    assert main(['measure', 'report', str(results)]) == 1
    assert 'is no proof of encryption' in capsys.readouterr().err


def test_more_places_than_a_figure_has_panels_make_further_figures():
    pytest.importorskip('matplotlib', reason=WHY.format('matplotlib'))
    places = ['place-{}'.format(number) for number in range(figures.MOST_PANELS + 1)]
    samples = [measure_samples.sample(place, 'raw', 'iperf3-tcp', 1, {
        'bps': 9e7, 'intervals_bps': [9e7], 'retransmits': 0}, {'congestion': 'cubic'}) for place in places]
    data = report_data.Data(samples, dict(measure_samples.campaign(), places={}))
    part, = [part for part in report_text.parts(data) if part.title == 'Throughput over time']
    assert [item.name for item in part.items] == ['throughput-time', 'throughput-time-2']
    titles = [axis.get_title() for item in part.items for axis in item.draw().axes if axis.get_visible()]
    assert sorted(titles) == sorted('{} (n = 1)'.format(place) for place in places)


def test_a_long_name_has_two_lines_at_most_and_keeps_what_tells_it_from_others():
    assert figures.folded('Library', 20) == 'Library'
    assert figures.folded('Electronics, Telecommunications and Informatics (4)', 24) == \
        'Electronics,\nTelecommunications… (4)'
    assert figures.folded('', 20) == ''


def test_a_cable_beside_a_radio_leaves_no_line_on_the_floor():
    pytest.importorskip('matplotlib', reason=WHY.format('matplotlib'))
    samples = measure_samples.samples(2, 3)
    for each in samples:
        if each['place'] == 'lab' and each['tool'] == 'iperf3-tcp' and each['status'] == 'ok':
            each['values']['intervals_bps'] = [200 * value for value in each['values']['intervals_bps']]
    axes = figures.over_time(*(lambda data: (data, data.rows('tcp')))(
        report_data.Data(samples, measure_samples.campaign()))).axes
    lab, other = axes[:2]
    assert lab.get_ylim()[1] > 10000 and other.get_ylim()[1] < 200
