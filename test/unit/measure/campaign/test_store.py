"""The samples of a results directory: whole lines or none, also after a power cut or with a full disk."""
import errno
import json
import os

import pytest

from ua_overlay.measure.campaign import plan, store
from ua_overlay.measure.campaign.sample import SampleError
from unit.measure.campaigns import of_step, short

STEPS = plan.steps(short())


@pytest.fixture
def results(tmp_path):
    made = store.Store(str(tmp_path / 'results'))
    made.open()
    return made


def test_appended_samples_are_read(results):
    written = [of_step(step) for step in STEPS[:3]]
    assert [results.append(each) for each in written] == ['', '', '']
    assert store.read(results.directory) == written
    results.keep_raw(written[0].id, '{}')
    assert os.listdir(os.path.join(results.directory, 'raw')) == [written[0].id + '.json']


def test_a_new_store_is_empty(tmp_path):
    assert store.read(str(tmp_path)) == []


@pytest.mark.parametrize('kept', [1, 40, -1])
def test_a_power_cut_loses_only_the_unfinished_line(results, kept):
    results.append(of_step(STEPS[0]))
    line = json.dumps(of_step(STEPS[1]).to_json()).encode()
    with open(results.path, 'ab') as stream:
        stream.write(line[:kept] if kept > 0 else line)
    assert [each.id for each in store.read(results.directory)] == [STEPS[0].id]
    with pytest.raises(SampleError, match='Another measurement writes to'):
        store.Store(results.directory).open()
    with open(results.path, 'rb') as stream:
        assert not stream.read().endswith(b'\n')
    results.close()
    again = store.Store(results.directory)
    again.open()
    again.append(of_step(STEPS[2]))
    assert [each.id for each in store.read(results.directory)] == [STEPS[0].id, STEPS[2].id]


def test_a_full_disk_leaves_no_partial_line_and_loses_nothing(results, monkeypatch):
    """A mock: a disk that is full needs root."""
    results.append(of_step(STEPS[0]))
    real = store.os.write

    def full(handle, data):
        real(handle, data[:10])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(store.os, 'write', full)
    trouble = results.append(of_step(STEPS[1]))
    assert 'No space left' in trouble and '1 wait' in trouble
    assert len(store.read(results.directory)) == 1
    with open(results.path) as stream:
        assert stream.read().endswith('\n')
    monkeypatch.undo()
    assert results.append(of_step(STEPS[2])) == '' and not results.pending
    assert [each.id for each in store.read(results.directory)] == [step.id for step in STEPS[:3]]


def test_a_directory_that_cannot_be_created_is_named(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(SampleError) as caught:
        store.Store(str(tmp_path / 'file' / 'results')).open()
    assert 'cannot be written' in caught.value.sentence


@pytest.mark.parametrize('line, problem', [('{}', 'its schema is not 1'), ('no', 'it is not JSON')])
def test_an_invalid_line_is_named(results, line, problem):
    with open(results.path, 'w') as stream:
        stream.write(line + '\n')
    with pytest.raises(SampleError) as caught:
        store.read(results.directory)
    assert caught.value.sentence.startswith('Line 1 of {} is not a sample: {}'.format(results.path, problem))
    assert caught.value.next_command == 'sed -n 1p ' + results.path


def test_rotated_files_come_first(results):
    written = [of_step(step) for step in STEPS[:2]]
    results.append(written[0])
    name = store.rotated_name(1767225600.25)
    os.rename(results.path, os.path.join(results.directory, name))
    with open(results.path, 'w') as stream:
        stream.write(json.dumps(written[1].to_json()) + '\n')
    assert name == 'samples-20260101T000000Z.jsonl' and store.rotated(results.directory) == [name]
    assert store.read(results.directory) == written
    assert store.rotated(results.directory + '/none') == []


def test_start_time_of_a_line():
    line = json.dumps(of_step(STEPS[0]).to_json()).replace('1970-01-01T00:00:00.000Z', '1970-01-01T00:00:02.500Z')
    assert store.started_of(line.encode()) == 2.5
    assert store.started_of(b'no') == store.started_of(b'{}') == store.started_of(b'[]') == 0.0
