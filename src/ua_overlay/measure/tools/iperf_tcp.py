"""`iperf3-tcp`: throughput of one TCP connection."""
from typing import Any, Dict, List

from ua_overlay.measure import stats
from ua_overlay.measure.fields import CampaignError, Key, congestion, rate
from ua_overlay.measure.tools import metric
from ua_overlay.measure.tools.iperf import Iperf, intervals_bps
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.tool import Result
from ua_overlay.system import schema

KIND = 'iperf3-tcp'


class IperfTcp(Iperf):
    """iperf3 over TCP; without a `rate` it takes the whole link."""

    kind = KIND
    title = 'TCP'
    # Pin the congestion control: the kernel's default differs from machine to machine.
    keys = dict(Iperf.shared_keys, congestion=Key('cubic', congestion), rate=Key(None, schema.optional(rate, None)))
    series = ('intervals_bps',)
    values = {'bps': 'bit/s', 'intervals_bps': 'bit/s', 'retransmits': 'segments'}
    metrics = (
        Metric(KIND, 'tcp', 'TCP throughput', 'Mbit/s', metric.number('bps', 1e-6), metric.every('intervals_bps', 1e-6),
               stats.throughput_loss, 'TCP throughput by place', 'a second of iperf3, as its sender counts', 2,
               limited=True),
        Metric(KIND, 'retransmits', 'TCP retransmits', 'segments', metric.number('retransmits')))
    variant = ('congestion', 'offered_bps')

    def argv(self, address: str) -> List[str]:
        limit = self.settings['rate']
        return super().argv(address) + ['-C', self.settings['congestion']] + (
            ['-b', '{:.0f}'.format(limit)] if limit else [])

    def read_answer(self, answer: Dict[str, Any]) -> Result:
        end = answer['end']
        return Result({'bps': end['sum_received']['bits_per_second'], 'intervals_bps': intervals_bps(answer),
                       'retransmits': end['sum_sent'].get('retransmits', 0)}, end['sum_received']['bytes'])

    def wire_bits(self) -> float:
        if not self.settings['rate']:
            raise CampaignError('tools.{}.rate is missing: without it TCP takes the whole link.'.format(self.name))
        return super().wire_bits()


TOOL = IperfTcp
