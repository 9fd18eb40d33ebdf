"""The data of a report, from samples: which groups are compared, and which samples are excluded. Pure."""
from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Sequence, Tuple

from ua_overlay import link_types
from ua_overlay.clock import parse_rate
from ua_overlay.measure import headers, paths, stats
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.stats import Change, Estimate
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.registry import TOOLS, metrics
from ua_overlay.protocols import JsonObject

#: Labels of samples: the raw network, a link type, or ANY where the counters did not say which.
RAW, ANY = paths.RAW, paths.OVERLAY
#: In the order of figures and tables.
LABELS = (RAW,) + link_types.CARRYING + (ANY,)


@dataclass(frozen=True)
class Group:
    """Repetitions of one measurement. ``label``: one of LABELS; ``variant``: its settings in words."""

    scenario: str
    place: str
    label: str
    tool: str
    variant: str
    samples: Tuple[Sample, ...] = field(repr=False)

    def values(self, metric: Metric) -> List[float]:
        """One number for each repetition, in order."""
        numbers = [metric.value(each.values) for each in self.samples]
        return [value for value in numbers if value is not None]

    def pieces(self, metric: Metric) -> List[float]:
        """Every single measurement (a ping, a second of iperf3) of all repetitions; for a metric without pieces, one
        number for each repetition."""
        if metric.pieces is None:
            return self.values(metric)
        return [value for each in self.samples for value in metric.pieces(each.values)]

    @property
    def capacity(self) -> Optional[float]:
        """Bit/s of the slower emulated link of the two ends. None when neither has a rate, or when the tool's own rate
        is the limit."""
        rates = [rate for each in self.samples if not each.settings.get('offered_bps') for rate in _rates(each)]
        return min(rates) if rates else None


@dataclass(frozen=True)
class Row:
    """The numbers of a group for one metric. ``change``: against the raw network of the same place, or None."""

    group: Group
    metric: Metric
    estimate: Estimate
    change: Optional[Change]


def _rates(sample: Sample) -> List[float]:
    ends = [sample.link.get(host) or {} for host in (sample.source, sample.target)]
    return [parse_rate(end['rate']) for end in ends if end.get('rate')]


def label_of(sample: Sample) -> str:
    """`raw`, or a link type: the expected one if there is one, else the one that carried most bytes."""
    if sample.raw:
        return RAW
    return sample.expected or (sample.proof.most if sample.proof.most in LABELS else ANY)


def variant_of(sample: Sample) -> str:
    """`size 1000, rate 10`: the settings that distinguish this measurement from others with the same tool."""
    return TOOLS[sample.tool].variant_of(sample.settings)


class Data:
    """The content of a results directory, sorted for a report.

    :param samples: in the order in which they were taken. Of several with one id the last one counts.
    :param campaign: the content of campaign.json.
    :param encryption: the proof stored with the results, as encryption.as_json; None without one.
    :param only: names of places that the report is limited to; None for all.
    """

    def __init__(self, samples: Iterable[Sample], campaign: JsonObject, encryption: Optional[JsonObject] = None,
                 only: Optional[Sequence[str]] = None) -> None:
        self.campaign = campaign
        self.encryption = encryption
        self.only = only
        self.samples = [each for each in {each.id: each for each in samples}.values()
                        if only is None or each.place in only]
        self.good = [each for each in self.samples if each.ok]
        self.left_out = [each for each in self.samples if not each.ok]
        self.groups = self._grouped()
        self._rows: Dict[str, List[Row]] = {}

    def _grouped(self) -> List[Group]:
        groups: Dict[Tuple[str, str, str, str, str], List[Sample]] = {}
        for each in self.good:
            key = each.scenario, each.place, label_of(each), each.tool, variant_of(each)
            groups.setdefault(key, []).append(each)
        return [Group(*key, samples=tuple(samples)) for key, samples in sorted(
            groups.items(), key=lambda item: (self.order_of(item[0][1]), LABELS.index(item[0][2]), item[0]))]

    def order_of(self, place: str) -> int:
        """Places in the order of the campaign, then other places."""
        names = list(self.places)
        return names.index(place) if place in names else len(names)

    @property
    def places(self) -> Dict[str, Dict[str, Any]]:
        """Key -> {name, x, y}; without x and y where the campaign has none."""
        return self.campaign.get('places') or {}

    def place_title(self, place: str) -> str:
        """The place's name for people."""
        return str((self.places.get(place) or {}).get('name', place))

    @property
    def emulated(self) -> bool:
        return bool(self.campaign.get('emulated'))

    @property
    def monitored(self) -> bool:
        """Whether `measure monitor` made the results."""
        return 'monitor' in (self.campaign.get('campaign') or {})

    @property
    def synthetic(self) -> bool:
        """Whether a test invented the samples."""
        return bool(self.campaign.get('synthetic'))

    def mtu(self, path: str) -> int:
        """The most frequent MTU of a path's samples; the default if no sample has one. :param path: RAW or OVERLAY."""
        mtus = [int(each.settings['mtu']) for each in self.good if each.path == path and each.settings.get('mtu')]
        usual = headers.RAW_MTU if path == RAW else headers.OVERLAY_MTU
        return max(sorted(set(mtus)), key=mtus.count) if mtus else usual

    @property
    def raw_efficiency(self) -> float:
        """Share of the link that is data of TCP; see headers."""
        return headers.raw_efficiency(self.mtu(RAW))

    @property
    def overlay_efficiency(self) -> float:
        return headers.overlay_efficiency(self.mtu(paths.OVERLAY))

    @property
    def derp_efficiency(self) -> float:
        return headers.derp_efficiency(self.mtu(paths.OVERLAY))

    def place_name(self, group: Group) -> str:
        """The name of a group's place for people. It includes the scenario where a place has several with one link, so
        that each appears beside its own raw network."""
        here = {(each.label, each.scenario) for each in self.groups
                if (each.place, each.tool) == (group.place, group.tool)}
        name = self.place_title(group.place)
        several = len({label for label, _ in here}) < len(here)
        return '{} ({})'.format(name, group.scenario) if several else name

    def raw_of(self, group: Group) -> Optional[Group]:
        """The raw network's group with the same tool and settings, of the same scenario or else the same place."""
        if group.label == RAW:
            return None
        alike = [each for each in self.groups
                 if each.label == RAW and (each.tool, each.variant) == (group.tool, group.variant)]
        return next((each for each in alike if each.scenario == group.scenario),
                    next((each for each in alike if each.place == group.place), None))

    def rows(self, key: str) -> List[Row]:
        """Rows of a metric, by place and label. :param key: of the metric."""
        if key not in self._rows:
            self._rows[key] = self._made_rows(metrics()[key])
        return self._rows[key]

    def _made_rows(self, metric: Metric) -> List[Row]:
        rows = []
        for group in self.groups:
            values = group.values(metric) if group.tool == metric.tool else []
            estimate = stats.estimate(values)
            if estimate:
                raw = self.raw_of(group)
                change = metric.change([(raw.values(metric), values)]) if raw and metric.change else None
                rows.append(Row(group, metric, estimate, change))
        return rows

    def variants(self, key: str) -> List[Tuple[str, List[Row]]]:
        """[(settings in words, rows)] of a metric: each item has the rows that one figure may show."""
        variants: Dict[str, List[Row]] = {}
        for row in self.rows(key):
            variants.setdefault(row.group.variant, []).append(row)
        return sorted(variants.items())

    def overall(self, key: str, variant: str) -> Dict[str, Tuple[Change, int]]:
        """Label -> (mean change over places, number of places), over places with both paths."""
        metric = metrics()[key]
        changes: Dict[str, Tuple[Change, int]] = {}
        if metric.change is None:
            return changes
        for label in LABELS[1:]:
            groups = [group for group in self.groups
                      if (group.tool, group.label, group.variant) == (metric.tool, label, variant)]
            pairs = [(raw.values(metric), group.values(metric))
                     for raw, group in ((self.raw_of(group), group) for group in groups) if raw]
            change = metric.change(pairs)
            if change:
                changes[label] = change, len(pairs)
        return changes
