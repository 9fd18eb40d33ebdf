"""Whatever text arrives, parsing it ends soon with a value or a ValueError."""
import json

import pytest

from ua_overlay.system import foreign_json


@pytest.mark.parametrize('value', [{'a': [1, -2.5, None, True, 'ü']}, [], 'x', 0, 2 ** 64, 1.7e308,
                                   -0.0])
def test_json_is_parsed_as_by_python(value):
    assert foreign_json.parse(json.dumps(value)) == value
    assert foreign_json.parse(json.dumps(value).encode()) == value


@pytest.mark.parametrize('text', [
    '', '{', 'nul', '[' * 100000, '{"a":' * 100000, 'NaN', 'Infinity', '-Infinity', '1e999', '[1e999]', '1' * 1000000,
    '-' + '1' * 100, '0.' + '1' * 100, b'\xff\xfe', b'"\xff"', '1 2'],
    ids=lambda text: repr(text[:12]))
def test_anything_else_is_a_value_error(text):
    with pytest.raises(ValueError):
        foreign_json.parse(text)


def test_a_long_number_within_a_text_is_a_text():
    assert foreign_json.parse(json.dumps(['1' * 100, 5])) == ['1' * 100, 5]


@pytest.mark.parametrize('small', ['[],', '{},', '1,', '"",'])
def test_many_small_values(small):
    """They would take 24 times the memory of their text."""
    with pytest.raises(ValueError, match='more than 1000000 values'):
        foreign_json.parse('[' + small * 1000001 + '0]')
    assert len(foreign_json.parse('[' + small * 1000 + '0]')) == 1001


@pytest.mark.parametrize('text', ['[]', '"x"', 'null', '1'])
def test_another_value_is_no_object(text):
    with pytest.raises(ValueError, match='not an object'):
        foreign_json.parse_object(text)


def test_an_object_is_returned():
    assert foreign_json.parse_object(b'{"a": 1}') == {'a': 1}
