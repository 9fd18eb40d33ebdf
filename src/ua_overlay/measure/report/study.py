"""The part of a report that compares its numbers with the source study's. Pure."""
from typing import List, Optional, Tuple

from ua_overlay.measure import headers, paths, stats
from ua_overlay.measure.report.data import LABELS, RAW, Data
from ua_overlay.measure.report.numbers import estimate_text, with_variant
from ua_overlay.measure.report.parts import Part, Table
from ua_overlay.measure.tools.registry import metrics

#: (key of a metric, its name in the study, the published value). The study measured on its own campus, at other places,
#: with other versions.
CHANGES = (('tcp', 'TCP throughput loss', '39.30 %'), ('rtt', 'RTT increase', '35.25 %'))
LOSSES = (('udp_lost', 'UDP loss', '0 %'),)
FORMULAS = ('throughput loss % = (raw - overlay) / raw * 100', 'RTT increase % = (overlay - raw) / raw * 100')


def part(data: Data) -> Optional[Part]:
    """The Part, None when none of the study's metrics was measured."""
    rows = _changes(data) + _losses(data)
    if not rows:
        return None
    return Part('Beside the study', (
        'The last column is what the study published for its own campus, places and versions (eleven places, all '
        'relayed but the lab itself). It is not a measurement of this campaign. The formulas are the study\'s: {}; {}. '
        'A percentage alone misleads: on a short path a fraction of a millisecond is a large share, so the '
        'difference itself stands beside it.'.format(*FORMULAS),
        'Headers alone cost {:.2f} % of TCP throughput in WireGuard (MTU {} instead of {}, IPv4), and {:.1f} % on one '
        'leg to a DERP relay; where both legs share one Wi-Fi, they use twice that share of it.'.format(
            headers.header_floor(data.overlay_efficiency, data.raw_efficiency), data.mtu(paths.OVERLAY), data.mtu(RAW),
            headers.header_floor(data.derp_efficiency, data.raw_efficiency)),
        Table('Mean over places of each place\'s change of medians, with 95 % interval; UDP loss: median of all runs',
              ('', 'link', 'here', 'here, difference', 'places', 'the study, its own'), tuple(rows))))


def _changes(data: Data) -> List[Tuple[str, ...]]:
    return [(with_variant(name, variant), label, estimate_text(change.percent, '%'),
             estimate_text(change.absolute, metrics()[key].unit), str(places), published)
            for key, name, published in CHANGES for variant, _ in data.variants(key)
            for label, (change, places) in data.overall(key, variant).items()]


def _losses(data: Data) -> List[Tuple[str, ...]]:
    lines: List[Tuple[str, ...]] = []
    for key, name, published in LOSSES:
        for variant, rows in data.variants(key):
            for label in LABELS:
                of_label = [row for row in rows if row.group.label == label]
                values = [value for row in of_label for value in row.group.values(row.metric)]
                if values:
                    lines.append((with_variant(name, variant), label, estimate_text(stats.estimate(values), '%'), '-',
                                  str(len(of_label)), published))
    return lines
