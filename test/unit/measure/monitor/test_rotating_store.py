"""The files of a monitor: they rotate, the oldest are deleted, and a power cut loses nothing."""
import json
import os

import pytest

from ua_overlay.measure.campaign import sample, store
from ua_overlay.measure.campaign.sample import SampleError
from ua_overlay.measure.monitor import rotating_store
from unit.measure.campaigns import of_step
from unit.measure.monitor.days import Clock, Measurement, plan_of, store_in


@pytest.fixture
def clock():
    return Clock()


def fill(results, clock, number):
    for _ in range(number):
        assert results.append(Measurement(clock, 60.0).take(plan_of().steps(clock())[0])) == ''


def test_files_rotate_by_size_and_the_oldest_are_deleted(tmp_path, clock):
    line = len(json.dumps(Measurement(Clock()).take(plan_of().steps(clock())[0]).to_json(), sort_keys=True)) + 1
    results = store_in(tmp_path, clock, keep_bytes=16.5 * line)
    fill(results, clock, 40)
    assert len(store.rotated(str(tmp_path))) >= 5
    kept = store.read(str(tmp_path))
    assert [each.started for each in kept] == sorted(each.started for each in kept)
    assert 12 <= len(kept) <= 16 and kept[-1].started == sample.moment(clock() - 60)


def test_files_rotate_by_age_and_the_oldest_are_deleted(tmp_path, clock):
    results = store_in(tmp_path, clock, keep_seconds=3600)
    fill(results, clock, 20)
    names = store.rotated(str(tmp_path))
    assert len(names) == 2
    for name in names[:1]:
        os.utime(str(tmp_path / name), (clock() - 3700, clock() - 3700))
    os.utime(str(tmp_path / names[1]), (clock(), clock()))
    fill(results, clock, 1)
    assert store.rotated(str(tmp_path))[0] == names[1]


def test_a_power_cut_while_rotating_loses_nothing(tmp_path, clock, monkeypatch):
    """A mock: the power is cut between the rename and the new file."""
    results = store_in(tmp_path, clock, keep_seconds=600)
    fill(results, clock, 1)
    clock.now += 600
    real = os.rename

    def cut(*paths):
        real(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(rotating_store.os, 'rename', cut)
    with pytest.raises(KeyboardInterrupt):
        fill(results, clock, 1)
    monkeypatch.undo()
    results.close()
    assert len(store.read(str(tmp_path))) == 2
    again = store_in(tmp_path, clock, keep_seconds=600)
    fill(again, clock, 1)
    assert len(store.read(str(tmp_path))) == 3


def test_two_monitors_cannot_share_a_directory(tmp_path, clock):
    results = store_in(tmp_path, clock)
    with pytest.raises(SampleError) as caught:
        store_in(tmp_path, clock)
    assert 'Another measurement writes to' in caught.value.sentence
    results.close()
    store_in(tmp_path, clock).close()


def test_a_full_disk_does_not_fill_the_memory(tmp_path, clock, monkeypatch):
    """A mock: a disk that is full needs root."""
    results = store_in(tmp_path, clock)
    monkeypatch.setattr(rotating_store, 'WAITING', 3)

    def full(handle, data):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(store.os, 'write', full)
    for _ in range(5):
        assert 'No space left' in results.append(of_step(plan_of().steps(1)[0]))
    assert len(results.pending) == 3


def test_limits_come_from_the_plan(tmp_path):
    made = rotating_store.of_plan(plan_of(), str(tmp_path))
    assert (made.directory, made.keep_bytes, made.keep_seconds) == (str(tmp_path), 64e6, 90 * 86400.0)
