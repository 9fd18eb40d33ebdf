"""Remember what each link did: since when it has its type, how often it changed, and why. Pure.

The overlay node adds a record for each change; :mod:`ua_overlay.tailscale.link_log` keeps them over its restarts.
"""
import collections
import json
import math
from dataclasses import asdict, dataclass
from typing import Deque, Dict, Iterable, List, Optional, Sequence, Union

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_json
from ua_overlay.tailscale.snapshot import LinkChange

#: Records that are kept; a robot in a team of ten with restless links has some ten in an hour.
LONGEST = 2000
#: Seconds after a rebind within which a change of path is its effect: tailscaled has tried all other paths by then.
AFTER_REBIND = 10.0
#: Longest name of a peer, and longest reason, in characters.
_LONGEST_TEXT = 300


@dataclass(frozen=True)
class LinkRecord:
    """One change of a link, or one intervention.

    ``stamp`` is unix time in seconds. ``before`` and ``after`` are equal for an intervention. ``silent`` is how long
    the link was silent, in seconds, 0 when it was not. ``action`` is what was done: '' or 'rebind'.
    """

    stamp: float
    peer: str
    before: LinkType
    after: LinkType
    reason: str = ''
    silent: float = 0.0
    action: str = ''


class LinkHistory:
    """The last records, the newest last, and the current state of each link."""

    def __init__(self, records: Iterable[LinkRecord] = ()) -> None:
        self._records: Deque[LinkRecord] = collections.deque(maxlen=LONGEST)
        self._last: Dict[str, LinkRecord] = {}
        self._counts: Dict[str, int] = {}
        for record in records:
            self.add(record)

    def add(self, record: LinkRecord) -> None:
        """Add the newest record."""
        if len(self._records) == LONGEST:
            self._forget(self._records[0])
        self._records.append(record)
        if record.before != record.after:
            self._last[record.peer] = record
            self._counts[record.peer] = self._counts.get(record.peer, 0) + 1

    def records(self, peer: Optional[str] = None, since: float = 0.0) -> List[LinkRecord]:
        """Return the records of one peer, or of all, from unix time ``since`` on."""
        return [record for record in self._records if record.stamp >= since and peer in (None, record.peer)]

    def since(self, peer: str, kind: LinkType) -> Optional[float]:
        """Return the unix time since which the link has the type ``kind``; None if no record says so."""
        last = self._last.get(peer)
        return last.stamp if last is not None and last.after == kind else None

    def count(self, peer: str) -> int:
        """Return how many changes of the link's type are remembered."""
        return self._counts.get(peer, 0)

    def _forget(self, record: LinkRecord) -> None:
        if record.before == record.after:
            return
        self._counts[record.peer] -= 1
        if not self._counts[record.peer]:
            del self._counts[record.peer]
        if self._last.get(record.peer) is record:
            del self._last[record.peer]


def reason_of(change: LinkChange, since_rebind: Optional[float] = None) -> str:
    """Return why a link changed its type, as far as that can be told from outside tailscaled.

    :param since_rebind: seconds since the last rebind; None: there was none.
    """
    before, after = change.before, change.after
    if after == link_types.UNKNOWN:
        return 'no longer in the network map'
    if before == link_types.UNKNOWN:
        return 'in the network map'
    if after == link_types.OFFLINE:
        return 'the server does not see the peer'
    if after == link_types.IDLE:
        return 'no traffic' if before in link_types.CARRYING else 'the server sees the peer again'
    if before not in link_types.CARRYING:
        return 'traffic'
    if since_rebind is not None and since_rebind <= AFTER_REBIND:
        return 'after a rebind'
    return 'tailscaled found a better path' if link_types.is_better(after, before) else 'tailscaled gave up the path'


def encode(record: LinkRecord) -> str:
    """Return ``record`` as a line of JSON, with its line end."""
    return json.dumps(asdict(record), sort_keys=True) + '\n'


def decode(lines: Sequence[Union[str, bytes]]) -> List[LinkRecord]:
    """Return the records of some lines. Lines that are damaged (a power cut in the middle of one) are left out."""
    records = []
    for line in lines:
        try:
            records.append(_record(foreign_json.parse_object(line)))
        except ValueError:
            continue
    return records


def _record(values: JsonObject) -> LinkRecord:
    """Return the record of a JSON object; raise ValueError if a field is missing or invalid."""
    return LinkRecord(stamp=_number(values.get('stamp')), peer=_text(values.get('peer')),
                      before=_kind(values.get('before')), after=_kind(values.get('after')),
                      reason=_text(values.get('reason')), silent=_number(values.get('silent')),
                      action=_text(values.get('action')))


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError('not a time')
    return float(value)


def _text(value: object) -> str:
    if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
        raise ValueError('not a short text')
    return value


def _kind(value: object) -> LinkType:
    if value not in link_types.ORDER:
        raise ValueError('not a link type')
    return LinkType(str(value))
