"""A peer relay: a tailscaled that forwards robots' UDP, on the server or on a remote host.

It runs with `--tun=userspace-networking`, so it needs neither root nor a network interface: the relay server of
tailscale (feature/relayserver) uses plain UDP sockets and never touches the TUN device.
"""
import contextlib
import datetime
import ipaddress
import os
import socket
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Protocol, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.api import Connect
from ua_overlay.headscale.site_directory import SiteDirectory
from ua_overlay.protocols import UtcClock
from ua_overlay.relays.probe import UNKNOWN_SESSION
from ua_overlay.relays.relay_health import RelayFacts, parse_counters, parse_sessions
from ua_overlay.system import files, procnet
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status

#: Host name that the relay requests. It is reserved, so that no robot has it (trust.names).
RELAY_NAME = 'relay'
#: Lifetime of its pre-auth key in seconds; the relay uses it at once.
RELAY_KEY_LIFETIME = 300
#: Seconds within which a working relay reads a received packet.
READ_TIMEOUT = 2.0

Run = Callable[..., 'subprocess.CompletedProcess[str]']


class RelayError(OverlayError):
    """The peer relay does not work. Robots then use another relay, or DERP."""

    code = 'RELAY'


@dataclass(frozen=True)
class RelaySettings:
    """The directory, names and addresses of a relay.

    :param directory: directory of its state, and temporarily of its key.
    :param socket: path of the LocalAPI socket of its tailscaled.
    :param ca_file: path of the site's CA.
    :param url: of the control server.
    :param host_name: the name that its node requests.
    :param port: UDP port.
    :param addresses: addresses at which robots reach it, in addition to those that STUN finds.
    """

    directory: str
    socket: str
    ca_file: str
    url: str
    host_name: str
    port: int
    addresses: Tuple[str, ...]


def settings_of_site(site: SiteDirectory) -> RelaySettings:
    """Return the RelaySettings of the relay on the server."""
    settings = site.settings
    return RelaySettings(site.path('relay'), site.relay_socket, site.ca_file, settings.url, RELAY_NAME,
                         settings.relay_port, tuple(settings.addresses))


def daemon_command(tailscaled: str, settings: RelaySettings) -> Tuple[List[str], Dict[str, str]]:
    """Return argv and extra environment of the relay's tailscaled."""
    argv = [tailscaled, '--tun=userspace-networking', '--port=0', '--no-logs-no-support',
            '--statedir=' + settings.directory, '--socket=' + settings.socket]
    environment = {'SSL_CERT_FILE': settings.ca_file, 'TS_NO_LOGS_NO_SUPPORT': 'true',
                   # The site's administrator opens the port; a relay must never ask a router to open it.
                   'TS_DISABLE_PORTMAPPER': 'true'}
    return argv, environment


def up_arguments(url: str, key_file: str, host_name: str) -> List[str]:
    """Return the arguments of `tailscale` that register the relay; they name only the file of the key."""
    return ['up', '--reset', '--login-server=' + url, '--auth-key=file:' + key_file, '--hostname=' + host_name,
            '--accept-dns=false', '--accept-routes=false', '--timeout=60s']


def set_arguments(port: int, addresses: Sequence[str]) -> List[str]:
    """Return the arguments of `tailscale` that turn a node into a relay server.

    Robots learn the static endpoints in addition to those that STUN finds; with forwarded ports only these work.
    """
    endpoints = ','.join(('[{}]:{}' if ipaddress.ip_address(address).version == 6 else '{}:{}').format(address, port)
                         for address in addresses)
    return ['set', '--relay-server-port={}'.format(port), '--relay-server-static-endpoints=' + endpoints]


class KeySource(Protocol):
    """The source of a relay's pre-auth key."""

    def key(self) -> str:
        """Return a single-use key (a secret).

        :raises OverlayError: no key is available.
        """
        ...

    def done(self) -> None:
        """Note that the key was used."""
        ...

    def failed(self) -> None:
        """Note that the key may not have been used."""
        ...


class SiteKeySource:
    """Creates keys for the relay on the server, over the REST interface."""

    def __init__(self, connect: Connect, now: UtcClock) -> None:
        self._connect = connect
        self._now = now
        self._key_id: Optional[str] = None

    def key(self) -> str:
        client = self._connect()
        for node in client.nodes():
            # Remove the node of a relay that lost its state; otherwise the new node would be called relay-1.
            if node.tags == (defaults.RELAY_TAG,) and node.requested_name == RELAY_NAME:
                client.delete_node(node.id)
        key = client.create_key([defaults.RELAY_TAG], self._now() + datetime.timedelta(seconds=RELAY_KEY_LIFETIME))
        self._key_id = key.id
        return key.key

    def done(self) -> None:
        """Do nothing, because a used key is invalid."""

    def failed(self) -> None:
        """Revoke the key, so that no other machine can use it."""
        if self._key_id is not None:
            self._connect().expire_key(self._key_id)


class RelayNode:
    """Joins a relay's tailscaled to the overlay, and observes it.

    :param tailscale: path of the `tailscale` program.
    """

    def __init__(self, tailscale: str, settings: RelaySettings, key_source: KeySource,
                 run: Run = subprocess.run) -> None:
        self._tailscale = tailscale
        self.settings = settings
        self._key_source = key_source
        self._run = run
        self._api = LocalApi(settings.socket, timeout=10.0)

    @property
    def port(self) -> int:
        """The desired UDP port."""
        return self.settings.port

    def _call(self, arguments: List[str], timeout: float) -> 'subprocess.CompletedProcess[str]':
        argv = [self._tailscale, '--socket=' + self.settings.socket] + arguments
        try:
            return self._run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=timeout, universal_newlines=True, errors='replace')
        except subprocess.TimeoutExpired:
            raise RelayError('The peer relay did not finish "tailscale {}" within {:g} s.'.format(
                arguments[0], timeout))

    def facts(self, pid: int) -> RelayFacts:
        """Return the facts about the tailscaled with process id ``pid``. Takes up to 12 s if tailscaled hangs."""
        try:
            status = parse_status(self._api.status(peers=False))
            port, sessions = parse_sessions(self._api.relay_sessions())
            counters = parse_counters(self._api.client_metrics().decode('utf-8', 'replace'))
        except OverlayError as error:
            return RelayFacts(error=error.sentence)
        listening, backlog = self._inspect_socket(pid) if port == self.settings.port else (False, 0)
        return RelayFacts('', status.state, status.self_node.online, port,
                          listening, backlog, sessions, *counters)

    def _inspect_socket(self, pid: int) -> Tuple[bool, int]:
        """Send a packet to the port; return (whether ``pid`` has the port, number of unread bytes)."""
        inodes = procnet.inodes_of(pid)
        deadline = time.monotonic() + READ_TIMEOUT
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
            link.sendto(UNKNOWN_SESSION, ('127.0.0.1', self.settings.port))
        while True:
            own = [each.unread for each in procnet.read_sockets('udp') if each.local_port == self.settings.port
                   and (inodes is None or each.inode in inodes)]
            # Even a busy relay empties its queue at some moment; a dead one never does.
            if not own or not any(own) or time.monotonic() > deadline:
                return bool(own), sum(own)
            time.sleep(0.05)

    def bring_up(self) -> None:
        """Register the relay if it has no identity yet, and set the relay port. Takes 1 to 60 s.

        :raises RelayError: it failed; the sentence has the reason.
        :raises RestError: the control server did not answer.
        """
        self._remove_key_file()
        if parse_status(self._api.status(peers=False)).state in ('NeedsLogin', 'NoState'):
            self._register()
        else:
            # A person may have run `tailscale down`; if the relay is running, this changes nothing.
            self._api.edit_prefs(WantRunning=True)
        self._set(set_arguments(self.settings.port, self.settings.addresses))

    @property
    def _key_file(self) -> str:
        return os.path.join(self.settings.directory, 'auth.key')

    def _remove_key_file(self) -> None:
        """Remove the file of a key that was used, also by a process that was killed meanwhile."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._key_file)

    def reset_port(self) -> None:
        """Remove the relay server and set it up again."""
        self._set(['set', '--relay-server-port='])
        self._set(set_arguments(self.settings.port, self.settings.addresses))

    def _set(self, arguments: List[str]) -> None:
        result = self._call(arguments, 20)
        if result.returncode != 0:
            raise RelayError('The peer relay refused its port: {}'.format(result.stderr.strip()[:300]))

    def _register(self) -> None:
        key = self._key_source.key()
        try:
            files.write_secret(self._key_file, key)
        except OSError:
            self._key_source.failed()
            raise
        try:
            result = self._call(up_arguments(self.settings.url, self._key_file, self.settings.host_name), 70)
        finally:
            self._remove_key_file()
        if result.returncode != 0:
            self._key_source.failed()
            raise RelayError('The peer relay cannot join the overlay: {}'.format(
                (result.stderr.strip() or result.stdout.strip())[:300]))
        self._key_source.done()
