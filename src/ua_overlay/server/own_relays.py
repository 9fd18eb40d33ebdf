"""The site's relay, and its derper if it has one, as children of this process."""
import os
from typing import List, Optional

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import remote_hosts
from ua_overlay.headscale.api import Connect
from ua_overlay.protocols import Clock, JsonObject, Locate, Say, UtcClock
from ua_overlay.relays import derp_process
from ua_overlay.relays.admission import ASK_TIMEOUT
from ua_overlay.relays.derp_process import DerpProcess, DerpSettings, DerpTrust
from ua_overlay.relays.relay import SiteKeySource, settings_of_site
from ua_overlay.relays.relay_process import RelayProcess
from ua_overlay.site.site import Site
from ua_overlay.system import file_system, foreign_file
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import store
from ua_overlay.trust.verify import verify_node_key


class OwnRelays:
    """Runs them. Only the main thread may start, step and stop them.

    :param site: whose relay lock this process holds.
    :param locate: finds tailscale, tailscaled and derper.
    :param connect: opens the REST interface of the running Headscale.
    :param say: prints one line.
    :param stop_timeout: seconds within which a child must exit.
    :raises OverlayError: a program is missing.
    """

    def __init__(self, site: Site, locate: Locate, connect: Connect, now: UtcClock, say: Say, clock: Clock,
                 stop_timeout: float) -> None:
        self._site = site
        self._relay = RelayProcess(locate, settings_of_site(site), SiteKeySource(connect, now),
                                   site.path('log', 'relay.log'), say, clock, stop_timeout)
        self._derp: Optional[DerpProcess] = None
        if site.settings.derp_port:
            self._derp = DerpProcess(locate, derp_settings(site), lambda: read_trust(site),
                                     lambda key: ask_headscale(site, key), say, clock, stop_timeout)

    def start_derp(self) -> None:
        """Start derper, and wait until it answers, for some seconds. It needs no Headscale.

        :raises OverlayError: it cannot start.
        """
        if self._derp is None:
            return
        try:
            os.makedirs(self._site.path('derp'), mode=0o700, exist_ok=True)
            self._derp.start()
        except OSError as error:
            raise file_system.as_error(file_system.named(error, self._site.path('derp')))
        self._derp.wait(derp_process.START)

    def start_relay(self) -> None:
        """Start the relay, which joins as soon as Headscale answers.

        :raises OSError: its tailscaled cannot be started.
        """
        self._relay.start()

    def step(self) -> None:
        """Restart what ended or has to restart."""
        self._relay.step()
        if self._derp is not None:
            self._derp.step()

    def restart_relay(self) -> None:
        """Have the next :meth:`step` restart the relay. Any thread may ask."""
        self._relay.ask_restart()

    def retire(self) -> None:
        """Repair nothing any more, because everything will be stopped."""
        self._relay.retire()

    def stop(self) -> None:
        """Stop everything."""
        self._relay.stop()
        if self._derp is not None:
            self._derp.stop()

    def report(self) -> JsonObject:
        """Return `relay` (RelayProcess.report), `own_derp` (DerpProcess.report, None without one) and `log_problems`
        (sentences)."""
        problems: List[str] = [self._relay.log_problem, self._derp.log_problem if self._derp else '']
        return {'relay': dict(self._relay.report(), apart=False), 'own_derp': self._derp and self._derp.report(),
                'log_problems': [problem for problem in problems if problem]}


def derp_settings(site: Site) -> DerpSettings:
    """Return the settings of a site's own derper."""
    settings = site.settings
    return DerpSettings(remote_hosts.SERVER_REGION_NAME, site.path('derp'), site.path('log', 'derper.log'),
                        settings.name, settings.derp_port, settings.stun_port, settings.admission_seconds)


def read_trust(site: Site) -> DerpTrust:
    """Return the server's own certificate, which `server run` renews.

    :raises OverlayError: it is damaged, or just being replaced.
    """
    trust = store.load(site.directory)
    try:
        chain, key = foreign_file.read_text(trust.certificate_path), foreign_file.read_text(trust.key_path)
    except OSError as error:
        raise OverlayError('The certificate of {} cannot be read: {}.'.format(
            site.settings.name, error.strerror or error), site.command('server status'))
    if not certificates.has_key(certificates.load_certificates(chain, trust.certificate_path)[0],
                                certificates.load_private_key(key, trust.key_path)):
        raise OverlayError('The certificate of {} is being replaced.'.format(site.settings.name),
                           site.command('server status'))
    return DerpTrust(chain, key, trust.ca_pem)


def ask_headscale(site: Site, key: str) -> Optional[bool]:
    """Ask the site's Headscale, on this machine, whether it knows a node key; return None if it does not answer."""
    try:
        return verify_node_key(site.settings.url, foreign_file.read_text(site.ca_file), key, ASK_TIMEOUT,
                               address='127.0.0.1')
    except (OSError, OverlayError):
        return None
