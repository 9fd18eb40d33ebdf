"""Decide from tailscaled's status what a join may do with the identity that the robot already has. Pure."""
from typing import Iterable, Optional
from urllib.parse import urlsplit

from ua_overlay.tags import belonging
from ua_overlay.tailscale.model import Status

#: What a join does next.
SEND_KEY, RESUME, ALREADY, OTHER_TEAM = 'SEND_KEY', 'RESUME', 'ALREADY', 'OTHER_TEAM'
#: Why a server refuses a key.
SPENT, REVOKED, UNKNOWN_KEY = 'SPENT', 'REVOKED', 'UNKNOWN_KEY'


def decide_join(have_node_key: bool, state: str, online: bool, tags: Optional[Iterable[str]], remembered_team: str,
                destination: str, user: str = '') -> str:
    """Decide the next step of a join, before anything is sent.

    If the machine has a node key that the server knows, sending a pre-auth key has no effect or wastes it (measured).
    So a key is sent only without such a node key.

    :param have_node_key: Status.have_node_key.
    :param state: Status.state.
    :param online: Self.Online; False means that the server may have forgotten this robot.
    :param tags: Self.Tags; empty after a restart of a stopped tailscaled.
    :param remembered_team: the team of the last join as kept in the settings, '' when unknown.
    :param destination: where the invitation leads (tags.belonging), or '' to resume the robot's last membership.
    :param user: Self's user.
    :returns: SEND_KEY, RESUME, ALREADY or OTHER_TEAM.
    """
    if not have_node_key:
        return SEND_KEY
    now = belonging(tags, user)
    present = now or remembered_team
    if destination and present and present != destination:
        return OTHER_TEAM
    return ALREADY if state == 'Running' and online and now else RESUME


def is_other_server(control_url: str, server_url: str) -> bool:
    """Return whether tailscaled belongs to another control server than the invitation's.

    :param control_url: of its preferences, '' if unknown.
    :param server_url: of the invitation, or of the last join; '' if unknown.
    """
    try:
        hosts = [urlsplit(url).hostname for url in (control_url, server_url)]
    except ValueError:
        return True
    return bool(control_url and server_url) and hosts[0] != hosts[1]


def joined(state: str, online: bool, tags: Optional[Iterable[str]], destination: str, user: str = '') -> bool:
    """Return whether a join has succeeded: tailscaled runs, the server considers the machine connected, and the machine
    belongs to the invitation's team or user.

    Parameters as for :func:`decide_join`.
    """
    present = belonging(tags, user, destination)
    return state == 'Running' and online and bool(present) and (not destination or present == destination)


def refusal(status: Status) -> str:
    """Return the sentence, with the next command, about a robot whose identity the server refused; '' otherwise."""
    if not status.refused:
        return ''
    return ('The server does not know {} any more: it was removed there, or its key expired. Next: a new invitation, '
            'then: ua-overlay join INVITATION'.format(status.self_node.name or 'this robot'))


def key_refusal(message: str) -> Optional[str]:
    """Return why the server refused a key: SPENT, REVOKED or UNKNOWN_KEY; None for any other message.

    Texts of Headscale 0.29.3 (hscontrol: a 401 of POST /machine/register), as tailscaled passes them on.
    """
    lowered = message.lower()
    if 'authkey already used' in lowered:
        return SPENT
    if 'authkey expired' in lowered:
        # Headscale sends the same text for an expired and a revoked key. The invitation's expiry was checked before, so
        # the key was revoked (or the two clocks differ).
        return REVOKED
    if any(words in lowered for words in ('invalid pre auth key', 'invalid auth key', 'failed to parse auth-key')):
        # The second text: the key's public prefix is known, but its secret part is wrong (bcrypt). The third: it does
        # not have the form of a key, because the invitation was edited.
        return UNKNOWN_KEY
    return None
