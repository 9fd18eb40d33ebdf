"""How many machines are connected as one node: what Headscale says in its debug lines, and nowhere else.

A machine has one session. It has two for a while when it changed its network without a word (the old connection is
given up after a quarter of an hour); two machines with one key (a copied SD card) have two for good.
"""
import re
import threading

#: Seconds after which a second session is no left-over: TCP gives up an unanswered connection after 924 s by default
#: (tcp_retries2, Linux's ip-sysctl), and Headscale sends something at least every minute.
DUPLICATE_AFTER = 20 * 60.0
_DEBUG = b' DBG '
#: The lines of hscontrol/mapper/node_conn.go of Headscale 0.29.3. The third is of a send that failed.
_LINE = re.compile(rb'(connection added|connection removed|removing failed connection) conn\.id=(\d+) node\.id=(\d+)')
#: The level stands behind the time at the beginning of a line.
_LEVEL_AT = 45


class SessionWatcher:
    """Counts sessions by node id. Fed by the thread that reads Headscale's output.

    :param clock: monotonic seconds.
    """

    def __init__(self, clock):
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions = {}
        self._since = {}

    def clear(self):
        """Headscale starts: nobody is connected."""
        with self._lock:
            self._sessions, self._since = {}, {}

    def take(self, line):
        """Read a line (bytes) of Headscale's output; True when it is a debug line, which is not for the log."""
        if _DEBUG not in line[:_LEVEL_AT]:
            return False
        match = _LINE.search(line)
        if match:
            what, session, node = match.group(1), match.group(2), match.group(3).decode('ascii')
            with self._lock:
                here = self._sessions.setdefault(node, set())
                here.discard(session)
                if what == b'connection added':
                    here.add(session)
                if len(here) < 2:
                    self._since.pop(node, None)
                else:
                    self._since.setdefault(node, self._clock())
        return True

    def report(self):
        """{'several': {node id: sessions} of those with more than one, 'duplicate_identities': ids of those that have
        had them for DUPLICATE_AFTER}."""
        now = self._clock()
        with self._lock:
            return {'several': {node: len(self._sessions[node]) for node in self._since},
                    'duplicate_identities': sorted(node for node, since in self._since.items()
                                                   if now - since >= DUPLICATE_AFTER)}
