"""Threads that ask: each puts what it sees into one queue, so that one writer publishes."""
import random
import threading

from ua_overlay.errors import OverlayError
from ua_overlay.trust.probe import check_server


class ServerProbe:
    """Asks the site's server whether it answers (strict TLS, GET /health), since tailscaled notices minutes later.

    :param server_url: () -> str, '' when this robot is in no network.
    :param ca_file: the site's CA.
    :param emit: called with (state, text): 'OK', 'UNREACHABLE', 'UNTRUSTED' or 'UNKNOWN', and a sentence.
    :param period: seconds between two probes, with up to a tenth of jitter so that a fleet does not ask in step.
    """

    #: Shorter than the period allows: a black hole must be told within 15 s.
    TIMEOUT = 3.0

    def __init__(self, server_url, ca_file, emit, period=10.0, check=check_server, jitter=random.random):
        self._server_url = server_url
        self._ca_file = ca_file
        self._emit = emit
        self._period = period
        self._check = check
        self._jitter = jitter
        self._wake = threading.Event()
        self._stopped = False

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
            url = self._server_url()
            if not url:
                return 'UNKNOWN', ''
            with open(self._ca_file, encoding='ascii') as stream:
                self._check(url, stream.read(), timeout=self.TIMEOUT)
        except OverlayError as error:
            untrusted = error.code in ('WRONG_CA', 'WRONG_NAME', 'CLOCK', 'CERT_EXPIRED', 'CERTIFICATE')
            return 'UNTRUSTED' if untrusted else 'UNREACHABLE', str(error)
        except (OSError, UnicodeDecodeError) as error:
            return 'UNTRUSTED', 'The site\'s CA is not readable at {}: {}. Next: sudo ua-overlay robot prepare'.format(
                self._ca_file, getattr(error, 'strerror', None) or 'not a PEM file')
        return 'OK', ''
