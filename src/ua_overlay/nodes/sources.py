"""Threads that ask: each puts what it sees into one queue, so that one writer publishes."""
import random
import threading
from dataclasses import replace

from ua_overlay.checks.duplicate_identity import strangers
from ua_overlay.checks.facts import Server
from ua_overlay.checks.observe.server import probe_server
from ua_overlay.errors import OverlayError
from ua_overlay.trust.probe import check_server
from ua_overlay.trust.verify import verify_node_key

#: Codes with which something answers, but not what this robot trusts; NOT_PREPARED: it has no CA to trust anything by.
UNTRUSTED = ('WRONG_CA', 'WRONG_NAME', 'CLOCK', 'CERT_EXPIRED', 'CERTIFICATE', 'NOT_PREPARED')


#: Probes in a row after which another machine is believed to use this robot's identity: a minute.
STRANGE_PROBES = 6


class ServerProbe:
    """Asks the site's server whether it answers (strict TLS, GET /health), since tailscaled notices minutes later.

    :param server_url: () -> str, '' when this robot is in no network.
    :param ca_file: the site's CA.
    :param emit: called with (state, text): 'OK', 'UNREACHABLE', 'UNTRUSTED' or 'UNKNOWN', and a sentence.
    :param endpoints: () -> (own, on_server), see checks.observe.endpoints_of.
    :param node_key: () -> public node key in use, '' when there is none.
    :param period: seconds between two probes, with up to a tenth of jitter so that a fleet does not ask in step.
    """

    #: Shorter than the period allows: a black hole must be told within 15 s.
    TIMEOUT = 3.0

    def __init__(self, server_url, ca_file, emit, period=10.0, check=check_server, jitter=random.random,
                 node_key=lambda: '', verify=verify_node_key, endpoints=lambda: ((), ())):
        self._server_url = server_url
        self._ca_file = ca_file
        self._emit = emit
        self._period = period
        self._check = check
        self._jitter = jitter
        self._node_key = node_key
        self._verify = verify
        self._unknown = ''
        self._endpoints = endpoints
        self._strange = 0
        self._wake = threading.Event()
        self._stopped = False
        #: What the last probe found (checks.facts.Server).
        self.latest = Server()

    def poke(self):
        """Ask now: something changed."""
        self._wake.set()

    def stop(self):
        self._stopped = True
        self._wake.set()

    def run(self):
        while not self._stopped:
            self._emit(self.ask())
            self._wake.wait(self._period * (0.95 + 0.1 * self._jitter()))
            self._wake.clear()

    def ask(self):
        """One probe: (state, sentence)."""
        try:
            node_key = self._node_key()
            self.latest = self._believe(node_key, probe_server(
                self._server_url(), self._ca_file, self.TIMEOUT, self._check, node_key, self._verify))
        except OverlayError as error:  # tailscaled did not say which server it is
            self.latest = Server(problem=error.problem())
        problem = self.latest.problem
        if problem is not None:
            return 'UNTRUSTED' if problem.code in UNTRUSTED else 'UNREACHABLE', str(problem)
        return ('OK', '') if self.latest.url else ('UNKNOWN', '')

    def _believe(self, node_key, seen):
        """A key that the server does not know may be one that is just being replaced: it takes two probes. Endpoints
        of another machine may be this one's own of before it moved: it takes STRANGE_PROBES."""
        if node_key and seen.problem is None and seen.url:
            others = strangers(*self._endpoints())
            self._strange = self._strange + 1 if others else 0
            seen = replace(seen, strangers=others if self._strange >= STRANGE_PROBES else ())
        before, self._unknown = self._unknown, node_key if seen.key_known is False else ''
        return replace(seen, key_known=None) if self._unknown != before and self._unknown else seen
