"""Decide which robot is the team's master while tags move. The server takes some seconds to move the tag (off the old
robot, then onto the new one), so the decision considers earlier observations and reports one move, not an error.
Pure."""
from dataclasses import dataclass
from typing import Optional, Sequence, Tuple

from ua_overlay.rosenv.team import Node

#: Seconds without any tagged robot after which the current master is given up.
NOBODY_TIME = 10.0
#: Seconds with two tagged robots after which that is an error.
TWO_TIME = 5.0

NOBODY, ONE, SEVERAL = 0, 1, 2


@dataclass(frozen=True)
class Mastership:
    """The conclusion from all observations so far.

    :ivar team: the team that was observed.
    :ivar kind: NOBODY, ONE or SEVERAL claimants now.
    :ivar since: when ``kind`` last changed, by the observer's clock.
    :ivar claimants: names of the robots that are tagged now, sorted.
    :ivar master: the node that is the master now, or None.
    :ivar stable: ``kind`` has lasted longer than a move takes, so NOBODY and SEVERAL are errors.
    """

    team: str
    kind: int
    since: float
    claimants: Tuple[str, ...]
    master: Optional[Node]
    stable: bool


def observe(before: Optional[Mastership], team: str, robots: Sequence[Node], claimants: Sequence[Node],
            now: float) -> Mastership:
    """Return the :class:`Mastership` after one more observation.

    :param before: the Mastership after the previous observation, or None.
    :param team: the team's name; a new team starts without history.
    :param robots: all nodes of the team, this one included.
    :param claimants: those of them that carry the master's tag.
    :param now: monotonic seconds.
    """
    if before is not None and before.team != team:
        before = None
    kind = min(len(claimants), SEVERAL)
    since = before.since if before is not None and before.kind == kind else now
    names = tuple(sorted(node.name for node in claimants))
    if kind == ONE:
        return Mastership(team, kind, since, names, claimants[0], True)
    stable = now - since >= (NOBODY_TIME if kind == NOBODY else TWO_TIME)
    master = None if before is None else before.master
    if master is not None:
        # The current node, or the last known one if the server removed it from the network map.
        former = master
        master = next((node for node in robots if node.name == former.name), former)
    if stable and (kind == NOBODY or master is None or master.name not in names):
        master = None
    return Mastership(team, kind, since, names, master, stable)


def wait_left(mastership: Optional[Mastership], now: float) -> Optional[float]:
    """Return the seconds until a :class:`Mastership` is stable, or None when it is."""
    if mastership is None or mastership.stable:
        return None
    limit = NOBODY_TIME if mastership.kind == NOBODY else TWO_TIME
    return max(0.0, mastership.since + limit - now)
