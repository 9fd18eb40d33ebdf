"""Who this robot already is, and what a join may therefore do: decisions on tailscaled's status. Pure."""
from typing import Iterable, Optional

from ua_overlay.tags import belonging

#: What a join does next.
SEND_KEY, RESUME, ALREADY, OTHER_TEAM = 'SEND_KEY', 'RESUME', 'ALREADY', 'OTHER_TEAM'
#: Why a server refuses a key.
SPENT, REVOKED, UNKNOWN_KEY = 'SPENT', 'REVOKED', 'UNKNOWN_KEY'


def decide_join(have_node_key: bool, state: str, online: bool, tags: Optional[Iterable[str]], remembered_team: str,
                destination: str, user: str = '') -> str:
    """Decide what a join has to do, before anything is sent.

    A key that is sent while the machine has a node key that the server knows is ignored or spent (measured), so it is
    sent only when there is none.

    :param have_node_key: Status.have_node_key.
    :param state: Status.state.
    :param online: Self.Online; False means that the server may have forgotten this robot.
    :param tags: Self.Tags; empty after a restart of a stopped tailscaled.
    :param remembered_team: the team of the last join as kept in the settings, '' when unknown.
    :param destination: where the invitation belongs (tags.belonging), or '' to come back to wherever it was.
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


def joined(state: str, online: bool, tags: Optional[Iterable[str]], destination: str, user: str = '') -> bool:
    """Return whether a join has succeeded: tailscaled runs, the server sees this machine, and it is where the
    invitation belongs: in its team, or for a user's invitation among that user's machines.

    Parameters as for :func:`decide_join`.
    """
    present = belonging(tags, user, destination)
    return state == 'Running' and online and bool(present) and (not destination or present == destination)


def key_refusal(message: str) -> Optional[str]:
    """Return why the server refused a key: SPENT, REVOKED or UNKNOWN_KEY; None when ``message`` is about something
    else.

    Texts of Headscale 0.29.3 (hscontrol: a 401 of POST /machine/register), as tailscaled passes them on.
    """
    lowered = message.lower()
    if 'authkey already used' in lowered:
        return SPENT
    if 'authkey expired' in lowered:
        # The same words for a key that ran out and for one that was revoked. The invitation's own expiry was checked
        # before, so here it was revoked (or the two clocks differ).
        return REVOKED
    if any(words in lowered for words in ('invalid pre auth key', 'invalid auth key', 'failed to parse auth-key')):
        # The second when the key's public prefix is known and its secret part is wrong (bcrypt); the third when it
        # does not have the form of a key: the invitation was edited.
        return UNKNOWN_KEY
    return None
