"""Headscale's REST interface (v1 of 0.29: camelCase, ids as strings, RFC 3339 times) over TLS with the site's CA."""
import datetime
import http.client
import json
import re
import socket
import ssl
import urllib.parse
from dataclasses import dataclass, field

from ua_overlay import defaults
from ua_overlay.errors import OverlayError

UTC = datetime.timezone.utc
#: A tag that no policy declares: MARKER_TEAM is reserved, and what follows it in a policy is never this.
_NO_TAG = 'tag:' + defaults.MARKER_TEAM + 'none'
_TIME = re.compile(r'^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d+))?(Z|[+-]\d\d:\d\d)$')


class RestError(OverlayError):
    """The control server did not do what it was asked."""

    code = 'SERVER_ERROR'


class ServerDown(RestError):
    """Nothing answers at the control server's port."""

    code = 'SERVER_DOWN'


class ServerDenied(RestError):
    """The API key is unknown or has expired."""

    code = 'SERVER_DENIED'


@dataclass(frozen=True)
class Node:
    """A node as Headscale knows it. Times are aware UTC datetimes or None.

    `user` is the name of its user, '' for a tagged node; `key_id` the id of the pre-auth key that it registered with.
    """

    id: str
    name: str
    requested_name: str
    addresses: tuple
    tags: tuple
    online: bool
    last_seen: object
    expiry: object
    created: object
    user: str = ''
    key_id: str = ''
    invited: object = None  #: when the key was made with which it joined


@dataclass(frozen=True)
class PreAuthKey:
    """A key that lets one machine register. `key` is whole only in the answer that created it."""

    id: str
    key: str = field(repr=False)
    tags: tuple
    reusable: bool
    used: bool
    created: object
    expiration: object
    user: str = ''

    def usable(self, now):
        """Whether a machine could still register with it at ``now`` (aware datetime)."""
        return (self.reusable or not self.used) and self.expiration is not None and self.expiration > now


def parse_time(text):
    """An RFC 3339 time as aware UTC datetime; None for nothing and for Go's zero time.

    :raises ValueError: when the text is neither.
    """
    if not text or text.startswith('0001-01-01T00:00:00'):
        return None
    match = _TIME.match(text)
    if not match:
        raise ValueError('{!r} is not an RFC 3339 time'.format(text))
    # datetime.fromisoformat takes 3 or 6 digits of a second up to Python 3.10; Go writes up to nine.
    micro = ((match.group(2) or '') + '000000')[:6]
    zone = '+00:00' if match.group(3) == 'Z' else match.group(3)
    return datetime.datetime.fromisoformat('{}.{}{}'.format(match.group(1), micro, zone)).astimezone(UTC)


def format_time(when):
    """An aware datetime as RFC 3339 in UTC."""
    return when.astimezone(UTC).strftime('%Y-%m-%dT%H:%M:%S.%fZ')


def parse_node(value):
    """A Node from the JSON of /api/v1/node."""
    tags = tuple(value.get('tags') or ())
    return Node(id=str(value['id']), name=value.get('givenName', ''), requested_name=value.get('name', ''),
                addresses=tuple(value.get('ipAddresses') or ()), tags=tags,
                online=bool(value.get('online')), last_seen=parse_time(value.get('lastSeen')),
                expiry=parse_time(value.get('expiry')), created=parse_time(value.get('createdAt')),
                # For a tagged node Headscale names a user of its own making.
                user='' if tags else (value.get('user') or {}).get('name', ''),
                key_id=str((value.get('preAuthKey') or {}).get('id', '')),
                invited=parse_time((value.get('preAuthKey') or {}).get('createdAt')))


def parse_key(value):
    """A PreAuthKey from the JSON of /api/v1/preauthkey."""
    return PreAuthKey(id=str(value['id']), key=value.get('key', ''), tags=tuple(value.get('aclTags') or ()),
                      reusable=bool(value.get('reusable')), used=bool(value.get('used')),
                      created=parse_time(value.get('createdAt')), expiration=parse_time(value.get('expiration')),
                      user=(value.get('user') or {}).get('name', ''))


class _Connection(http.client.HTTPSConnection):
    """HTTPS to one address under another name: the server may not resolve, or not reach, its own public name."""

    def __init__(self, address, port, name, context, timeout):
        super().__init__(name, port, timeout=timeout, context=context)
        self._address = address
        self._tls = context

    def connect(self):
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
    :param ca_file: path of the site's CA (PEM): nothing else is trusted.
    :param api_key: bearer token, or None for :meth:`health` alone.
    :param address: where to connect.
    :param timeout: seconds for each call.
    """

    def __init__(self, name, port, ca_file, api_key=None, address='127.0.0.1', timeout=10.0, hint=''):
        self._name = name
        self._port = port
        self._address = address
        self._timeout = timeout
        self._api_key = api_key
        self._hint = hint
        self._context = ssl.create_default_context(cafile=ca_file)

    def __repr__(self):
        return 'RestClient({!r}, {})'.format(self._name, self._port)

    def request(self, method, path, body=None, query=None):
        """One call; returns the decoded JSON.

        :raises ServerDown: no connection, or no whole answer in time.
        :raises ServerDenied: 401 or 403.
        :raises RestError: any other status; the sentence carries Headscale's own text.
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
            raise RestError('What answers at {} port {} has no certificate of this site for {}: {}.'.format(
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
            raise RestError('The control server {} answered {} {} with something that is not JSON.'.format(
                where, method, path.split('?')[0]), self._hint)

    def health(self):
        """True when the server says that it and its database work.

        :raises RestError: as :meth:`request`.
        """
        return self.request('GET', '/health').get('status') == 'pass'

    def nodes(self):
        """Every node of the site, as a list of Node sorted by name."""
        values = self.request('GET', '/api/v1/node').get('nodes') or []
        return sorted((parse_node(value) for value in values), key=lambda node: (node.name, node.id))

    def expire_node(self, node_id):
        """End a node's session: its key is worth nothing from now on."""
        self.request('POST', '/api/v1/node/{}/expire'.format(node_id), {})

    def delete_node(self, node_id):
        """Forget a node."""
        self.request('DELETE', '/api/v1/node/{}'.format(node_id))

    def set_tags(self, node_id, tags):
        """Replace the whole set of a node's tags; returns the Node."""
        answer = self.request('POST', '/api/v1/node/{}/tags'.format(node_id), {'tags': list(tags)})
        return parse_node(answer['node'])

    def knows_tag(self, node_id, tag):
        """Whether the policy in force declares ``tag``; asked of a node that exists, and changing nothing.

        One tag that no policy has goes along, so that Headscale always refuses, and names those that it does not know.
        """
        try:
            self.request('POST', '/api/v1/node/{}/tags'.format(node_id), {'tags': [tag, _NO_TAG]})
        except RestError as error:
            if _NO_TAG not in error.sentence:
                raise
            return tag not in error.sentence
        raise RestError('The control server took a tag that no policy declares.', self._hint)

    def users(self):
        """dict name -> id of every user."""
        return {value['name']: str(value['id']) for value in self.request('GET', '/api/v1/user').get('users') or []}

    def create_user(self, name):
        """A new user; returns its id."""
        return str(self.request('POST', '/api/v1/user', {'name': name})['user']['id'])

    def create_key(self, tags, expiration, user_id=None):
        """A single-use key.

        :param tags: tags of the machine that registers with it; none for a machine of a user.
        :param expiration: aware datetime.
        :param user_id: of the user whose machine it will be, instead of tags.
        """
        body = {'reusable': False, 'ephemeral': False, 'expiration': format_time(expiration), 'aclTags': list(tags)}
        if user_id is not None:
            body['user'] = user_id
        return parse_key(self.request('POST', '/api/v1/preauthkey', body)['preAuthKey'])

    def keys(self):
        """Every pre-auth key, as a list of PreAuthKey (masked)."""
        return [parse_key(value) for value in self.request('GET', '/api/v1/preauthkey').get('preAuthKeys') or []]

    def expire_key(self, key_id):
        """Revoke a pre-auth key."""
        self.request('POST', '/api/v1/preauthkey/expire', {'id': str(key_id)})

    def check_policy(self, policy_text):
        """Let Headscale judge a policy against its nodes without taking it.

        :raises RestError: with Headscale's own words when it would refuse it.
        """
        self.request('POST', '/api/v1/policy/check', {'policy': policy_text})

    def policy(self):
        """Text of the policy file that Headscale reads."""
        return self.request('GET', '/api/v1/policy').get('policy', '')


def _message(text):
    """The human part of an error body: gRPC gateway's JSON `message`, or the text itself, shortened."""
    try:
        decoded = json.loads(text)
        text = decoded.get('message', text) if isinstance(decoded, dict) else text
    except ValueError:
        text = text.strip()
    return text[:300] or 'nothing'
