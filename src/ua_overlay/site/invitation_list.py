"""Every invitation of a site and its state: from Headscale's keys and nodes, and the invitation log. Pure."""
from collections import namedtuple

from ua_overlay import defaults
from ua_overlay.clock import parse_go_time
from ua_overlay.site import invitation_log
from ua_overlay.tags import team_of

OPEN, USED, REVOKED, EXPIRED, GONE = 'open', 'used', 'revoked', 'expired', 'gone'

#: One invitation. `key`: id of its key in Headscale; `machine`: for whom it was made, '' when only Headscale knows of
#: it; `team` or `user`; `state`: one of the constants above (gone: Headscale has forgotten the key); `used_by`:
#: name of the node; times are aware UTC datetimes or None.
ListedInvitation = namedtuple(
    'ListedInvitation', 'key machine team user master state made expires made_by used_by used_at')


def list_invitations(keys, nodes, records, now):
    """The list of ListedInvitation, oldest first.

    :param keys: list of rest.PreAuthKey.
    :param nodes: list of rest.Node.
    :param records: InvitationLog.records().
    :param now: aware UTC datetime.
    """
    by_event = {}
    for record in records:
        by_event.setdefault(record['event'], {})[record['key']] = record
    made = by_event.get(invitation_log.MADE, {})
    node_of_key = {node.key_id: node for node in nodes if node.key_id}
    of_machines = {key.id: key for key in keys if team_of(key.tags) or (key.user and not key.tags)}
    found = []
    for key_id in sorted(set(of_machines) | set(made), key=int):
        key, record = of_machines.get(key_id), made.get(key_id, {})
        used = by_event.get(invitation_log.USED, {}).get(key_id)
        node = node_of_key.get(key_id)
        expires = parse_go_time(record.get('expires')) or (key.expiration if key else None)
        found.append(ListedInvitation(
            key=key_id, machine=record.get('machine', ''),
            team=record.get('team') or (team_of(key.tags) if key else ''),
            user=record.get('user') or (key.user if key and not key.tags else ''),
            master=record.get('master', bool(key) and defaults.MASTER_TAG in key.tags),
            state=_state(key, used, key_id in by_event.get(invitation_log.REVOKED, {}), expires, now),
            made=key.created if key else parse_go_time(record.get('time')), expires=expires,
            made_by=record.get('by', ''), used_by=node.name if node else used['node'] if used else '',
            used_at=_used_at(key, node, used)))
    return found


def _state(key, used, revoked, expires, now):
    if used or (key is not None and key.used):
        return USED
    if revoked:
        return REVOKED
    if key is None:
        return GONE
    if key.expiration is None or key.expiration > now:
        return OPEN
    # Revoked past this package: Headscale ends a key by giving it another expiry.
    return REVOKED if expires is not None and (expires - key.expiration).total_seconds() > 1 else EXPIRED


def _used_at(key, node, used):
    # A machine that the server knew before keeps the day of its first join.
    if node is not None and node.created is not None and (key is None or key.created is None
                                                          or node.created >= key.created):
        return node.created
    return parse_go_time(used['time']) if used else None
