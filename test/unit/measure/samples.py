"""Synthetic samples: generated from a seed, for the tests of the report, and labelled as such."""
import dataclasses
import json
import random

from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.report.data import Data
from ua_overlay.measure.report.parts import Table

PLACES = {'lab': {'name': 'Robot lab', 'x': 0.0, 'y': 0.0}, 'library': {'name': 'Library', 'x': 240.0, 'y': 110.0},
          'bar': {'name': 'Bar <N>', 'x': 120.0, 'y': 260.0}}
#: label -> (Mbit/s, added ms)
LINKS = {'raw': (94.0, 0.0), 'DIRECT': (88.5, 0.4), 'PEER_RELAY': (87.0, 1.2), 'DERP': (31.0, 4.5)}


def campaign():
    return {'schema': 1, 'name': 'synthetic', 'synthetic': True, 'emulated': True, 'places': PLACES,
            'machine': {'hostname': 'nowhere', 'processors': 2}, 'kernel': '6.1.0', 'start': '2026-01-31T12:00:00.000Z',
            'versions': {'dev-1': {'tailscale': '1.98.10', 'iperf3': '3.12'}}, 'clock_error_ms': None,
            'campaign': {'version': 1, 'name': 'synthetic'}}


def proof(label):
    """The proof of a sample whose bytes all took one link type; '' for none."""
    counted = {'DIRECT': 0, 'PEER_RELAY': 0, 'DERP': 0}
    if label in counted:
        counted[label] = 10 ** 6
    return Proof(counted, 'proven')


def sample(place, label, tool, repetition, values, settings=None, **more):
    made = Sample(
        id='-'.join((place, label, tool, str((settings or {}).get('size', '')), str(repetition))),
        campaign='synthetic', scenario=place, place=place, source='dev-1', target='dev-2',
        path='raw' if label == 'raw' else 'overlay', expected='' if label == 'raw' else label, repetition=repetition,
        started='2026-01-31T12:{:02d}:00.000Z'.format(repetition % 60), duration=10.0, tool=tool,
        settings=dict({'mtu': 1500 if label == 'raw' else 1280}, **(settings or {})), values=values,
        cpu={'source_percent': 20.0, 'target_percent': 30.0}, proof=proof(label),
        link={host: {'rate': '100mbit', 'delay': '5ms', 'queue': '50ms'} for host in ('dev-1', 'dev-2')}, status='ok')
    return dataclasses.replace(made, **more)


def samples(repetitions=10, seconds=20, seed=1):
    """Three places, four links, every tool; one sample excluded and one failed."""
    draw, found = random.Random(seed), []
    for number, place in enumerate(PLACES):
        for label, (rate, added) in LINKS.items():
            for repetition in range(1, repetitions + 1):
                found += _of_place(draw, place, label, rate * (1 - 0.02 * number), 20 + 4 * number + added, repetition,
                                   seconds)
    found.append(sample('bar', 'DIRECT', 'ping', 98, {'rtt_ms': [999.0], 'sent': 1, 'lost': 0}, status='excluded',
                        problem='Bytes went over DERP <while> DIRECT was expected.'))
    found.append(sample('bar', 'DIRECT', 'iperf3-tcp', 99, {}, status='failed', problem='iperf3: no route.'))
    return found


def _of_place(draw, place, label, rate, trip, repetition, seconds):
    course = [1e6 * draw.gauss(rate, 1.0) for _ in range(seconds)]
    trips = [trip + draw.expovariate(2.0) for _ in range(50)]
    yield sample(place, label, 'iperf3-tcp', repetition, {'bps': sum(course) / seconds, 'intervals_bps': course,
                                                           'retransmits': 3}, {'congestion': 'cubic', 'omit': 3})
    yield sample(place, label, 'iperf3-udp', repetition, {
        'bps': 5e7, 'offered_bps': 5e7, 'jitter_ms': draw.uniform(0.02, 0.09), 'lost_percent': 0.0, 'packets': 9000},
        {'offered_bps': 5e7})
    yield sample(place, label, 'ping', repetition, {'rtt_ms': trips, 'sent': 50, 'lost': 0}, {'size': 56})
    for size in (1000, 100000):
        yield sample(place, label, 'ros-topic', repetition, {
            'hz': 10.0, 'age_ms': [value / 2 + size / 1e4 for value in trips], 'sent': 50, 'received': 50,
            'size_bytes': size}, {'size': size, 'rate_hz': 10})
    yield sample(place, label, 'ros-service', repetition, {'rtt_ms': [2 * value for value in trips], 'failed': 0})


#: label -> (frames/s, age in ms) of a JPEG stream; with a hog both are worse.
STREAMS = {'raw': (30.0, 20.0), 'DIRECT': (30.0, 22.0), 'DERP': (12.0, 400.0)}


def _stream(draw, place, label, repetition, **settings):
    rate, age = STREAMS[label]
    hog = settings.get('hog', False)
    settings = dict({'encoding': 'jpeg', 'width': 1280, 'height': 720, 'rate_hz': 30.0, 'congestion': '',
                     'nodelay': False, 'hog': hog}, **settings)
    received = int(rate * 10 * (0.5 if hog else 1))
    values = {'hz': received / 10 + draw.uniform(-0.2, 0), 'age_ms': [age + draw.expovariate(0.2) for _ in range(100)],
              'sent': 299, 'received': min(299, received), 'skipped': 1, 'gaps': 2, 'longest_ms': 120.0,
              'size_bytes': 119000, 'congestion': 'cubic', 'source_process_percent': 3.0,
              'target_process_percent': 4.0, 'source_machine_percent': 60.0, 'target_machine_percent': None}
    if hog:
        values['hog_bps'] = 60e6
    made = sample(place, label, 'ros-video', repetition, values, settings)
    return dataclasses.replace(made, id='-'.join((made.id, settings['encoding'], str(hog))))


def video_samples():
    """Two places, three links, three streams."""
    draw = random.Random(3)
    return [_stream(draw, place, label, repetition, **more) for place in ('lab', 'bar') for label in STREAMS
            for repetition in (1, 2, 3) for more in ({}, {'hog': True}, {'encoding': 'raw'})]


def tcp(label, repetition, rate, **more):
    """A TCP sample of the lab."""
    values = {'bps': rate, 'intervals_bps': [rate], 'retransmits': 0}
    return sample('lab', label, 'iperf3-tcp', repetition, values, more.pop('settings', {'congestion': 'cubic'}), **more)


def data_of(taken, **more):
    """The Data of samples; ``more`` goes into the description of the campaign."""
    return Data(taken, dict(campaign(), **more))


def words_of(part):
    """All sentences, captions and cells of a part, one a line."""
    words = []
    for item in part.items:
        words += [item] if isinstance(item, str) else [item.caption]
        if isinstance(item, Table):
            words += [cell for row in item.rows for cell in row]
    return '\n'.join(words)


def write(directory, taken, description=None):
    """A results directory with these samples."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / 'samples.jsonl').write_text(''.join(json.dumps(each.to_json()) + '\n' for each in taken),
                                             encoding='utf-8')
    (directory / 'campaign.json').write_text(json.dumps(description or campaign()), encoding='utf-8')
    return directory
