"""A whole report of synthetic samples, written with the real libraries."""
import html.parser
import json
import xml.etree.ElementTree

import pytest

from ua_overlay.cli import main
from ua_overlay.errors import OverlayError
from ua_overlay.measure.campaign import store
from ua_overlay.measure.report.write import load
from unit.measure import samples as measure_samples


@pytest.fixture(scope='module')
def written(tmp_path_factory, matplotlib, fpdf):
    results = measure_samples.write(tmp_path_factory.mktemp('results'), measure_samples.samples(3, 4))
    assert main(['measure', 'report', str(results)]) == 0
    return results / 'report'


class Page(html.parser.HTMLParser):
    """The tags of a page, and the addresses that they load."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.loaded = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loaded += [value for name, value in attrs if name in ('src', 'href', 'data', 'poster', 'srcset')]


def test_the_page_loads_nothing_from_the_network(written):
    text = (written / 'report.html').read_text(encoding='utf-8')
    page = Page(text)
    assert 'script' not in page.tags and 'link' not in page.tags and '@import' not in text and 'url(' not in text
    assert all(value.startswith(('data:image/svg+xml;base64,', '#')) for value in page.loaded)
    assert page.tags.count('img') == 11


def test_names_from_the_campaign_are_escaped(written):
    text = (written / 'report.html').read_text(encoding='utf-8')
    assert 'Bar &lt;N&gt;' in text and '<N>' not in text and '<while>' not in text


def test_each_figure_is_a_valid_svg(written):
    names = sorted(path.name for path in (written / 'figures').iterdir())
    assert names == ['age-2.svg', 'age.svg', 'jitter.svg', 'links.svg', 'map.svg', 'raw-overlay.svg', 'rtt.svg',
                       'service.svg', 'tcp.svg', 'throughput-time.svg', 'udp_lost.svg']
    for name in names:
        assert xml.etree.ElementTree.parse(str(written / 'figures' / name)).getroot().tag.endswith('svg')


def test_the_pdf_has_every_figure(written):
    data = (written / 'report.pdf').read_bytes()
    assert data.startswith(b'%PDF-') and data.rstrip().endswith(b'%%EOF')
    assert data.count(b'/Subtype /Image') >= 11


@pytest.mark.parametrize('change', ['one repetition', 'no raw', 'only ping', 'no places'])
def test_a_small_campaign_has_a_report_too(tmp_path, change, matplotlib):
    samples, campaign = measure_samples.samples(1, 2), measure_samples.campaign()
    samples = [each for each in samples if each.place == 'lab']
    if change == 'no raw':
        samples = [each for each in samples if not each.raw]
    elif change == 'only ping':
        samples = [each for each in samples if each.tool == 'ping']
    elif change == 'no places':
        campaign['places'] = {}
    results = measure_samples.write(tmp_path / 'results', samples, campaign)
    assert main(['measure', 'report', str(results), '--format', 'html', '--output', str(tmp_path / 'out')]) == 0
    assert (tmp_path / 'out' / 'report.html').exists() and not (tmp_path / 'out' / 'report.pdf').exists()


def test_an_unfinished_line_is_skipped(tmp_path):
    results = measure_samples.write(tmp_path, measure_samples.samples(1, 2))
    before = len(load(str(results)).samples)
    with open(str(results / 'samples.jsonl'), 'a') as stream:
        stream.write('{"schema": 1, "id": "ha')
    assert len(load(str(results)).samples) == before


@pytest.mark.parametrize('name, content, said', [
    ('samples.jsonl', '{"schema": 1}\n', 'Line 1 of'), ('samples.jsonl', 'no\n', 'Line 1 of'),
    ('samples.jsonl', '{"schema": 2}\n', 'which this program reads'),
    ('samples.jsonl', '', 'no sample that can be used'),
    ('samples.jsonl', '[]\n', 'Line 1 of'), ('campaign.json', '[]', 'does not describe a campaign'),
    ('campaign.json', '{', 'does not describe a campaign'), ('samples.jsonl', None, 'no sample that can be used'),
    ('campaign.json', None, 'cannot be read'),
    ('samples.jsonl', json.dumps(measure_samples.sample('lab', 'raw', 'ping', 1, {
        'rtt_ms': 'x', 'sent': 1, 'lost': 0}).to_json()) + '\n', 'Line 1 of')])
def test_an_unusable_file_is_named(tmp_path, capsys, name, content, said):
    results = measure_samples.write(tmp_path, measure_samples.samples(1, 2))
    if content is None:
        (results / name).unlink()
    else:
        (results / name).write_text(content)
    assert main(['measure', 'report', str(results)]) == 1
    error = capsys.readouterr().err
    assert said in error and 'Traceback' not in error and not (results / 'report').exists()


def test_a_proof_of_encryption_beside_the_results_is_included(tmp_path, matplotlib, fpdf):
    results = measure_samples.write(tmp_path / 'results', [
        each for each in measure_samples.samples(1, 2) if each.tool == 'ping'])
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
    # The PDF has only fonts that it uses: that of the dump is there.
    assert b'DejaVuSansMono' in (results / 'report' / 'report.pdf').read_bytes()


def test_rotated_files_are_read(tmp_path):
    samples = measure_samples.samples(1, 2)
    results = measure_samples.write(tmp_path, samples[5:])
    older = measure_samples.write(tmp_path / 'older', samples[:5])
    (older / 'samples.jsonl').rename(results / store.rotated_name(1767225600))
    assert [each.id for each in load(str(results)).samples] == [each.id for each in samples]


@pytest.mark.fault('K4', 'Results whose values have other types (damaged, made by hand)', behaviour='measure report '
                   'names the file or the line', reported='at once', recovery='with whole results',
                   lost='nothing')
@pytest.mark.parametrize('change', [
    {'places': 1}, {'places': {'p': None}}, {'places': {'p': {'x': 1}}}, {'places': {'p': {'x': [], 'y': 1}}},
    {'places': {'p': {'name': 5}}}, {'versions': [1]}, {'versions': {'a': 0}}, {'versions': {'a': {'kernel': []}}},
    {'machine': 'x'}, {'campaign': 7}])
def test_a_description_of_another_shape(tmp_path, change):
    results = measure_samples.write(tmp_path, measure_samples.samples(1, 2))
    load(str(results))
    description = json.loads((results / 'campaign.json').read_text())
    (results / 'campaign.json').write_text(json.dumps(dict(description, **change)))
    with pytest.raises(OverlayError, match='does not describe a campaign'):
        load(str(results))
