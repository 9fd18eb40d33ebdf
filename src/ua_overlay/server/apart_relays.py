"""The site's relay, and its derper if it has one, in a process of their own: `server relay run`.

A restart of the server, or a new version of it, then leaves links over them alone.
"""
import time
from typing import Callable

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_directory import SiteDirectory
from ua_overlay.protocols import Clock, JsonObject
from ua_overlay.relays import derp_process
from ua_overlay.server import service
from ua_overlay.system import control_socket
from ua_overlay.system.control_socket import NotRunning

#: (socket path, operation, seconds) -> answer; raises NotRunning.
Ask = Callable[[str, str, float], JsonObject]
#: Seconds for a question to that process, which never waits for Headscale.
TIMEOUT = 5.0


class ApartRelays:
    """Asks that process; it has the methods of OwnRelays."""

    def __init__(self, site: SiteDirectory, ask: Ask = control_socket.ask,
                 sleep: Callable[[float], None] = time.sleep, clock: Clock = time.monotonic) -> None:
        self._site = site
        self._ask = ask
        self._sleep = sleep
        self._clock = clock

    def start_derp(self) -> None:
        """Wait for derper, for some seconds: both processes start when the machine boots, and robots whose first DERP
        map calls Headscale's own DERP their home have to change it."""
        deadline = self._clock() + derp_process.START
        while self._site.settings.derp_port and self._clock() < deadline:
            if (self.report()['own_derp'] or {}).get('ok'):
                return
            self._sleep(0.1)

    def start_relay(self) -> None:
        """Do nothing: it starts by itself."""

    def step(self) -> None:
        """Do nothing: it is supervised by itself."""

    def restart_relay(self) -> None:
        """Have the relay's process restart its tailscaled.

        :raises OverlayError: it does not answer.
        """
        try:
            self._ask(self._site.relay_control_socket, 'restart relay', TIMEOUT)
        except NotRunning:
            return  # it reads the new files when it starts

    def retire(self) -> None:
        """Do nothing: it goes on."""

    def stop(self) -> None:
        """Do nothing: it goes on."""

    def report(self) -> JsonObject:
        """Return what OwnRelays.report returns; the relay's state says so if its process does not answer."""
        try:
            return dict(status(self._site, self._ask))
        except OverlayError as error:
            return {'relay': {'state': error.sentence.rstrip('.'), 'ok': False, 'apart': True, 'pid': None,
                              'restarts': 0}, 'own_derp': None, 'log_problems': []}


def status(site: SiteDirectory, ask: Ask = control_socket.ask) -> JsonObject:
    """Return the report of `server relay run`.

    :raises NotRunning: it does not run.
    :raises OverlayError: it does not answer.
    """
    try:
        return ask(site.relay_control_socket, 'status', TIMEOUT)
    except NotRunning:
        raise NotRunning("The relay's process does not run.", start_command(site))


def start_command(site: SiteDirectory) -> str:
    """Return the command line that starts the relay's process: as its unit, where that is installed."""
    started = control_socket.start_command(site.directory, service.RELAY_UNIT, service.SERVER_RELAY.run)
    return started if started.startswith('sudo ') else site.command(service.SERVER_RELAY.run)
