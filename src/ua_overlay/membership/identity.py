"""Who this robot is already, and what a join may therefore do: pure decisions on tailscaled's status."""
from ua_overlay.tags import belonging

#: What a join does next.
SEND_KEY, RESUME, ALREADY, OTHER_TEAM = 'SEND_KEY', 'RESUME', 'ALREADY', 'OTHER_TEAM'


def decide_join(have_node_key, state, online, tags, remembered_team, destination, user=''):
    """What a join has to do, before anything is sent.

    A key that is sent while the machine has a node key that the server knows is ignored or burned (measured: design,
    "Trust"), so it is sent only when there is none.

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


def joined(state, online, tags, destination, user=''):
    """Whether a join has succeeded: running, seen by the server, and where the invitation belongs: with its tag, or for
    a user's as that user's machine (design, "Trust")."""
    present = belonging(tags, user, destination)
    return state == 'Running' and online and bool(present) and (not destination or present == destination)


def key_refusal(message):
    """What the server's refusal of a key means, or None when ``message`` is about something else.

    Texts of Headscale 0.29.3 (hscontrol: a 401 of POST /machine/register), as tailscaled passes them on.

    :returns: 'SPENT', 'EXPIRED', 'UNKNOWN' or None.
    """
    lowered = message.lower()
    if 'authkey already used' in lowered:
        return 'SPENT'
    if 'authkey expired' in lowered:
        return 'EXPIRED'
    if any(words in lowered for words in ('invalid pre auth key', 'invalid auth key', 'failed to parse auth-key')):
        # The second when the key's public prefix is known and its secret part is wrong (bcrypt); the third when it has
        # not the form of a key: somebody changed the invitation by hand.
        return 'UNKNOWN'
    return None
