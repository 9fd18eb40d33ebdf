"""Client of Headscale's REST interface (v1 of 0.29 and 0.30: camelCase, ids as strings) over TLS with the site's CA.

The two versions differ in their errors (model.problem_text) and in their status codes, on which nothing here depends:
0.29 answers 500 to most of what 0.30 answers with 400, 404 or 409 (CHANGELOG of 0.30.0, headscale 3324).
"""
import datetime
import http.client
import json
import socket
import ssl
import time
import urllib.parse
from typing import Callable, Dict, Iterable, List, Mapping, Optional, Set, TypeVar

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.clock import format_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import database_lock, model
from ua_overlay.headscale.model import Node, PreAuthKey
from ua_overlay.printable import printable
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import foreign_file, foreign_json
from ua_overlay.trust.certificate import MAX_PEM_BYTES, CertificateError
from ua_overlay.trust.probe import tls_context

#: A tag that no policy declares: MARKER_TEAM is reserved, and no marker has this ending.
_NO_TAG = 'tag:' + defaults.MARKER_TEAM + 'none'
#: Seconds for one call. Longer than a writer of Headscale waits for a locked database (10 s: DefaultBusyTimeout of
#: hscontrol/db/sqliteconfig/config.go, 0.29.3), so that the answer says so.
TIMEOUT = 15.0
#: Seconds until the TLS connection stands: on the same machine, a process that lives answers at once.
CONNECT_TIMEOUT = 5.0
#: Bytes of the longest answer. 1,000 nodes have 1.5 MB.
LONGEST_ANSWER = 32 * 1024 * 1024
_PART = 65536
#: Characters of Headscale's own text in a sentence.
_QUOTED = 300
#: What the SQLite driver says when another process holds the database, and when its disk is full (SQLITE_BUSY,
#: SQLITE_FULL: sqlite.org/rescode.html).
_LOCKED, _FULL = 'database is locked', 'database or disk is full'

Value = TypeVar('Value')


class RestError(OverlayError):
    """The control server did not perform a request, or its answer is invalid.

    :ivar detail: Headscale's own text, complete; '' if it gave none.
    """

    code = 'SERVER_ERROR'

    def __init__(self, sentence: str, next_command: str = '', code: Optional[str] = None, detail: str = '') -> None:
        super().__init__(sentence, next_command, code)
        self.detail = detail


class ServerDown(RestError):
    """Nothing answers at the control server's port."""

    code = 'SERVER_DOWN'


class ServerBusy(RestError):
    """The control server runs, but cannot use its database now."""

    code = 'SERVER_BUSY'


class ServerDenied(RestError):
    """The API key is unknown or has expired."""

    code = 'SERVER_DENIED'


class _Connection(http.client.HTTPSConnection):
    """HTTPS to an address under another name, because the server may be unable to resolve or reach its public name.

    :ivar stands: whether the TLS connection was made.
    """

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, port, timeout=timeout, context=context)
        self._address = address
        self._tls = context
        self.stands = False

    def connect(self) -> None:
        assert self.timeout is not None
        plain = socket.create_connection((self._address, self.port), min(self.timeout, CONNECT_TIMEOUT))
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise
        self.sock.settimeout(self.timeout)
        self.stands = True


class RestClient:
    """Talks to the Headscale of this machine.

    :param name: the server's DNS name; its certificate is checked against it.
    :param port: TCP port.
    :param ca_file: path of the site's CA (PEM), the only trusted one.
    :param api_key: bearer token (a secret); None allows only :meth:`health`.
    :param address: address to connect to.
    :param timeout: seconds for each call.
    :param hint: the next command where nothing answers or the answer is another server's.
    :param answered: the next command where Headscale runs and answers, but not with what was asked for.
    :param database: path of Headscale's database, to find out who locks it.
    :param renew_key: returns another API key after Headscale has refused ``api_key``; asked at most once.
    :raises RestError: ``ca_file`` is not readable, or no certificate.
    """

    def __init__(self, name: str, port: int, ca_file: str, api_key: Optional[str] = None, address: str = '127.0.0.1',
                 timeout: float = TIMEOUT, hint: str = '', database: str = '', answered: str = '',
                 renew_key: Optional[Callable[[], str]] = None) -> None:
        self._name = name
        self._port = port
        self._address = address
        self._timeout = timeout
        self._api_key = api_key
        self._renew_key = renew_key
        self._hint = hint
        self._answered = answered or hint
        self._database = database
        try:
            self._context = tls_context(foreign_file.read_text(ca_file, MAX_PEM_BYTES))
        except (OSError, CertificateError) as error:
            raise RestError('{} is not a readable CA certificate: {}.'.format(
                ca_file, getattr(error, 'strerror', None) or getattr(error, 'sentence', str(error)).rstrip('.')),
                command('ls -l {}', ca_file)) from None

    def __repr__(self) -> str:
        return 'RestClient({!r}, {})'.format(self._name, self._port)

    def request(self, method: str, path: str, body: Optional[JsonObject] = None,
                query: Optional[Mapping[str, str]] = None) -> Json:
        """Make one call and return the decoded JSON. A call with a refused key is repeated once, with another key.

        :raises ServerDown: no connection, or it broke.
        :raises ServerBusy: the database is locked or its disk full, or no complete answer in time.
        :raises ServerDenied: 401 or 403.
        :raises RestError: any other status than 2xx; the sentence quotes Headscale's own text.
        :returns: {} for an empty answer.
        """
        if query:
            path = '{}?{}'.format(path, urllib.parse.urlencode(query))
        try:
            return self._request(method, path, body)
        except ServerDenied:
            if self._renew_key is None:
                raise
        renew, self._renew_key = self._renew_key, None
        self._api_key = renew()
        return self._request(method, path, body)

    def _request(self, method: str, path: str, body: Optional[JsonObject]) -> Json:
        headers = {'Accept': 'application/json'}
        if self._api_key is not None:
            headers['Authorization'] = 'Bearer ' + self._api_key
        payload = None
        if body is not None:
            payload = json.dumps(body).encode('utf-8')
            headers['Content-Type'] = 'application/json'
        what = '{} {}'.format(method, path.split('?')[0])
        connection = _Connection(self._address, self._port, self._name, self._context, self._timeout)
        try:
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            text = _read(answer, time.monotonic() + self._timeout).decode('utf-8', 'replace')
        except ssl.SSLCertVerificationError as error:
            raise RestError('{} port {} has no certificate of this site for {}: {}.'.format(
                self._address, self._port, self._name, error.verify_message), self._hint)
        except socket.timeout:
            if connection.stands:
                raise self._busy('took {}, and did not answer within {:.0f} s'.format(what, self._timeout))
            raise ServerDown('The control server {} does not answer on this machine (timed out).'.format(
                self._where()), self._hint)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ServerDown('The control server {} does not answer on this machine ({}).'.format(
                self._where(), printable(error) or type(error).__name__), self._hint)
        finally:
            connection.close()
        if answer.status in (401, 403):
            raise ServerDenied('The control server {} refused its API key.'.format(self._where()), self._hint)
        if not 200 <= answer.status < 300:
            detail = model.problem_text(text)
            if _FULL in detail:
                raise RestError('The file system of {} is full, so the control server {} refused {}.'.format(
                    self._database or 'its database', self._where(), what),
                    command('df -h {}', self._database or '/'),
                    'FILE_SYSTEM', detail)
            if _LOCKED in detail:
                raise self._busy('refused ' + what, detail)
            raise RestError('The control server {} answered {} to {}: {}.'.format(
                self._where(), answer.status, what, printable(detail, _QUOTED).rstrip('.') or 'nothing'),
                self._answered, detail=detail)
        try:
            return foreign_json.parse(text) if text.strip() else {}
        except ValueError:
            raise RestError('The control server {} did not answer {} with JSON.'.format(self._where(), what),
                            self._answered)

    def _where(self) -> str:
        return '{}:{}'.format(self._name, self._port)

    def _busy(self, what: str, detail: str = '') -> ServerBusy:
        """Return the error of a call for which the database was not free, with who holds it."""
        holders = database_lock.holders(self._database) if self._database else []
        if not holders:
            return ServerBusy('The control server {} runs, but {}: {}.'.format(
                self._where(), what, 'its database is locked' if detail else
                'another program locks its database, or its disk is slow'), self._hint, detail=detail)
        return ServerBusy('The control server {} runs, but {}: its database is locked by {}.'.format(
            self._where(), what, ' and '.join('{} (process {})'.format(each.name, each.pid) for each in holders)),
            'kill {}'.format(' '.join(str(each.pid) for each in holders)), detail=detail)

    def _ask(self, parse: Callable[[Json], Value], method: str, path: str, body: Optional[JsonObject] = None) -> Value:
        """Make one call and return its parsed answer.

        :raises RestError: as :meth:`request`, and if the answer is not one of Headscale.
        """
        answer = self.request(method, path, body)
        try:
            return parse(answer)
        except ValueError as error:
            raise RestError('The control server {} answered {} {} as no Headscale does: {}.'.format(
                self._where(), method, path, printable(error)), self._answered)

    def health(self) -> bool:
        """Return whether the server reports that it and its database work.

        :raises RestError: as :meth:`request`.
        """
        return self._ask(model.parse_health, 'GET', '/health')

    def nodes(self) -> List[Node]:
        """Return every node of the site, sorted by name."""
        return self._ask(model.parse_nodes, 'GET', '/api/v1/node')

    def expire_node(self, node_id: str) -> None:
        """End a node's session: its key is invalid from now on."""
        self.request('POST', '/api/v1/node/{}/expire'.format(node_id), {})

    def delete_node(self, node_id: str) -> None:
        """Forget a node."""
        self.request('DELETE', '/api/v1/node/{}'.format(node_id))

    def set_tags(self, node_id: str, tags: Iterable[str]) -> Node:
        """Replace all tags of a node; return the changed node."""
        return self._ask(model.parse_changed_node, 'POST', '/api/v1/node/{}/tags'.format(node_id),
                         {'tags': list(tags)})

    def known_tags(self, node_id: str, tags: Iterable[str]) -> Set[str]:
        """Return those of ``tags`` that the policy in force declares, without changing anything.

        The call requests those tags and an undeclared one for a node. Headscale always refuses, and names the tags that
        its policy manager does not know (hscontrol/state/state.go: SetNodeTags, before it changes anything;
        hscontrol/policy/v2/policy.go: TagExists, under the lock of SetPolicy; 0.29.3).

        :param node_id: of any node that exists.
        """
        asked = set(tags)
        try:
            self.request('POST', '/api/v1/node/{}/tags'.format(node_id), {'tags': sorted(asked) + [_NO_TAG]})
        except RestError as error:
            unknown = model.tags_in(error.detail)
            if _NO_TAG not in unknown:
                raise
            return asked - unknown
        raise RestError('The control server accepted a tag that no policy declares.', self._answered)

    def users(self) -> Dict[str, str]:
        """Return the id of every user by name."""
        return self._ask(model.parse_users, 'GET', '/api/v1/user')

    def create_user(self, name: str) -> str:
        """Create a user; return the id."""
        return self._ask(model.parse_made_user, 'POST', '/api/v1/user', {'name': name})

    def create_key(self, tags: Iterable[str], expiration: datetime.datetime,
                   user_id: Optional[str] = None) -> PreAuthKey:
        """Create a single-use key.

        :param tags: of the machine that registers with it; none for a machine of a user.
        :param expiration: aware datetime.
        :param user_id: of the user who owns the machine, instead of tags.
        """
        body: JsonObject = {'reusable': False, 'ephemeral': False, 'expiration': format_rfc3339(expiration, digits=6),
                            'aclTags': list(tags)}
        if user_id is not None:
            body['user'] = user_id
        return self._ask(model.parse_made_key, 'POST', '/api/v1/preauthkey', body)

    def keys(self) -> List[PreAuthKey]:
        """Return every pre-auth key, masked."""
        return self._ask(model.parse_keys, 'GET', '/api/v1/preauthkey')

    def expire_key(self, key_id: str) -> None:
        """Revoke a pre-auth key."""
        self.request('POST', '/api/v1/preauthkey/expire', {'id': str(key_id)})

    def check_policy(self, policy_text: str) -> None:
        """Let Headscale check a policy against its nodes without applying it.

        :raises RestError: Headscale would refuse the policy; the sentence quotes it.
        """
        self.request('POST', '/api/v1/policy/check', {'policy': policy_text})

    def policy(self) -> str:
        """Return the text of the policy file that Headscale reads; it may be another one than it runs."""
        return self._ask(model.parse_policy_text, 'GET', '/api/v1/policy')


def _read(answer: http.client.HTTPResponse, deadline: float) -> bytes:
    """Return the body of an answer.

    :param deadline: monotonic seconds.
    :raises OSError: it is too long; socket.timeout: it is not complete in time.
    """
    parts: List[bytes] = []
    size = 0
    while True:
        part = answer.read1(_PART)
        if not part:
            return b''.join(parts)
        parts.append(part)
        size += len(part)
        if size > LONGEST_ANSWER:
            raise OSError('an answer of more than {} bytes'.format(LONGEST_ANSWER))
        if time.monotonic() > deadline:
            raise socket.timeout('timed out')
