"""What a lab's link does, measured from outside the emulator, beside what it was told to do."""
import json
import re
import statistics
import threading
from dataclasses import dataclass

from ua_overlay.errors import OverlayError
from ua_overlay.lab import link
from ua_overlay.lab.topology import INET
from ua_overlay.system import procnet

#: The IPv4 packet of iperf3's TCP: 1448 bytes of data in 1538 on the wire (MTU 1500, timestamps).
TCP_SHARE = 1448 / 1538
#: Datagrams that ask for the loss: small, so that no rate and no queue is meant.
PROBES = 400
_RTT = re.compile(r'time=([\d.]+) ms')
_PORT = 5201


@dataclass(frozen=True)
class Figure:
    """One row; ``expected``: what follows from the shape of the link, None where nothing does."""

    key: str
    name: str
    unit: str
    expected: object
    measured: float

    @property
    def error(self):
        """Relative where something was told, absolute where that is nothing; None without."""
        if self.expected is None:
            return None
        return (self.measured - self.expected) / self.expected if self.expected else self.measured


def expected(shape):
    """What a Shape means for a round trip over this link and for TCP on it: dict of figure name -> number or None."""
    kept = (1 - shape.loss) ** 2
    # A lost packet makes TCP slow down: then the rate says nothing, and no simple formula does.
    plain_rate = shape.rate * TCP_SHARE / 1e6 if shape.rate and not shape.loss and not shape.reorder else None
    return {'rtt': None if shape.reorder else 2e3 * shape.delay, 'jitter': None, 'loss': 100 * (1 - kept),
            'tcp': plain_rate}


def parse_ping(text):
    """Round trips in ms, as a list, from what `ping` printed."""
    return [float(value) for value in _RTT.findall(text)]


def far_end(topology, host):
    """(host, address) at the other end of a host's link: the internet's gateway, or its router."""
    attachment = link.Attachment(topology, host)
    if attachment.owner == INET:
        return INET, topology.gateway
    return attachment.owner, str(topology.nat(attachment.owner).inside.ip)


def measure(lab, host, seconds=3.0):
    """Measure the link of ``host``; takes about twice ``seconds``.

    :returns: list of Figure.
    :raises OverlayError: LAB_LINK, when nothing comes through at all.
    """
    shape = link.shape_of(lab, host)
    on_paper = expected(shape)
    owner, address = far_end(lab.topology, host)
    interval = seconds / PROBES
    done = lab.host(host).run(['ping', '-n', '-i', '{:.4f}'.format(interval), '-c', str(PROBES), '-s', '56', '-W', '2',
                               address], timeout=seconds + 60, check=False)
    trips = parse_ping(done.stdout)
    if len(trips) < 2:
        raise OverlayError('Nothing comes back over the link of {}.'.format(host),
                           'ua-overlay lab link show --name {}'.format(lab.name), code='LAB_LINK')
    rate = _tcp(lab, host, owner, address, seconds)
    differences = [abs(after - before) for before, after in zip(trips, trips[1:])]
    return [Figure('rtt', 'round trip, median', 'ms', on_paper['rtt'], statistics.median(trips)),
            Figure('jitter', 'round trip, change from one to the next, mean', 'ms', on_paper['jitter'],
                   statistics.mean(differences)),
            Figure('loss', 'lost round trips', '%', on_paper['loss'], 100 * (1 - len(trips) / PROBES)),
            Figure('tcp', 'TCP (cubic)', 'Mbit/s', on_paper['tcp'], rate)]


def _tcp(lab, host, owner, address, seconds):
    """Mbit/s of one TCP connection from ``host`` to the far end, the first second left out."""
    server = lab.host(owner).popen(['iperf3', '-s', '-1', '-B', address, '-p', str(_PORT)], stdout=-3, stderr=-3)
    try:
        _wait_listening(lab, owner)
        done = lab.host(host).run(['iperf3', '-c', address, '-p', str(_PORT), '-t', '{:.0f}'.format(max(1.0, seconds)),
                                   '-O', '1', '-C', 'cubic', '-J'], timeout=seconds + 60)
        return json.loads(done.stdout)['end']['sum_received']['bits_per_second'] / 1e6
    finally:
        server.terminate()
        server.wait()


def _wait_listening(lab, owner, patience=30.0):
    """Wait until iperf3 listens in the network namespace of ``owner``."""
    pause = threading.Event()
    for _ in range(int(patience / 0.05)):
        if any(each.local_port == _PORT and each.state == procnet.LISTEN
               for each in procnet.read_sockets('tcp', '/proc/{}/net'.format(lab.host(owner).pid))):
            return
        pause.wait(0.05)
    raise OverlayError('iperf3 does not listen on {}.'.format(owner), 'apt-get install iperf3', code='LAB_LINK')
