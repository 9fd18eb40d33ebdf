"""What one measurement leaves: a line of samples.jsonl, and the tool's own answer in raw/."""
import fcntl
import json
import os
import re

from ua_overlay import link_types
from ua_overlay.clock import file_stamp, format_rfc3339, from_unix, parse_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.system import files

SCHEMA = 1
FILE, RAW = 'samples.jsonl', 'raw'
TCP, UDP, PING, TOPIC, SERVICE, VIDEO = TOOLS = ('iperf3-tcp', 'iperf3-udp', 'ping', 'ros-topic', 'ros-service',
                                                 'ros-video')
RAW_PATH, OVERLAY = PATHS = ('raw', 'overlay')
OK, FAILED, EXCLUDED = STATUSES = ('ok', 'failed', 'excluded')
#: Link types that a label can ask for; '' asks for none.
EXPECTED = ('',) + link_types.CARRYING

_WORDS = ('id', 'campaign', 'scenario', 'place', 'source', 'target', 'path', 'expected', 'started', 'tool', 'status',
          'problem')
_MAPPINGS = ('settings', 'values', 'cpu', 'proof', 'link', 'versions')
_ROTATED = re.compile(r'samples-\d{8}T\d{6}Z\.jsonl')
_CHOICES = {'path': PATHS, 'tool': TOOLS, 'status': STATUSES, 'expected': EXPECTED}
#: What an `ok` sample of each tool has in `values`.
VALUES = {TCP: ('bps', 'intervals_bps', 'retransmits'),
          UDP: ('bps', 'offered_bps', 'jitter_ms', 'lost_percent', 'packets'),
          PING: ('rtt_ms', 'sent', 'lost'),
          TOPIC: ('hz', 'age_ms', 'sent', 'received', 'size_bytes'),
          SERVICE: ('rtt_ms', 'failed'),
          VIDEO: ('hz', 'age_ms', 'sent', 'received', 'skipped', 'gaps', 'longest_ms', 'size_bytes')}


class SampleError(OverlayError):
    """A line is no sample, or the results cannot be read or written."""

    code = 'MEASURE_SAMPLE'


def problem_of(sample):
    """What is wrong with a sample (a dict), as half a sentence; '' when nothing is."""
    if not isinstance(sample, dict) or sample.get('schema') != SCHEMA:
        return 'its schema is not {}, which this program reads'.format(SCHEMA)
    for kind, keys in ((str, _WORDS), (dict, _MAPPINGS), (int, ('repetition',)), ((int, float), ('duration',))):
        for key in keys:
            if not isinstance(sample.get(key), kind):
                return '{} is missing or of another type'.format(key)
    for key, choices in _CHOICES.items():
        if sample[key] not in choices:
            return '{} is {!r}'.format(key, sample[key])
    try:
        seconds(sample['started'])
    except ValueError:
        return 'started is {!r}, no time as 2026-01-31T12:00:00.500Z'.format(sample['started'])
    return _problem_of_values(sample) if sample['status'] == OK else ''


def _problem_of_values(sample):
    missing = [key for key in VALUES[sample['tool']] if key not in sample['values']]
    if missing:
        return 'values has no {}'.format(', '.join(missing))
    for key in VALUES[sample['tool']]:
        found = sample['values'][key]
        if not all(isinstance(value, (int, float)) for value in (found if isinstance(found, list) else [found])):
            return 'values.{} holds something else than numbers'.format(key)
    return ''


def read(directory):
    """The samples of a results directory, in the order in which they ended; [] before the first. Those of rotated
    files come first.

    A last line without its end (the power was cut while it was written) is left out: that sample counts as not taken.

    :raises SampleError: naming the line that is no sample, or the file that cannot be read.
    """
    path = os.path.join(directory, FILE)
    # The newest first: a file that is rotated meanwhile is read twice then, and not missed.
    newest = _lines(path)
    found = []
    for name in rotated(directory):
        older = os.path.join(directory, name)
        lines = _lines(older)
        if not newest or lines[:len(newest)] != newest:
            found += [_sample_of(line, number, older) for number, line in enumerate(lines, 1)]
    return found + [_sample_of(line, number, path) for number, line in enumerate(newest, 1)]


def rotated(directory):
    """Names of the rotated files in a results directory, the oldest first."""
    try:
        return sorted(name for name in os.listdir(directory) if _ROTATED.fullmatch(name))
    except OSError:
        return []


def rotated_name(seconds):
    """The name of a file that is rotated at ``seconds`` since 1970."""
    return 'samples-{}.jsonl'.format(file_stamp(from_unix(seconds)))


def seconds_of(line):
    """When the sample in a line (bytes) started, s since 1970; 0.0 for a line that is none."""
    try:
        return seconds(json.loads(line.decode('utf-8'))['started'])
    except (ValueError, KeyError, TypeError):
        return 0.0


def _lines(path):
    """The whole lines of a file (bytes), none when there is no such file."""
    try:
        with open(path, 'rb') as stream:
            return stream.read().split(b'\n')[:-1]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SampleError('{} cannot be read: {}.'.format(path, error.strerror), 'ls -l ' + path)


def _sample_of(line, number, path):
    try:
        sample = json.loads(line.decode('utf-8'))
        problem = problem_of(sample)
    except ValueError:
        problem = 'it is not JSON'
    if problem:
        raise SampleError('Line {} of {} is no sample: {}.'.format(number, path, problem),
                          'sed -n {}p {}'.format(number, path))
    return sample


def rfc3339(seconds):
    """Unix seconds as a sample has them: `2026-01-31T12:00:00.500Z`."""
    return format_rfc3339(from_unix(seconds), 3)


def seconds(text):
    """Unix seconds of what :func:`rfc3339` wrote. :raises ValueError: it is no time."""
    return parse_rfc3339(text).timestamp()


class Store:
    """Appends to a results directory; what is there stays. One process at a time: a context manager, or
    :meth:`open` and :meth:`close`.

    Samples that do not fit on a full disk wait in :attr:`pending` and are tried again before the next.
    """

    def __init__(self, directory):
        self.directory = directory
        self.path = os.path.join(directory, FILE)
        self.pending = []
        self._lock = None

    def __enter__(self):
        self.open()
        return self

    def __exit__(self, *_):
        self.close()

    def open(self):
        """Make the directory, and cut off a line that a power cut left unfinished.

        :raises SampleError: it cannot be written, or another process writes there.
        """
        try:
            os.makedirs(os.path.join(self.directory, RAW), exist_ok=True)
            self._lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            # Before anything is cut: what looks unfinished may be a line that the other is about to finish.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with open(self.path, 'ab'):
                pass
            self._cut_to_whole_lines()
            files.sync_directory(self.directory)
        except BlockingIOError:
            self.close()
            raise SampleError('Another measurement writes to {}.'.format(self.directory),
                              "pgrep -af 'ua-overlay measure'")
        except OSError as error:
            self.close()
            raise SampleError('The results directory {} cannot be written: {}.'.format(
                self.directory, error.strerror), 'ls -ld ' + self.directory)

    def close(self):
        """Let another write there."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _cut_to_whole_lines(self):
        with open(self.path, 'rb+') as stream:
            whole = stream.read().rfind(b'\n') + 1
            stream.truncate(whole)
            os.fsync(stream.fileno())
        return whole

    def keep_raw(self, identity, answer):
        """Write raw/<identity>.json, whole or not at all. :raises OSError: the disk is full."""
        files.write_atomic(os.path.join(self.directory, RAW, identity + '.json'), answer)

    def append(self, sample):
        """Append a sample and see it on the disk. Returns '' or, when it has to wait in memory, why (a sentence)."""
        problem = problem_of(sample)
        assert not problem, problem
        self.pending.append(json.dumps(sample, sort_keys=True).encode('utf-8') + b'\n')
        return self.flush()

    def flush(self):
        """Append what is pending. Returns '' or why that does not work, as a sentence."""
        try:
            while self.pending:
                before = os.path.getsize(self.path)
                try:
                    self._write(self.pending[0])
                except OSError:
                    os.truncate(self.path, before)
                    raise
                self.pending.pop(0)
        except OSError as error:
            return '{} cannot be written ({}): {} wait in memory.'.format(
                self.path, error.strerror, len(self.pending))
        return ''

    def _write(self, line):
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            while line:
                line = line[os.write(handle, line):]
            os.fsync(handle)
        finally:
            os.close(handle)
