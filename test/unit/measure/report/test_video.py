"""The video part of a report: its tables and its position. The samples are synthetic."""
import pytest

from ua_overlay.measure.report import contents, csv, video
from ua_overlay.measure.report.parts import Table
from unit.measure import samples as measure_samples
from unit.measure.samples import data_of, video_samples


@pytest.fixture(scope='module')
def data():
    return data_of(video_samples())


def test_without_video_there_is_no_part():
    assert video.part(data_of(measure_samples.samples(2, 3))) is None


def test_the_part_precedes_the_excluded_samples(data):
    keys = [key for key, _ in contents.parts(data)]
    assert keys[keys.index('video') + 1] == 'left-out'


def test_text_of_the_tables(data):
    part = video.part(data)
    arrived, beside = [item for item in part.items if isinstance(item, Table)]
    # Two places, three links, three streams.
    assert len(arrived.rows) == len(beside.rows) == 18
    assert all(len(row) == len(table.headers) for table in (arrived, beside) for row in table.rows)
    row = next(row for row in arrived.rows if row[:3] == ('Robot lab', 'DERP', 'JPEG 1280x720 at 30 Hz'))
    assert row[3] == '3' and row[4].startswith('11.8 [') and row[4].endswith(' Hz')
    assert 400 < float(row[5]) < float(row[6]) < float(row[7]) < 460 and row[8].startswith('59.9 [')
    row = next(row for row in beside.rows if row[1:3] == ('DERP', 'JPEG 1280x720 at 30 Hz, hog beside it'))
    assert row[3:] == ('119', 'cubic', '120', '1.00', '60.0', '3.00', '4.00', '60.0, -')
    assert next(row for row in beside.rows if 'hog' not in row[2])[7] == '-'


def test_streams_are_compared_with_their_own_raw_network(data):
    assert {group.variant for group in data.groups} == {
        'encoding jpeg, width 1280, height 720, rate 30', 'encoding jpeg, width 1280, height 720, rate 30, hog',
        'encoding raw, width 1280, height 720, rate 30'}
    row = next(row for row in data.rows('video_hz') if row.group.label == 'DERP' and 'hog' not in row.group.variant)
    assert row.change.percent.value == pytest.approx(60, abs=2)
    assert 'video_age95,ms,"encoding jpeg, width 1280, height 720, rate 30",lab,lab,DERP,3' in csv.summary(data)


def test_a_stream_without_any_frame_is_in_the_report():
    samples = video_samples()
    for each in samples:
        if 'DERP' in each.id:
            each.values.update(hz=0.0, received=0, age_ms=[])
    part = video.part(data_of(samples))
    row = next(row for row in part.items[2].rows if row[1] == 'DERP')
    assert row[4:] == ('0.000 [0.000, 0.000] Hz', '-', '-', '-', '100 [100, 100] %')
