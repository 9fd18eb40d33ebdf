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
from ua_overlay.protocols import CommandHost, JsonObject
from ua_overlay.wire import capture, encryption, packets
from ua_overlay.wire.encryption import ALL_LINKS, PORT, RAW, CapturePoint, Run
from ua_overlay.wire.packets import Packet

PAGE = 'page.txt'
#: A link may change while a page travels (tailscaled looks for better ones); then the page travels again.
TRIES = 5
#: Seconds for the page, and for a program to end.
PAGE_TIMEOUT, END_TIMEOUT = 60.0, 15.0
# The address and the canary come by stdin. The answer must be the page: nothing is proven by a page that never came.
_REQUEST = '''
import json, sys, urllib.request
asked = json.load(sys.stdin)
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
request = urllib.request.Request(asked['url'] + '?' + asked['canary'], headers={'X-Canary': asked['canary']})
answer = opener.open(request, timeout=asked['seconds']).read().decode()
assert answer.count(asked['canary']) > 1, 'another page'
'''


class ProofFailed(OverlayError):
    """The proof could not be made: a program did not start, a page did not come, a link did not stay."""

    code = 'MEASURE_ENCRYPTION'


class Stage(Protocol):
    """Where the proof takes place: two robots, the routers between them, the host of the relays."""

    @property
    def hosts(self) -> Sequence[CommandHost]:
        """All that capture. They see the directory of the captures under one path."""
        ...

    @property
    def ends(self) -> Tuple[str, str]:
        """Names of the robot that asks for the page, and of the one that has it."""
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
        """Where the first robot asks for the page. :param link: RAW or a link type."""
        ...

    def bind(self, link: str) -> str:
        """The address at which the web server of the second robot listens."""
        ...

    def turn(self, link: str) -> ContextManager[None]:
        """Bring about a link type and hold it."""
        ...


Progress = Callable[[str], ContextManager[Any]]


@contextlib.contextmanager
def captures(hosts: Sequence[CommandHost], directory: str) -> Iterator[List[JsonObject]]:
    """Capture on all hosts at once; yields a list that has the answer of each when the captures have ended.

    :param directory: all hosts see it under that name.
    :raises ProofFailed: a capture cannot be started, or ends before its time.
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
    """A web server on ``host`` with the files of ``directory``; it listens at ``address`` when this yields."""
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
    """Ask for the page from ``host``. :raises ProofFailed: it does not come."""
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
    """The JSON object that an ended program printed last, None without one."""
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

    :param directory: new and empty; all hosts see it under that name.
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
    """The points of captures. A host that nothing passed (that of the relays, on a direct link) has an empty one."""
    points = [encryption.inspect(host, interface, interface == tunnel, group, canary)
              for (host, interface), group in sorted(captured.items())]
    return points + [encryption.inspect(host, '', False, [], canary)
                     for host in hosts if host not in {point.host for point in points}]


def on_the_way(stage: Stage, link: str) -> Sequence[str]:
    """Names of the hosts between the robots that every packet passes; over a relay its host too."""
    return tuple(stage.between) + (tuple(stage.relays) if link in link_types.RELAYED else ())


def prove(stage: Stage, directory: str, canaries: Callable[[], str], progress: Progress,
          links: Sequence[str] = ALL_LINKS) -> List[Run]:
    """Prove each link type in turn; a page that went another way travels again.

    :param canaries: function -> a new canary, hexadecimal digits.
    :param progress: function(what is being done) -> context manager.
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
