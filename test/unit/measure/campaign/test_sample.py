"""A sample and its JSON form."""
import json

import pytest

from ua_overlay.measure.campaign import plan, sample
from unit.measure.campaigns import of_step, short

STEPS = plan.steps(short())


def test_json_round_trip():
    taken = of_step(STEPS[0])
    raw = json.loads(json.dumps(taken.to_json()))
    assert sample.from_json(raw) == taken
    assert raw['schema'] == 1 and raw['proof'] == {'bytes': {'DIRECT': 0, 'PEER_RELAY': 0, 'DERP': 0},
                                                   'verdict': 'not measured', 'way': ''}
    # Fields of a later version are accepted.
    assert sample.from_json(dict(raw, more=1)) == taken


@pytest.mark.parametrize('key, value, part', [
    ('schema', 2, 'schema'), ('id', None, 'id'), ('repetition', '1', 'repetition'), ('path', 'air', 'path'),
    ('tool', 'iperf2', 'tool'), ('status', 'fine', 'status'), ('started', 'noon', 'started'),
    ('expected', 'IDLE', 'expected'), ('values', {}, 'values has no bps'), ('proof', [], 'proof'),
    ('values', {'bps': 1, 'intervals_bps': ['x'], 'retransmits': 0}, 'values.intervals_bps holds something else')])
def test_an_invalid_field_is_named(key, value, part):
    raw = dict(of_step(STEPS[0]).to_json(), **{key: value})
    assert part in sample.problem_of(raw)
    with pytest.raises(ValueError, match=part):
        sample.from_json(raw)


@pytest.mark.parametrize('raw', [None, [], 'text', {}])
def test_another_json_value_is_not_a_sample(raw):
    assert sample.problem_of(raw) == 'its schema is not 1, which this program reads'


def test_a_failed_sample_may_have_no_values():
    assert sample.problem_of(of_step(STEPS[0], sample.FAILED, {}).to_json()) == ''


def test_times_are_utc_with_milliseconds():
    assert sample.moment(1767225600.25) == '2026-01-01T00:00:00.250Z'
    assert of_step(STEPS[0]).started_at == 0.0


@pytest.mark.parametrize('key, name, value', [
    ('values', 'intervals_bps', 1.0), ('values', 'intervals_bps', [[]]), ('values', 'intervals_bps', [True]),
    ('values', 'bps', [1]), ('values', 'bps', None), ('values', 'other', {}), ('settings', 'mtu', 'x'),
    ('settings', 'offered_bps', True),
    ('settings', 'size', []), ('cpu', 'source_percent', '1'), ('versions', 'kernel', 6), ('link', 'dev-1', 5),
    ('link', 'dev-1', {'delay': 5})])
def test_a_value_with_which_a_report_cannot_calculate_is_no_sample(key, name, value):
    raw = of_step(STEPS[0]).to_json()
    assert sample.problem_of(raw) == ''
    raw[key] = dict(raw[key], **{name: value})
    assert key in sample.problem_of(raw)
