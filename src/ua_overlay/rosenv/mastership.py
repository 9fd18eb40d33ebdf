"""Who is the team's master while tags move: the decision over what was observed in time, so that a move of some
seconds on the server (off the old one, then on the new one) is one move here and no error."""
from dataclasses import dataclass

#: Seconds for which nobody may be tagged before the present master is given up.
NOBODY_TIME = 10.0
#: Seconds for which two may be tagged before that is an error.
TWO_TIME = 5.0

NOBODY, ONE, SEVERAL = 0, 1, 2


@dataclass(frozen=True)
class Mastership:
    """What is known after an observation.

    :ivar team: the team that was observed.
    :ivar kind: NOBODY, ONE or SEVERAL claimants now.
    :ivar since: when that began, by the observer's clock.
    :ivar claimants: names of those that claim it now, sorted.
    :ivar master: the node (name, dns_name, addresses, online) that is the master now, or None.
    :ivar stable: this lasts for longer than a move takes: NOBODY and SEVERAL are an error then.
    """

    team: str
    kind: int
    since: float
    claimants: tuple
    master: object
    stable: bool


def observe(before, team, robots, claimants, now):
    """The :class:`Mastership` after one more observation.

    :param before: the Mastership of the observation before, or None.
    :param team: the team's name; another team than before has no past.
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
        # As it is now, or as it was when the server took it out of the network map altogether.
        master = next((node for node in robots if node.name == master.name), master)
    if stable and (kind == NOBODY or master is None or master.name not in names):
        master = None
    return Mastership(team, kind, since, names, master, stable)


def wait_left(mastership, now):
    """Seconds until a :class:`Mastership` is stable, or None when it is."""
    if mastership is None or mastership.stable:
        return None
    limit = NOBODY_TIME if mastership.kind == NOBODY else TWO_TIME
    return max(0.0, mastership.since + limit - now)
