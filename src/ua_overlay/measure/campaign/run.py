"""A campaign from its first sample to its last, over interruptions."""
import json
import os
import time

from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import campaign as campaigns
from ua_overlay.measure.campaign import plan, sample
from ua_overlay.system import files

DESCRIPTION = 'campaign.json'


def describe(campaign, machine, versions, emulated, started):
    """What campaign.json holds (a dict)."""
    return {'schema': sample.SCHEMA, 'campaign': campaign.source, 'name': campaign.name, 'machine': machine,
            'kernel': machine.get('kernel', ''), 'versions': versions, 'start': sample.rfc3339(started),
            'emulated': emulated, 'places': campaign.places, 'clock_error_ms': campaign.clock_error_ms}


def goes_on(directory, campaign):
    """Whether the results directory has results of this campaign already; False before the first. The same with another
    number of repetitions is the same.

    :raises UsageError: another campaign's results are there.
    """
    path = os.path.join(directory, DESCRIPTION)
    try:
        with open(path, encoding='utf-8') as stream:
            before = json.load(stream)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError('{} cannot be read: {}.'.format(path, error.strerror), 'ls -l ' + directory)
    except ValueError:
        before = None
    if not isinstance(before, dict):
        raise UsageError('{} is no description of a campaign.'.format(path), 'ls -l ' + directory)
    # Compared as JSON has it: keys of YAML may be numbers.
    asked = json.loads(json.dumps(campaign.source))
    found = before.get('campaign')
    if not isinstance(found, dict) or dict(found, repetitions=None) != dict(asked, repetitions=None):
        raise UsageError('{} holds results of another campaign, or this one was changed since.'.format(directory),
                         'ua-overlay measure run CAMPAIGN.yaml --results ANOTHER_DIRECTORY')
    return True


def keep_description(directory, description):
    """Write campaign.json. :param description: of :func:`describe`. :raises SampleError: it cannot be written."""
    path = os.path.join(directory, DESCRIPTION)
    try:
        # Unsorted: places stay in the order of the campaign.
        files.write_atomic(path, json.dumps(description, indent=2) + '\n')
    except OSError as error:
        raise sample.SampleError('{} cannot be written: {}.'.format(path, error.strerror), 'df ' + directory)


def is_monitor(directory):
    """Whether a results directory is one of `measure monitor`; False where nothing readable is."""
    try:
        return remembered(directory).monitor is not None
    except UsageError:
        return False


def remembered(directory):
    """The campaign whose results a directory has. :raises UsageError: it has none, or nothing that is a campaign."""
    path = os.path.join(directory, DESCRIPTION)
    try:
        with open(path, encoding='utf-8') as stream:
            return campaigns.from_mapping(json.load(stream)['campaign'])
    except OSError as error:
        reason = error.strerror
    except (ValueError, KeyError, TypeError):
        reason = 'it describes no campaign'
    raise UsageError('{} cannot be read: {}.'.format(path, reason), 'ua-overlay measure run CAMPAIGN.yaml')


class Listener:
    """What a run tells while it goes on; this one says nothing."""

    def starting(self, step, number, total, seconds_left):
        """The ``number``-th of ``total`` steps begins."""

    def ended(self, found, trouble):
        """A sample was taken; ``trouble``: why it could not be written, or ''."""


def run(steps, measurement, store, listener, clock=time.monotonic):
    """Take the samples of ``steps``, in order; each is on the disk before the next begins.

    :param measurement: has ``take(step)``; see measurement.Measurement.
    :returns: {status: number} of the samples taken.
    """
    taken = dict.fromkeys(sample.STATUSES, 0)
    planned, spent = 0.0, 0.0
    for number, step in enumerate(steps):
        listener.starting(step, number + 1, len(steps), plan.time_left(steps[number:], planned, spent))
        begin = clock()
        found = measurement.take(step)
        planned, spent = planned + step.seconds, spent + clock() - begin
        trouble = store.append(found)
        taken[found['status']] += 1
        listener.ended(found, trouble)
    return taken
