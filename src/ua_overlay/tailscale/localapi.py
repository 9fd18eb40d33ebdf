"""tailscaled's LocalAPI: the calls behind the `tailscale` command, over the daemon's unix socket.

Source of the rules: tailscale.com v1.98.10, ipn/localapi/localapi.go and ipn/ipn.go (Options, MaskedPrefs); the same
calls work on 1.100.0 and 1.102.5. Every local user may read. Only root and the operator that `ua-overlay robot prepare`
set may write (prefs, start, logout).
"""
import json
import os
import re
import socket
import threading
from typing import Any, Iterator, List, Optional, Tuple
from urllib.parse import quote, urlencode

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import foreign_json
from ua_overlay.tailscale.http_unix import LONGEST_BODY, Answer, Connection, ProtocolError
from ua_overlay.tailscale.model import PingResult, parse_derp_map, parse_ping
from ua_overlay.tailscale.version import is_supported

#: The only Host header that the daemon accepts (client/tailscale/apitype: LocalAPIHost), against DNS rebinding.
HOST = 'local-tailscaled.sock'
PREFIX = '/localapi/v0/'

#: Bits of the watch mask that mean the same from 1.98 to 1.102 (ipn/backend.go).
WATCH_STATE = 1 << 1
WATCH_PREFS = 1 << 2
WATCH_HEALTH = 1 << 7
#: Peer deltas. 1.98: PeerChanges; 1.100: PeersChanged, PeersRemoved. 1.102 refuses them together with the rate limit.
WATCH_PEERS = 1 << 12

#: Bytes of an error's body that are looked at.
_LONGEST_REASON = 4096

#: Keys of every kind that Tailscale and Headscale generate (tskey-, hskey-, private node keys…). No text of this
#: package may contain one.
_SECRET = re.compile(r'(?:tskey|hskey|privkey)[-:][A-Za-z0-9_-]+')


class DaemonMissing(OverlayError):
    """No tailscaled answers on the socket."""

    code = 'NO_DAEMON'


class DaemonDenied(OverlayError):
    """tailscaled answers, but refuses this user."""

    code = 'NOT_PREPARED'


class DaemonTooOld(OverlayError):
    """tailscaled is older than the server accepts."""

    code = 'DAEMON_TOO_OLD'


class DaemonError(OverlayError):
    """tailscaled refused a call, sent an invalid answer or none.

    :param status: HTTP status code, or 0 when there was no answer.
    """

    code = 'DAEMON_ERROR'

    def __init__(self, sentence: str, next_command: str = '', code: Optional[str] = None, status: int = 0) -> None:
        super().__init__(sentence, next_command, code)
        self.status = status


def redact(text: str) -> str:
    """Return ``text`` without keys. Everything that is shown, logged or raised passes through it."""
    return _SECRET.sub('[key]', text)


class LocalApi:
    """Calls to one tailscaled. Thread-safe: calls of several threads queue up on one kept connection.

    :param socket_path: of the daemon.
    :param timeout: seconds for each call; `ping` and streams take a separate timeout. The default lets a command make
        two calls to a tailscaled that hangs, and end within ten seconds.

    Every call can raise :class:`DaemonMissing` (no socket, nobody listening, ended while answering),
    :class:`DaemonDenied`, :class:`DaemonTooOld` or :class:`DaemonError`, all subclasses of OverlayError.
    """

    def __init__(self, socket_path: str = defaults.DAEMON_SOCKET, timeout: float = 4.0) -> None:
        self.socket_path = socket_path
        self.timeout = timeout
        self._lock = threading.Lock()
        self._connection: Optional[Connection] = None

    def close(self) -> None:
        """Close the kept connection; the next call opens another."""
        with self._lock:
            self._drop()

    def status(self, peers: bool = True) -> JsonObject:
        """Return ipnstate.Status as a dict; see `model.parse_status`. Without peers its cost is constant."""
        return self._json('GET', 'status' if peers else 'status?peers=false')

    def user_metrics(self) -> bytes:
        """Return Prometheus text with the byte counters by path, among others; see `byte_counters`."""
        return self._call('GET', 'usermetrics')

    def client_metrics(self) -> bytes:
        """Return Prometheus text with the daemon's internal counters. Requires root or the operator."""
        return self._call('GET', 'metrics')

    def debug(self, action: str) -> None:
        """Do what `tailscale debug ACTION` does. Requires root or the operator."""
        self._call('POST', 'debug?' + urlencode({'action': action}))

    def relay_sessions(self) -> JsonObject:
        """Return the state of the relay server in this daemon (udprelay: status.ServerStatus)."""
        return self._json('GET', 'debug-peer-relay-sessions')

    def derp_map(self) -> JsonObject:
        """Return the names and addresses of the site's DERP servers; see `model.parse_derp_map`.

        :raises DaemonError: also before the first network map.
        """
        return parse_derp_map(self._json('GET', 'derpmap'))

    def prefs(self) -> JsonObject:
        """Return ipn.Prefs as a dict; see `model.parse_prefs`."""
        return self._json('GET', 'prefs')

    def edit_prefs(self, **fields: Any) -> JsonObject:
        """Change only the named preferences, as in `edit_prefs(WantRunning=False)`, and return all of them."""
        masked = dict(fields)
        for name in fields:
            masked[name + 'Set'] = True
        return self._json('PATCH', 'prefs', masked)

    def profiles(self) -> Tuple[Json, Json]:
        """Return (the logins that tailscaled keeps, the one in use): a list of ipn.LoginProfile, and one. See
        `tailnet.parse_profiles`. Requires root or the operator."""
        listed = self._call('GET', 'profiles/')
        try:
            return foreign_json.parse(listed), self._json('GET', 'profiles/current')
        except ValueError:
            raise DaemonError('tailscaled at {} sent invalid JSON.'.format(self.socket_path))

    def new_profile(self) -> None:
        """Begin a new, empty login; the others stay. It is saved when it logs in."""
        self._call('PUT', 'profiles/')

    def switch_profile(self, profile: str) -> None:
        """Use another login. :param profile: its ID."""
        self._call('POST', 'profiles/' + quote(profile, safe=''))

    def reset_auth(self) -> None:
        """Remove every login and the machine key, without telling the server: the next login is another machine's."""
        self._call('POST', 'reset-auth')

    def start(self, auth_key: Optional[str] = None, update_prefs: Optional[JsonObject] = None) -> None:
        """Start the daemon's backend afresh (ipn.Options).

        :param auth_key: sent at once if the machine has a node key (the robot moves to the key's team, and the key is
            spent); otherwise only after `login_interactive`, which the caller must call next.
        :param update_prefs: REPLACES all preferences (a missing one becomes false or empty, the operator too); None
            keeps them.
        """
        options: JsonObject = {}
        if auth_key:
            options['AuthKey'] = auth_key
        if update_prefs is not None:
            options['UpdatePrefs'] = update_prefs
        self._call('POST', 'start', options)

    def login_interactive(self) -> None:
        """Register with the server: with the key given to `start`, or with a URL that appears on the bus."""
        self._call('POST', 'login-interactive')

    def logout(self, timeout: Optional[float] = None) -> None:
        """Give up the node key, and on the server too if it answers. Wipes the operator."""
        self._call('POST', 'logout', timeout=timeout)

    def ping(self, address: str, kind: str = 'disco', timeout: float = 5.0, size: int = 0) -> PingResult:
        """Ping an overlay address.

        A disco ping makes the link active for 45 s, and its first answer often came by DERP. The policy does not affect
        it; 'TSMP' and 'ICMP' pings pass through WireGuard but report no path.

        :param size: bytes of a disco ping, 0 for the usual one. A larger one than the path in use has been tried with
            goes by DERP and to every candidate path instead (tailscale.com v1.102.5, wgengine/magicsock/endpoint.go
            addrForPingSizeLocked).
        :raises DaemonError: with code NO_ANSWER when no answer came within ``timeout`` seconds; the daemon itself would
            wait for ever.
        """
        query = urlencode(dict({'ip': address, 'type': kind}, **({'size': str(size)} if size else {})))
        try:
            connection = Connection(self.socket_path, timeout, HOST)
        except OSError as error:
            raise self._unreachable(error)
        try:
            answer = connection.request('POST', PREFIX + 'ping?' + query, None, timeout)
        except socket.timeout:
            raise DaemonError('{} did not answer a {} ping within {:g} s.'.format(address, kind, timeout),
                              code='NO_ANSWER')
        except (OSError, ProtocolError) as error:
            raise self._ended(error)
        finally:
            connection.close()
        return parse_ping(self._decode(self._checked(answer, 'ping')))

    def whois(self, address: str) -> JsonObject:
        """Return apitype.WhoIsResponse of an overlay address; see `model.parse_whois`.

        :raises DaemonError: with status 404 when no node has the address.
        """
        return self._json('GET', 'whois?' + urlencode({'addr': address}))

    def watch(self, mask: int = WATCH_STATE | WATCH_HEALTH | WATCH_PEERS) -> 'Bus':
        """Return a :class:`Bus`: an iterator of ipn.Notify dicts. The daemon drops messages when the reader is too
        slow."""
        try:
            connection = Connection(self.socket_path, self.timeout, HOST)
        except OSError as error:
            raise self._unreachable(error)
        try:
            answer = connection.request('GET', PREFIX + 'watch-ipn-bus?mask={}'.format(mask), None, self.timeout, True)
            self._checked(answer, 'watch-ipn-bus')
        except (OSError, ProtocolError) as error:
            connection.close()
            raise self._ended(error)
        except BaseException:
            connection.close()
            raise
        return Bus(connection, self.socket_path)

    # -- inside

    def _json(self, method: str, path: str, body: Optional[JsonObject] = None) -> JsonObject:
        return self._decode(self._call(method, path, body))

    def _decode(self, body: bytes) -> JsonObject:
        try:
            return foreign_json.parse_object(body)
        except ValueError:
            raise DaemonError('tailscaled at {} sent an answer that is not a JSON object.'.format(
                self.socket_path)) from None

    def _call(self, method: str, path: str, body: Optional[JsonObject] = None,
              timeout: Optional[float] = None) -> bytes:
        seconds = self.timeout if timeout is None else timeout
        data = None if body is None else json.dumps(body).encode('utf-8')
        with self._lock:
            # Only a GET is repeated, and only when the kept connection was dead before it answered: the daemon was
            # restarted. A write may have taken effect although its answer was lost.
            if method != 'GET':
                self._drop()
            kept = self._connection is not None
            try:
                answer = self._exchange(method, path, data, seconds)
            except ConnectionError as error:
                if not kept or isinstance(error, ConnectionRefusedError):
                    raise self._ended(error)
                try:
                    answer = self._exchange(method, path, data, seconds)
                except (OSError, ProtocolError) as again:
                    raise self._ended(again)
            except (OSError, ProtocolError) as error:
                raise self._ended(error)
        return self._checked(answer, path)

    def _exchange(self, method: str, path: str, data: Optional[bytes], timeout: float) -> Answer:
        if self._connection is None:
            try:
                self._connection = Connection(self.socket_path, timeout, HOST)
            except OSError as error:
                raise self._unreachable(error)
        try:
            answer = self._connection.request(method, PREFIX + path, data, timeout)
        except BaseException:
            self._drop()
            raise
        if not self._connection.reusable:
            self._drop()
        return answer

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _checked(self, answer: Answer, path: str) -> bytes:
        """Return the body of a successful answer; raise the typed error of any other."""
        if answer.code < 300:
            version = answer.headers.get('tailscale-version', '')
            if not is_supported(version):
                raise DaemonTooOld(
                    'tailscaled at {} is {}, older than {}.{}, which the server requires.'.format(
                        self.socket_path, printable(version), *defaults.OLDEST_TAILSCALED), 'ua-overlay tools install')
            return answer.body
        # Part of a key must not survive the cut.
        text = printable(redact(answer.body[:_LONGEST_REASON].decode('utf-8', 'replace').strip()), 300)
        call = path.split('?', 1)[0]
        if answer.code in (401, 403):
            raise DaemonDenied('tailscaled at {} refuses changes by this user ({}).'.format(
                self.socket_path, text or call),
                'sudo ua-overlay robot prepare --user "$USER"   # in place of the present user')
        raise DaemonError('tailscaled refused {} ({}): {}.'.format(call, answer.code, text.rstrip('.') or 'no reason'),
                          status=answer.code)

    def _unreachable(self, error: OSError) -> OverlayError:
        """Return the typed error of a failed connect."""
        if isinstance(error, PermissionError):
            return DaemonDenied('This user may not open {}.'.format(self.socket_path),
                                'sudo ua-overlay robot prepare --user "$USER"')
        return DaemonMissing('No tailscaled answers at {} ({}).'.format(
            self.socket_path, error.strerror or type(error).__name__), self._start_command())

    def _start_command(self) -> str:
        if self.socket_path != defaults.DAEMON_SOCKET or os.path.exists(defaults.CA_FILE):
            return 'sudo systemctl start tailscaled'
        # A machine that was never prepared need not have a service that could start.
        if os.path.exists(defaults.SITE_DIR):
            return 'sudo ua-overlay server status   # this machine is a server, not a robot'
        return 'sudo ua-overlay robot prepare --invitation INVITATION --user "$USER"'

    def _ended(self, error: Exception) -> OverlayError:
        """Return the typed error of a failed exchange."""
        if isinstance(error, socket.timeout):
            return DaemonError('tailscaled at {} did not answer in time.'.format(self.socket_path),
                               'sudo systemctl restart tailscaled')
        if isinstance(error, ProtocolError):
            return DaemonError('The program that answers at {} is not tailscaled ({}).'.format(self.socket_path, error),
                               command('sudo ss -xlp src {}', self.socket_path))
        return DaemonMissing('tailscaled at {} ended while it answered.'.format(self.socket_path),
                             'sudo systemctl start tailscaled')


class Bus:
    """Messages of the daemon's bus (ipn.Notify as dicts), as they arrive. One thread reads; any thread may
    :meth:`close`."""

    def __init__(self, connection: Connection, socket_path: str) -> None:
        self._connection = connection
        self._socket_path = socket_path
        self._rest = bytearray()
        self._lines: List[bytes] = []
        self.closed = False

    def next(self, timeout: Optional[float] = None) -> Optional[JsonObject]:
        """Return the next message, or None when none came within ``timeout`` seconds (None: wait for ever).

        :raises DaemonMissing: the daemon closed the bus: it exited, or (1.100) this reader was too slow.
        :raises StopIteration: :meth:`close` was called.
        """
        while not self._lines:
            if self.closed:
                raise StopIteration
            try:
                chunk = self._connection.read_chunk(timeout)
            except socket.timeout:
                return None
            except (OSError, ProtocolError):
                chunk = b''
            if not chunk:
                if self.closed:
                    raise StopIteration
                raise DaemonMissing('tailscaled at {} closed its bus.'.format(self._socket_path),
                                    'sudo systemctl start tailscaled')
            self._rest += chunk
            if len(self._rest) > LONGEST_BODY:
                raise DaemonError('The bus of tailscaled at {} sent a message that is too long.'.format(
                    self._socket_path))
            if b'\n' not in chunk:
                continue
            lines = bytes(self._rest).split(b'\n')
            self._rest = bytearray(lines.pop())
            self._lines = [line for line in reversed(lines) if line.strip()]
        try:
            return foreign_json.parse_object(self._lines.pop())
        except ValueError:
            raise DaemonError('The bus of tailscaled at {} sent a message that is not a JSON object.'.format(
                self._socket_path)) from None

    def __iter__(self) -> Iterator[Optional[JsonObject]]:
        return self

    def __next__(self) -> Optional[JsonObject]:
        return self.next()

    def close(self) -> None:
        """End the stream, from any thread; a blocked reader gets StopIteration."""
        self.closed = True
        self._connection.interrupt()

    def release(self) -> None:
        """:meth:`close`, and close the socket. Only for the thread that reads, when it is done."""
        self.close()
        self._connection.close()

    def __enter__(self) -> 'Bus':
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()
