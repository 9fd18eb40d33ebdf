"""`ping`: round trips of the system's ping."""
import re
from typing import List, Optional

from ua_overlay.measure import headers, stats
from ua_overlay.measure.fields import Key
from ua_overlay.measure.hosts.process import last_line
from ua_overlay.measure.tools import metric
from ua_overlay.measure.tools.metric import Metric, Values
from ua_overlay.measure.tools.tool import Job, Result, Tool, Unmeasured
from ua_overlay.system.schema import integer, number

KIND = 'ping'
_TRIP = re.compile(r'icmp_seq=(\d+) .*?time[=<]([\d.]+) ms(?! \(DUP)')
_TOTALS = re.compile(r'(\d+) packets transmitted, (\d+) received')


def _lost_percent(values: Values) -> Optional[float]:
    return 100.0 * values['lost'] / values['sent'] if values.get('sent') else None


class Ping(Tool):
    """ICMP echo, of iputils."""

    kind = KIND
    title = 'round trips'
    keys = {'count': Key(50, integer(2, 1000000)), 'interval': Key(0.2, number(0.002, 3600)),
            'size': Key(56, integer(16, 65000)), 'omit': Key(1, integer(0, 10000))}
    series = ('rtt_ms',)
    values = {'rtt_ms': 'ms', 'sent': '', 'lost': ''}
    metrics = (
        Metric(KIND, 'rtt', 'Round trip', 'ms', metric.median('rtt_ms'), metric.every('rtt_ms'), stats.rtt_increase,
               'Round trip by place', 'a ping', 1),
        Metric(KIND, 'ping_lost', 'Lost round trips', '%', _lost_percent))
    variant = ('size',)

    @property
    def duration(self) -> float:
        return float((self.settings['omit'] + self.settings['count']) * self.settings['interval'])

    def wire_bits(self) -> float:
        settings = self.settings
        return float(settings['omit'] + settings['count']) * headers.overlay_packet_bits(
            settings['size'] + headers.UDP_IPV4)

    def argv(self, address: str) -> List[str]:
        settings = self.settings
        # The C locale: others have a comma in the interval, and translate the answer (iputils issue 329).
        return ['env', 'LC_ALL=C', 'ping', '-n', '-c', str(settings['omit'] + settings['count']), '-i',
                '{:g}'.format(settings['interval']), '-s', str(settings['size']), '-W', '5', address]

    def measure(self, job: Job) -> Result:
        _, output, errors = job.source.run(self.argv(job.address), self.patience(job.slack))
        return self.parse(output + errors, job.source.name, job.target.name)

    def parse(self, text: str, source: str, target: str) -> Result:
        """The result in ping's output. :raises Unmeasured: no answer arrived, or ping did not run."""
        totals, omit = _TOTALS.search(text), self.settings['omit']
        if not totals:
            raise Unmeasured('ping from {} to {} failed: {}.'.format(source, target, last_line(text)))
        sent, received = int(totals.group(1)), int(totals.group(2))
        # The first one may wait for WireGuard's handshake. A duplicate (DUP!) is the same trip.
        trips = [(int(number), float(value)) for number, value in _TRIP.findall(text)]
        # By number and position: numbers restart after 65535.
        counted = [value for index, (number, value) in enumerate(trips) if index >= omit or number > omit]
        if not counted:
            raise Unmeasured('{} answers no ping from {}.'.format(target, source))
        return Result({'rtt_ms': counted, 'sent': sent - omit, 'lost': sent - omit - len(counted)},
                      (sent + received) * (self.settings['size'] + headers.UDP_IPV4))


TOOL = Ping
