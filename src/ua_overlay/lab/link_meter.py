"""Measure a lab's link from outside the emulator, and compare it with its shape."""
import json
import re
import statistics
import threading
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.lab import link
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.shape import Shape
from ua_overlay.lab.topology import INET, Topology
from ua_overlay.system import procnet

#: Share of data in a TCP segment of iperf3: 1448 bytes of 1538 on the wire (MTU 1500, timestamps).
TCP_SHARE = 1448 / 1538
#: Pings that measure the loss: small, so that neither rate nor queue matters.
PROBES = 400
_RTT = re.compile(r'time=([\d.]+) ms')
_PORT = 5201


@dataclass(frozen=True)
class Figure:
    """One row; ``expected`` follows from the shape of the link, None where the shape determines no value."""

    key: str
    name: str
    unit: str
    expected: Optional[float]
    measured: float

    @property
    def error(self) -> Optional[float]:
        """Relative to the expected value; absolute if that is 0; None without one."""
        if self.expected is None:
            return None
        return (self.measured - self.expected) / self.expected if self.expected else self.measured


def expected(shape: Shape) -> Dict[str, Optional[float]]:
    """Return what a shape makes of round trips and TCP on a link: key of the figure -> value or None. Pure."""
    kept = (1 - shape.loss) ** 2
    # TCP slows down after a loss or reordering: then the rate does not determine the throughput.
    plain_rate = shape.rate * TCP_SHARE / 1e6 if shape.rate and not shape.loss and not shape.reorder else None
    return {'rtt': None if shape.reorder else 2e3 * shape.delay, 'jitter': None, 'loss': 100 * (1 - kept),
            'tcp': plain_rate}


def parse_ping(text: str) -> List[float]:
    """Return the round trips in ms in the output of `ping`."""
    return [float(value) for value in _RTT.findall(text)]


def far_end(topology: Topology, host: str) -> Tuple[str, str]:
    """Return (host, address) at the other end of a host's link: the internet's gateway, or the host's router."""
    attachment = link.Attachment(topology, host)
    if attachment.owner == INET:
        return INET, topology.gateway
    return attachment.owner, str(topology.nat(attachment.owner).inside.ip)


def measure(lab: Lab, host: str, seconds: float = 3.0) -> List[Figure]:
    """Measure the link of ``host``; takes about twice ``seconds``.

    :raises OverlayError: LAB_LINK, no packet comes back.
    """
    shape = link.shape_of(lab, host)
    calculated = expected(shape)
    owner, address = far_end(lab.topology, host)
    interval = seconds / PROBES
    done = lab.host(host).run(['ping', '-n', '-i', '{:.4f}'.format(interval), '-c', str(PROBES), '-s', '56', '-W', '2',
                               address], timeout=seconds + 60, check=False)
    trips = parse_ping(done.stdout)
    if len(trips) < 2:
        raise OverlayError('Nothing comes back over the link of {}.'.format(host),
                           command('ua-overlay lab link show --name {}', lab.name), code='LAB_LINK')
    rate = _tcp(lab, host, owner, address, seconds)
    differences = [abs(after - before) for before, after in zip(trips, trips[1:])]
    return [Figure('rtt', 'round trip, median', 'ms', calculated['rtt'], statistics.median(trips)),
            Figure('jitter', 'round trip, change from one to the next, mean', 'ms', calculated['jitter'],
                   statistics.mean(differences)),
            Figure('loss', 'lost round trips', '%', calculated['loss'], 100 * (1 - len(trips) / PROBES)),
            Figure('tcp', 'TCP (cubic)', 'Mbit/s', calculated['tcp'], rate)]


def _tcp(lab: Lab, host: str, owner: str, address: str, seconds: float) -> float:
    """Return the Mbit/s of a TCP connection from ``host`` to the far end, without its first second."""
    server = lab.host(owner).popen(['iperf3', '-s', '-1', '-B', address, '-p', str(_PORT)], stdout=-3, stderr=-3)
    try:
        _wait_listening(lab, owner)
        done = lab.host(host).run(['iperf3', '-c', address, '-p', str(_PORT), '-t', '{:.0f}'.format(max(1.0, seconds)),
                                   '-O', '1', '-C', 'cubic', '-J'], timeout=seconds + 60)
        return float(json.loads(done.stdout)['end']['sum_received']['bits_per_second']) / 1e6
    finally:
        server.terminate()
        server.wait()


def _wait_listening(lab: Lab, owner: str, patience: float = 30.0) -> None:
    """Wait until iperf3 listens in the network namespace of ``owner``."""
    pause = threading.Event()
    for _ in range(int(patience / 0.05)):
        if any(each.local_port == _PORT and each.state == procnet.LISTEN
               for each in procnet.read_sockets('tcp', '/proc/{}/net'.format(lab.host(owner).pid))):
            return
        pause.wait(0.05)
    raise OverlayError('iperf3 does not listen on {}.'.format(owner), 'apt-get install iperf3', code='LAB_LINK')
