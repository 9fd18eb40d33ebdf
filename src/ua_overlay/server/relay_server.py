"""`server relay run`: the site's relay, and its derper if it has one, in a process apart from the server."""
import signal
import time
from typing import Callable, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.api import Connect
from ua_overlay.protocols import Clock, JsonObject, Locate, Say, UtcClock
from ua_overlay.server.own_relays import OwnRelays
from ua_overlay.server.ports import check_ports, relay_ports
from ua_overlay.site.site import Site
from ua_overlay.system import files, ownership
from ua_overlay.system.control_socket import ControlServer
from ua_overlay.system.requests import Requests
from ua_overlay.system.staleness import Staleness

#: Seconds within which a child must exit.
STOP_TIMEOUT = 5.0
#: Seconds without a look at the children after which the main thread hangs.
SILENT_AFTER = 120.0
#: The request to the main thread.
STOP = 'stop'


class RelayServer:
    """Runs the relay of one site.

    :param locate: finds tailscale, tailscaled and derper.
    :param connect: opens the REST interface of the running Headscale.
    :param say: prints one line to the terminal or the journal.
    :param started: called once everything is started; the relay joins when Headscale answers.
    """

    def __init__(self, site: Site, locate: Locate, connect: Connect, now: UtcClock, say: Say,
                 clock: Clock = time.monotonic, started: Callable[[], None] = lambda: None) -> None:
        self._site = site
        self._locate = locate
        self._connect = connect
        self._now = now
        self._say = say
        self._clock = clock
        self._started = started
        self._requests = Requests()
        self._staleness = Staleness(SILENT_AFTER, clock)
        self._relays: Optional[OwnRelays] = None

    def run(self) -> int:
        """Run until SIGTERM or SIGINT; return 0.

        :raises OverlayError: the relay runs already, a port is taken, or a program is missing.
        :raises ownership.Unsafe: another user could put another site in its place.
        """
        ownership.check(self._site.directory, 'The site {}'.format(self._site.directory))
        with self._site.relay_held(), self._requests.from_signals({signal.SIGTERM: STOP, signal.SIGINT: STOP}):
            control_server = None
            try:
                check_ports(relay_ports(self._site.settings), apart=True)
                for folder in ('relay', 'derp'):
                    files.sweep(self._site.path(folder))
                self._relays = OwnRelays(self._site, self._locate, self._connect, self._now, self._say, self._clock,
                                         STOP_TIMEOUT)
                self._relays.start_derp()
                self._relays.start_relay()
                control_server = ControlServer(self._site.relay_control_socket, self._answer)
                self._started()
                self._supervise(self._relays)
            finally:
                if control_server is not None:
                    control_server.close()
                if self._relays is not None:
                    self._relays.stop()
            self._say('Stopped.')
            return 0

    def _supervise(self, relays: OwnRelays) -> None:
        while True:
            self._staleness.seen()
            request = self._requests.take(0.5)
            if request is not None and request.name == STOP:
                self._say('Stopping …')
                return
            relays.step()

    def _answer(self, operation: str) -> JsonObject:
        if self._relays is not None and operation == 'status':
            report, what = self._relays.report(), 'The main thread of `server relay run`'
            derp = report['own_derp']
            return dict(report, relay=dict(self._staleness.judge(report['relay'], what), apart=True),
                        own_derp=None if derp is None else self._staleness.judge(derp, what))
        if self._relays is not None and operation == 'restart relay':
            self._relays.restart_relay()
            return {'ok': True}
        raise OverlayError('The relay does not know the operation "{}".'.format(operation),
                           self._site.command('server relay status'))
