"""The last values of a monitor, in a small file that is replaced atomically: for people and for other monitoring."""
import json
import os
from typing import Mapping, Optional, Tuple

from ua_overlay.measure.campaign import sample
from ua_overlay.measure.campaign.sample import Sample, SampleError
from ua_overlay.measure.monitor.monitor import MonitorPlan
from ua_overlay.measure.tools.registry import TOOLS
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import files, foreign_file, foreign_json

Types = Mapping[str, Tuple[type, ...]]

FILE = 'status.json'
RUNNING, WAITING, STOPPED = STATES = ('running', 'waiting', 'stopped')
_TEXT, _COUNT = (str,), (int,)
#: The types of the values that people and other monitoring read.
_FIELDS: Types = {'schema': _COUNT, 'name': _TEXT, 'started': _TEXT, 'updated': _TEXT, 'state': _TEXT,
                  'rounds': _COUNT, 'probes': (dict,)}
_PROBE: Types = {'started': _TEXT, 'status': _TEXT, 'problem': _TEXT, 'value': (int, float, type(None)), 'unit': _TEXT,
                 'link': _TEXT, 'link_changes': _COUNT, 'last_ok': _TEXT}


def first(plan: MonitorPlan, started: float) -> JsonObject:
    """The status before the first round. :param started: unix seconds."""
    return {'schema': sample.SCHEMA, 'name': plan.campaign.name, 'started': sample.moment(started),
            'updated': sample.moment(started), 'state': RUNNING, 'interval_s': plan.interval,
            'share_percent': round(plan.share, 4), 'rounds': 0, 'samples': dict.fromkeys(sample.STATUSES, 0),
            'trouble': '', 'probes': {}}


def link_of(taken: Sample) -> str:
    """The link type that most bytes of a sample took; '' on the raw network, and when nothing was counted."""
    return '' if taken.raw else taken.proof.most


def value_of(taken: Sample) -> Tuple[Optional[float], str]:
    """(number, unit) that represents a sample; (None, unit) when nothing was measured."""
    metric = TOOLS[taken.tool].metrics[0]
    value = metric.value(taken.values)
    return None if value is None else round(value, 4), metric.unit


def name_of(taken: Sample) -> str:
    """`lab/ping/overlay`: the probe of a sample, the same in every round."""
    return '/'.join(taken.id.split('+')[:3])


def after(status: JsonObject, taken: Sample, trouble: str = '') -> JsonObject:
    """The status after a sample; ``trouble``: why it could not be written, or ''."""
    before = status['probes'].get(name_of(taken), {})
    link, (value, unit) = link_of(taken), value_of(taken)
    changed = bool(before.get('link') and link and before['link'] != link)
    probe = {'started': taken.started, 'status': taken.status, 'problem': taken.problem, 'tool': taken.tool,
             'path': taken.path, 'source': taken.source, 'target': taken.target, 'value': value, 'unit': unit,
             'link': link or before.get('link', ''), 'link_changes': before.get('link_changes', 0) + changed,
             'last_ok': taken.started if taken.ok else before.get('last_ok', '')}
    counts = dict(status['samples'])
    counts[taken.status] += 1
    return dict(status, samples=counts, trouble=trouble, probes=dict(status['probes'], **{name_of(taken): probe}))


def write(directory: str, status: JsonObject, now: float) -> str:
    """Write the status. Returns '' or a sentence why that failed. :param now: unix seconds."""
    path = os.path.join(directory, FILE)
    try:
        files.write_atomic(path, json.dumps(dict(status, updated=sample.moment(now)), indent=1, sort_keys=True) + '\n')
    except OSError as error:
        return '{} cannot be written: {}.'.format(path, error.strerror)
    return ''


def read(directory: str) -> JsonObject:
    """The status in a results directory. :raises SampleError: there is none."""
    path = os.path.join(directory, FILE)
    try:
        status: JsonObject = foreign_json.parse_object(foreign_file.read(path).data)
        if _has(status, _FIELDS) and status['schema'] == sample.SCHEMA and status['state'] in STATES and all(
                _has(probe, _PROBE) for probe in status['probes'].values()):
            return status
        reason: Optional[str] = 'it is not a status'
    except OSError as error:
        reason = error.strerror
    except ValueError:
        reason = 'it is not a status'
    raise SampleError('{} cannot be read: {}. A monitor writes it.'.format(path, reason),
                      'ua-overlay measure monitor --help')


def _has(values: Json, types: Types) -> bool:
    return isinstance(values, dict) and all(
        isinstance(values.get(name, types), kinds) and not isinstance(values[name], bool)
        for name, kinds in types.items())
