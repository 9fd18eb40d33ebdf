"""Which link types a sample's bytes took, from tailscaled's counters before and after. Pure."""
from dataclasses import dataclass, field
from typing import Dict, Mapping, NamedTuple, Optional

from ua_overlay.link_types import CARRYING, LinkType
from ua_overlay.measure import paths
from ua_overlay.protocols import JsonObject

#: Verdicts on a sample.
PROVEN, OTHER, UNKNOWN = 'proven', 'other way', 'not measured'
#: Share of the overlay's bytes that must be of one link type. The rest is heartbeats to other peers, and the DERP
#: connection, which carries the first packets while tailscaled searches for a better path.
SHARE = 0.95
#: A raw sample of at most this many bytes cannot show that it avoided the overlay: other programs send as much.
LEAST = 100000

#: Link type -> bytes.
Counted = Dict[LinkType, int]


def _nothing() -> Counted:
    return {kind: 0 for kind in CARRYING}


@dataclass(frozen=True)
class Proof:
    """The counters' evidence for a sample.

    :ivar counted: bytes of each link type during the sample, at the source; 0 where nothing was counted.
    :ivar way: the link type that tailscaled named before the sample, '' for none.
    """

    counted: Counted = field(default_factory=_nothing)
    verdict: str = UNKNOWN
    way: str = ''

    @property
    def most(self) -> str:
        """The link type of most bytes, '' when nothing was counted."""
        if not any(self.counted.values()):
            return ''
        return max(sorted(self.counted), key=lambda kind: self.counted[kind])

    def to_json(self) -> JsonObject:
        return {'bytes': self.counted, 'verdict': self.verdict, 'way': self.way}


def from_json(raw: JsonObject) -> Proof:
    """The Proof in `proof` of a sample; a missing part gets its default."""
    return Proof(raw.get('bytes') or {}, raw.get('verdict', UNKNOWN), raw.get('way', ''))


class Verdict(NamedTuple):
    """``verdict``: PROVEN, OTHER or UNKNOWN; ``sentence``: why it is not PROVEN, else ''."""

    verdict: str
    sentence: str


def moved(before: Optional[Mapping[LinkType, int]], after: Optional[Mapping[LinkType, int]]) -> Optional[Counted]:
    """Bytes of each link type between two readings of the counters.

    :returns: None when one of them is None (the host did not answer) or a counter fell (tailscaled was restarted).
    """
    if before is None or after is None:
        return None
    kinds = sorted(set(CARRYING) | set(before) | set(after))
    counted = {kind: after.get(kind, 0) - before.get(kind, 0) for kind in kinds}
    return None if min(counted.values()) < 0 else counted


def counts(counted: Optional[Counted]) -> Counted:
    """Bytes of every link type, 0 where nothing was counted."""
    return dict(_nothing(), **(counted or {}))


def judge(counted: Optional[Counted], path: str, expected: str, payload: float) -> Verdict:
    """Judge a sample's label by the counters.

    :param counted: the result of :func:`moved`, at the source.
    :param path: 'raw' or 'overlay'.
    :param expected: the link type of the label, '' for any single one.
    :param payload: bytes that the tool reports as sent or received, 0 for unknown.
    """
    if counted is None:
        return Verdict(UNKNOWN, 'The counters of tailscaled could not be read before and after the sample.')
    total = sum(counted.values())
    if path == paths.RAW:
        if payload > LEAST and total >= payload / 2:
            return Verdict(OTHER, 'It should have gone past the overlay, which carried {} bytes meanwhile.'.format(
                total))
        return Verdict(PROVEN, '')
    if total < max(1, payload / 2):
        return Verdict(OTHER, 'The overlay carried {} bytes, less than half of the {} of the sample.'.format(
            total, payload))
    kind = expected or max(counted, key=lambda name: counted[name])
    if counted.get(kind, 0) < SHARE * total:
        return Verdict(OTHER, 'It should have gone by {}: {}.'.format(
            kind if expected else 'one link type', ', '.join(
                '{:.1f} % went by {}'.format(100 * number / total, name)
                for name, number in counted.items() if number)))
    return Verdict(PROVEN, '')
