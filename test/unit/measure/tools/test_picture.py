"""A generated picture: raw and JPEG show the same, and it moves."""
import io

import pytest

from ua_overlay.measure.tools import picture


def test_the_jpeg_matches_the_raw_picture():
    images = pytest.importorskip('PIL.Image', reason='Pillow comes with what draws the report')
    chops, stat = pytest.importorskip('PIL.ImageChops'), pytest.importorskip('PIL.ImageStat')
    coded, plain = picture.Picture(160, 96, 'jpeg'), picture.Picture(160, 96, 'raw')
    for number in (0, 4):
        image = images.open(io.BytesIO(coded.frame(number)))
        image.load()
        assert (image.size, image.mode, image.format) == ((160, 96), 'RGB', 'JPEG')
        raw = images.frombytes('RGB', (160, 96), plain.frame(number), 'raw', 'BGR')
        assert max(stat.Stat(chops.difference(image, raw)).rms) < 8, number


@pytest.mark.parametrize('encoding', ['raw', 'jpeg'])
def test_the_picture_moves_and_repeats(encoding):
    made = picture.Picture(64, 64, encoding)
    shown = [made.frame(number) for number in range(8)]
    assert len(set(shown[:4])) == 4 and shown[:4] == shown[4:]
    assert picture.Picture(64, 64, encoding).frame(2) == shown[2]


def test_the_jpeg_markers_are_valid():
    data = picture.Picture(32, 160, 'jpeg').frame(3)
    assert data[:2] == b'\xff\xd8' and data[-2:] == b'\xff\xd9'
    body = data[data.index(b'\xff\xda'):-2]
    marks = [body[at + 1] for at in range(2, len(body) - 1) if body[at] == 0xFF and body[at + 1]]
    assert marks == [0xD0 + number % 8 for number in range(9)]
