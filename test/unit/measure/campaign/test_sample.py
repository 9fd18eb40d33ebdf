"""Samples: whole lines or none, whatever happens to the power and the disk."""
import errno
import json
import os

import pytest

from ua_overlay.measure.campaign import plan, sample
from unit.measure.steps import of_step, short

STEPS = plan.steps(short())


@pytest.fixture
def store(tmp_path):
    made = sample.Store(str(tmp_path / 'results'))
    made.open()
    return made


def test_what_is_appended_is_read(store):
    written = [of_step(step) for step in STEPS[:3]]
    assert [store.append(each) for each in written] == ['', '', '']
    assert sample.read(store.directory) == written
    store.keep_raw(written[0]['id'], '{}')
    assert os.listdir(os.path.join(store.directory, 'raw')) == [written[0]['id'] + '.json']


def test_nothing_is_there_before_the_first(tmp_path):
    assert sample.read(str(tmp_path)) == []


@pytest.mark.parametrize('kept', [1, 40, -1])
def test_a_power_cut_in_a_line_loses_that_line_alone(store, kept):
    store.append(of_step(STEPS[0]))
    line = json.dumps(of_step(STEPS[1])).encode()
    with open(store.path, 'ab') as stream:
        stream.write(line[:kept] if kept > 0 else line)
    assert [each['id'] for each in sample.read(store.directory)] == [STEPS[0].id]
    with pytest.raises(sample.SampleError, match='Another measurement writes to'):
        sample.Store(store.directory).open()
    with open(store.path, 'rb') as stream:
        assert not stream.read().endswith(b'\n')
    store.close()
    again = sample.Store(store.directory)
    again.open()
    again.append(of_step(STEPS[2]))
    assert [each['id'] for each in sample.read(store.directory)] == [STEPS[0].id, STEPS[2].id]


def test_a_full_disk_leaves_no_half_line_and_loses_nothing(store, monkeypatch):
    """A mock: a disk that is full needs root."""
    store.append(of_step(STEPS[0]))
    real = sample.os.write

    def full(handle, data):
        real(handle, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(sample.os, 'write', full)
    said = store.append(of_step(STEPS[1]))
    assert 'No space left' in said and '1 wait' in said
    assert len(sample.read(store.directory)) == 1
    with open(store.path) as stream:
        assert stream.read().endswith('\n')
    monkeypatch.undo()
    assert store.append(of_step(STEPS[2])) == '' and not store.pending
    assert [each['id'] for each in sample.read(store.directory)] == [step.id for step in STEPS[:3]]


def test_a_directory_that_cannot_be_made_has_a_sentence(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(sample.SampleError) as caught:
        sample.Store(str(tmp_path / 'file' / 'results')).open()
    assert 'cannot be written' in caught.value.sentence


@pytest.mark.parametrize('key, value, part', [
    ('schema', 2, 'schema'), ('id', None, 'id'), ('repetition', '1', 'repetition'), ('path', 'air', 'path'),
    ('status', 'fine', 'status'), ('started', 'noon', 'started'),
    ('expected', 'IDLE', 'expected'), ('values', {}, 'values has no bps')])
def test_a_line_that_is_no_sample_is_named(store, key, value, part):
    bad = dict(of_step(STEPS[0]), **{key: value})
    assert part in sample.problem_of(bad)
    with open(store.path, 'a') as stream:
        stream.write(json.dumps(bad) + '\n')
    with pytest.raises(sample.SampleError) as caught:
        sample.read(store.directory)
    assert 'Line 1 of' in caught.value.sentence and part in caught.value.sentence


def test_a_failed_sample_needs_no_values():
    assert sample.problem_of(of_step(STEPS[0], sample.FAILED, {})) == ''


def test_the_time_is_utc_with_milliseconds():
    assert sample.rfc3339(1767225600.25) == '2026-01-01T00:00:00.250Z'
