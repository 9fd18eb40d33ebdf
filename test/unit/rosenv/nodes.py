"""Robots of team iris as tailscaled lists them: dev-1 has 100.64.0.1 and so on; dev-3 is the one that is tested."""
from ua_overlay.tailscale.model import Peer, SelfNode, Status

MASTER = 'tag:ros-master'


def _fields(number, tags, team, online):
    name = 'dev-{}'.format(number)
    return dict(name=name, dns_name=name + '.overlay.internal', online=online,
                addresses=('fd7a:115c:a1e0::{}'.format(number), '100.64.0.{}'.format(number)),
                tags=(('tag:' + team,) if team else ()) + tags)


def me(number, *tags, team='iris', online=True):
    return SelfNode(**_fields(number, tags, team, online))


def peer(number, *tags, team='iris', online=True):
    return Peer(**_fields(number, tags, team, online))


def status(own, *peers, state='Running'):
    return Status(state=state, self_node=own, peers=peers, suffix='overlay.internal')


def team_status(masters=(), gone=(), offline=(), state='Running'):
    """dev-3 with dev-1 and dev-2, of which the numbers in ``masters`` are tagged."""
    def tags(number):
        return (MASTER,) if number in masters else ()
    mates = [peer(number, *tags(number), online=number not in offline) for number in (1, 2) if number not in gone]
    return status(me(3, *tags(3)), *mates, state=state)
