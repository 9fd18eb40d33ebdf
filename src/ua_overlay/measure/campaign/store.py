"""The samples of a results directory: one per line in samples.jsonl, and the tools' own answers in raw/."""
import fcntl
import json
import os
import re
from types import TracebackType
from typing import List, Optional, Type

from ua_overlay.advice import command
from ua_overlay.clock import file_stamp, from_unix, parse_rfc3339
from ua_overlay.measure.campaign import sample
from ua_overlay.measure.campaign.sample import Sample, SampleError
from ua_overlay.printable import printable
from ua_overlay.system import files, foreign_file, foreign_json

FILE, RAW = 'samples.jsonl', 'raw'
#: Longest line of a file of samples, in bytes.
LONGEST_LINE = 1024 * 1024
_ROTATED = re.compile(r'samples-\d{8}T\d{6}Z\.jsonl')


def read(directory: str) -> List[Sample]:
    """The samples of a results directory, in the order in which they ended; [] before the first. Those of rotated files
    come first.

    An incomplete last line (a power cut during the write) is ignored: that sample counts as not taken.

    :raises SampleError: naming the line that is not a sample, or the file that cannot be read.
    """
    path = os.path.join(directory, FILE)
    # The newest first: a file that is rotated meanwhile is then read twice instead of missed.
    newest = _lines(path)
    samples = []
    for name in rotated(directory):
        older = os.path.join(directory, name)
        lines = _lines(older)
        if not newest or lines[:len(newest)] != newest:
            samples += [_sample_of(line, number, older) for number, line in enumerate(lines, 1)]
    return samples + [_sample_of(line, number, path) for number, line in enumerate(newest, 1)]


def rotated(directory: str) -> List[str]:
    """Names of the rotated files in a results directory, the oldest first."""
    try:
        return sorted(name for name in os.listdir(directory) if _ROTATED.fullmatch(name))
    except OSError:
        return []


def rotated_name(seconds: float) -> str:
    """The name of a file that is rotated at ``seconds`` since 1970."""
    return 'samples-{}.jsonl'.format(file_stamp(from_unix(seconds)))


def started_of(line: bytes) -> float:
    """When the sample in a line started, in unix seconds; 0.0 for a line that is not a sample."""
    try:
        return parse_rfc3339(foreign_json.parse_object(line)['started']).timestamp()
    except (ValueError, KeyError, TypeError):
        return 0.0


def _lines(path: str) -> List[bytes]:
    """The whole lines of a file, none when there is no such file."""
    try:
        with foreign_file.opened(path) as raw, os.fdopen(os.dup(raw.fileno()), 'rb') as stream:
            lines: List[bytes] = []
            for line in iter(lambda: stream.readline(LONGEST_LINE), b''):
                if line.endswith(b'\n'):
                    lines.append(line[:-1])
                elif len(line) == LONGEST_LINE:
                    raise SampleError('{} has a line of more than {} bytes.'.format(path, LONGEST_LINE),
                                      command('ls -l {}', path))
            # A line without its end is the last one: a power cut left it unfinished, or its process is writing it.
            return lines
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SampleError('{} cannot be read: {}.'.format(path, error.strerror), command('ls -l {}', path))


def _sample_of(line: bytes, number: int, path: str) -> Sample:
    try:
        raw = foreign_json.parse(line)
    except ValueError:
        problem = 'it is not JSON'
    else:
        try:
            return sample.from_json(raw)
        except ValueError as error:
            problem = printable(error)
    raise SampleError('Line {} of {} is not a sample: {}.'.format(number, path, problem),
                      command('sed -n {}p {}', number, path))


class Store:
    """Appends samples to a results directory and changes nothing else. One process at a time: a context manager, or
    :meth:`open` and :meth:`close`.

    Samples that do not fit on a full disk wait in :attr:`pending`; they are written before the next sample.
    """

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.path = os.path.join(directory, FILE)
        self.pending: List[bytes] = []
        self._lock: Optional[int] = None

    def __enter__(self) -> 'Store':
        self.open()
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 traceback: Optional[TracebackType]) -> None:
        self.close()

    def open(self) -> None:
        """Make the directory, and cut off a line that a power cut left unfinished.

        :raises SampleError: it cannot be written, or another process writes there.
        """
        try:
            os.makedirs(os.path.join(self.directory, RAW), exist_ok=True)
            self._lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY)
            # Before anything is cut: a line that looks unfinished may be one that the other process is writing.
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
                self.directory, error.strerror), command('ls -ld {}', self.directory))

    def is_written(self) -> bool:
        """Return whether a process may be writing there. :raises OSError: the directory is missing, or not readable."""
        handle = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True  # or a file system without locks, on which nobody knows
        finally:
            os.close(handle)
        return False

    def close(self) -> None:
        """Let another process write there."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _cut_to_whole_lines(self) -> None:
        with open(self.path, 'rb+') as stream:
            stream.truncate(stream.read().rfind(b'\n') + 1)
            os.fsync(stream.fileno())

    def keep_raw(self, identity: str, answer: str) -> None:
        """Write raw/<identity>.json atomically. :raises OSError: the disk is full."""
        files.write_atomic(os.path.join(self.directory, RAW, identity + '.json'), answer)

    def append(self, taken: Sample) -> str:
        """Append a sample and sync it to the disk. Returns '', or why the sample must wait in memory, as a sentence."""
        raw = taken.to_json()
        problem = sample.problem_of(raw)
        assert not problem, problem
        self.pending.append(json.dumps(raw, sort_keys=True).encode('utf-8') + b'\n')
        return self.flush()

    def flush(self) -> str:
        """Append what is pending. Returns '' or a sentence why that failed."""
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

    def _write(self, line: bytes) -> None:
        handle = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        try:
            while line:
                line = line[os.write(handle, line):]
            os.fsync(handle)
        finally:
            os.close(handle)
