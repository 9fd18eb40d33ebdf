"""Client of Headscale's REST interface (v1 of 0.29: camelCase, ids as strings) over TLS with the site's CA."""
import datetime
import http.client
import json
import socket
import ssl
import urllib.parse
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.clock import format_rfc3339, parse_go_time
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Json, JsonObject

#: A tag that no policy declares: MARKER_TEAM is reserved, and no marker has this ending.
_NO_TAG = 'tag:' + defaults.MARKER_TEAM + 'none'


class RestError(OverlayError):
    """The control server did not perform a request."""

    code = 'SERVER_ERROR'


class ServerDown(RestError):
    """Nothing answers at the control server's port."""

    code = 'SERVER_DOWN'


class ServerDenied(RestError):
    """The API key is unknown or has expired."""

    code = 'SERVER_DENIED'


@dataclass(frozen=True)
class Node:
    """A node as Headscale knows it. Times are aware UTC datetimes.

    :param name: its name in the overlay (givenName).
    :param requested_name: the name that it requested.
    :param tags: for instance ('tag:iris', 'tag:ros-master').
    :param last_seen: None if it has never been connected.
    :param user: name of its user; '' for a node with tags.
    :param key_id: id of the pre-auth key that it registered with.
    :param invited: when that key was created.
    """

    id: str
    name: str
    requested_name: str
    addresses: Tuple[str, ...]
    tags: Tuple[str, ...]
    online: bool
    last_seen: Optional[datetime.datetime]
    expiry: Optional[datetime.datetime]
    created: Optional[datetime.datetime]
    user: str = ''
    key_id: str = ''
    invited: Optional[datetime.datetime] = None


@dataclass(frozen=True)
class PreAuthKey:
    """A key that lets one machine register.

    :param key: complete only in the answer that created it (a secret).
    :param tags: of the machine that registers with it; empty for a machine of a user.
    :param user: name of its user, '' for none.
    """

    id: str
    key: str = field(repr=False)
    tags: Tuple[str, ...]
    reusable: bool
    used: bool
    created: Optional[datetime.datetime]
    expiration: Optional[datetime.datetime]
    user: str = ''

    def usable(self, now: datetime.datetime) -> bool:
        """Return whether a machine could still register with it at ``now`` (aware datetime)."""
        return (self.reusable or not self.used) and self.expiration is not None and self.expiration > now


def parse_node(value: JsonObject) -> Node:
    """Return the Node in the JSON of /api/v1/node."""
    tags = tuple(value.get('tags') or ())
    return Node(id=str(value['id']), name=value.get('givenName', ''), requested_name=value.get('name', ''),
                addresses=tuple(value.get('ipAddresses') or ()), tags=tags,
                online=bool(value.get('online')), last_seen=parse_go_time(value.get('lastSeen')),
                expiry=parse_go_time(value.get('expiry')), created=parse_go_time(value.get('createdAt')),
                # Headscale assigns an artificial user to nodes with tags.
                user='' if tags else (value.get('user') or {}).get('name', ''),
                key_id=str((value.get('preAuthKey') or {}).get('id', '')),
                invited=parse_go_time((value.get('preAuthKey') or {}).get('createdAt')))


def parse_key(value: JsonObject) -> PreAuthKey:
    """Return the PreAuthKey in the JSON of /api/v1/preauthkey."""
    return PreAuthKey(id=str(value['id']), key=value.get('key', ''), tags=tuple(value.get('aclTags') or ()),
                      reusable=bool(value.get('reusable')), used=bool(value.get('used')),
                      created=parse_go_time(value.get('createdAt')), expiration=parse_go_time(value.get('expiration')),
                      user=(value.get('user') or {}).get('name', ''))


class _Connection(http.client.HTTPSConnection):
    """HTTPS to an address under another name, because the server may be unable to resolve or reach its public name."""

    def __init__(self, address: str, port: int, name: str, context: ssl.SSLContext, timeout: float) -> None:
        super().__init__(name, port, timeout=timeout, context=context)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), self.timeout)
        try:
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


class RestClient:
    """Talks to the Headscale of this machine.

    :param name: the server's DNS name; its certificate is checked against it.
    :param port: TCP port.
    :param ca_file: path of the site's CA (PEM), the only trusted one.
    :param api_key: bearer token (a secret); None allows only :meth:`health`.
    :param address: address to connect to.
    :param timeout: seconds for each call.
    :param hint: the next command of its errors.
    """

    def __init__(self, name: str, port: int, ca_file: str, api_key: Optional[str] = None, address: str = '127.0.0.1',
                 timeout: float = 10.0, hint: str = '') -> None:
        self._name = name
        self._port = port
        self._address = address
        self._timeout = timeout
        self._api_key = api_key
        self._hint = hint
        self._context = ssl.create_default_context(cafile=ca_file)

    def __repr__(self) -> str:
        return 'RestClient({!r}, {})'.format(self._name, self._port)

    def request(self, method: str, path: str, body: Optional[JsonObject] = None,
                query: Optional[Mapping[str, str]] = None) -> Json:
        """Make one call and return the decoded JSON.

        :raises ServerDown: no connection, or no complete answer in time.
        :raises ServerDenied: 401 or 403.
        :raises RestError: any other status; the sentence quotes Headscale's own text.
        """
        where = '{}:{}'.format(self._name, self._port)
        if query:
            path = '{}?{}'.format(path, urllib.parse.urlencode(query))
        headers = {'Accept': 'application/json'}
        if self._api_key is not None:
            headers['Authorization'] = 'Bearer ' + self._api_key
        payload = None
        if body is not None:
            payload = json.dumps(body).encode('utf-8')
            headers['Content-Type'] = 'application/json'
        connection = _Connection(self._address, self._port, self._name, self._context, self._timeout)
        try:
            connection.request(method, path, payload, headers)
            answer = connection.getresponse()
            text = answer.read().decode('utf-8', 'replace')
        except ssl.SSLCertVerificationError as error:
            raise RestError('{} port {} has no certificate of this site for {}: {}.'.format(
                self._address, self._port, self._name, error.verify_message), self._hint)
        except (OSError, http.client.HTTPException) as error:
            raise ServerDown('The control server {} does not answer on this machine ({}).'.format(
                where, error or type(error).__name__), self._hint)
        finally:
            connection.close()
        if answer.status in (401, 403):
            raise ServerDenied('The control server {} refused its API key.'.format(where), self._hint)
        if answer.status != 200:
            raise RestError('The control server {} answered {} to {} {}: {}'.format(
                where, answer.status, method, path.split('?')[0], _message(text)), self._hint)
        try:
            return json.loads(text)
        except ValueError:
            raise RestError('The control server {} did not answer {} {} with JSON.'.format(
                where, method, path.split('?')[0]), self._hint)

    def health(self) -> bool:
        """Return whether the server reports that it and its database work.

        :raises RestError: as :meth:`request`.
        """
        return bool(self.request('GET', '/health').get('status') == 'pass')

    def nodes(self) -> List[Node]:
        """Return every node of the site, sorted by name."""
        values = self.request('GET', '/api/v1/node').get('nodes') or []
        return sorted((parse_node(value) for value in values), key=lambda node: (node.name, node.id))

    def expire_node(self, node_id: str) -> None:
        """End a node's session: its key is invalid from now on."""
        self.request('POST', '/api/v1/node/{}/expire'.format(node_id), {})

    def delete_node(self, node_id: str) -> None:
        """Forget a node."""
        self.request('DELETE', '/api/v1/node/{}'.format(node_id))

    def set_tags(self, node_id: str, tags: Iterable[str]) -> Node:
        """Replace all tags of a node; return the changed node."""
        answer = self.request('POST', '/api/v1/node/{}/tags'.format(node_id), {'tags': list(tags)})
        return parse_node(answer['node'])

    def knows_tag(self, node_id: str, tag: str) -> bool:
        """Return whether the policy in force declares ``tag``, without changing anything.

        The call requests that tag and an undeclared one for a node. Headscale always refuses, and names the tags that
        it does not know.

        :param node_id: of any node that exists.
        """
        try:
            self.request('POST', '/api/v1/node/{}/tags'.format(node_id), {'tags': [tag, _NO_TAG]})
        except RestError as error:
            if _NO_TAG not in error.sentence:
                raise
            return tag not in error.sentence
        raise RestError('The control server accepted a tag that no policy declares.', self._hint)

    def users(self) -> Dict[str, str]:
        """Return the id of every user by name."""
        return {value['name']: str(value['id']) for value in self.request('GET', '/api/v1/user').get('users') or []}

    def create_user(self, name: str) -> str:
        """Create a user; return the id."""
        return str(self.request('POST', '/api/v1/user', {'name': name})['user']['id'])

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
        return parse_key(self.request('POST', '/api/v1/preauthkey', body)['preAuthKey'])

    def keys(self) -> List[PreAuthKey]:
        """Return every pre-auth key, masked."""
        return [parse_key(value) for value in self.request('GET', '/api/v1/preauthkey').get('preAuthKeys') or []]

    def expire_key(self, key_id: str) -> None:
        """Revoke a pre-auth key."""
        self.request('POST', '/api/v1/preauthkey/expire', {'id': str(key_id)})

    def check_policy(self, policy_text: str) -> None:
        """Let Headscale check a policy against its nodes without applying it.

        :raises RestError: Headscale would refuse the policy; the sentence quotes it.
        """
        self.request('POST', '/api/v1/policy/check', {'policy': policy_text})

    def policy(self) -> str:
        """Return the text of the policy file that Headscale reads."""
        return str(self.request('GET', '/api/v1/policy').get('policy', ''))


def _message(text: str) -> str:
    """Return the readable part of an error body: gRPC gateway's JSON `message`, or the text itself, shortened."""
    try:
        decoded = json.loads(text)
        text = decoded.get('message', text) if isinstance(decoded, dict) else text
    except ValueError:
        text = text.strip()
    return text[:300] or 'nothing'
