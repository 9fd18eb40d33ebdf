"""The thread that probes the site's server. It imports no ROS."""
import random
import threading
from dataclasses import dataclass, field, replace
from typing import Callable

from ua_overlay.checks.duplicate_identity import strangers
from ua_overlay.checks.facts import Server
from ua_overlay.checks.observe.server import (
    CHECK_SERVER,
    VERIFY_NODE_KEY,
    CheckServer,
    Endpoints,
    VerifyNodeKey,
    probe_server,
)
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.watcher import Unobserved

#: States of a :class:`ServerView`: no network, so no server; it answers; it does not answer; another program answers.
UNKNOWN, OK, UNREACHABLE, UNTRUSTED = 'UNKNOWN', 'OK', 'UNREACHABLE', 'UNTRUSTED'
#: Codes of an answer that this robot does not trust; NOT_PREPARED: without a CA it cannot verify any answer.
_UNTRUSTED_CODES = ('WRONG_CA', 'WRONG_NAME', 'CLOCK', 'CERT_EXPIRED', 'CERTIFICATE', 'NOT_PREPARED')
#: Consecutive probes (a minute) after which another machine counts as using this robot's identity.
STRANGE_PROBES = 6


@dataclass(frozen=True)
class ServerView:
    """The result of a probe.

    :ivar state: OK, UNREACHABLE, UNTRUSTED, or UNKNOWN: no network, or no probe (then ``text`` says why).
    :ivar text: the problem and the next command; '' without one.
    :ivar url: of the server that was probed last; '' without a network.
    :ivar facts: for the checks.
    """

    state: str = UNKNOWN
    text: str = ''
    url: str = ''
    facts: Server = field(default_factory=Server)


class ServerProbe:
    """Probes the site's server (strict TLS, GET /health), because tailscaled notices a failure only minutes later.

    :param server_url: returns '' when this robot is in no network; may raise OverlayError.
    :param ca_file: the site's CA.
    :param emit: called with each ServerView.
    :param period: seconds between two probes, with up to a tenth of jitter so that a fleet does not probe in step.
    :param node_key: returns the public node key in use, '' when there is none.
    :param endpoints: see checks.observe.server.endpoints_of.
    """

    #: Seconds for a probe. Shorter than the period allows: a black hole must be reported within 15 s.
    TIMEOUT = 3.0

    def __init__(self, server_url: Callable[[], str], ca_file: str, emit: Callable[[ServerView], object],
                 period: float = 10.0, check: CheckServer = CHECK_SERVER, jitter: Callable[[], float] = random.random,
                 node_key: Callable[[], str] = lambda: '', verify: VerifyNodeKey = VERIFY_NODE_KEY,
                 endpoints: Callable[[], Endpoints] = lambda: ((), ())) -> None:
        self._server_url = server_url
        self._ca_file = ca_file
        self._emit = emit
        self._period = period
        self._check = check
        self._jitter = jitter
        self._node_key = node_key
        self._verify = verify
        self._endpoints = endpoints
        self._url = ''
        self._unknown_key = ''
        self._strange_probes = 0
        self._wake = threading.Event()
        self._stopped = False

    def poke(self) -> None:
        """Probe now: something changed."""
        self._wake.set()

    def fail(self, sentence: str) -> None:
        """Report that nobody knows whether the server answers, or whether it knows this robot.

        :param sentence: why.
        """
        self._unknown_key, self._strange_probes = '', 0
        problem = Unobserved('{} Whether the server answers is not known.'.format(sentence),
                             'ua-overlay doctor').problem()
        self._emit(ServerView(UNKNOWN, str(problem), self._url, Server(self._url, problem)))

    def stop(self) -> None:
        """End :meth:`run`."""
        self._stopped = True
        self._wake.set()

    def run(self) -> None:
        """Probe until :meth:`stop`."""
        while not self._stopped:
            self._emit(self.ask())
            self._wake.wait(self._period * (0.95 + 0.1 * self._jitter()))
            self._wake.clear()

    def ask(self) -> ServerView:
        """Probe once."""
        try:
            node_key = self._node_key()
            self._url = self._server_url()
            facts = self._confirm(node_key, probe_server(
                self._url, self._ca_file, self.TIMEOUT, self._check, node_key, self._verify))
        except OverlayError as error:  # tailscaled did not return the server's URL
            facts = Server(problem=error.problem())
        problem = facts.problem
        if problem is not None:
            return ServerView(UNTRUSTED if problem.code in _UNTRUSTED_CODES else UNREACHABLE, str(problem), self._url,
                              facts)
        return ServerView(OK if facts.url else UNKNOWN, '', self._url, facts)

    def _confirm(self, node_key: str, facts: Server) -> Server:
        """Return the facts that repeated probes confirm. A key that the server does not know may be in the middle of a
        renewal: it takes two probes. Endpoints of another machine may be former ones of this machine: they take
        STRANGE_PROBES."""
        if node_key and facts.problem is None and facts.url:
            others = strangers(*self._endpoints())
            self._strange_probes = self._strange_probes + 1 if others else 0
            facts = replace(facts, strangers=others if self._strange_probes >= STRANGE_PROBES else ())
        before, self._unknown_key = self._unknown_key, node_key if facts.key_known is False else ''
        return replace(facts, key_known=None) if self._unknown_key != before and self._unknown_key else facts
