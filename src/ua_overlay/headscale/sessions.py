"""Count the machines that are connected as one node, and the changes that Headscale has sent to each node, from its
debug lines; no other interface shows that.

A machine has one session. After it changed its network without closing the connection, it has two for a while
(Headscale gives up the old connection after a quarter of an hour). Two machines with one key (a copied SD card) keep
two.
"""
import re
import threading
from typing import Dict, List, Set

from ua_overlay.protocols import Clock, JsonObject

#: Seconds after which a second session cannot belong to a lost connection: TCP gives up an unanswered
#: connection after 924 s by default (tcp_retries2, Linux's ip-sysctl), and Headscale sends something every minute.
DUPLICATE_AFTER = 20 * 60.0
_DEBUG = b' DBG '
#: The lines of hscontrol/mapper/node_conn.go of Headscale 0.29.3. The third follows a failed send.
_LINE = re.compile(rb'(connection added|connection removed|removing failed connection) conn\.id=(\d+) node\.id=(\d+)')
#: hscontrol/mapper/batcher.go (handleNodeChange) of Headscale 0.29.3, when it begins to send a change to a node.
_TOLD = re.compile(rb'node change processing started node\.id=(\d+)')
#: The level is within this many bytes of the start of a line, after the time.
_LEVEL_AT = 45


class SessionWatcher:
    """Counts sessions by node id. The thread that reads Headscale's output calls :meth:`take`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: Dict[str, Set[bytes]] = {}
        #: The number of changes that each node was sent.
        self._told: Dict[str, int] = {}
        #: When each node with several sessions got the second one.
        self._since: Dict[str, float] = {}

    def clear(self) -> None:
        """Forget all sessions, because Headscale starts."""
        with self._lock:
            self._sessions, self._since, self._told = {}, {}, {}

    def take(self, line: bytes) -> bool:
        """Process a line of Headscale's output; return whether it is a debug line, which does not belong in the log."""
        if _DEBUG not in line[:_LEVEL_AT]:
            return False
        told = _TOLD.search(line)
        if told:
            with self._lock:
                node = told.group(1).decode('ascii')
                self._told[node] = self._told.get(node, 0) + 1
        match = _LINE.search(line)
        if match:
            what, session, node = match.group(1), match.group(2), match.group(3).decode('ascii')
            with self._lock:
                sessions = self._sessions.setdefault(node, set())
                sessions.discard(session)
                if what == b'connection added':
                    sessions.add(session)
                if len(sessions) < 2:
                    self._since.pop(node, None)
                else:
                    self._since.setdefault(node, self._clock())
        return True

    def report(self) -> JsonObject:
        """Return the nodes that are connected more than once.

        :returns: {'several': {node id: number of sessions} of the nodes with more than one, 'duplicate_identities':
            the ids of those that have had them for DUPLICATE_AFTER, 'told': {node id: number of changes that Headscale
            has sent to it}}.
        """
        now = self._clock()
        with self._lock:
            several = {node: len(self._sessions[node]) for node in self._since}
            duplicates: List[str] = sorted(node for node, since in self._since.items()
                                           if now - since >= DUPLICATE_AFTER)
            told = dict(self._told)
        return {'several': several, 'duplicate_identities': duplicates, 'told': told}
