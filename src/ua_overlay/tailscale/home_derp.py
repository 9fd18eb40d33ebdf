"""Makes tailscaled report its home DERP again when the server never heard of it: a fault of tailscaled before 1.102.

tailscaled reports its NetInfo, and with it the home DERP, only when it differs from the last one that it reported
(tailscale v1.98.10, wgengine/magicsock/magicsock.go: callNetInfoCallback). That memory outlives the control client, and
every login, logout and start makes a new client, which knows nothing. When its first netcheck repeats the result of
the last one, the server never learns the home: no other robot reaches this one over DERP, or can arrange a direct path
with it (tailscale issue 20024; 1.102.0 forgets the last NetInfo along with the client).

A robot without a home reports that, and then its home again. So this robot is made homeless until a netcheck has run in
that state. No other robot could use its home in the meantime anyway.
"""
import logging
import re
import time
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, JsonObject, Say, Stop
from ua_overlay.tailscale.api import HomeApi
from ua_overlay.tailscale.localapi import DaemonError

_LOG = logging.getLogger(__name__)

#: Seconds between two checks.
PERIOD = 5.0
#: Seconds until the server has heard of the home and this robot has heard back: a netcheck takes up to five, the answer
#: of Headscale a few more.
PATIENCE = 15.0
#: Seconds for two netchecks, where UDP is blocked.
NETCHECKS = 60.0
_NETCHECKS = re.compile(rb'^netcheck_report (\d+)$', re.MULTILINE)


def is_unreported(status: JsonObject, node: JsonObject) -> bool:
    """Return whether this robot has a home DERP that its server does not know. Pure.

    :param status: ipnstate.Status; its Self.Relay is the home as tailscaled sees it.
    :param node: the robot's own tailcfg.Node, as the server sent it; HomeDERP is missing while it knows none.
    """
    own = status.get('Self') or {}
    return bool(status.get('BackendState') == 'Running' and own.get('Online') and own.get('Relay')
                and not node.get('HomeDERP'))


def netchecks(metrics: bytes) -> int:
    """Return how many netchecks tailscaled has begun, from its client metrics."""
    match = _NETCHECKS.search(metrics)
    return int(match.group(1)) if match else 0


class HomeReporter:
    """Checks every few seconds, and makes tailscaled report its home when the server does not know it.

    :param api: of a user that may write: root.
    :param say: called with one sentence for each thing done.
    """

    def __init__(self, api: HomeApi, say: Say = _LOG.info, clock: Clock = time.monotonic) -> None:
        self._api = api
        self._say = say
        self._clock = clock
        self._since: Optional[float] = None

    def run(self, stop: Stop) -> None:
        """Work until ``stop`` is set."""
        # An agent that was killed in the middle of it has left tailscaled homeless.
        self._quietly(lambda: self._api.debug('derp-unset-homeless'))
        while not stop.wait(PERIOD):
            self._quietly(lambda: self.step(stop))

    def step(self, stop: Stop) -> None:
        """Check once and do what is needed.

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
        status = self._api.status(peers=False)
        addresses = (status.get('Self') or {}).get('TailscaleIPs') or []
        if status.get('BackendState') != 'Running' or not addresses:
            return False
        try:
            node = self._api.whois(addresses[0]).get('Node') or {}
        except DaemonError as error:
            if error.status != 404:
                raise
            return False  # this robot has just left
        return is_unreported(status, node)

    def _be_homeless_for_a_netcheck(self, stop: Stop) -> None:
        """Be homeless until two more netchecks have begun. The one that runs now may still report the home. The first
        of the two is homeless as a whole, and it has ended when the second begins."""
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

    def _quietly(self, what: Callable[[], None]) -> None:
        try:
            what()
        except OverlayError as error:
            _LOG.debug('%s', error)
