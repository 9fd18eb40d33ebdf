"""Add relays and DERP regions on remote hosts to a site, and remove them."""
import dataclasses
import datetime
from typing import Any, Callable, List, Optional, Sequence, Tuple, TypeVar

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import derp_map, remote_hosts, removal
from ua_overlay.headscale.api import Connect, HeadscaleApi
from ua_overlay.headscale.model import Node
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost
from ua_overlay.headscale.site_directory import ChangeableSite
from ua_overlay.protocols import JsonObject, UtcClock
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.enrolment import Enrolment
from ua_overlay.system import control_socket, files, foreign_file
from ua_overlay.trust import store

#: Sections of site.yaml, and the word for one entry: the first word of its commands.
RELAYS, DERPS = 'relays', 'derp'
_KINDS = {RELAYS: 'relay', DERPS: 'derp'}

_Host = TypeVar('_Host', RelayHost, DerpHost)


class HostError(OverlayError):
    """A relay or DERP region exists already, or does not exist."""

    code = 'REMOTE_HOST'


class RemoteAdmin:
    """The use cases around remote hosts.

    :param connect: opens the REST interface of the running server.
    :param ask: (socket path, operation) -> answer of the running server; raises control_socket.NotRunning.
    """

    def __init__(self, site: ChangeableSite, connect: Connect, now: UtcClock,
                 ask: Callable[[str, str], JsonObject] = control_socket.ask) -> None:
        self.site = site
        self._connect = connect
        self._now = now
        self._ask = ask

    def create_relay(self, relay: RelayHost, lifetime: float, again: bool = False) -> Enrolment:
        """Add a remote relay to the site and create its enrolment.

        :param lifetime: seconds until the key in the enrolment expires.
        :param again: set up the host of an existing relay again.
        :raises HostError: the name is taken, or unknown with ``again``.
        :raises RestError: the server is not running; nothing was changed.
        """
        with self.site.changing():
            relay = _find(self.site, RELAYS, self.site.settings.relays, relay.name) if again \
                else self._check_new(RELAYS, self.site.settings.relays, relay)
            client = self._connect()
            if again:
                self._remove_nodes(client, relay)
            key = client.create_key([defaults.RELAY_TAG], self._now() + datetime.timedelta(seconds=lifetime))
            try:
                self._write(relays=_with(self.site.settings.relays, relay))
            except BaseException:
                removal.revoke(client, [key.id], self._now, self.site.command)
                raise
        return Enrolment(enrolments.RELAY, relay.name, self.site.settings.url, self._ca(), relay.address, relay.port,
                         key=key.key)

    def create_derp(self, name: str, address: Optional[str], port: int, stun_port: int,
                    again: bool = False) -> Tuple[Enrolment, bool]:
        """Add a remote DERP region to the site and create its enrolment, with a certificate from the site's CA.

        :param again: issue a new certificate for an existing region; the other parameters are ignored then.
        :returns: (the enrolment, whether a running server has applied the change).
        :raises HostError: the name is taken, or unknown with ``again``.
        :raises UsageError: another parameter is invalid.
        """
        address = remote_hosts.check_reachable(address) if address else ''
        with self.site.changing():
            settings = self.site.settings
            host = _find(self.site, DERPS, settings.derp, name) if again else self._check_new(
                DERPS, settings.derp, DerpHost(name, remote_hosts.free_region(settings.derp), address, port, stun_port))
            host_name = host.host_name(settings.name)
            key, chain = store.issue(self.site.directory, [host_name], self._now(), defaults.DERP_CERTIFICATE_DAYS)
            reloaded = False
            if not again:
                self._write(derp=_with(settings.derp, host))
                reloaded = self._reconfigure()
        return Enrolment(enrolments.DERP, host.name, settings.url, self._ca(), host.address, host.port,
                         stun_port=host.stun_port, host_name=host_name, certificate=chain,
                         certificate_key=key, memory=settings.admission_seconds), reloaded

    def remove_relay(self, name: str) -> None:
        """Remove a relay from the site, and its node from the overlay.

        :raises HostError: there is no host of this name.
        :raises RestError: the server is not running; nothing was changed.
        """
        with self.site.changing():
            relay = _find(self.site, RELAYS, self.site.settings.relays, name)
            client = self._connect()
            self._remove_nodes(client, relay)
            self._write(relays=_without(self.site.settings.relays, name))

    def remove_derp(self, name: str) -> bool:
        """Remove a DERP region from the site; return whether a running server has applied the change.

        :raises HostError: there is no host of this name.
        """
        with self.site.changing():
            _find(self.site, DERPS, self.site.settings.derp, name)
            self._write(derp=_without(self.site.settings.derp, name))
            return self._reconfigure()

    def _remove_nodes(self, client: HeadscaleApi, relay: RelayHost) -> None:
        for node in _nodes_of(client, relay):
            client.expire_node(node.id)
            removal.delete(client, node, self._now, self.site.command)

    def _check_new(self, section: str, hosts: Sequence[_Host], host: _Host) -> _Host:
        """Return ``host`` if the site can have it in addition to ``hosts``.

        :raises HostError: its name is taken.
        :raises UsageError: it conflicts with the settings.
        """
        kind = _KINDS[section]
        if any(each.name == host.name for each in hosts):
            raise HostError('The site has a {} {} already.'.format(kind, host.name),
                            'another name, or {} for a new enrolment'.format(
                                self.site.command('{} create {} --again'.format(kind, host.name))))
        changes: Any = {section: (*hosts, host)}
        dataclasses.replace(self.site.settings, **changes)  # raises UsageError
        return host

    def _write(self, **changes: Any) -> None:
        before = self.site.settings
        self.site.settings = dataclasses.replace(before, **changes)
        try:
            self.site.write_settings()
        except BaseException:
            self.site.settings = before
            raise

    def _reconfigure(self) -> bool:
        """Make a running server apply the regions of site.yaml; return whether one is running."""
        if not self.site.settings.regions:
            files.write_atomic(self.site.path(derp_map.MAP_FILE), 'regions: {}\n', mode=0o600)
        try:
            self._ask(self.site.control_socket, 'reconfigure')
        except control_socket.NotRunning:
            return False
        return True

    def _ca(self) -> str:
        return foreign_file.read_text(self.site.ca_file)


def _find(site: ChangeableSite, section: str, hosts: Sequence[_Host], name: str) -> _Host:
    found = next((each for each in hosts if each.name == name), None)
    if found is None:
        kind = _KINDS[section]
        raise HostError('The site has no remote {} {} (there are: {}).'.format(
            kind, name, ', '.join(each.name for each in hosts) or 'none'), site.command('{} list'.format(kind)))
    return found


def _with(hosts: Sequence[_Host], host: _Host) -> Tuple[_Host, ...]:
    return tuple(sorted(_without(hosts, host.name) + (host,), key=lambda each: each.name))


def _without(hosts: Sequence[_Host], name: str) -> Tuple[_Host, ...]:
    return tuple(each for each in hosts if each.name != name)


def _nodes_of(client: HeadscaleApi, relay: RelayHost) -> List[Node]:
    """Return the nodes that registered as this relay."""
    return [node for node in client.nodes()
            if node.tags == (defaults.RELAY_TAG,) and node.requested_name == relay.host_name]
