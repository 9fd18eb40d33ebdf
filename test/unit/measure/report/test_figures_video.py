"""The figure of a camera's stream."""
from ua_overlay.measure.report import figures_video
from unit.measure.samples import data_of, video_samples


def test_streams_have_distinct_names():
    assert {figures_video.words(group) for group in data_of(video_samples()).groups} == {
        'JPEG 1280x720 at 30 Hz', 'JPEG 1280x720 at 30 Hz, hog beside it', 'raw frames 1280x720 at 30 Hz'}


def test_a_column_for_each_place_and_a_row_for_each_metric(matplotlib):
    data = data_of(video_samples())
    drawn = figures_video.streams(data, [row.group for row in data.rows('video_hz')])
    assert [axis.get_ylabel() for axis in drawn.axes[::2]] == ['Frames / Hz', 'Age of frames / ms', 'Lost frames / %']
    assert [axis.get_title() for axis in drawn.axes[:2]] == ['Robot lab', 'Bar <N>']
    assert len([line for line in drawn.axes[0].lines if line.get_linestyle() == '--']) == 1
