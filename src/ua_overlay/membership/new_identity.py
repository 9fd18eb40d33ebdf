"""Give a machine that is a copy of another one its own identity.

A copied SD card or disk image has tailscaled's keys. A logout is no cure: it keeps the machine key, and Headscale takes
a tagged node that joins with a known machine key for the same node (hscontrol/state, 0.29: HandleNodeFromPreAuthKey),
so that the second join takes over the record of the first.
"""
import time
from typing import Callable

from ua_overlay.errors import OverlayError
from ua_overlay.membership.leave import old_paths_note
from ua_overlay.membership.outcome import Outcome, Refused, outcome_of
from ua_overlay.membership.settings import forget_settings
from ua_overlay.printable import printable
from ua_overlay.protocols import Clock
from ua_overlay.tailscale.api import IdentityApi
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.tailnet import parse_profiles

#: Seconds for tailscaled to start again without a login.
TIMEOUT = 9.0
_PAUSE = 0.1


def make_new_identity(api: IdentityApi, state_dir: str, clock: Clock = time.monotonic,
                      sleep: Callable[[float], None] = time.sleep, restarts: bool = False) -> Outcome:
    """Remove this machine's keys and settings. The server is not told, so the machine that it was copied from stays.

    :param state_dir: where the settings of the invitation are.
    :param restarts: whether the agent restarts tailscaled when its keys are gone (tailscale.old_paths): return when it
        has, so that a join that follows at once does not meet the restart.
    :returns: an Outcome with a code of Leave.srv; OverlayErrors are converted to one.
    """
    try:
        return _make(api, state_dir, clock, sleep, restarts)
    except OverlayError as error:
        return outcome_of(error)


def _make(api: IdentityApi, state_dir: str, clock: Clock, sleep: Callable[[float], None], restarts: bool) -> Outcome:
    deadline = clock() + TIMEOUT
    before = parse_status(api.status(peers=False))
    name = before.self_node.name
    # reset-auth removes every login, also those of other control servers.
    others = [each for each in parse_profiles(*api.profiles()) if not each.current]
    if others:
        raise Refused('tailscaled also keeps a login at {}, which a new identity would remove.'.format(
            printable(others[0].control_url)),
            'sudo tailscale switch --list; sudo tailscale switch remove ID   # then the same command again',
            code='FAILED')
    api.reset_auth()
    while parse_status(api.status(peers=False)).have_node_key:
        if clock() > deadline:
            raise Refused('tailscaled did not remove its keys within {:.0f} s.'.format(TIMEOUT), 'ua-overlay status',
                          code='FAILED')
        sleep(_PAUSE)
    note = ' The other machine keeps the name {}.'.format(name) if name else ''
    note += old_paths_note(api, before, clock, sleep, restarts)
    outcome = Outcome('OK', 'This machine has a new identity and is in no team.{} Next, on the server, for a name of '
                            'its own: ua-overlay invite TEAM ROBOT'.format(note))
    try:
        forget_settings(state_dir)
    except OSError as error:
        return outcome.with_message('Its settings in {} could not be removed ({}).'.format(state_dir, error.strerror))
    return outcome
