"""A campaign from its first sample to its last, over interruptions."""
import json
import os
import time

from ua_overlay import files
from ua_overlay.errors import UsageError
from ua_overlay.measure import campaign as campaigns
from ua_overlay.measure import plan, sample

DESCRIPTION = 'campaign.json'


def describe(campaign, machine, versions, emulated, started):
    """What campaign.json holds (a dict)."""
    return {'schema': sample.SCHEMA, 'campaign': campaign.source, 'name': campaign.name, 'machine': machine,
            'kernel': machine.get('kernel', ''), 'versions': versions, 'start': sample.rfc3339(started),
            'emulated': emulated, 'places': campaign.places, 'clock_error_ms': campaign.clock_error_ms}


def keep_description(directory, description):
    """Write campaign.json at the first run, and leave it as it is when the same campaign goes on.

    :returns: whether the campaign goes on.
    :raises UsageError: another campaign's results are there.
    """
    path = os.path.join(directory, DESCRIPTION)
    try:
        with open(path, encoding='utf-8') as stream:
            before = json.load(stream)
    except FileNotFoundError:
        # Unsorted: places stay in the order of the campaign.
        files.write_atomic(path, json.dumps(description, indent=2) + '\n')
        return False
    except ValueError:
        raise UsageError('{} is not JSON.'.format(path), 'ls ' + directory)
    # Compared as JSON has it: keys of YAML may be numbers.
    if before.get('campaign') != json.loads(json.dumps(description['campaign'])):
        raise UsageError('{} holds results of another campaign, or this one was changed since.'.format(directory),
                         'ua-overlay measure run CAMPAIGN.yaml --results ANOTHER_DIRECTORY')
    return True


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

    :param measurement: has ``take(step)``; see one.Measurement.
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
