"""lab.shape: the text form of a link's properties."""
import pytest

from ua_overlay.lab import shape
from ua_overlay.lab.shape import Shape, ShapeError


def test_values_survive_a_round_trip():
    words = {'delay': '10ms', 'jitter': '2.5ms', 'loss': '1.5%', 'reorder': '0.1%', 'rate': '100mbit', 'queue': '20ms'}
    found = shape.parse(words)
    assert found == Shape(0.01, 0.0025, 0.015, 0.001, 1e8, 0.02)
    assert shape.to_words(found) == words and not found.plain
    assert shape.describe(found) == ('delay 10ms, jitter 2.5ms, loss 1.5%, reorder 0.1%, rate 100mbit, queue 20ms')


def test_units():
    assert shape.parse({'delay': '250us'}).delay == pytest.approx(250e-6)
    assert shape.parse({'delay': '1 s', 'rate': '54 Mbit'}) == Shape(delay=1.0, rate=54e6)
    assert shape.parse({'rate': '1.5gbit'}).rate == 1.5e9 and shape.parse({'rate': '64kbit'}).rate == 64e3


def test_an_empty_shape_is_a_plain_cable():
    assert shape.parse({}) == Shape() and Shape().plain and shape.describe(Shape()) == 'plain'
    assert shape.to_words(Shape()) == {}


def test_other_values_are_unchanged():
    before = shape.parse({'delay': '10ms', 'loss': '1%'})
    assert shape.parse({'loss': 0}, before) == Shape(delay=0.01)
    assert shape.parse({'delay': '0'}, before) == Shape(loss=0.01)


@pytest.mark.parametrize('values, word', [
    ({'latency': '10ms'}, 'link.latency is unknown; known are delay, jitter'), ({'delay': '10'}, "link.delay: '10'"),
    ({'delay': 10}, 'link.delay: 10'), ({'delay': '-1ms'}, 'link.delay'), ({'delay': '2000s'}, 'up to 60 s'),
    ({'delay': True}, 'link.delay'), ({'delay': False}, 'link.delay'), ({'delay': None}, 'link.delay'),
    ({'loss': '0.5'}, 'link.loss'), ({'loss': '101%'}, 'link.loss'), ({'rate': '100'}, 'link.rate'),
    ({'rate': '0mbit'}, 'link.rate'), ({'rate': '100mbps'}, 'link.rate'), ({'jitter': '1ms'}, 'A jitter of 1ms'),
    ({'delay': '1ms', 'jitter': '2ms'}, 'A jitter of 2ms'), ('10ms', 'a mapping is needed'), (None, 'a mapping')])
def test_invalid_values_are_named(values, word):
    with pytest.raises(ShapeError) as caught:
        shape.parse(values)
    assert word in caught.value.sentence
