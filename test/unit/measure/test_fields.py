"""Values that only campaign files have."""
import pytest

from ua_overlay.measure import fields
from ua_overlay.system import schema


@pytest.mark.parametrize('read, value, result', [
    (fields.rate, '1.5 Mbit', 1.5e6), (fields.congestion, 'bbr', 'bbr'), (fields.name, 'dev-1', 'dev-1'),
    (fields.address, 'me@10.0.0.2', 'me@10.0.0.2'), (fields.address, '[fd7a::1]', '[fd7a::1]')])
def test_a_value_is_read(read, value, result):
    assert read('here', value) == result


@pytest.mark.parametrize('read, value, sentence', [
    (fields.rate, '50', "here: '50' is not a rate, such as 50mbit."),
    (fields.congestion, '-x', "here: '-x' is not a congestion control, such as cubic."),
    (fields.name, 'a/b', "here: 'a/b' is not a name of letters, digits, hyphens, dots and underscores."),
    (fields.name, 5, 'here: 5 is not a name of letters, digits, hyphens, dots and underscores.'),
    (fields.address, '-oProxyCommand=x', "here: '-oProxyCommand=x' is not an address or a name."),
    (fields.address, '10.0.0.2 -x', "here: '10.0.0.2 -x' is not an address or a name.")])
def test_an_invalid_value_is_named(read, value, sentence):
    with pytest.raises(schema.Invalid) as caught:
        read('here', value)
    assert str(caught.value) == sentence


def test_a_key_without_a_value_has_its_default():
    keys = {'rate': fields.Key('10mbit', fields.rate), 'count': fields.Key(5, schema.integer(1, 9))}
    assert fields.read_keys('tool', {'count': 7}, keys) == {'rate': 1e7, 'count': 7}
    with pytest.raises(schema.Invalid, match='tool.count: 0'):
        fields.read_keys('tool', {'count': 0}, keys)
