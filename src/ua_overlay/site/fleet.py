"""Decide which robots of a site are stale, and which tags a robot gets when it moves to another team. Pure."""
import datetime
from typing import Iterable, List, Optional, Sequence

from ua_overlay import defaults
from ua_overlay.headscale.model import Node
from ua_overlay.tags import PREFIX, team_of


def stale(nodes: Iterable[Node], now: datetime.datetime, days: float) -> List[Node]:
    """Return the nodes that are offline and were last seen more than ``days`` days before ``now`` (aware UTC).

    A robot that was never seen counts from the day on which it joined.
    """
    limit = now - datetime.timedelta(days=days)
    return [node for node in nodes if not node.online and _before(node.last_seen or node.created, limit)]


def _before(moment: Optional[datetime.datetime], limit: datetime.datetime) -> bool:
    return moment is not None and moment < limit


def moved_tags(tags: Sequence[str], team: str) -> List[str]:
    """Return the tags of a robot after its move to ``team``: the new team's instead of the old one's, and no master's.

    The old team's master does not become the new team's master; `ua-overlay team master` can change that.
    """
    old = PREFIX + team_of(tags)
    return [PREFIX + team] + [tag for tag in tags if tag not in (old, PREFIX + team, defaults.MASTER_TAG)]
