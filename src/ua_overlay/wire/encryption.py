"""The proof that what goes through the overlay is encrypted: a page with a canary travels from one robot to the other
while packets are captured inside the tunnel and outside it, at both ends and everywhere between.

The canary has to be found inside and nowhere outside, and enough bytes of the framing that belongs to the link type
have to be there outside: a proof on captures that saw nothing would be none. A run past the tunnel has to find it
outside.
"""
import collections
import contextlib
import json
import os
import signal
import subprocess
import sys

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.wire import capture, packets, wireguard

#: A run past the tunnel.
RAW = 'raw'
#: What carries the page outside, by link type.
FRAMING = {link_types.DIRECT: wireguard.DATA, link_types.PEER_RELAY: wireguard.DATA + wireguard.RELAYED,
           link_types.DERP: wireguard.TLS}
PORT = 8080
PAGE = 'page.txt'
#: Bytes of the page: more than a segment holds, so that the canary lies across segments too.
PAGE_LENGTH = 20000
#: A link may change while a page travels (tailscaled looks for better ones); then once more.
TRIES = 5

#: What was seen on one interface. kinds: {framing: {'packets': , 'bytes': of payload}} of packets with a payload;
#: found: packets that hold the canary whole; in_streams: times in TCP's streams; entropy: bits per byte of the payload
#: inside, of what is encrypted outside, None without any.
CapturePoint = collections.namedtuple('CapturePoint', 'host interface inside packets found in_streams kinds entropy')
#: One page. link: RAW or a link type; why: sentences, empty when it went as it has to.
Run = collections.namedtuple('Run', 'link canary points why picture')

_FILLER = 'What the robots say to each other is for the robots. '
# The address and the canary come by stdin, the answer must be the page: no proof on a page that never came.
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


# --- decisions

def page(canary, length=PAGE_LENGTH):
    """A page of text with the canary in each line, and no line as long as the next: it lies across segments too."""
    text, line = '', 0
    while len(text) < length:
        text += '{} {} {}\n'.format(line, canary, _FILLER * (1 + line % 5))
        line += 1
    return text


def inspect(host, interface, inside, found, canary):
    """What the packets of an interface say, as a :data:`CapturePoint`. :param found: list of packets.Packet."""
    single, joined = packets.count(canary, found)
    kinds = wireguard.sort(found)
    if inside:
        body = b''.join(packet.payload for packet in found)
    else:
        body = b''.join(wireguard.cipher_text(packet, kind) for kind, group in kinds.items() for packet in group)
    counts = {kind: {'packets': len(group), 'bytes': sum(len(packet.payload) for packet in group)}
              for kind, group in kinds.items()}
    return CapturePoint(host, interface, inside, len(found), single, joined, {} if inside else counts,
                        wireguard.entropy(body))


def judge(link, points, ends, between, dropped=0, length=PAGE_LENGTH):
    """What is wrong with a run, as sentences; empty when it shows what it has to.

    :param link: RAW or a link type.
    :param points: list of :data:`CapturePoint`.
    :param ends: names of the two robots. :param between: names of the routers that every packet of theirs passes.
    :param dropped: packets that the captures lost.
    :param length: bytes of the page.
    """
    outside = [point for point in points if not point.inside]
    why = ['The captures lost {} packets.'.format(dropped)] if dropped else []
    if link == RAW:
        seen = {point.host for point in outside if found_in(point)}
        return why + ['Without the tunnel the canary was not found outside on {}: the search is blind.'.format(host)
                      for host in list(ends) + list(between) if host not in seen]
    inside = {point.host for point in points if point.inside and found_in(point)}
    why += ['The canary was not found inside the tunnel on {}.'.format(host) for host in ends if host not in inside]
    why += ['The canary was found outside the tunnel on {} ({}).'.format(point.host, point.interface)
            for point in outside if found_in(point)]
    for host in list(ends) + list(between):
        seen = sum(point.kinds.get(FRAMING[link], {}).get('bytes', 0) for point in outside if point.host == host)
        if seen < length:
            why.append('On {} there were {} bytes of {} outside, fewer than the {} of the page: it went another way.'
                       .format(host, seen, FRAMING[link], length))
    return why


def judge_files(points, length=PAGE_LENGTH // 10):
    """What is wrong with captures that somebody took of real robots, as sentences.

    :param length: bytes at least of a framing of the overlay in each capture outside.
    """
    why = ['The canary is not in {}, inside the tunnel.'.format(point.host)
           for point in points if point.inside and not found_in(point)]
    why += ['The canary is in {}, outside the tunnel.'.format(point.host)
            for point in points if not point.inside and found_in(point)]
    return why + ['{} holds nothing that carries the overlay: it proves nothing.'.format(point.host)
                  for point in points if not point.inside and
                  sum(point.kinds.get(kind, {}).get('bytes', 0) for kind in FRAMING.values()) < length]


def worth_another_try(run):
    """Whether what is wrong with a run may be chance: the link changed, a capture lost packets. A canary that was found
    outside the tunnel is no chance, and a search that is blind stays so."""
    return run.link != RAW and not any(found_in(point) for point in run.points if not point.inside)


def found_in(point):
    return point.found + point.in_streams > 0


def pair_of(link, inside, outside, canary):
    """A packet inside with the canary and the packet outside that carried it, or what came nearest to that in time.

    :param inside: packets of the robot that sent the page. :param outside: of the same robot.
    :returns: {'inner', 'outer': hexadecimal digits, 'kind': framing of the outer, 'header': bytes before its cipher
        text}, None when one of them is missing.
    """
    desired = packets.forms(canary)
    inner = [packet for packet in inside if any(form in packet.raw for form in desired)]
    if not inner or link == RAW:
        return None
    # The largest: a page's segment, not the request.
    chosen = max(inner, key=lambda packet: len(packet.raw))
    carriers = [packet for packet in wireguard.sort(outside).get(FRAMING[link], ()) if packet.source_port and
                packet.when >= chosen.when and len(packet.payload) >= min(len(chosen.raw), 1000)]
    if not carriers:
        return None
    carrier = min(carriers, key=lambda packet: packet.when)
    header = len(carrier.raw) - len(wireguard.cipher_text(carrier, FRAMING[link]))
    return {'inner': chosen.raw.hex(), 'outer': carrier.raw.hex(), 'kind': FRAMING[link], 'header': header}


def as_json(runs, links=(RAW,) + link_types.CARRYING):
    """Plain values of runs, for a file and for the report. :param links: what had to be run."""
    return {'schema': 1, 'proven': proven(runs, links), 'runs': [
        {'link': run.link, 'canary': run.canary, 'ok': not run.why, 'why': run.why, 'picture': run.picture,
         'places': [dict(point._asdict()) for point in run.points]} for run in runs]}


def proven(runs, links=(RAW,) + link_types.CARRYING):
    """Whether every link type was proven and the run past the tunnel showed that the search can fail."""
    return {run.link for run in runs if not run.why} == set(links) | {RAW}


# --- what happens

@contextlib.contextmanager
def captures(hosts, directory):
    """Capture on all hosts at once; yields a list that holds the answer of each when the captures have ended.

    :param hosts: objects with ``name`` and ``popen(argv, **options)``; they see ``directory`` under that name.
    :raises ProofFailed: when one cannot be started.
    """
    program = os.path.realpath(capture.__file__)
    answers, started = [], []
    try:
        for host in hosts:
            started.append((host, _start(host, [sys.executable, '-I', '-S', program, directory, host.name])))
        for host, process in started:
            if process.stdout.readline().strip() != 'capturing':
                raise ProofFailed('No capture on {}: {}.'.format(host.name, process.stderr.read().strip()[-200:]))
        yield answers
    finally:
        for _, process in started:
            process.terminate()
        for _, process in started:
            answers.append(_end(process))
    if any(answer is None for answer in answers):
        raise ProofFailed('A capture ended before its time.')


@contextlib.contextmanager
def web_server(host, address, directory, port=PORT):
    """A web server on ``host`` at ``address`` with the files of ``directory``; it listens when this yields."""
    process = _start(host, [sys.executable, '-I', '-u', '-m', 'http.server', str(port), '--bind', address,
                            '--directory', directory])
    try:
        if 'Serving' not in process.stdout.readline():
            raise ProofFailed('No web server on {} at {}:{}.'.format(host.name, address, port))
        yield
    finally:
        process.terminate()
        _end(process)


def request(host, address, canary, port=PORT, seconds=60):
    """Ask for the page from ``host``. :raises ProofFailed: when it does not come."""
    process = _start(host, [sys.executable, '-I', '-c', _REQUEST], stdin=subprocess.PIPE)
    try:
        _, errors = process.communicate(json.dumps({
            'url': 'http://{}:{}/{}'.format(address, port, PAGE), 'canary': canary, 'seconds': seconds}), seconds + 15)
    except subprocess.TimeoutExpired:
        process.kill()
        raise ProofFailed('The page of {} did not come to {} within {} s.'.format(address, host.name, seconds))
    if process.returncode != 0:
        raise ProofFailed('The page of {} did not come to {}: {}.'.format(
            address, host.name, errors.strip().splitlines()[-1] if errors.strip() else 'no answer'))


def _start(host, argv, **options):
    options.setdefault('stdin', subprocess.DEVNULL)
    return host.popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, **options)


def _end(process):
    """The JSON that an ended program said last, None when it said none."""
    try:
        output, _ = process.communicate(timeout=15)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
    try:
        return json.loads(output.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None


def load(directory, hosts):
    """The captures of ``directory``: {(host, interface): list of packets.Packet}."""
    found = {}
    for name in sorted(os.listdir(directory)):
        host = next((host for host in hosts if name.startswith(host + '.') and name.endswith('.pcap')), None)
        if host:
            with open(os.path.join(directory, name), 'rb') as stream:
                found[host, name[len(host) + 1:-len('.pcap')]] = packets.parse_all(capture.read(stream.read()))
    return found


def run_once(stage, link, canary, directory):
    """One page over one link type, captured and judged.

    :param stage: has ``hosts`` (of all that capture), ``ends`` (client, server: names), ``between`` and
        ``relays`` (names), ``tunnel`` (interface), ``address(link)`` where the client asks,
        and ``bind(link)`` where the server listens.
    :param directory: new and empty, seen by all hosts under that name.
    :returns: :data:`Run`.
    """
    hosts = {host.name: host for host in stage.hosts}
    client, server = stage.ends
    served = os.path.join(directory, 'served')
    os.mkdir(served)
    with open(os.path.join(served, PAGE), 'w', encoding='ascii') as stream:
        stream.write(page(canary))
    address = stage.address(link)
    with web_server(hosts[server], stage.bind(link), served), captures(stage.hosts, directory) as answers:
        request(hosts[client], address, canary)
    found = load(directory, list(hosts))
    points = [inspect(host, interface, interface == stage.tunnel, group, canary)
              for (host, interface), group in sorted(found.items())]
    # A host that nothing came by (that of the relays, on a direct link) is shown with its nothing.
    points += [inspect(host, '', False, [], canary) for host in hosts if host not in {point.host for point in points}]
    dropped = sum(answer['dropped'] for answer in answers)
    picture = pair_of(link, found.get((server, stage.tunnel), []), [
        packet for (host, interface), group in found.items() if host == server and interface != stage.tunnel
        for packet in group], canary)
    return Run(link, canary, points, judge(link, points, stage.ends, on_the_way(stage, link), dropped), picture)


def on_the_way(stage, link):
    """Names of the hosts between the robots that every packet passes, over a relay its host too."""
    return tuple(stage.between) + (tuple(stage.relays) if link in link_types.RELAYED else ())


def prove(stage, directory, canaries, progress, links=(RAW,) + link_types.CARRYING):
    """Each link type in turn; a page that went another way gets another try.

    :param stage: as for :func:`run_once`, and ``turn(link)``, which brings a link type about and holds it.
    :param canaries: function () -> a new canary, hexadecimal digits.
    :param progress: function(text) -> context manager.
    :returns: list of :data:`Run`.
    """
    runs = []
    for link in links:
        with progress('The page past the tunnel' if link == RAW else 'The page over a link {}'.format(link)):
            for number in range(TRIES):
                with stage.turn(link):
                    point = os.path.join(directory, '{}-{}'.format(link.lower(), number))
                    os.mkdir(point)
                    run = run_once(stage, link, canaries(), point)
                if not run.why or not worth_another_try(run):
                    break
            runs.append(run)
    return runs
