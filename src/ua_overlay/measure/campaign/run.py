"""A campaign from its first sample to its last, over interruptions."""
import json
import os
import time
from typing import Any, Dict, Mapping, Protocol, Sequence

from ua_overlay.advice import command
from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import campaign as campaigns
from ua_overlay.measure.campaign import plan, sample
from ua_overlay.measure.campaign.campaign import Campaign
from ua_overlay.measure.campaign.plan import Step
from ua_overlay.measure.campaign.sample import Sample, SampleError
from ua_overlay.protocols import Clock, Json, JsonObject
from ua_overlay.system import files, foreign_file, foreign_json

#: The file of a results directory that describes its campaign.
DESCRIPTION = 'campaign.json'


class Takes(Protocol):
    """Takes samples: measurement.Measurement."""

    def take(self, step: Step) -> Sample:
        ...


class Appends(Protocol):
    """Keeps samples: store.Store."""

    def append(self, taken: Sample) -> str:
        """Returns '' or, when the sample could not be written, a sentence why."""
        ...


class Listener(Protocol):
    """Follows a run in progress."""

    def starting(self, step: Step, number: int, total: int, seconds_left: float) -> None:
        """The ``number``-th of ``total`` steps begins."""
        ...

    def ended(self, taken: Sample, trouble: str) -> None:
        """A sample was taken; ``trouble``: why it could not be written, or ''."""
        ...


def describe(campaign: Campaign, machine: Mapping[str, Any], versions: Mapping[str, Mapping[str, str]], emulated: bool,
             started: float) -> JsonObject:
    """The content of campaign.json.

    :param machine: of the machine that runs the campaign. :param versions: {host: {program: version}}.
    :param emulated: whether the links are a lab's. :param started: unix seconds.
    """
    return {'schema': sample.SCHEMA, 'campaign': campaign.source, 'name': campaign.name, 'machine': machine,
            'kernel': machine.get('kernel', ''), 'versions': versions, 'start': sample.moment(started),
            'emulated': emulated, 'places': campaign.places, 'clock_error_ms': campaign.clock_error_ms}


def is_description(values: Json) -> bool:
    """Return whether a JSON value is a :func:`describe`, as far as a report reads it."""
    if not isinstance(values, dict):
        return False
    places, versions, *others = (values.get(key) or {} for key in ('places', 'versions', 'machine', 'campaign'))
    if not all(isinstance(each, dict) for each in [places, versions] + others):
        return False
    tables = list(versions.values())
    return (all(isinstance(each, dict) for each in tables)
            and all(isinstance(text, str) for each in tables for text in each.values())
            and all(_is_place(each) for each in places.values()))


def _is_place(value: Json) -> bool:
    """Return whether it is what a campaign says about a place: a name, perhaps, and both of its coordinates or none."""
    if not isinstance(value, dict) or not isinstance(value.get('name', ''), str):
        return False
    numbers = [value[key] for key in ('x', 'y') if key in value]
    return len(numbers) != 1 and all(isinstance(each, (int, float)) and not isinstance(each, bool) for each in numbers)


def goes_on(directory: str, campaign: Campaign) -> bool:
    """Whether a results directory has results of this campaign; False when it has none. The number of repetitions may
    differ.

    :raises UsageError: it has results of another campaign.
    """
    path = os.path.join(directory, DESCRIPTION)
    try:
        description = foreign_json.parse(foreign_file.read(path).data)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError('{} cannot be read: {}.'.format(path, error.strerror), command('ls -l {}', directory))
    except ValueError:
        description = None
    if not isinstance(description, dict):
        raise UsageError('{} does not describe a campaign.'.format(path), command('ls -l {}', directory))
    # Compared as JSON has it: keys of YAML may be numbers.
    asked = foreign_json.parse(json.dumps(campaign.source))
    before = description.get('campaign')
    if not isinstance(before, dict) or dict(before, repetitions=None) != dict(asked, repetitions=None):
        raise UsageError('{} holds results of another campaign, or this one was changed since.'.format(directory),
                         'ua-overlay measure run CAMPAIGN.yaml --results ANOTHER_DIRECTORY')
    return True


def keep_description(directory: str, description: JsonObject) -> None:
    """Write campaign.json. :param description: of :func:`describe`. :raises SampleError: it cannot be written."""
    path = os.path.join(directory, DESCRIPTION)
    try:
        # Unsorted: places stay in the order of the campaign.
        files.write_atomic(path, json.dumps(description, indent=2) + '\n')
    except OSError as error:
        raise SampleError('{} cannot be written: {}.'.format(path, error.strerror), command('df {}', directory))


def is_monitor(directory: str) -> bool:
    """Whether a results directory belongs to `measure monitor`; False without a readable campaign.json."""
    try:
        return remembered(directory).monitor is not None
    except UsageError:
        return False


def remembered(directory: str) -> Campaign:
    """The campaign of a results directory. :raises UsageError: it has none, or an invalid one."""
    path = os.path.join(directory, DESCRIPTION)
    try:
        return campaigns.from_mapping(foreign_json.parse_object(foreign_file.read(path).data)['campaign'])
    except OSError as error:
        reason = error.strerror
    except (ValueError, KeyError, TypeError):
        reason = 'it describes no campaign'
    raise UsageError('{} cannot be read: {}.'.format(path, reason), 'ua-overlay measure run CAMPAIGN.yaml')


def run(steps: Sequence[Step], measurement: Takes, store: Appends, listener: Listener, clock: Clock = time.monotonic
        ) -> Dict[str, int]:
    """Take the samples of ``steps``, in order; each is on the disk before the next begins.

    :returns: {status: number of samples}.
    """
    counts = dict.fromkeys(sample.STATUSES, 0)
    planned, spent = 0.0, 0.0
    for number, step in enumerate(steps):
        listener.starting(step, number + 1, len(steps), plan.time_left(steps[number:], planned, spent))
        begin = clock()
        taken = measurement.take(step)
        planned, spent = planned + step.seconds, spent + clock() - begin
        trouble = store.append(taken)
        counts[taken.status] += 1
        listener.ended(taken, trouble)
    return counts
