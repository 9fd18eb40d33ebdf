"""Maintains tailscaled's operator: the unprivileged user that may join and leave.

tailscaled has one such user in its preferences, and whoever starts it with new preferences (`tailscale up`, LocalAPI
start) or logs out wipes it: after that the user cannot even log in again. Only root can set it back, so a small root
process watches the preferences on the bus.
"""
import logging

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.localapi import WATCH_PREFS, WATCH_STATE

_LOG = logging.getLogger(__name__)

#: Seconds between two attempts to reach the daemon; doubled up to the second number.
RETRY = (0.5, 5.0)


def maintain_operator(api, user, stop, say=_LOG.info):
    """Set ``user`` as the operator now and whenever it is another, until ``stop`` (threading.Event) is set.

    Survives the daemon's restarts. The event is looked at between messages and attempts; a process that waits on the
    bus is ended by its signal.

    :param api: a LocalApi of a user that may write: root.
    :param say: called with one sentence for each thing done.
    """
    wait = RETRY[0]
    last_error = None
    while not stop.is_set():
        try:
            with api.watch(WATCH_STATE | WATCH_PREFS) as bus:
                while not stop.is_set():
                    message = bus.next(timeout=60.0)
                    if message is None:
                        continue
                    wait, last_error = RETRY[0], None
                    prefs = message.get('Prefs')
                    if prefs is not None and (prefs.get('OperatorUser') or '') != user:
                        api.edit_prefs(OperatorUser=user)
                        say('{} may join and leave the overlay (operator set).'.format(user))
        except OverlayError as error:
            if last_error != error.sentence:  # once per reason, not every few seconds
                last_error = error.sentence
                say('{} Trying again.'.format(error.sentence))
        stop.wait(wait)
        wait = min(2 * wait, RETRY[1])
