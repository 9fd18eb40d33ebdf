"""Decide which nodes a DERP admits, also while Headscale is dead: those that Headscale confirmed a short time ago.

derper asks an address (`-verify-client-url`) about each client that connects (tailscale.com v1.102.5,
derp/derpserver/derpserver.go verifyClient), within 5 s. Headscale answers at `/verify`. A DERP that asks Headscale
itself admits nobody while Headscale is dead, so robots that reboot stay cut off; one that fails open admits strangers.
An admission stands between them: it asks Headscale, remembers which keys Headscale confirmed, and answers for them
within a bounded time while Headscale is silent.

:class:`Admission` decides and has neither sockets nor files; :class:`AdmissionServer` is what derper asks.
"""
import http.server
import json
import logging
import re
import sys
import threading
from typing import Callable, Dict, List, Optional, Set

from ua_overlay import defaults
from ua_overlay.protocols import Clock
from ua_overlay.system import foreign_json

_LOG = logging.getLogger(__name__)

#: Seconds after which a remembered key is confirmed anew, so that the memory forgets a removed robot.
CONFIRM_PERIOD = 300.0
#: Keys that are remembered at most: ten times the robots of a large site.
MOST = 5000
#: Seconds for a question to Headscale about a client; derper waits 5 s.
ASK_TIMEOUT = 2.0
#: Seconds for which Headscale is not asked again after it did not answer, so that robots that reconnect do not wait in
#: turn.
SILENCE = 3.0

_KEY = re.compile('nodekey:[0-9a-f]{64}')

#: Node key -> whether Headscale knows it; None: no answer (trust.verify.verify_node_key). Takes ASK_TIMEOUT at most.
AskServer = Callable[[str], Optional[bool]]


class Admission:
    """Remembers and decides. Thread safe; ``now`` is monotonic seconds, ``wall`` unix seconds.

    :param ask: asks Headscale.
    :param lifetime: seconds for which a key is remembered after Headscale confirmed it last.
    """

    def __init__(self, ask: AskServer, clock: Clock, lifetime: float = defaults.ADMISSION_MEMORY) -> None:
        self._ask = ask
        self._clock = clock
        self._lifetime = lifetime
        self._lock = threading.Lock()
        #: Key -> when Headscale confirmed it last.
        self._confirmed: Dict[str, float] = {}
        #: Keys that were admitted by memory alone, since the last answer of Headscale about them.
        self._on_trust: Set[str] = set()
        self._silent_until = float('-inf')
        #: Set when the memory changed and should be saved.
        self.changed = False

    def admits(self, key: str) -> bool:
        """Return whether to admit the node with ``key``."""
        if not _KEY.fullmatch(key):
            return False
        answer = self._answer(key)
        with self._lock:
            now = self._clock()
            if answer is not None:
                self._learn(key, answer, now)
                return answer
            remembered = key in self._confirmed and now - self._confirmed[key] < self._lifetime
            if remembered:
                self._on_trust.add(key)
            return remembered

    def confirm(self, stop: Callable[[], bool] = lambda: False) -> List[str]:
        """Ask Headscale about each key whose confirmation is due; return those admitted on trust that it refuses now.

        The caller disconnects them: derper never asks again about a connected client.

        :param stop: returns whether to end early.
        """
        refused = []
        for key in self._due():
            if stop():
                break
            answer = self._answer(key)
            if answer is None:  # it stays due
                break
            with self._lock:
                if not answer and key in self._on_trust:
                    refused.append(key)
                self._learn(key, answer, self._clock())
        return refused

    def remembered(self) -> int:
        """Return the number of keys that would be admitted without Headscale."""
        with self._lock:
            now = self._clock()
            return sum(now - confirmed < self._lifetime for confirmed in self._confirmed.values())

    def dump(self, wall: float) -> str:
        """Return the memory as JSON text; ``wall`` is now in unix seconds."""
        with self._lock:
            now = self._clock()
            self.changed = False
            return json.dumps({'version': 1, 'confirmed': {
                key: round(wall - (now - confirmed), 1) for key, confirmed in sorted(self._confirmed.items())}})

    def load(self, text: str, wall: float) -> None:
        """Take the memory that an earlier process saved.

        A confirmation that lies in the future (the clock was wrong then, or is now) counts as just expired.

        :raises ValueError: the text is not such a memory.
        """
        values = foreign_json.parse_object(text)
        confirmed = values.get('confirmed')
        if values.get('version') != 1 or not isinstance(confirmed, dict) or len(confirmed) > MOST:
            raise ValueError('not a memory of admissions')
        found = {}
        for key, stamp in confirmed.items():
            if not _KEY.fullmatch(key) or isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
                raise ValueError('not a memory of admissions')
            age = wall - stamp
            if 0.0 <= age < self._lifetime:
                found[key] = self._clock() - age
        with self._lock:
            self._confirmed = found

    def _answer(self, key: str) -> Optional[bool]:
        with self._lock:
            if self._clock() < self._silent_until:
                return None
        answer = self._ask(key)
        if answer is None:
            with self._lock:
                self._silent_until = self._clock() + SILENCE
        return answer

    def _learn(self, key: str, answer: bool, now: float) -> None:
        self._on_trust.discard(key)
        if answer:
            self.changed = self.changed or now - self._confirmed.get(key, float('-inf')) > CONFIRM_PERIOD / 2
            self._confirmed[key] = now
            while len(self._confirmed) > MOST:
                del self._confirmed[min(self._confirmed, key=self._confirmed.__getitem__)]
        elif self._confirmed.pop(key, None) is not None:
            self.changed = True

    def _due(self) -> List[str]:
        """Return the keys to confirm, those admitted on trust first, and forget those that have expired."""
        with self._lock:
            now = self._clock()
            for key in [key for key, confirmed in self._confirmed.items() if now - confirmed >= self._lifetime]:
                del self._confirmed[key]
                self.changed = True
            due = {key for key, confirmed in self._confirmed.items() if now - confirmed >= CONFIRM_PERIOD}
            return sorted(self._on_trust) + sorted(due - self._on_trust, key=lambda key: self._confirmed[key])


class AdmissionServer:
    """Answers derper's questions on a port of loopback, which the kernel chooses.

    Serves one question after another: they are short, and Headscale's silence is remembered.
    """

    #: Seconds for which one client may take to ask.
    PATIENCE = 2.0

    def __init__(self, admission: Admission) -> None:
        class Handler(_Handler):
            timeout = self.PATIENCE

        Handler.admission = admission

        self._server = _Server(('127.0.0.1', 0), Handler)

    @property
    def url(self) -> str:
        """The address for derper's -verify-client-url."""
        return 'http://127.0.0.1:{}/verify'.format(self._server.server_port)

    def run(self) -> None:
        """Serve until :meth:`stop`; the work of a thread."""
        self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End :meth:`run` (which must be running), and close the port."""
        self._server.shutdown()
        self._server.server_close()


class _Server(http.server.HTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Log an error in a handler, unless the client left before its answer."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            _LOG.error('a question about an admission failed', exc_info=error)


class _Handler(http.server.BaseHTTPRequestHandler):
    admission: Admission

    def do_POST(self) -> None:
        """Answer tailcfg.DERPAdmitClientRequest."""
        try:
            length = int(self.headers.get('Content-Length') or '')
            if not 0 < length <= 4096 or self.path != '/verify':
                raise ValueError
            request = foreign_json.parse_object(self.rfile.read(length))
            allow = self.admission.admits(str(request.get('NodePublic')))
        except ValueError:
            self.send_error(400)
            return
        body = json.dumps({'Allow': allow}).encode('ascii')
        self.send_response(200)
        self.send_header('Content-Type', 'application/json')
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for each question."""
