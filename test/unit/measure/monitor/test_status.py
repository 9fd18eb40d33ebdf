"""The last values of a monitor."""
import dataclasses

import pytest

from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.campaign.sample import SampleError
from ua_overlay.measure.monitor import status
from unit.measure.campaigns import of_step
from unit.measure.monitor.days import START, plan_of

PING, TCP = plan_of().steps(5)


def taken(link='', values=None, step=PING):
    found = of_step(step, 'ok' if values else 'failed', values or {})
    return dataclasses.replace(found, proof=Proof({link: 9} if link else {}))


def test_last_values_and_link_changes():
    first = status.after(status.first(plan_of(), 0), taken('DIRECT', {'rtt_ms': [1.0, 2.0, 9.0]}))
    assert first['probes']['pair/ping/overlay']['value'] == 2.0
    second = status.after(first, taken())
    probe = second['probes']['pair/ping/overlay']
    assert probe['value'] is None and probe['link'] == 'DIRECT' and probe['last_ok'] == '1970-01-01T00:00:00.000Z'
    third = status.after(second, taken('DERP', {'rtt_ms': [30.0]}), 'The disk is full.')
    probe = third['probes']['pair/ping/overlay']
    assert (probe['link'], probe['link_changes'], probe['value'], probe['unit']) == ('DERP', 1, 30.0, 'ms')
    assert third['samples'] == {'ok': 2, 'failed': 1, 'excluded': 0} and third['trouble'] == 'The disk is full.'


@pytest.mark.parametrize('sample, value', [
    (taken('DIRECT', {'rtt_ms': [1.00004, 3.0]}), (2.0, 'ms')), (taken(), (None, 'ms')),
    (taken('DERP', {'bps': 5.5e6}, TCP), (5.5, 'Mbit/s')), (taken(step=TCP), (None, 'Mbit/s'))])
def test_main_value_of_a_sample(sample, value):
    assert status.value_of(sample) == value


def test_a_raw_sample_has_no_link_type():
    assert status.link_of(taken('DERP', {'rtt_ms': [1.0]})) == 'DERP'
    assert status.link_of(dataclasses.replace(taken('DERP', {'rtt_ms': [1.0]}), path='raw')) == ''


def test_round_trip(tmp_path):
    first = status.first(plan_of(), START)
    assert status.write(str(tmp_path), first, START + 60) == ''
    assert status.read(str(tmp_path)) == dict(first, updated='2026-01-01T00:01:00.000Z')
    assert 'cannot be written: No such file' in status.write(str(tmp_path / 'none'), first, START)


@pytest.mark.parametrize('content, reason', [(None, 'No such file'), ('[]', 'it is not a status'),
                                             ('{"schema": 1}', 'it is not a status'), ('no', 'it is not a status')])
def test_another_file_is_refused(tmp_path, content, reason):
    if content is not None:
        (tmp_path / 'status.json').write_text(content)
    with pytest.raises(SampleError, match=reason):
        status.read(str(tmp_path))
