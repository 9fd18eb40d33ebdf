"""What a report says, from samples: who is compared with whom, and what is left out. Pure."""
import statistics
from dataclasses import dataclass, field

from ua_overlay import link_types
from ua_overlay.clock import parse_rate
from ua_overlay.measure.campaign.sample import OK, OVERLAY, PING, RAW_PATH, SERVICE, TCP, TOPIC, UDP, VIDEO
from ua_overlay.measure.report import stats

RAW, ANY = RAW_PATH, OVERLAY
#: In the order of figures; ANY: the counters did not say which way.
LABELS = (RAW,) + link_types.CARRYING + (ANY,)
#: What makes two measurements with one tool different measurements; the rest of the settings is told, not compared.
_VARIANT = {TCP: ('congestion', 'offered_bps'), UDP: ('offered_bps',), PING: ('size',),
            TOPIC: ('size', 'rate_hz', 'rate'), SERVICE: (),
            VIDEO: ('encoding', 'width', 'height', 'rate_hz', 'congestion', 'nodelay', 'hog')}


@dataclass(frozen=True)
class Metric:
    """One number a repetition: ``of`` (values of a sample -> number or None); ``pieces`` -> the single measurements."""

    key: str
    tool: str
    name: str
    unit: str
    of: object
    pieces: object = None
    change: object = None


def _median(key):
    return lambda values: statistics.median(values[key]) if values.get(key) else None


def _number(key, factor=1.0):
    return lambda values: values[key] * factor if values.get(key) is not None else None


def _lost(values):
    return 100.0 * values['lost'] / values['sent'] if values.get('sent') else None


def _share(key, share):
    return lambda values: stats.percentile(values[key], share) if values.get(key) else None


def _topic_lost(values):
    return 100.0 * (1 - values['received'] / values['sent']) if values.get('sent') else None


def _list(key, factor=1.0):
    return lambda values: [value * factor for value in values.get(key) or []]


METRICS = {each.key: each for each in (
    Metric('tcp', TCP, 'TCP throughput', 'Mbit/s', _number('bps', 1e-6), _list('intervals_bps', 1e-6),
           stats.throughput_loss),
    Metric('retransmits', TCP, 'TCP retransmits', 'segments', _number('retransmits')),
    Metric('rtt', PING, 'Round trip', 'ms', _median('rtt_ms'), _list('rtt_ms'), stats.rtt_increase),
    Metric('ping_lost', PING, 'Lost round trips', '%', _lost),
    Metric('udp', UDP, 'UDP throughput', 'Mbit/s', _number('bps', 1e-6), None, stats.throughput_loss),
    Metric('jitter', UDP, 'UDP jitter', 'ms', _number('jitter_ms'), None, stats.rtt_increase),
    Metric('udp_lost', UDP, 'UDP loss', '%', _number('lost_percent')),
    Metric('age', TOPIC, 'Age of ROS messages', 'ms', _median('age_ms'), _list('age_ms'), stats.rtt_increase),
    Metric('topic_hz', TOPIC, 'Rate of ROS messages', 'Hz', _number('hz'), None, stats.throughput_loss),
    Metric('topic_lost', TOPIC, 'Lost ROS messages', '%', _topic_lost),
    Metric('service', SERVICE, 'Call of a ROS service', 'ms', _median('rtt_ms'), _list('rtt_ms'), stats.rtt_increase),
    Metric('video_hz', VIDEO, 'Frames of video', 'Hz', _number('hz'), None, stats.throughput_loss),
    Metric('video_age', VIDEO, 'Age of video frames', 'ms', _median('age_ms'), _list('age_ms'), stats.rtt_increase),
    Metric('video_age95', VIDEO, 'Age of video frames, 95 %', 'ms', _share('age_ms', 0.95)),
    Metric('video_age99', VIDEO, 'Age of video frames, 99 %', 'ms', _share('age_ms', 0.99)),
    Metric('video_lost', VIDEO, 'Lost video frames', '%', _topic_lost),
    Metric('video_skipped', VIDEO, 'Video frames not filmed', 'frames', _number('skipped')),
    Metric('video_longest', VIDEO, 'Longest time without a video frame', 'ms', _number('longest_ms')),
    Metric('video_hog', VIDEO, 'TCP beside the video', 'Mbit/s', _number('hog_bps', 1e-6)))}


@dataclass(frozen=True)
class Group:
    """Samples that are repetitions of one another. ``label``: one of LABELS; ``variant``: words on the settings."""

    scenario: str
    place: str
    label: str
    tool: str
    variant: str
    samples: tuple = field(repr=False)

    def values(self, metric):
        """One number a repetition, in order."""
        found = [metric.of(each['values']) for each in self.samples]
        return [value for value in found if value is not None]

    def pieces(self, metric):
        """Every single measurement of all repetitions (a ping, a second of iperf3); the repetitions where there are
        none."""
        if metric.pieces is None:
            return self.values(metric)
        return [value for each in self.samples for value in metric.pieces(each['values'])]

    @property
    def capacity(self):
        """Bit/s that the slower link of the two ends was told to carry; None when no rate was told, or when the tool
        was told a rate of its own: then no link sets the limit."""
        found = [rate for each in self.samples for rate in _rates(each) if not each['settings'].get('offered_bps')]
        return min(found) if found else None


@dataclass(frozen=True)
class Row:
    """A group under a metric. ``change``: stats.Change against the raw network of the same place, or None."""

    group: Group
    metric: Metric
    estimate: object
    change: object


def _rates(sample):
    ends = [sample['link'].get(host) or {} for host in (sample['source'], sample['target'])]
    return [parse_rate(end['rate']) for end in ends if end.get('rate')]


def label_of(sample):
    """`raw`, or the link type: the one that was asked for, else that of most bytes."""
    if sample['path'] == RAW:
        return RAW
    counted = sample.get('proof', {}).get('bytes', {})
    most = max(counted, key=lambda way: counted[way] or 0) if any(counted.values()) else ANY
    return sample['expected'] or (most if most in LABELS else ANY)


def variant_of(sample):
    """`size 1000, rate 10`: what tells this measurement from others with the same tool."""
    settings = sample.get('settings', {})
    return ', '.join(_setting(key, settings[key]) for key in _VARIANT[sample['tool']]
                     if settings.get(key) not in (None, '', False))


def _setting(key, value):
    if value is True:
        return key
    if key == 'offered_bps':
        return 'offered {:g} Mbit/s'.format(value / 1e6)
    if isinstance(value, float):
        value = '{:.12g}'.format(value)
    return '{} {}'.format(key.replace('_hz', ''), value)


class Data:
    """What is in a results directory, sorted for a report.

    :param samples: dicts as samples.jsonl has them. A sample that was taken again counts as it was the last time.
    :param campaign: what campaign.json holds. :param encryption: the proof that lies with it, as encryption.as_json.
    :param only: names of places; the others are left away. None: all.
    """

    def __init__(self, samples, campaign, encryption=None, only=None):
        self.campaign = campaign
        self.encryption = encryption
        self.only = only
        self.samples = [each for each in {each['id']: each for each in samples}.values()
                        if only is None or each['place'] in only]
        self.good = [each for each in self.samples if each['status'] == OK]
        self.left_out = [each for each in self.samples if each['status'] != OK]
        self.groups = self._grouped()
        self._rows = {}

    def _grouped(self):
        found = {}
        for each in self.good:
            key = each['scenario'], each['place'], label_of(each), each['tool'], variant_of(each)
            found.setdefault(key, []).append(each)
        return [Group(*key, samples=tuple(each)) for key, each in sorted(
            found.items(), key=lambda item: (self.order_of(item[0][1]), LABELS.index(item[0][2]), item[0]))]

    def order_of(self, place):
        """Places in the order of the campaign; others behind them."""
        names = list(self.places)
        return names.index(place) if place in names else len(names)

    @property
    def places(self):
        """name -> {name, x, y}; without x and y where the campaign has none."""
        return self.campaign.get('places') or {}

    @property
    def emulated(self):
        return bool(self.campaign.get('emulated'))

    @property
    def monitored(self):
        """Whether its campaign is one for `measure monitor`."""
        return 'monitor' in (self.campaign.get('campaign') or {})

    @property
    def synthetic(self):
        """Made up by a test, not measured."""
        return bool(self.campaign.get('synthetic'))

    def mtu(self, path):
        """MTU that most samples of a path (RAW or OVERLAY) had; the usual one where none says."""
        found = [each['settings'].get('mtu') for each in self.good if each['path'] == path]
        found = [each for each in found if each]
        usual = stats.RAW_MTU if path == RAW else stats.OVERLAY_MTU
        return max(sorted(set(found)), key=found.count) if found else usual

    @property
    def raw_efficiency(self):
        """Share of the link that is data of TCP; see stats."""
        return stats.raw_efficiency(self.mtu(RAW))

    @property
    def overlay_efficiency(self):
        return stats.overlay_efficiency(self.mtu(OVERLAY))

    @property
    def derp_efficiency(self):
        return stats.derp_efficiency(self.mtu(OVERLAY))

    def place_name(self, group):
        """What people call it; with the scenario where a place has several with one link, the raw network included:
        then each of them stands beside its own raw network."""
        here = {(each.label, each.scenario) for each in self.groups
                if (each.place, each.tool) == (group.place, group.tool)}
        name = (self.places.get(group.place) or {}).get('name', group.place)
        several = len({label for label, _ in here}) < len(here)
        return '{} ({})'.format(name, group.scenario) if several else name

    def raw_of(self, group):
        """The raw network's group with the same tool and settings, of the same scenario or else the same place."""
        if group.label == RAW:
            return None
        alike = [each for each in self.groups
                 if each.label == RAW and (each.tool, each.variant) == (group.tool, group.variant)]
        return next((each for each in alike if each.scenario == group.scenario),
                    next((each for each in alike if each.place == group.place), None))

    def rows(self, key):
        """Rows of a metric (a key of METRICS), by place and label."""
        if key not in self._rows:
            self._rows[key] = self._made_rows(METRICS[key])
        return self._rows[key]

    def _made_rows(self, metric):
        found = []
        for group in self.groups:
            values = group.values(metric) if group.tool == metric.tool else []
            if values:
                raw = self.raw_of(group)
                change = metric.change([(raw.values(metric), values)]) if raw and metric.change else None
                found.append(Row(group, metric, stats.estimate(values), change))
        return found

    def variants(self, key):
        """[(words on the settings, rows)] of a metric: what may stand in one figure."""
        found = {}
        for row in self.rows(key):
            found.setdefault(row.group.variant, []).append(row)
        return sorted(found.items())

    def overall(self, key, variant):
        """label -> (Change that is the mean over places, number of places), where raw stands beside the overlay."""
        metric, found = METRICS[key], {}
        for label in LABELS[1:]:
            pairs = [(self.raw_of(group), group) for group in self.groups
                     if (group.tool, group.label, group.variant) == (metric.tool, label, variant)]
            change = metric.change([(raw.values(metric), group.values(metric)) for raw, group in pairs if raw])
            if change:
                found[label] = change, len([raw for raw, _ in pairs if raw])
        return found
