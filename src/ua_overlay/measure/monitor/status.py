"""The last values of a monitor, in a small file that is whole at any moment: for people, and for other monitoring."""
import json
import os
import statistics

from ua_overlay.measure.campaign import sample
from ua_overlay.system import files

FILE = 'status.json'
RUNNING, WAITING, STOPPED = STATES = ('running', 'waiting', 'stopped')


def first(plan, started):
    """The status (dict) of a monitor.MonitorPlan before its first round."""
    return {'schema': sample.SCHEMA, 'name': plan.campaign.name, 'started': sample.rfc3339(started),
            'updated': sample.rfc3339(started), 'state': RUNNING, 'interval_s': plan.interval,
            'share_percent': round(plan.share, 4), 'rounds': 0, 'samples': dict.fromkeys(sample.STATUSES, 0),
            'trouble': '', 'probes': {}}


def link_of(found):
    """The link type that a sample went: what most bytes went by; '' on the raw network, or when nothing was counted."""
    counted = found['proof'].get('bytes') or {}
    if found['path'] == sample.RAW_PATH or not any(counted.values()):
        return ''
    return max(sorted(counted), key=lambda kind: counted[kind])


def value_of(found):
    """(number, unit) of a sample as one number, (None, unit) when it was not measured."""
    key, unit, factor = {sample.TCP: ('bps', 'Mbit/s', 1e-6), sample.UDP: ('bps', 'Mbit/s', 1e-6),
                         sample.PING: ('rtt_ms', 'ms', 1), sample.TOPIC: ('age_ms', 'ms', 1),
                         sample.SERVICE: ('rtt_ms', 'ms', 1)}.get(found['tool'], ('', '', 1))
    value = found['values'].get(key)
    if isinstance(value, list):
        value = statistics.median(value) if value else None
    return (None if value is None else round(value * factor, 4)), unit


def name_of(found):
    """`lab/ping/overlay`: which probe a sample is of, whatever the round."""
    return '/'.join(found['id'].split('+')[:3])


def after(status, found, trouble=''):
    """The status after a sample; ``trouble``: why it could not be written, or ''."""
    before = status['probes'].get(name_of(found), {})
    link, (value, unit) = link_of(found), value_of(found)
    lost = before.get('link') and link and before['link'] != link
    probe = {'started': found['started'], 'status': found['status'], 'problem': found['problem'], 'tool': found['tool'],
             'path': found['path'], 'source': found['source'], 'target': found['target'], 'value': value, 'unit': unit,
             'link': link or before.get('link', ''), 'link_changes': before.get('link_changes', 0) + bool(lost),
             'last_ok': found['started'] if found['status'] == sample.OK else before.get('last_ok', '')}
    counts = dict(status['samples'])
    counts[found['status']] += 1
    return dict(status, samples=counts, trouble=trouble, probes=dict(status['probes'], **{name_of(found): probe}))


def write(directory, status, now):
    """Write the status; returns '' or why that does not work, as a sentence."""
    path = os.path.join(directory, FILE)
    try:
        files.write_atomic(path, json.dumps(dict(status, updated=sample.rfc3339(now)), indent=1, sort_keys=True) + '\n')
    except OSError as error:
        return '{} cannot be written: {}.'.format(path, error.strerror)
    return ''


def read(directory):
    """The status of a results directory. :raises sample.SampleError: there is none."""
    path = os.path.join(directory, FILE)
    try:
        with open(path, encoding='utf-8') as stream:
            found = json.load(stream)
        if found.get('schema') == sample.SCHEMA and found.get('state') in STATES:
            return found
        reason = 'it is no status'
    except OSError as error:
        reason = error.strerror
    except (ValueError, AttributeError):
        reason = 'it is no status'
    raise sample.SampleError('{} cannot be read: {}. A monitor leaves it.'.format(path, reason),
                             'ua-overlay measure monitor --help')
