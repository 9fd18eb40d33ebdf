"""Which robots of a site are stale, and what a move to another team makes of a robot's tags. Pure."""
import datetime

from ua_overlay import defaults
from ua_overlay.tags import PREFIX, team_of


def stale(nodes, now, days):
    """Those of ``nodes`` (rest.Node) that are offline and were not seen for ``days`` days before ``now`` (aware UTC).

    A robot that was never seen counts from its joining.
    """
    limit = now - datetime.timedelta(days=days)
    return [node for node in nodes if not node.online
            and (node.last_seen or node.created) is not None and (node.last_seen or node.created) < limit]


def moved_tags(tags, team):
    """The tags of a robot after its move to ``team``: that team's instead of its own, and no master's.

    The old team's master is not the new one's: `ua-overlay team master` makes it that, when it is wanted.
    """
    old = PREFIX + team_of(tags)
    return [PREFIX + team] + [tag for tag in tags if tag not in (old, PREFIX + team, defaults.MASTER_TAG)]
