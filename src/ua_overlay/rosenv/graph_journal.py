"""Remember what the nodes of this robot registered at the team's master, so that a new, empty master can be told. Pure.

A ROS 1 master holds registrations and parameters, and nodes never register again by themselves
(http://wiki.ros.org/ROS/Master_API, Parameter Server API). The master proxy applies each call here after a master
accepted it, and replays the journal when the master is another one.
"""
import xmlrpc.client
from dataclasses import dataclass
from typing import Any, Dict, Iterable, List, Sequence, Tuple

#: Kinds of registrations, in the order of their replay: see :meth:`GraphJournal.replay`.
SERVICE, PUBLISHER, SUBSCRIBER, PARAMETER = 'service', 'publisher', 'subscriber', 'parameter'
#: Method of the master -> (kind, whether it registers).
METHODS: Dict[str, Tuple[str, bool]] = {
    'registerService': (SERVICE, True), 'unregisterService': (SERVICE, False),
    'registerPublisher': (PUBLISHER, True), 'unregisterPublisher': (PUBLISHER, False),
    'registerSubscriber': (SUBSCRIBER, True), 'unregisterSubscriber': (SUBSCRIBER, False),
    'subscribeParam': (PARAMETER, True), 'unsubscribeParam': (PARAMETER, False)}
#: Methods that change parameters.
SETS, DELETES = 'setParam', 'deleteParam'
MULTICALL = 'system.multicall'
#: Entries of a journal at most; 200 nodes with 1,000 topics and 2,000 parameters have some 6,000.
MOST = 50000

#: A call of the master: (method, arguments).
Call = Tuple[str, Tuple[Any, ...]]


class JournalFull(Exception):
    """The journal has MOST entries; this robot's nodes leak registrations."""


@dataclass(frozen=True)
class Registration:
    """What one caller registered.

    ``name`` is a topic, a service or a parameter; ``detail`` the type of a topic, the API of a service, or ''.
    """

    kind: str
    caller_id: str
    caller_api: str
    name: str
    detail: str = ''

    def call(self) -> Call:
        """Return the call that registers it."""
        if self.kind == SERVICE:
            return 'registerService', (self.caller_id, self.name, self.detail, self.caller_api)
        if self.kind == PARAMETER:
            return 'subscribeParam', (self.caller_id, self.caller_api, self.name)
        method = 'registerPublisher' if self.kind == PUBLISHER else 'registerSubscriber'
        return method, (self.caller_id, self.name, self.detail, self.caller_api)


@dataclass(frozen=True)
class Setting:
    """A parameter that was set or deleted. ``stamp`` is unix time in seconds: across robots the later one wins."""

    name: str
    stamp: float
    caller_id: str
    value: Any = None
    deleted: bool = False

    def call(self) -> Call:
        """Return the call that repeats it."""
        if self.deleted:
            return DELETES, (self.caller_id, self.name)
        return SETS, (self.caller_id, self.name, self.value)


class GraphJournal:
    """The registrations and parameters of this robot's nodes. Not thread safe."""

    def __init__(self) -> None:
        self._registrations: Dict[Tuple[str, str, str], Registration] = {}
        self._settings: Dict[str, Setting] = {}

    def apply(self, method: str, arguments: Sequence[Any], now: float) -> bool:
        """Take a call that a master accepted; return whether the journal changed.

        A multicall counts as its parts. A call that the journal does not understand changes nothing.

        :param now: unix time in seconds.
        :raises JournalFull: see there.
        """
        if method == MULTICALL:
            parts = arguments[0] if arguments and isinstance(arguments[0], list) else []
            changes = [self.apply(part['methodName'], part['params'], now) for part in parts
                       if isinstance(part, dict) and isinstance(part.get('methodName'), str)
                       and isinstance(part.get('params'), (list, tuple)) and part['methodName'] != MULTICALL]
            return any(changes)
        if method in METHODS:
            return self._take_registration(method, arguments)
        if method in (SETS, DELETES):
            return self._take_setting(method, arguments, now)
        return False

    def forget(self, caller_apis: Iterable[str]) -> bool:
        """Take out the registrations of callers that are gone; return whether there were any.

        What they set stays: a parameter outlives the node that set it.
        """
        gone = set(caller_apis)
        kept = {key: each for key, each in self._registrations.items() if each.caller_api not in gone}
        changed = len(kept) != len(self._registrations)
        self._registrations = kept
        return changed

    def caller_apis(self) -> List[str]:
        """Return the APIs of all callers, each once."""
        return sorted({each.caller_api for each in self._registrations.values()})

    def registrations(self, kind: str) -> List[Registration]:
        """Return the registrations of one kind, in the order in which they were made."""
        return [each for each in self._registrations.values() if each.kind == kind]

    def settings(self) -> List[Setting]:
        """Return the parameters, the oldest first."""
        return sorted(self._settings.values(), key=lambda each: each.stamp)

    def replay(self) -> List[Call]:
        """Return the calls that tell a new master everything, in an order that disturbs no running node.

        Parameters come first, since a node may read one when it is notified. Publishers come before subscribers: a
        master notifies the subscribers that it knows about each publisher, with the list of the publishers so far, and
        a subscriber drops its connections to all others (roscpp: Subscription::pubUpdate).
        """
        calls = [each.call() for each in self.settings()]
        for kind in (SERVICE, PUBLISHER, SUBSCRIBER, PARAMETER):
            calls += [each.call() for each in self.registrations(kind)]
        return calls

    def __len__(self) -> int:
        return len(self._registrations) + len(self._settings)

    def _take_registration(self, method: str, arguments: Sequence[Any]) -> bool:
        kind, registers = METHODS[method]
        if not all(isinstance(each, str) for each in arguments):
            return False
        if kind == PARAMETER:
            if len(arguments) != 3:
                return False
            caller_id, caller_api, name = arguments
            detail = ''
        elif registers:
            if len(arguments) != 4:
                return False
            caller_id, name, detail, caller_api = arguments
        else:
            # unregisterService names the service's API instead of the caller's.
            if len(arguments) != 3:
                return False
            caller_id, name, caller_api = arguments
            detail = ''
        key = kind, caller_id, name
        if not registers:
            there = self._registrations.get(key)
            if there is None or caller_api != (there.detail if kind == SERVICE else there.caller_api):
                return False
            del self._registrations[key]
            return True
        changed = self._drop_namesake(caller_id, caller_api)
        made = Registration(kind, caller_id, caller_api, name, detail)
        if self._registrations.get(key) == made:
            return changed
        self._check_room()
        self._registrations[key] = made
        return True

    def _drop_namesake(self, caller_id: str, caller_api: str) -> bool:
        """Take out an earlier node of this name: the master shut it down (rosmaster, registrations.py, _register)."""
        gone = [key for key, each in self._registrations.items()
                if each.caller_id == caller_id and each.caller_api != caller_api]
        for key in gone:
            del self._registrations[key]
        return bool(gone)

    def _take_setting(self, method: str, arguments: Sequence[Any], now: float) -> bool:
        if len(arguments) != (3 if method == SETS else 2) or not all(isinstance(each, str) for each in arguments[:2]):
            return False
        caller_id, key = arguments[0], resolved(arguments[1], arguments[0])
        below = key if key.endswith('/') else key + '/'
        for each in [each for each in self._settings if each == key or each.startswith(below)]:
            del self._settings[each]
        self._check_room()
        self._settings[key] = Setting(key, now, caller_id, arguments[2], False) if method == SETS else Setting(
            key, now, caller_id, deleted=True)
        return True

    def _check_room(self) -> None:
        if len(self) >= MOST:
            raise JournalFull('This robot\'s nodes have {} registrations and parameters.'.format(len(self)))


def resolved(key: str, caller_id: str) -> str:
    """Return the global name of a parameter, as the server resolves it (rosgraph.names.resolve_name)."""
    if key.startswith('~'):
        key = caller_id + '/' + key[1:]
    elif not key.startswith('/'):
        key = caller_id.rpartition('/')[0] + '/' + key
    name = '/' + '/'.join(part for part in key.split('/') if part)
    return name


def dump(journal: GraphJournal) -> str:
    """Return the journal as text. XML-RPC keeps every value that a parameter can have."""
    return xmlrpc.client.dumps(({
        'version': 1,
        'registrations': [[each.kind, each.caller_id, each.caller_api, each.name, each.detail]
                          for kind in (SERVICE, PUBLISHER, SUBSCRIBER, PARAMETER)
                          for each in journal.registrations(kind)],
        'settings': [[each.name, each.stamp, each.caller_id, each.deleted, [] if each.deleted else [each.value]]
                     for each in journal.settings()]},), allow_none=True)


def load(text: str) -> GraphJournal:
    """Return the journal of a text of :func:`dump`.

    :raises ValueError: it is damaged.
    """
    journal = GraphJournal()
    try:
        parts: Any = xmlrpc.client.loads(text)
        values: Any = parts[0][0]
        if values['version'] != 1:
            raise ValueError('another version')
        for kind, caller_id, caller_api, name, detail in values['registrations']:
            made = Registration(kind, caller_id, caller_api, name, detail)
            if kind not in (SERVICE, PUBLISHER, SUBSCRIBER, PARAMETER):
                raise ValueError('another kind')
            journal._registrations[kind, caller_id, name] = made
        for key, stamp, caller_id, deleted, value in values['settings']:
            journal._settings[key] = Setting(key, float(stamp), caller_id, None if deleted else value[0], bool(deleted))
    except Exception as error:  # xmlrpc.client and expat raise many kinds for a damaged text
        raise ValueError('a damaged journal: {}'.format(type(error).__name__)) from None
    return journal
