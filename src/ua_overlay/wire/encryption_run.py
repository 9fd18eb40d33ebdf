"""Make the captures of the proof of encryption: a page over each link type, and one past the tunnel."""
import contextlib
import json
import os
import signal
import subprocess
import sys
from typing import IO, Any, Callable, ContextManager, Dict, Iterator, List, Optional, Protocol, Sequence, Tuple

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import CommandHost, JsonObject, Progress
from ua_overlay.wire import capture, encryption, packets
from ua_overlay.wire.encryption import ALL_LINKS, PORT, RAW, CapturePoint, Run
from ua_overlay.wire.packets import Packet

PAGE = 'page.txt'
#: Attempts per link type: a link may change during a transfer, because tailscaled searches for better paths.
TRIES = 5
#: Seconds for the page, and for a program to end.
PAGE_TIMEOUT, END_TIMEOUT = 60.0, 15.0
# The address and the canary arrive on stdin. The program checks the answer: without the page there is no proof.
_REQUEST = '''
import json, sys, urllib.request
asked = json.load(sys.stdin)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
request = urllib.request.Request(asked['url'] + '?' + asked['canary'], headers={'X-Canary': asked['canary']})
answer = opener.open(request, timeout=asked['seconds']).read().decode()
assert answer.count(asked['canary']) > 1, 'another page'
'''


class ProofFailed(OverlayError):
    """The proof could not be made: a program did not start, the page did not arrive, or a link changed."""

    code = 'MEASURE_ENCRYPTION'


class Stage(Protocol):
    """The hosts of the proof: two robots, the routers between them, the host of the relays."""

    @property
    def hosts(self) -> Sequence[CommandHost]:
        """All hosts that capture. They have the directory of the captures at the same path."""
        ...

    @property
    def ends(self) -> Tuple[str, str]:
        """Names of the robot that requests the page, and of the robot that serves it."""
        ...

    @property
    def between(self) -> Sequence[str]:
        """Names of the hosts that every packet between the robots passes."""
        ...

    @property
    def relays(self) -> Sequence[str]:
        """Names of the hosts that every packet passes on a relayed link."""
        ...

    @property
    def tunnel(self) -> str:
        """Name of the tunnel's interface."""
        ...

    def address(self, link: str) -> str:
        """The address from which the first robot requests the page. :param link: RAW or a link type."""
        ...

    def bind(self, link: str) -> str:
        """The address at which the web server of the second robot listens."""
        ...

    def turn(self, link: str) -> ContextManager[None]:
        """Force a link type, and hold it."""
        ...


@contextlib.contextmanager
def captures(hosts: Sequence[CommandHost], directory: str) -> Iterator[List[JsonObject]]:
    """Capture on all hosts at once; yields a list that holds each host's answer once the captures have ended.

    :param directory: has this path on all hosts.
    :raises ProofFailed: a capture cannot be started, or ends early.
    """
    program = os.path.realpath(capture.__file__)
    answers: List[JsonObject] = []
    started: 'List[Tuple[CommandHost, subprocess.Popen[str]]]' = []
    try:
        for host in hosts:
            started.append((host, _start(host, [sys.executable, '-I', '-S', program, directory, host.name])))
        for host, process in started:
            if _stream(process.stdout).readline().strip() != 'capturing':
                raise ProofFailed('No capture on {}: {}.'.format(
                    host.name, _stream(process.stderr).read().strip()[-200:]))
        yield answers
    finally:
        for _, process in started:
            process.terminate()
        ended = [_end(process) for _, process in started]
        answers += [answer for answer in ended if answer is not None]
    if len(answers) < len(started):
        raise ProofFailed('A capture ended before its time.')


@contextlib.contextmanager
def web_server(host: CommandHost, address: str, directory: str, port: int = PORT) -> Iterator[None]:
    """Serve the files of ``directory`` from ``host``; the server listens at ``address`` when this yields."""
    process = _start(host, [sys.executable, '-I', '-u', '-m', 'http.server', str(port), '--bind', address,
                            '--directory', directory])
    try:
        if 'Serving' not in _stream(process.stdout).readline():
            raise ProofFailed('No web server on {} at {}:{}.'.format(host.name, address, port))
        yield
    finally:
        process.terminate()
        _end(process)


def request(host: CommandHost, address: str, canary: str, port: int = PORT, seconds: float = PAGE_TIMEOUT) -> None:
    """Request the page on ``host``. :raises ProofFailed: the page does not arrive."""
    process = _start(host, [sys.executable, '-I', '-c', _REQUEST], stdin=subprocess.PIPE)
    try:
        _, errors = process.communicate(json.dumps({
            'url': 'http://{}:{}/{}'.format(address, port, PAGE), 'canary': canary, 'seconds': seconds}),
            seconds + END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ProofFailed('The page of {} did not come to {} within {:.0f} s.'.format(address, host.name, seconds))
    if process.returncode != 0:
        raise ProofFailed('The page of {} did not come to {}: {}.'.format(
            address, host.name, errors.strip().splitlines()[-1] if errors.strip() else 'no answer'))


def _start(host: CommandHost, argv: Sequence[str], **options: Any) -> 'subprocess.Popen[str]':
    options.setdefault('stdin', subprocess.DEVNULL)
    return host.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **options)


def _stream(pipe: Optional[IO[str]]) -> IO[str]:
    assert pipe is not None
    return pipe


def _end(process: 'subprocess.Popen[str]') -> Optional[JsonObject]:
    """Wait for a program to end; returns the JSON object in its last line of output, None without one."""
    try:
        output, _ = process.communicate(timeout=END_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
    try:
        answer: JsonObject = json.loads(output.strip().splitlines()[-1])
        return answer
    except (ValueError, IndexError):
        return None


def load(directory: str, hosts: Sequence[str]) -> Dict[Tuple[str, str], List[Packet]]:
    """The captures of ``directory``: (host, interface) -> packets. :param hosts: names."""
    captured = {}
    for name in sorted(os.listdir(directory)):
        host = next((host for host in hosts if name.startswith(host + '.') and name.endswith('.pcap')), None)
        if host:
            with open(os.path.join(directory, name), 'rb') as stream:
                captured[host, name[len(host) + 1:-len('.pcap')]] = packets.parse_all(capture.read(stream.read()))
    return captured


def run_once(stage: Stage, link: str, canary: str, directory: str) -> Run:
    """Send one page over one link type, captured and judged.

    :param directory: new and empty; has this path on all hosts.
    """
    hosts = {host.name: host for host in stage.hosts}
    client, server = stage.ends
    served = os.path.join(directory, 'served')
    os.mkdir(served)
    with open(os.path.join(served, PAGE), 'w', encoding='ascii') as stream:
        stream.write(encryption.page(canary))
    address = stage.address(link)
    with web_server(hosts[server], stage.bind(link), served), captures(stage.hosts, directory) as answers:
        request(hosts[client], address, canary)
    captured = load(directory, list(hosts))
    points = points_of(captured, stage.tunnel, list(hosts), canary)
    dropped = sum(answer['dropped'] for answer in answers)
    outside = [packet for (host, interface), group in captured.items() if host == server and interface != stage.tunnel
               for packet in group]
    picture = encryption.pair_of(link, captured.get((server, stage.tunnel), []), outside, canary)
    why = encryption.judge(link, points, stage.ends, on_the_way(stage, link), dropped)
    return Run(link, canary, points, why, picture)


def points_of(captured: Dict[Tuple[str, str], List[Packet]], tunnel: str, hosts: Sequence[str], canary: str
              ) -> List[CapturePoint]:
    """The points of captures. A host without packets (the relays' host, on a direct link) has an empty one."""
    points = [encryption.inspect(host, interface, interface == tunnel, group, canary)
              for (host, interface), group in sorted(captured.items())]
    return points + [encryption.inspect(host, '', False, [], canary)
                     for host in hosts if host not in {point.host for point in points}]


def on_the_way(stage: Stage, link: str) -> Sequence[str]:
    """Names of the hosts between the robots that every packet passes; on a relayed link this includes the relay's."""
    return tuple(stage.between) + (tuple(stage.relays) if link in link_types.RELAYED else ())


def prove(stage: Stage, directory: str, canaries: Callable[[], str], progress: Progress,
          links: Sequence[str] = ALL_LINKS) -> List[Run]:
    """Prove each link type in turn; repeat a transfer that used another link type.

    :param canaries: function -> a new canary, hexadecimal digits.
    :param progress: function(description of a step) -> context manager.
    """
    runs = []
    for link in links:
        with progress('The page past the tunnel' if link == RAW else 'The page over a link {}'.format(link)):
            for number in range(TRIES):
                with stage.turn(link):
                    captured = os.path.join(directory, '{}-{}'.format(link.lower(), number))
                    os.mkdir(captured)
                    run = run_once(stage, link, canaries(), captured)
                if not run.why or not encryption.worth_another_try(run):
                    break
            runs.append(run)
    return runs
