"""Has tailscaled report its home DERP again where the server never heard of it: a fault of tailscaled before 1.102.

tailscaled reports its NetInfo, and with it the home DERP, only when it differs from the last one that it reported
(tailscale v1.98.10, wgengine/magicsock/magicsock.go: callNetInfoCallback). That memory outlives the control client, and
every login, logout and start makes a new one, which knows nothing. Where the first netcheck finds what the last one
found, the server never learns the home: no other robot reaches this one over DERP, or can arrange a direct path with
it (tailscale issue 20024; 1.102.0 forgets the last NetInfo along with the client).

Without a home, tailscaled has something else to report, and with a home something else again. So this robot is made
homeless until a netcheck has run in that state. Nobody could use its home meanwhile anyway.
"""
import logging
import re
import time
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, JsonObject, Say, Stop
from ua_overlay.tailscale.localapi import DaemonError, LocalApi

_LOG = logging.getLogger(__name__)

#: Seconds between two looks.
PERIOD = 5.0
#: Seconds for which the server may take to hear of the home, and this robot to hear that it did: a netcheck takes up to
#: five, the answer of Headscale a few more.
PATIENCE = 15.0
#: Seconds for two netchecks, where UDP is blocked.
NETCHECKS = 60.0
_NETCHECKS = re.compile(rb'^netcheck_report (\d+)$', re.MULTILINE)


def is_unreported(status: JsonObject, node: JsonObject) -> bool:
    """Whether this robot has a home DERP of which its server does not know. Pure.

    :param status: ipnstate.Status; its Self.Relay is the home as tailscaled sees it.
    :param node: the robot's own tailcfg.Node, as the server sent it; HomeDERP is missing while it knows none.
    """
    own = status.get('Self') or {}
    return bool(status.get('BackendState') == 'Running' and own.get('Online') and own.get('Relay')
                and not node.get('HomeDERP'))


def netchecks(metrics: bytes) -> int:
    """How many netchecks tailscaled has begun, from its client metrics."""
    found = _NETCHECKS.search(metrics)
    return int(found.group(1)) if found else 0


class HomeReporter:
    """Looks every few seconds, and makes tailscaled report its home where that is missing.

    :param api: LocalApi of a user that may write: root.
    :param say: called with one sentence for each thing done.
    """

    def __init__(self, api: LocalApi, say: Say = _LOG.info, clock: Clock = time.monotonic) -> None:
        self._api = api
        self._say = say
        self._clock = clock
        self._since: Optional[float] = None

    def run(self, stop: Stop) -> None:
        """Work until ``stop`` is set."""
        # An agent that was killed while it did this has left tailscaled homeless.
        self._quietly(lambda: self._api.debug('derp-unset-homeless'))
        while not stop.wait(PERIOD):
            self._quietly(lambda: self.step(stop))

    def step(self, stop: Stop) -> None:
        """Look once and do what is needed.

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
            return False  # it has just left
        return is_unreported(status, node)

    def _be_homeless_for_a_netcheck(self, stop: Stop) -> None:
        """One that runs already may report the home; the next begins when it has ended, and the one after that when a
        whole one was homeless."""
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
