"""The video in a report: what its tables say, and that it is drawn. The samples are made up."""
import random

import pytest

from ua_overlay.measure.report import csv, figures_video, report, text, video
from ua_overlay.measure.report import data as report_data
from ua_overlay.measure.report import parts as report_parts
from unit.measure import samples as measure_samples

#: label -> (frames/s, age in ms) of a JPEG stream; with a hog both are worse.
LINKS = {'raw': (30.0, 20.0), 'DIRECT': (30.0, 22.0), 'DERP': (12.0, 400.0)}


def stream(draw, place, label, repetition, **settings):
    rate, age = LINKS[label]
    hog = settings.get('hog', False)
    settings = dict({'encoding': 'jpeg', 'width': 1280, 'height': 720, 'rate_hz': 30.0, 'congestion': '',
                     'nodelay': False, 'hog': hog}, **settings)
    received = int(rate * 10 * (0.5 if hog else 1))
    values = {'hz': received / 10 + draw.uniform(-0.2, 0), 'age_ms': [age + draw.expovariate(0.2) for _ in range(100)],
              'sent': 299, 'received': min(299, received), 'skipped': 1, 'gaps': 2, 'longest_ms': 120.0,
              'size_bytes': 119000, 'congestion': 'cubic', 'source_process_percent': 3.0,
              'target_process_percent': 4.0, 'source_machine_percent': 60.0, 'target_machine_percent': None}
    if hog:
        values['hog_bps'] = 60e6
    made = measure_samples.sample(place, label, 'ros-video', repetition, values, settings)
    return dict(made, id='-'.join((made['id'], settings['encoding'], str(hog))))


def samples():
    draw = random.Random(3)
    return [stream(draw, place, label, repetition, **more) for place in ('lab', 'bar') for label in LINKS
            for repetition in (1, 2, 3) for more in ({}, {'hog': True}, {'encoding': 'raw'})]


@pytest.fixture(scope='module')
def data():
    return report_data.Data(samples(), measure_samples.campaign())


def test_without_video_there_is_no_part():
    plain = report_data.Data(measure_samples.samples(2, 3), measure_samples.campaign())
    parts = text.parts(plain)
    assert video.added(parts, plain) == parts


def test_the_part_stands_before_what_was_left_out(data):
    titles = [part.title for part in video.added(text.parts(data), data)]
    assert titles[titles.index(video.TITLE) + 1] == 'What was left out'
    assert titles.count(video.TITLE) == 1


def test_the_tables(data):
    part = next(part for part in video.added(text.parts(data), data) if part.title == 'Video')
    arrived, beside = [item for item in part.items if isinstance(item, report_parts.Table)]
    # Two places, three links, three streams.
    assert len(arrived.rows) == len(beside.rows) == 18
    assert all(len(row) == len(table.headers) for table in (arrived, beside) for row in table.rows)
    row = next(row for row in arrived.rows if row[:3] == ('Robot lab', 'DERP', 'JPEG 1280x720 at 30 Hz'))
    assert row[3] == '3' and row[4].startswith('11.8 [') and row[4].endswith(' Hz')
    assert 400 < float(row[5]) < float(row[6]) < float(row[7]) < 460 and row[8].startswith('59.9 [')
    row = next(row for row in beside.rows if row[1:3] == ('DERP', 'JPEG 1280x720 at 30 Hz, hog beside it'))
    assert row[3:] == ('119', 'cubic', '120', '1.00', '60.0', '3.00', '4.00', '60.0, -')
    assert next(row for row in beside.rows if 'hog' not in row[2])[7] == '-'


def test_streams_are_told_apart_and_compared_with_their_own_raw_network(data):
    assert {figures_video.words(group) for group in data.groups} == {
        'JPEG 1280x720 at 30 Hz', 'JPEG 1280x720 at 30 Hz, hog beside it', 'raw frames 1280x720 at 30 Hz'}
    assert {group.variant for group in data.groups} == {
        'encoding jpeg, width 1280, height 720, rate 30', 'encoding jpeg, width 1280, height 720, rate 30, hog',
        'encoding raw, width 1280, height 720, rate 30'}
    row = next(row for row in data.rows('video_hz') if row.group.label == 'DERP' and 'hog' not in row.group.variant)
    assert row.change.percent.value == pytest.approx(60, abs=2)
    assert 'video_age95,ms,"encoding jpeg, width 1280, height 720, rate 30",lab,lab,DERP,3' in csv.summary(data)


def test_a_stream_of_which_nothing_arrived_is_in_the_report():
    made = samples()
    for each in made:
        if 'DERP' in each['id']:
            each['values'].update(hz=0.0, received=0, age_ms=[])
    data = report_data.Data(made, measure_samples.campaign())
    part = next(part for part in video.added(text.parts(data), data) if part.title == 'Video')
    row = next(row for row in part.items[2].rows if row[1] == 'DERP')
    assert row[4:] == ('0.000 [0.000, 0.000] Hz', '-', '-', '-', '100 [100, 100] %')


def test_it_is_drawn(data, tmp_path):
    pytest.importorskip('matplotlib', reason='pip install -r requirements/analysis.txt')
    pytest.importorskip('fpdf', reason='pip install -r requirements/analysis.txt')
    paths = report.write(data, str(tmp_path))
    assert str(tmp_path / 'figures' / 'video.svg') in paths
    figure = figures_video.streams(data, [row.group for row in data.rows('video_hz')])
    assert [axis.get_ylabel() for axis in figure.axes[::2]] == ['Frames / Hz', 'Age of frames / ms', 'Lost frames / %']
