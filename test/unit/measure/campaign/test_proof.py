"""Which link type a sample took, from counters."""
import pytest

from ua_overlay.measure.campaign import proof


@pytest.mark.parametrize('path, expected, payload, counted, verdict', [
    ('overlay', 'DIRECT', 1e6, {'DIRECT': 1.1e6, 'DERP': 1e4}, proof.PROVEN),
    ('overlay', 'DIRECT', 1e6, {'DIRECT': 1.0e6, 'DERP': 1e5}, proof.OTHER),
    ('overlay', 'DERP', 1e6, {'DIRECT': 1.1e6}, proof.OTHER),
    ('overlay', '', 1e6, {'PEER_RELAY': 1.1e6}, proof.PROVEN),
    ('overlay', '', 1e6, {'PEER_RELAY': 0.6e6, 'DERP': 0.5e6}, proof.OTHER),
    ('overlay', 'DIRECT', 1e6, {'DIRECT': 4e5}, proof.OTHER),
    ('overlay', 'DIRECT', 0, {'DIRECT': 0}, proof.OTHER),
    ('overlay', 'DIRECT', 0, {'DIRECT': 900}, proof.PROVEN),
    ('overlay', 'DIRECT', 1e6, {'DIRECT': 1e6, 'UNKNOWN': 1e5}, proof.OTHER),
    ('raw', '', 1e6, {'DIRECT': 1.1e6}, proof.OTHER),
    ('raw', '', 1e6, {'DIRECT': 1e5}, proof.PROVEN),
    ('raw', '', 1e3, {'DIRECT': 1e4}, proof.PROVEN)])
def test_the_verdict(path, expected, payload, counted, verdict):
    judged = proof.judge(counted, path, expected, payload)
    assert judged.verdict == verdict and bool(judged.sentence) == (verdict != proof.PROVEN)


@pytest.mark.parametrize('expected, start', [('DERP', 'DERP'), ('', 'one link type')])
def test_the_sentence_shows_the_counted_bytes(expected, start):
    judged = proof.judge({'DIRECT': 900, 'DERP': 100}, 'overlay', expected, 500)
    assert judged.sentence == 'It should have gone by {}: 90.0 % went by DIRECT, 10.0 % went by DERP.'.format(start)


def test_missing_or_decreasing_counters_prove_nothing():
    assert proof.moved(None, {}) is None and proof.moved({}, None) is None
    assert proof.moved({'DERP': 5}, {'DERP': 4}) is None
    assert proof.judge(None, 'overlay', 'DERP', 1)[0] == proof.UNKNOWN
    assert proof.moved({'DERP': 5}, {'DERP': 7, 'UNKNOWN': 1}) == {
        'DIRECT': 0, 'PEER_RELAY': 0, 'DERP': 2, 'UNKNOWN': 1}
    assert proof.counts(None) == {'DIRECT': 0, 'PEER_RELAY': 0, 'DERP': 0}


def test_the_link_type_of_most_bytes():
    assert proof.Proof({'DIRECT': 5, 'DERP': 9, 'PEER_RELAY': 0}).most == 'DERP'
    assert proof.Proof().most == proof.Proof({}).most == ''


def test_proof_in_a_sample():
    whole = proof.Proof({'DIRECT': 5}, proof.PROVEN, 'DIRECT')
    assert whole.to_json() == {'bytes': {'DIRECT': 5}, 'verdict': 'proven', 'way': 'DIRECT'}
    assert proof.from_json(whole.to_json()) == whole
    assert proof.from_json({}) == proof.Proof({}, proof.UNKNOWN, '')
