"""List every invitation of a site with its state, from Headscale's keys and nodes and the invitation log. Pure."""
import datetime
from typing import Dict, Iterable, List, NamedTuple, Optional

from ua_overlay import defaults
from ua_overlay.clock import parse_go_time
from ua_overlay.headscale.model import Node, PreAuthKey
from ua_overlay.site import invitation_log
from ua_overlay.site.invitation_log import Record
from ua_overlay.tags import team_of

#: States. GONE: Headscale has forgotten the key.
OPEN, USED, REVOKED, EXPIRED, GONE = 'open', 'used', 'revoked', 'expired', 'gone'


class ListedInvitation(NamedTuple):
    """One invitation. Times are aware UTC datetimes."""

    #: Headscale's id of its key.
    key: str
    #: The invited machine; '' if the log does not have it.
    machine: str
    #: '' for the invitation of a user.
    team: str
    #: '' for the invitation of a team.
    user: str
    #: Whether the robot shall run the team's roscore.
    master: bool
    #: OPEN, USED, REVOKED, EXPIRED or GONE.
    state: str
    made: Optional[datetime.datetime]
    expires: Optional[datetime.datetime]
    made_by: str
    #: Name of the node, '' for none.
    used_by: str
    used_at: Optional[datetime.datetime]


def list_invitations(keys: Iterable[PreAuthKey], nodes: Iterable[Node], records: Iterable[Record],
                     now: datetime.datetime) -> List[ListedInvitation]:
    """Return all invitations, oldest first.

    :param records: from InvitationLog.records.
    :param now: aware UTC datetime.
    """
    by_event: Dict[str, Dict[str, Record]] = {}
    for each in records:
        by_event.setdefault(each['event'], {})[each['key']] = each
    made = by_event.get(invitation_log.MADE, {})
    node_of_key = {node.key_id: node for node in nodes if node.key_id}
    of_machines = {key.id: key for key in keys if team_of(key.tags) or (key.user and not key.tags)}
    invitations: List[ListedInvitation] = []
    for key_id in sorted(set(of_machines) | set(made), key=int):
        key, record = of_machines.get(key_id), made.get(key_id, {})
        used = by_event.get(invitation_log.USED, {}).get(key_id)
        node = node_of_key.get(key_id)
        expires = parse_go_time(record.get('expires')) or (key.expiration if key else None)
        invitations.append(ListedInvitation(
            key=key_id, machine=record.get('machine', ''),
            team=record.get('team') or (team_of(key.tags) if key else ''),
            user=record.get('user') or (key.user if key and not key.tags else ''),
            master=record.get('master', key is not None and defaults.MASTER_TAG in key.tags),
            state=_state(key, used is not None, key_id in by_event.get(invitation_log.REVOKED, {}), expires, now),
            made=key.created if key else parse_go_time(record.get('time')), expires=expires,
            made_by=record.get('by', ''), used_by=node.name if node else used['node'] if used else '',
            used_at=_used_at(key, node, used)))
    return invitations


def _state(key: Optional[PreAuthKey], used: bool, revoked: bool, expires: Optional[datetime.datetime],
           now: datetime.datetime) -> str:
    if used or (key is not None and key.used):
        return USED
    if revoked:
        return REVOKED
    if key is None:
        return GONE
    if key.expiration is None or key.expiration > now:
        return OPEN
    # Revoked by another tool: Headscale revokes a key by changing its expiry.
    return REVOKED if expires is not None and (expires - key.expiration).total_seconds() > 1 else EXPIRED


def _used_at(key: Optional[PreAuthKey], node: Optional[Node], used: Optional[Record]) -> Optional[datetime.datetime]:
    # A machine that the server already had keeps the day of its first join.
    if node is not None and node.created is not None and (key is None or key.created is None
                                                          or node.created >= key.created):
        return node.created
    return parse_go_time(used['time']) if used else None
