"""The values in Headscale's answers: nodes, keys, users, errors. Pure.

Whatever an answer holds, the result is a typed value or a ValueError. The fields are those of the v1 interface of 0.29
(gen/openapiv2/headscale/v1/headscale.swagger.json) and of 0.30 (hscontrol/api/v1/{nodes,preauthkeys,users}.go), which
has the same names: camelCase, and ids as strings.
"""
import datetime
import re
from dataclasses import dataclass, field
from typing import Dict, List, Optional, Set, Tuple

from ua_overlay.clock import parse_go_time
from ua_overlay.printable import printable
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import foreign_json

#: An id becomes a part of a path. Headscale's are uint64.
_ID = re.compile(r'[0-9]{1,20}', re.ASCII)
#: A tag in a sentence of Headscale: 'requested tags [tag:a tag:b] are invalid or not permitted'.
_TAG = re.compile(r'tag:[^\s\[\],]+')


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

    def expired(self, now: datetime.datetime) -> bool:
        """Return whether its key has expired at ``now`` (aware datetime)."""
        return self.expiry is not None and self.expiry <= now


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


class _Fields:
    """The fields of a JSON object; a missing field and null are the same, as in Go's JSON.

    :param what: the name of the object, for errors.
    :raises ValueError: it is no object.
    """

    def __init__(self, what: str, value: Json) -> None:
        if not isinstance(value, dict):
            raise ValueError('{} is not an object'.format(what))
        self._what = what
        self._value = value

    def _typed(self, name: str, kind: type) -> Json:
        value = self._value.get(name)
        if value is not None and type(value) is not kind:  # a bool is no int
            raise ValueError('"{}" of {} has the wrong type'.format(name, self._what))
        return value

    def text(self, name: str) -> str:
        return self._typed(name, str) or ''

    def shown(self, name: str) -> str:
        """Return a name that others chose, without the characters that no terminal shows as themselves."""
        return printable(self.text(name))

    def flag(self, name: str) -> bool:
        return bool(self._typed(name, bool))

    def id(self, name: str) -> str:
        value = self._value.get(name)
        text = str(value) if type(value) in (int, str) else ''
        if not _ID.fullmatch(text):
            raise ValueError('"{}" of {} is not an id'.format(name, self._what))
        return text

    def moment(self, name: str) -> Optional[datetime.datetime]:
        return parse_go_time(self.text(name))

    def items(self, name: str) -> List[Json]:
        return self._typed(name, list) or []

    def texts(self, name: str) -> Tuple[str, ...]:
        found = self.items(name)
        if not all(isinstance(each, str) for each in found):
            raise ValueError('"{}" of {} is not a list of texts'.format(name, self._what))
        return tuple(found)

    def sub(self, name: str) -> Optional['_Fields']:
        value = self._value.get(name)
        return None if value is None else _Fields('"{}" of {}'.format(name, self._what), value)


def parse_node(value: Json) -> Node:
    """Return the Node in the JSON of /api/v1/node.

    :raises ValueError: it is none.
    """
    fields = _Fields('a node', value)
    tags, user, key = fields.texts('tags'), fields.sub('user'), fields.sub('preAuthKey')
    return Node(id=fields.id('id'), name=fields.shown('givenName'), requested_name=fields.shown('name'),
                addresses=fields.texts('ipAddresses'), tags=tags, online=fields.flag('online'),
                last_seen=fields.moment('lastSeen'), expiry=fields.moment('expiry'), created=fields.moment('createdAt'),
                # Headscale assigns an artificial user to nodes with tags.
                user='' if tags or user is None else user.shown('name'),
                key_id='' if key is None else key.id('id'), invited=None if key is None else key.moment('createdAt'))


def parse_nodes(value: Json) -> List[Node]:
    """Return the nodes in the answer of GET /api/v1/node, sorted by name.

    :raises ValueError: it has none.
    """
    nodes = [parse_node(each) for each in _listed(value, 'nodes')]
    return sorted(nodes, key=lambda node: (node.name, node.id))


def parse_changed_node(value: Json) -> Node:
    """Return the node in the answer of a call that changes one.

    :raises ValueError: it has none.
    """
    return parse_node(_member(value, 'node'))


def parse_key(value: Json) -> PreAuthKey:
    """Return the PreAuthKey in the JSON of /api/v1/preauthkey.

    :raises ValueError: it is none. The sentence does not quote it.
    """
    fields = _Fields('a key', value)
    user = fields.sub('user')
    return PreAuthKey(id=fields.id('id'), key=fields.text('key'), tags=fields.texts('aclTags'),
                      reusable=fields.flag('reusable'), used=fields.flag('used'), created=fields.moment('createdAt'),
                      expiration=fields.moment('expiration'), user='' if user is None else user.shown('name'))


def parse_keys(value: Json) -> List[PreAuthKey]:
    """Return the keys in the answer of GET /api/v1/preauthkey.

    :raises ValueError: it has none.
    """
    return [parse_key(each) for each in _listed(value, 'preAuthKeys')]


def parse_made_key(value: Json) -> PreAuthKey:
    """Return the new key in the answer of POST /api/v1/preauthkey, with its secret.

    :raises ValueError: it has none.
    """
    made = parse_key(_member(value, 'preAuthKey'))
    if not made.key:
        raise ValueError('the new key is empty')
    return made


def parse_users(value: Json) -> Dict[str, str]:
    """Return the id of every user by name, from the answer of GET /api/v1/user.

    :raises ValueError: it has none.
    """
    users = [_Fields('a user', each) for each in _listed(value, 'users')]
    return {user.text('name'): user.id('id') for user in users}


def parse_made_user(value: Json) -> str:
    """Return the id in the answer of POST /api/v1/user.

    :raises ValueError: it has none.
    """
    return _Fields('a user', _member(value, 'user')).id('id')


def parse_health(value: Json) -> bool:
    """Return whether the answer of GET /health says that the server and its database work.

    :raises ValueError: it is no such answer.
    """
    return _Fields('the answer', value).text('status') == 'pass'


def parse_policy_text(value: Json) -> str:
    """Return the text of the policy file in the answer of GET /api/v1/policy.

    :raises ValueError: it has none.
    """
    if not isinstance(value, dict) or 'policy' not in value:
        raise ValueError('the answer has no "policy"')
    return _Fields('the answer', value).text('policy')


def problem_text(body: str) -> str:
    """Return what the body of a refusal says, on one line; the body itself if it is in neither style.

    0.29 answers with the gRPC gateway's {"code": 2, "message": TEXT, "details": []}. 0.30 answers with RFC 7807
    (`application/problem+json`) as huma writes it (hscontrol/api/v1/errors.go, huma.Error400BadRequest): {"title",
    "status", "detail": CONTEXT, "errors": [{"message": TEXT}]}. There only the errors name what is wrong.
    """
    try:
        value = foreign_json.parse_object(body)
    except ValueError:
        return ' '.join(body.split())
    parts: List[Json] = [value.get('message'), value.get('detail')]
    errors = value.get('errors')
    parts += [each.get('message') for each in (errors if isinstance(errors, list) else ()) if isinstance(each, dict)]
    texts = [' '.join(part.split()) for part in parts if isinstance(part, str)]
    # huma repeats the detail as an error where Headscale passes the error's own text as the context.
    return ': '.join(dict.fromkeys(text for text in texts if text)) or ' '.join(str(value.get('title') or body).split())


def tags_in(text: str) -> Set[str]:
    """Return the tags that a sentence of Headscale names."""
    return set(_TAG.findall(text))


def _listed(value: Json, name: str) -> List[Json]:
    """Return a list in an answer; null is an empty one. Without it the answer is none: nothing was removed, then.

    :raises ValueError: there is none.
    """
    if not isinstance(value, dict) or name not in value:
        raise ValueError('the answer has no "{}"'.format(name))
    return _Fields('the answer', value).items(name)


def _member(value: Json, name: str) -> JsonObject:
    """Return an object in an answer.

    :raises ValueError: there is none.
    """
    member = value.get(name) if isinstance(value, dict) else None
    if not isinstance(member, dict):
        raise ValueError('the answer has no "{}"'.format(name))
    return member
