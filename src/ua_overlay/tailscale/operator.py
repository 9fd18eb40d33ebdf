"""Maintain tailscaled's operator: the local unprivileged user that may join and leave.

tailscaled keeps one such user in its preferences. Starting it with new preferences (`tailscale up`, LocalAPI start) or
logging out wipes it, and then the user cannot even log in again. Only root can set it back, so a small root process
watches the preferences on the bus.
"""
import logging
from typing import Optional

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import OnRound, Say, Stop
from ua_overlay.system.backoff import Backoff
from ua_overlay.tailscale.api import OperatorApi
from ua_overlay.tailscale.localapi import WATCH_PREFS, WATCH_STATE
from ua_overlay.tailscale.model import prefs_in

_LOG = logging.getLogger(__name__)

#: Seconds between two attempts to reach the daemon; doubled up to the second number.
RETRY = (0.5, 5.0)
#: Seconds between two checks of ``stop`` while the bus is silent.
_IDLE = 60.0


def maintain_operator(api: OperatorApi, user: str, stop: Stop, say: Say = _LOG.info,
                      on_round: OnRound = lambda problem: None) -> None:
    """Set ``user`` as the operator, now and whenever the preference changes, until ``stop`` is set.

    Survives restarts of the daemon. ``stop`` is checked between messages and attempts; a signal ends a process that
    waits on the bus.

    :param api: LocalAPI of a user with write access: root.
    :param say: called with one sentence for each thing done.
    """
    backoff = Backoff(*RETRY)
    last_error: Optional[str] = None
    while not stop.is_set():
        try:
            with api.watch(WATCH_STATE | WATCH_PREFS) as bus:
                while not stop.is_set():
                    message = bus.next(timeout=_IDLE)
                    if message is None:
                        on_round('')
                        continue
                    backoff.reset()
                    last_error = None
                    prefs = prefs_in(message)
                    if prefs is not None and prefs.operator != user:
                        api.edit_prefs(OperatorUser=user)
                        say('{} may join and leave the overlay (operator set).'.format(user))
                    on_round('')
        except OverlayError as error:
            on_round(error.sentence)
            if last_error != error.sentence:  # once per reason, not every few seconds
                last_error = error.sentence
                say('{} Trying again.'.format(error.sentence))
        stop.wait(backoff.next())
