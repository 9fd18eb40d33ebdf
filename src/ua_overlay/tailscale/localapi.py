"""tailscaled's LocalAPI: what the `tailscale` command speaks, over the daemon's unix socket.

Source of the rules: tailscale.com v1.98.10, ipn/localapi/localapi.go and ipn/ipn.go (Options, MaskedPrefs); the same
calls work on 1.100.0. Reading is open to every local user. Writing (prefs, start, logout) is for root and for the
operator that `ua-overlay robot prepare` set.
"""
import json
import re
import socket
import threading
from urllib.parse import urlencode

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.http_unix import Connection, ProtocolError
from ua_overlay.tailscale.model import parse_ping
from ua_overlay.tailscale.version import MINIMUM, is_supported

#: The only Host the daemon takes (client/tailscale/apitype: LocalAPIHost); others are refused against DNS rebinding.
HOST = 'local-tailscaled.sock'
PREFIX = '/localapi/v0/'

#: Bits of the watch mask that mean the same in 1.98 and 1.100 (ipn/backend.go).
WATCH_STATE = 1 << 1
WATCH_PREFS = 1 << 2
WATCH_HEALTH = 1 << 7
#: Peer deltas. 1.98: PeerChanges; 1.100: PeersChanged, PeersRemoved. Never with the rate limit: 1.102 refuses that.
WATCH_PEERS = 1 << 12

#: Keys of every kind that Tailscale and Headscale make (tskey-, hskey-, nodekey private…): not for any text of ours.
_SECRET = re.compile(r'(?:tskey|hskey|privkey)[-:][A-Za-z0-9_-]+')


class DaemonMissing(OverlayError):
    """No tailscaled answers on the socket."""

    code = 'NO_DAEMON'


class DaemonDenied(OverlayError):
    """tailscaled answers, but not to this user."""

    code = 'NOT_PREPARED'


class DaemonTooOld(OverlayError):
    """tailscaled is older than the server accepts."""

    code = 'DAEMON_TOO_OLD'


class DaemonError(OverlayError):
    """tailscaled refused a call, answered nonsense or not at all.

    :param status: HTTP status code, or 0 when there was no answer.
    """

    code = 'DAEMON_ERROR'

    def __init__(self, sentence, next_command='', code=None, status=0):
        super().__init__(sentence, next_command, code)
        self.status = status


def redact(text):
    """``text`` without keys: for everything that is shown, logged or raised."""
    return _SECRET.sub('[key]', text)


class LocalApi:
    """Calls to one tailscaled. Thread-safe: calls of several threads queue up on one kept connection.

    :param socket_path: of the daemon.
    :param timeout: seconds for each call; a `ping` and a stream have their own.

    Every call raises :class:`DaemonMissing` (no socket, nobody listening, ended while answering),
    :class:`DaemonDenied`, :class:`DaemonTooOld` or :class:`DaemonError`, all of them OverlayErrors.
    """

    def __init__(self, socket_path=defaults.DAEMON_SOCKET, timeout=5.0):
        self.socket_path = socket_path
        self.timeout = timeout
        self._lock = threading.Lock()
        self._connection = None

    def close(self):
        """Give the kept connection back; the next call opens another."""
        with self._lock:
            self._drop()

    def status(self, peers=True):
        """Return ipnstate.Status as a dict; see `model.parse_status`. Without peers its cost is constant."""
        return self._json('GET', 'status' if peers else 'status?peers=false')

    def user_metrics(self):
        """Return the byte counters by path and a little more, Prometheus text (bytes); see `metrics`."""
        return self._call('GET', 'usermetrics')

    def client_metrics(self):
        """Return the counters of the daemon's insides, Prometheus text (bytes). For root and the operator."""
        return self._call('GET', 'metrics')

    def relay_sessions(self):
        """Return the state of the relay server in this daemon as a dict (udprelay: status.ServerStatus)."""
        return self._json('GET', 'debug-peer-relay-sessions')

    def derp_map(self):
        """Return the site's DERP servers as tailcfg.DERPMap (dict), None before the first network map."""
        return self._json('GET', 'derpmap')

    def prefs(self):
        """Return ipn.Prefs as a dict (ControlURL, Hostname, WantRunning, LoggedOut, OperatorUser…)."""
        return self._json('GET', 'prefs')

    def edit_prefs(self, **fields):
        """Change the given preferences only, `edit_prefs(WantRunning=False)`, and return all of them as a dict."""
        masked = dict(fields)
        for name in fields:
            masked[name + 'Set'] = True
        return self._json('PATCH', 'prefs', masked)

    def start(self, auth_key=None, update_prefs=None):
        """Start the daemon's backend afresh (ipn.Options).

        :param auth_key: with a node key there it is sent at once (the robot moves to the key's team, and the key is
            spent); without one it waits for the `login_interactive` that has to follow.
        :param update_prefs: dict that REPLACES all preferences (what is not in it becomes false or empty, the operator
            too), or None to keep them.
        """
        options = {}
        if auth_key:
            options['AuthKey'] = auth_key
        if update_prefs is not None:
            options['UpdatePrefs'] = update_prefs
        self._call('POST', 'start', options)

    def login_interactive(self):
        """Register with the server: with the key given to `start`, or with a URL that appears on the bus."""
        self._call('POST', 'login-interactive')

    def logout(self, timeout=None):
        """Give up the node key, on the server too when it answers. Wipes the operator."""
        self._call('POST', 'logout', timeout=timeout)

    def ping(self, address, kind='disco', timeout=5.0):
        """Ping an overlay address and return a `model.PingResult`.

        A disco ping makes the link active for 45 s, and its first answer often came by DERP. It passes whatever the
        policy says; 'TSMP' and 'ICMP' go through WireGuard but name no path.

        :raises DaemonError: with code NO_ANSWER when nothing came back within ``timeout`` seconds: the daemon itself
            would wait for ever.
        """
        query = urlencode({'ip': address, 'type': kind})
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

    def whois(self, address):
        """Return apitype.WhoIsResponse of an overlay address as a dict; `Node.Endpoints` is where it may be reached.

        :raises DaemonError: with status 404 for an address of nobody.
        """
        return self._json('GET', 'whois?' + urlencode({'addr': address}))

    def watch(self, mask=WATCH_STATE | WATCH_HEALTH | WATCH_PEERS):
        """Return a :class:`Bus`: an iterator of ipn.Notify dicts. The daemon drops messages when nobody reads."""
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

    def _json(self, method, path, body=None):
        return self._decode(self._call(method, path, body))

    def _decode(self, body):
        try:
            value = json.loads(body)
        except ValueError:
            raise DaemonError('tailscaled at {} sent what is not JSON.'.format(self.socket_path))
        if not isinstance(value, dict):
            raise DaemonError('tailscaled at {} sent JSON that is no object.'.format(self.socket_path))
        return value

    def _call(self, method, path, body=None, timeout=None):
        timeout = self.timeout if timeout is None else timeout
        data = None if body is None else json.dumps(body).encode('utf-8')
        with self._lock:
            # Only a GET is repeated, and only when the kept connection turned out to be dead before it answered: the
            # daemon was restarted. A write may have been done although its answer was lost.
            if method != 'GET':
                self._drop()
            kept = self._connection is not None
            try:
                answer = self._exchange(method, path, data, timeout)
            except ConnectionError as error:
                if not kept or isinstance(error, ConnectionRefusedError):
                    raise self._ended(error)
                try:
                    answer = self._exchange(method, path, data, timeout)
                except (OSError, ProtocolError) as again:
                    raise self._ended(again)
            except (OSError, ProtocolError) as error:
                raise self._ended(error)
        return self._checked(answer, path)

    def _exchange(self, method, path, data, timeout):
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

    def _drop(self):
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _checked(self, answer, path):
        if answer.code < 300:
            version = answer.headers.get('tailscale-version', '')
            if not is_supported(version):
                raise DaemonTooOld(
                    'tailscaled at {} is {}, older than {}.{}, the least that the server takes.'.format(
                        self.socket_path, version, *MINIMUM), 'ua-overlay tools install')
            return answer.body
        text = redact(answer.body.decode('utf-8', 'replace').strip())[:300]
        call = path.split('?', 1)[0]
        if answer.code in (401, 403):
            raise DaemonDenied('tailscaled at {} does not let this user change anything ({}).'.format(
                self.socket_path, text or call), 'sudo ua-overlay robot prepare --user "$USER"')
        raise DaemonError('tailscaled refused {} ({}): {}.'.format(call, answer.code, text.rstrip('.') or 'no reason'),
                          status=answer.code)

    def _unreachable(self, error):
        """The typed error of a failed connect."""
        if isinstance(error, PermissionError):
            return DaemonDenied('This user may not open {}.'.format(self.socket_path),
                                'sudo ua-overlay robot prepare --user "$USER"')
        return DaemonMissing('No tailscaled answers at {} ({}).'.format(
            self.socket_path, error.strerror or type(error).__name__), 'sudo systemctl start tailscaled')

    def _ended(self, error):
        """The typed error of a failed exchange."""
        if isinstance(error, socket.timeout):
            return DaemonError('tailscaled at {} did not answer in time.'.format(self.socket_path),
                               'sudo systemctl restart tailscaled')
        if isinstance(error, ProtocolError):
            return DaemonError('What answers at {} is no tailscaled ({}).'.format(self.socket_path, error))
        return DaemonMissing('tailscaled at {} ended while it answered.'.format(self.socket_path),
                             'sudo systemctl start tailscaled')


class Bus:
    """Messages of the daemon's bus (ipn.Notify as dicts), as they come. One thread reads; any may :meth:`close`."""

    def __init__(self, connection, socket_path):
        self._connection = connection
        self._socket_path = socket_path
        self._rest = b''
        self._lines = []
        self.closed = False

    def next(self, timeout=None):
        """Return the next message, or None when none came within ``timeout`` seconds (None: wait for ever).

        :raises DaemonMissing: the daemon closed the bus: it ended, or (1.100) this reader was too slow.
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
            lines = (self._rest + chunk).split(b'\n')
            self._rest = lines.pop()
            self._lines = [line for line in reversed(lines) if line.strip()]
        try:
            message = json.loads(self._lines.pop())
        except ValueError:
            raise DaemonError('The bus of tailscaled at {} sent what is not JSON.'.format(self._socket_path))
        return message if isinstance(message, dict) else {}

    def __iter__(self):
        return self

    def __next__(self):
        return self.next()

    def close(self):
        """End the stream, from any thread; a reader that is blocked gets StopIteration."""
        self.closed = True
        self._connection.interrupt()

    def release(self):
        """:meth:`close`, and give the socket back. Only for the thread that reads, when it is done."""
        self.close()
        self._connection.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.release()
