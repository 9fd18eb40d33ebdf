"""Make tailscaled report its home DERP again when the server never received it: a bug of tailscaled before 1.102.

tailscaled reports its NetInfo, and with it the home DERP, only when it differs from the last one that it reported
(tailscale v1.98.10, wgengine/magicsock/magicsock.go: callNetInfoCallback). That memory outlives the control client, but
every login, logout and start creates a new client without any state. When its first netcheck repeats the result of the
last one, the server never learns the home: no other robot reaches this one over DERP, or can arrange a direct path with
it (tailscale issue 20024; 1.102.0 forgets the last NetInfo along with the client).

A robot that loses its home reports the loss, and then its next home. So this module makes the robot homeless until a
netcheck has run in that state. No other robot could use its home in the meantime anyway.
"""
import logging
import re
import time
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, OnRound, Say, Stop
from ua_overlay.tailscale.api import HomeApi
from ua_overlay.tailscale.localapi import DaemonError
from ua_overlay.tailscale.model import Status, WhoIs, parse_status, parse_whois

_LOG = logging.getLogger(__name__)

#: Seconds between two checks.
PERIOD = 5.0
#: Seconds until the server has received the home and this robot the confirmation: a netcheck takes up to five,
#: Headscale's answer a few more.
PATIENCE = 15.0
#: Seconds for two netchecks, where UDP is blocked.
NETCHECKS = 60.0
_NETCHECKS = re.compile(rb'^netcheck_report (\d{1,20})$', re.MULTILINE)


def is_unreported(status: Status, node: WhoIs) -> bool:
    """Return whether this robot has a home DERP that its server does not know. Pure.

    :param status: its self_node.home_relay is the home as tailscaled sees it.
    :param node: this robot, as the server sent it.
    """
    own = status.self_node
    return status.running and own.online and bool(own.home_relay) and not node.home_derp


def netchecks(metrics: bytes) -> int:
    """Return how many netchecks tailscaled has begun, from its client metrics."""
    match = _NETCHECKS.search(metrics)
    return int(match.group(1)) if match else 0


class HomeReporter:
    """Checks every few seconds whether the server knows the home, and makes tailscaled report it if not.

    :param api: LocalAPI of a user with write access: root.
    :param say: called with one sentence for each thing done.
    """

    def __init__(self, api: HomeApi, say: Say = _LOG.info, clock: Clock = time.monotonic,
                 on_round: OnRound = lambda problem: None) -> None:
        self._api = api
        self._say = say
        self._on_round = on_round
        self._clock = clock
        self._since: Optional[float] = None

    def run(self, stop: Stop) -> None:
        """Run until ``stop`` is set."""
        # An agent that was killed meanwhile has left tailscaled homeless.
        self._quietly(lambda: self._api.debug('derp-unset-homeless'))
        while not stop.wait(PERIOD):
            self._on_round(self._quietly(lambda: self.step(stop)))

    def step(self, stop: Stop) -> None:
        """Check once, and repair if necessary.

        :raises OverlayError: tailscaled does not answer; it may be restarting.
        """
        if not self._unreported():
            self._since = None
            return
        if self._since is None:
            self._since = self._clock()
        if self._clock() - self._since < PATIENCE:
            return
        self._since = None
        self._be_homeless_for_a_netcheck(stop)
        self._say('The server had not heard of this robot\'s home DERP; tailscaled reports it again.')

    def _unreported(self) -> bool:
        status = parse_status(self._api.status(peers=False))
        addresses = status.self_node.addresses
        if not status.running or not addresses:
            return False
        try:
            node = parse_whois(self._api.whois(addresses[0]))
        except DaemonError as error:
            if error.status != 404:
                raise
            return False  # this robot has just left
        return is_unreported(status, node)

    def _be_homeless_for_a_netcheck(self, stop: Stop) -> None:
        """Stay homeless until two more netchecks have begun. The current netcheck may still report the home. The first
        of the two runs without a home from start to end, and it has ended when the second begins."""
        enough = netchecks(self._api.client_metrics()) + 2
        deadline = self._clock() + NETCHECKS
        self._api.debug('derp-set-homeless')
        try:
            while netchecks(self._api.client_metrics()) < enough and self._clock() < deadline:
                self._api.debug('restun')
                if stop.wait(0.2):
                    return
        finally:
            self._api.debug('derp-unset-homeless')

    @staticmethod
    def _quietly(what: Callable[[], None]) -> str:
        """Return why it failed, as a sentence, or ''."""
        try:
            what()
        except OverlayError as error:
            _LOG.debug('%s', error)
            return error.sentence
        return ''
