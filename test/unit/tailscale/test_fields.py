"""A field of tailscaled's JSON has its type, or the answer is refused; what other machines chose is printable."""
import pytest

from ua_overlay.tailscale import fields
from ua_overlay.tailscale.fields import InvalidAnswer

#: A value of each JSON type, and the readers for which it is the right one.
VALUES = {'text': 'x', 'flag': True, 'number': 5, 'fraction': 0.5, 'texts': ['x'], 'objects': [{}], 'object': {'a': {}}}
READERS = [
    (fields.text, '', {'text'}), (fields.flag, False, {'flag'}), (fields.count, 0, {'number'}),
    (fields.seconds, 0.0, {'number', 'fraction'}), (fields.moment, None, {'text'}), (fields.texts, (), {'texts'}),
    (fields.addresses, (), set()), (fields.names, (), {'object'}), (fields.mapping, {}, {'object'}),
    (fields.objects, [], {'objects'}), (fields.members, [], {'object'})]


@pytest.mark.parametrize('read, neutral, right', READERS, ids=lambda value: getattr(value, '__name__', ''))
def test_a_field_of_another_type_is_refused(read, neutral, right):
    assert read({}, 'Self') == neutral and read({'Self': None}, 'Self') == neutral
    for kind, value in VALUES.items():
        if kind in right:
            read({'Self': value}, 'Self')
            continue
        with pytest.raises(InvalidAnswer, match='Self|is no address'):
            read({'Self': value}, 'Self')


@pytest.mark.parametrize('value', [-1, 2 ** 63, 2 ** 200, -2 ** 63])
def test_a_number_that_no_counter_has(value):
    with pytest.raises(InvalidAnswer, match='RxBytes is out of range'):
        fields.count({'RxBytes': value}, 'RxBytes')
    assert fields.count({'RxBytes': 2 ** 63 - 1}, 'RxBytes') == 2 ** 63 - 1


@pytest.mark.parametrize('value', [-0.1, 1e300, float('inf'), float('nan'), 10 ** 400])
def test_a_duration_that_nothing_takes(value):
    with pytest.raises(InvalidAnswer):
        fields.seconds({'LatencySeconds': value}, 'LatencySeconds')


@pytest.mark.parametrize('text, unix', [
    ('1970-01-01T00:00:10Z', 10.0), ('1970-01-01T00:00:00Z', None), ('1969-12-31T23:59:59Z', None),
    ('2106-02-07T06:28:15Z', 2.0 ** 32 - 1), ('2106-02-07T06:28:16Z', None), ('9999-12-31T23:59:59-23:59', None),
    ('0001-01-01T00:00:00Z', None), ('0001-01-01T00:00:01+23:59', None), ('2026-02-30T00:00:00Z', None)])
def test_times_that_a_ros_time_holds(text, unix):
    assert fields.moment({'LastSeen': text}, 'LastSeen') == unix


def test_a_name_from_another_machine_is_printable():
    assert fields.text({'OS': 'linux\x1b[2J\n\u202e\ud800'}, 'OS') == 'linux\\x1b[2J\\n\\u202e\\ud800'
    assert fields.texts({'Tags': ['tag:\r']}, 'Tags') == ('tag:\\r',)
    assert fields.names({'CapMap': {'b\x07': None, 'a': []}}, 'CapMap') == ('a', 'b\\x07')
    assert len(fields.text({'OS': 'x' * 10 ** 6}, 'OS')) == fields.LONGEST_TEXT + 1
    with pytest.raises(InvalidAnswer) as caught:
        fields.members({'Peer': {'k': 1}}, 'Peer')
    assert str(caught.value) == 'tailscaled sent an invalid answer: Peer is not an object but a number.'


@pytest.mark.parametrize('address', ['', '100.64.0', '100.64.0.1/32', 'fe80::1%eth0', '1.2.3.4\x00', 'dev-1',
                                     '\u0663.1.1.1'])
def test_an_odd_address(address):
    with pytest.raises(InvalidAnswer, match='is no address'):
        fields.addresses({'TailscaleIPs': [address]}, 'TailscaleIPs')
    assert fields.addresses({'TailscaleIPs': ['100.64.0.1', 'fd7a::1']}, 'TailscaleIPs') == ('100.64.0.1', 'fd7a::1')
