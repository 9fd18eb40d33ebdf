"""`iperf3-udp`: loss and jitter of UDP at a given rate."""
from typing import Any, Dict, List

from ua_overlay.measure import stats
from ua_overlay.measure.fields import Key, rate
from ua_overlay.measure.tools import metric
from ua_overlay.measure.tools.iperf import Iperf, intervals_bps
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.tool import Result

KIND = 'iperf3-udp'


class IperfUdp(Iperf):
    """iperf3 over UDP."""

    kind = KIND
    title = 'UDP'
    keys = dict(Iperf.shared_keys, rate=Key('10mbit', rate))
    series = ('intervals_bps',)
    values = {'bps': 'bit/s', 'offered_bps': 'bit/s', 'jitter_ms': 'ms', 'lost_percent': '%', 'packets': ''}
    metrics = (
        Metric(KIND, 'udp', 'UDP throughput', 'Mbit/s', metric.number('bps', 1e-6), None, stats.throughput_loss,
               over_days=3),
        Metric(KIND, 'jitter', 'UDP jitter', 'ms', metric.number('jitter_ms'), None, stats.rtt_increase,
               'Jitter by place', 'a run of iperf3'),
        Metric(KIND, 'udp_lost', 'UDP loss', '%', metric.number('lost_percent'), None, None, 'UDP loss by place',
               'a run of iperf3'))
    variant = ('offered_bps',)

    def argv(self, address: str) -> List[str]:
        return super().argv(address) + ['-u', '-b', '{:.0f}'.format(self.settings['rate'])]

    def read_answer(self, answer: Dict[str, Any]) -> Result:
        # iperf3 before 3.10 has `sum` alone: jitter and loss of the receiver, bytes of the sender.
        end = answer['end']
        total = end['sum']
        received = end.get('sum_received') or total
        arrived = 1.0 if received is not total else 1 - total['lost_percent'] / 100.0
        return Result({'bps': received['bits_per_second'] * arrived, 'offered_bps': self.settings['rate'],
                       'jitter_ms': total['jitter_ms'], 'lost_percent': total['lost_percent'],
                       'packets': total['packets'], 'intervals_bps': intervals_bps(answer)}, received['bytes'])


TOOL = IperfUdp
