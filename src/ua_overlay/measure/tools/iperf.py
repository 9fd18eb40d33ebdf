"""iperf3: its command lines, its answers, and the common part of its TCP and UDP tests."""
import abc
import os
import re
import subprocess
import tempfile
from typing import IO, Any, Dict, List, Mapping, Optional, Tuple

from ua_overlay.measure import headers
from ua_overlay.measure.fields import LONGEST, Key
from ua_overlay.measure.hosts.process import last_line, stop
from ua_overlay.measure.tools.tool import Job, Result, Tool, Unmeasured
from ua_overlay.printable import printable
from ua_overlay.system import foreign_json
from ua_overlay.system.schema import choice, integer, number

#: Values of `server`: the campaign starts a server for each sample, or uses one that already runs.
STARTED, RUNNING = SERVERS = ('started', 'running')
#: Seconds for the server to start listening.
LISTEN = 15.0
_RETRY = 0.3
_VERSION = re.compile(r'iperf (\d+\.\d+)')
#: iperf3's message -> its meaning.
_PROBLEMS = (
    ('Connection refused', 'No iperf3 server listens on {target}, port {port}'),
    ('server is busy', 'The iperf3 server on {target} is busy with another test'),
    ('No route to host', 'There is no route from {source} to {target}'),
    ('Network is unreachable', 'There is no route from {source} to {target}'),
    ('timed out', '{target} does not answer'),
    ('unable to read from stream socket', 'No UDP from {source} reaches {target}, port {port}'),
    ('control socket has closed', '{target} ended the connection in the middle of the measurement'),
    ('Connection reset', '{target} ended the connection in the middle of the measurement'),
    ('unable to set TCP_CONGESTION', 'The kernel of {source} does not offer this congestion control'),
    ('parameter exchange', 'The iperf3 of {target} has a version that this one does not understand'))


def client_argv(address: str, port: int, seconds: float) -> List[str]:
    """Argv of a client that answers in JSON."""
    return ['iperf3', '-c', address, '-p', str(port), '-t', '{:.0f}'.format(seconds), '-J']


def server_argv(port: int) -> List[str]:
    """Argv of a server that ends after one test."""
    return ['iperf3', '-s', '-1', '-p', str(port)]


def refused(text: str) -> bool:
    """Whether a client's answer says that no server listened."""
    return 'Connection refused' in _error_of(text)


def parse_answer(text: str, source: str, target: str, port: int) -> Dict[str, Any]:
    """The JSON of a client that succeeded.

    :param source, target: names of the hosts, for the sentence.
    :raises Unmeasured: with iperf3's message, explained if _PROBLEMS has it.
    """
    error = _error_of(text)
    if error:
        raise failure(error, source, target, port)
    return foreign_json.parse_object(text)


def failure(error: str, source: str, target: str, port: int) -> Unmeasured:
    """The error for a message of iperf3."""
    error = error.rstrip('.')
    for words, meaning in _PROBLEMS:
        if words in error:
            return Unmeasured('{} (iperf3: {}).'.format(
                meaning.format(source=source, target=target, port=port), error))
    return Unmeasured('iperf3 from {} to {} failed: {}.'.format(source, target, error))


def _error_of(text: str) -> str:
    """A client's error message, '' when it gave a result."""
    try:
        return printable(foreign_json.parse_object(text).get('error', ''))
    except ValueError:
        return printable(text.strip()[-200:]) or 'it printed nothing'


def intervals_bps(answer: Dict[str, Any]) -> List[float]:
    """Bit/s of each second behind the omitted ones, by the sender's count."""
    return [each['sum']['bits_per_second'] for each in answer['intervals'] if not each['sum'].get('omitted')]


def version_of(text: Optional[str]) -> str:
    """'3.12' of `iperf3 --version`, '' for anything else."""
    found = _VERSION.search(text or '')
    return found.group(1) if found else ''


def different_versions(versions: Mapping[str, str]) -> str:
    """A sentence when iperf3 is not the same at both ends, else ''. :param versions: of a sample."""
    source, target = (version_of(versions.get(key)) for key in ('iperf3', 'iperf3_target'))
    if source and target and source != target:
        return 'iperf3 is {} at the source and {} at the target.'.format(source, target)
    return ''


class Iperf(Tool):
    """A test of iperf3 over TCP or UDP."""

    #: Keys of TCP and UDP tests.
    shared_keys = {'seconds': Key(120, number(1, LONGEST)), 'omit': Key(3, integer(0, 60)),
                   'server': Key(STARTED, choice(SERVERS)), 'port': Key(5201, integer(1, 65535))}
    rate_name = 'offered_bps'

    @property
    def duration(self) -> float:
        return float(self.settings['seconds'] + self.settings['omit'])

    def wire_bits(self) -> float:
        return float(self.settings['rate'] * self.duration / headers.overlay_efficiency())

    def argv(self, address: str) -> List[str]:
        """Argv of the client."""
        return client_argv(address, self.settings['port'], self.settings['seconds']) + [
            '-O', str(self.settings['omit'])]

    @abc.abstractmethod
    def read_answer(self, answer: Dict[str, Any]) -> Result:
        """The result in a client's answer. :raises KeyError, TypeError, AttributeError: the answer has none."""

    def parse(self, text: str, source: str, target: str) -> Result:
        """The result in a client's output. :raises Unmeasured: there is none."""
        port = self.settings['port']
        answer = parse_answer(text, source, target, port)
        try:
            return self.read_answer(answer)
        except (KeyError, TypeError, AttributeError):
            raise failure('its answer has no result', source, target, port)

    def measure(self, job: Job) -> Result:
        text, remark = self._run(job)
        if text.lstrip().startswith('{'):
            try:
                job.keep_answer(text)
            except OSError as error:
                # The sample is good without iperf3's own answer.
                remark = 'The answer of iperf3 could not be kept: {}.'.format(error.strerror)
        result = self.parse(text, job.source.name, job.target.name)
        return result._replace(remark=remark or different_versions(job.versions))

    def _run(self, job: Job) -> Tuple[str, str]:
        """Run the client: (its output, a remark or ''). A server that this started ends here, too."""
        if self.settings['server'] == RUNNING:
            return self._client(job), ''
        # A file, not a pipe: over hours the server prints a line a second, and a full pipe would block it.
        with tempfile.TemporaryFile('w+') as log:
            server = job.target.start(server_argv(self.settings['port']), output=log)
            try:
                return self._ask_until_it_listens(job, server, log)
            finally:
                stop(server)

    def _ask_until_it_listens(self, job: Job, server: 'subprocess.Popen[str]', log: IO[str]) -> Tuple[str, str]:
        deadline = job.clock() + LISTEN
        while True:
            text = self._client(job)
            status = server.poll()
            ended = status not in (None, 0)
            if ended and refused(text):
                raise job.target.lost(status, _tail(log)) or Unmeasured('The iperf3 server of {} ended: {}.'.format(
                    job.target.name, last_line(_tail(log))))
            if not refused(text) or job.clock() > deadline:
                break
            job.sleep(_RETRY)
        if not ended:
            return text, ''
        return text, 'Another iperf3 server answered on port {} of {}; ours ended: {}.'.format(
            self.settings['port'], job.target.name, last_line(_tail(log)))

    def _client(self, job: Job) -> str:
        _, output, errors = job.source.run(self.argv(job.address), self.patience(job.slack))
        return output or errors


def _tail(stream: IO[str], most: int = 2000) -> str:
    """The end of a program's output in a text file that it shares with this process."""
    text = os.pread(stream.fileno(), 1 << 20, max(0, os.fstat(stream.fileno()).st_size - most))
    return text.decode('utf-8', 'replace')
