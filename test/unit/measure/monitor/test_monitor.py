"""A monitor: what it may do, the order of its rounds, what it keeps, and the last values."""
import json
import os

import pytest
from paths import ROOT

from ua_overlay.cli import main
from ua_overlay.measure.campaign import campaign, sample
from ua_overlay.measure.monitor import monitor, run
from ua_overlay.measure.monitor import status as monitor_status
from ua_overlay.measure.monitor import store as monitor_store
from unit.measure.steps import of_step

TEXT = '''
version: 1
name: days
hosts: {b: {overlay: b, ssh: none}}
tools:
  ping: {count: 10, interval: 0.5}
  tcp: {tool: iperf3-tcp, seconds: 3, omit: 1, rate: 5mbit}
scenarios:
  - {name: pair, from: a, to: b}
monitor: {capacity: 20mbit, interval: 300}
'''


def of(text=TEXT):
    return monitor.checked(monitor.prepared(campaign.parse(text)))


def test_what_it_takes_of_the_link():
    found = of()
    # 5 Mbit/s for 4 s of 300 s, with WireGuard's headers, and eleven small packets.
    assert found.share == pytest.approx(100 * (5e6 * 4 / 0.8911 + 8 * 11 * (56 + 28 + 98)) / 300 / 20e6, rel=1e-3)
    assert found.seconds == pytest.approx(5.5 + 4 + 2 * 2.0)
    assert found.campaign.scenarios[0].link_timeout == monitor.LINK_TIMEOUT


@pytest.mark.parametrize('before, after, part', [
    ('monitor: {capacity: 20mbit, interval: 300}', '', 'has no section `monitor`'),
    ('capacity: 20mbit, ', '', 'capacity is missing'),
    ('interval: 300', 'interval: 1', 'monitor.interval: 1'),
    ('interval: 300', 'share: 11', 'monitor.share: 11'),
    ('interval: 300', 'interval: 12', 'a round takes 14 s'),
    ('interval: 300', 'interval: 60', 'would take 1.87 % of the link on average, and 1 % are allowed: let `interval`'),
    (', rate: 5mbit', '', 'tools.tcp.rate is missing'),
    ('{count: 10, interval: 0.5}', '{tool: ros-video}', 'tools.ping: a video is no probe'),
    ('rate: 5mbit', 'rate: 9mbit', 'tools.tcp would take 50.5 % of the link while it runs')])
def test_what_would_be_too_much_is_refused(before, after, part, tmp_path, capsys):
    assert before in TEXT
    path = tmp_path / 'monitor.yaml'
    path.write_text(TEXT.replace(before, after))
    assert main(['measure', 'monitor', str(path), '--rounds', '1', '--results', str(tmp_path / 'results')]) == 2
    assert part in capsys.readouterr().err and not (tmp_path / 'results').exists()


def test_the_interval_that_a_refusal_names_would_do():
    with pytest.raises(campaign.CampaignError) as caught:
        of(TEXT.replace('interval: 300', 'interval: 60'))
    wanted = caught.value.sentence.split('`interval` be ')[1].split(' ')[0]
    assert of(TEXT.replace('interval: 300', 'interval: ' + wanted)).share <= 1


def test_the_example_is_within_its_limits():
    assert monitor.checked(campaign.load(os.path.join(ROOT, 'config', 'campaigns', 'monitor.yaml'))).share < 1


def test_rounds_that_could_not_begin_in_time_are_left_out():
    assert [monitor.next_round(100.0, 60.0, now) for now in (100.0, 110.0, 159.9, 160.0, 300.0)] == [
        160.0, 160.0, 160.0, 220.0, 340.0]


class Clock:
    def __init__(self):
        self.now = 1767225600.0
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Measurement:
    """A mock: what is tried here is the order and the times, which real tools take."""

    def __init__(self, clock, seconds=20.0):
        self.clock, self.seconds = clock, seconds

    def take(self, step):
        found = dict(of_step(step), started=sample.rfc3339(self.clock()), proof={'bytes': {'DIRECT': 5, 'DERP': 0}})
        self.clock.now += self.seconds
        return found


@pytest.fixture
def clock():
    return Clock()


def store_in(path, clock, keep_bytes=1e9, keep_seconds=1e9):
    made = monitor_store.RotatingStore(str(path), keep_bytes, keep_seconds, clock)
    made.open()
    return made


def test_rounds_begin_at_their_interval_and_the_status_follows(tmp_path, clock):
    store, told = store_in(tmp_path, clock), []
    rounds = run.Rounds(of(), Measurement(clock), store, lambda *each: told.append(each), clock, clock,
                              clock.sleep)
    rounds.run(3)
    assert clock.slept == [260.0, 260.0] and len(told) == 6 and {trouble for _, trouble in told} == {''}
    assert [each['repetition'] for each in sample.read(str(tmp_path))] == [
        1767225600 + 300 * number for number in (0, 0, 1, 1, 2, 2)]
    status = monitor_status.read(str(tmp_path))
    assert (status['state'], status['rounds'], status['samples']['ok']) == ('stopped', 3, 6)
    assert status['probes']['pair/ping/overlay']['link'] == 'DIRECT'


def test_an_interrupted_round_leaves_a_status_and_whole_samples(tmp_path, clock):
    class Interrupted(Measurement):
        def take(self, step):
            if step.tool.name == 'tcp':
                raise KeyboardInterrupt
            return super().take(step)

    store = store_in(tmp_path, clock)
    with pytest.raises(KeyboardInterrupt):
        run.Rounds(of(), Interrupted(clock), store, lambda *each: None, clock, clock, clock.sleep).run()
    assert monitor_status.read(str(tmp_path))['state'] == 'stopped' and len(sample.read(str(tmp_path))) == 1


def test_the_last_values_and_changes_of_the_link():
    step = of().steps(5)[0]
    status = monitor_status.first(of(), 0)
    for kind, values in (('DIRECT', {'rtt_ms': [1.0, 2.0, 9.0]}), ('', None), ('DERP', {'rtt_ms': [30.0]})):
        found = of_step(step, 'ok' if values else 'failed', values or {})
        status = monitor_status.after(status, dict(found, proof={'bytes': {kind: 9} if kind else {}}))
        if kind == 'DIRECT':
            assert status['probes']['pair/ping/overlay']['value'] == 2.0
        if not values:
            assert status['probes']['pair/ping/overlay']['value'] is None
    probe = status['probes']['pair/ping/overlay']
    assert (probe['link'], probe['link_changes'], probe['value'], probe['unit']) == ('DERP', 1, 30.0, 'ms')
    assert status['samples'] == {'ok': 2, 'failed': 1, 'excluded': 0}


def fill(store, clock, number):
    for _ in range(number):
        assert store.append(Measurement(clock, 60.0).take(of().steps(clock())[0])) == ''


def test_files_rotate_by_size_and_the_oldest_go(tmp_path, clock):
    line = len(json.dumps(Measurement(Clock()).take(of().steps(clock())[0]), sort_keys=True)) + 1
    store = store_in(tmp_path, clock, keep_bytes=16.5 * line)
    fill(store, clock, 40)
    assert len(sample.rotated(str(tmp_path))) >= 5
    kept = sample.read(str(tmp_path))
    assert [each['started'] for each in kept] == sorted(each['started'] for each in kept)
    assert 12 <= len(kept) <= 16 and kept[-1]['started'] == sample.rfc3339(clock() - 60)


def test_files_rotate_by_age_and_the_oldest_go(tmp_path, clock):
    store = store_in(tmp_path, clock, keep_seconds=3600)
    fill(store, clock, 20)
    names = sample.rotated(str(tmp_path))
    assert len(names) == 2
    for name in names[:1]:
        os.utime(str(tmp_path / name), (clock() - 3700, clock() - 3700))
    os.utime(str(tmp_path / names[1]), (clock(), clock()))
    fill(store, clock, 1)
    assert sample.rotated(str(tmp_path))[0] == names[1]


def test_a_power_cut_while_rotating_loses_nothing(tmp_path, clock, monkeypatch):
    """A mock: the power is cut between the rename and the new file."""
    store = store_in(tmp_path, clock, keep_seconds=600)
    fill(store, clock, 1)
    clock.now += 600
    real = os.rename

    def cut(*paths):
        real(*paths)
        raise KeyboardInterrupt

    monkeypatch.setattr(monitor_store.os, 'rename', cut)
    with pytest.raises(KeyboardInterrupt):
        fill(store, clock, 1)
    monkeypatch.undo()
    store.close()
    assert len(sample.read(str(tmp_path))) == 2
    again = store_in(tmp_path, clock, keep_seconds=600)
    fill(again, clock, 1)
    assert len(sample.read(str(tmp_path))) == 3


def test_two_monitors_do_not_write_to_one_place(tmp_path, clock):
    store = store_in(tmp_path, clock)
    with pytest.raises(sample.SampleError) as caught:
        store_in(tmp_path, clock)
    assert 'Another measurement writes to' in caught.value.sentence
    store.close()
    store_in(tmp_path, clock).close()


def test_a_disk_that_stays_full_does_not_fill_the_memory(tmp_path, clock, monkeypatch):
    """A mock: a disk that is full needs root."""
    store = store_in(tmp_path, clock)
    monkeypatch.setattr(monitor_store, 'WAITING', 3)

    def full(handle, data):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(sample.os, 'write', full)
    for _ in range(5):
        assert 'No space left' in store.append(of_step(of().steps(1)[0]))
    assert len(store.pending) == 3
