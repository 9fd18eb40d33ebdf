"""Revoke keys and delete nodes, and read back that Headscale has done it."""
from typing import Callable, Iterable, List, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.api import HeadscaleApi
from ua_overlay.headscale.model import Node
from ua_overlay.protocols import UtcClock


def revoke(client: HeadscaleApi, key_ids: Iterable[str], now: UtcClock, command: Callable[[str], str],
           revoked: Callable[[str], None] = lambda key_id: None) -> None:
    """Expire the keys ``key_ids``.

    :param now: the clock of this machine, on which Headscale runs too.
    :param command: returns the full command line of this site.
    :param revoked: called with each key of which Headscale shows that it is not usable.
    :raises OverlayError: a key is still usable, or which ones are is unknown; all others were tried, too.
    """
    wanted = list(key_ids)
    if not wanted:
        return
    problem: Optional[OverlayError] = None
    for key_id in wanted:
        try:
            client.expire_key(key_id)
        except OverlayError as error:
            # Headscale 0.30 refuses an id that it does not know, and an answer may be lost: read back what holds.
            problem = problem or error
    try:
        keys = client.keys()
    except OverlayError as error:
        raise OverlayError('Whether the invitations {} were revoked is unknown: {}'.format(
            ', '.join(wanted), (problem or error).sentence), command('invite list'), error.code)
    # Headscale has expired each at its own present, which is over now.
    moment = now()
    usable = {key.id for key in keys if key.usable(moment)}
    open_keys: List[str] = []
    for key_id in wanted:
        if key_id in usable:
            open_keys.append(key_id)
        else:
            revoked(key_id)
    if open_keys:
        raise OverlayError('The invitations {} are still open{}'.format(
            ', '.join(open_keys), '.' if problem is None else ': ' + problem.sentence),
            command('invite revoke {}'.format(open_keys[0])), None if problem is None else problem.code)


def delete(client: HeadscaleApi, node: Node, now: UtcClock, command: Callable[[str], str]) -> None:
    """Delete a node that was expired, and read back that it is.

    :param now: the clock of this machine, on which Headscale runs too.
    :param command: returns the full command line of this site.
    :raises OverlayError: its key has not expired, or it is still listed; the sentence says what it can reach.
    """
    again = command('robot list')
    found = [each for each in client.nodes() if each.id == node.id]
    if not all(each.expired(now()) for each in found):
        raise OverlayError('Headscale still lets {} in: its key has not expired.'.format(node.name), again)
    out = '{} reaches nobody any more, because its key has expired'.format(node.name)
    try:
        client.delete_node(node.id)
    except OverlayError as error:
        raise OverlayError('{}, but it was not deleted. {}'.format(out, error.sentence), error.next_command, error.code)
    if any(each.id == node.id for each in client.nodes()):
        raise OverlayError('{}, but Headscale still lists it.'.format(out), again)
