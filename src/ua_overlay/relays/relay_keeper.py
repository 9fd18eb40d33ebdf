"""Keep a peer relay healthy: check it every few seconds, repair it, and report that."""
import subprocess
import threading
import time
from typing import Callable, Optional, Protocol, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Clock, JsonObject, Say
from ua_overlay.relays.relay_health import (
    JOIN,
    PORT,
    RESTART,
    RelayFacts,
    Repairs,
    Session,
    Unanswered,
    Verdict,
    judge,
)
from ua_overlay.system.staleness import Staleness
from ua_overlay.system.thread import SupervisedThread

#: Seconds between two checks.
PERIOD = 10.0
#: Seconds within which a tailscaled must be brought up before it is restarted.
UP_TIMEOUT = 120.0
#: A relay that starts is reported as not up once the pause between two checks exceeds these seconds (after some 15 s).
QUIET_PAUSE = 4.0

#: Seconds without a check after which it hangs. The longest takes a minute to join, and some to be told its port.
SILENT_AFTER = 240.0

#: Exceptions that any call to a relay may raise.
_FAILURES = (OverlayError, OSError, subprocess.SubprocessError)


class Relay(Protocol):
    """The relay to keep healthy; relay.RelayNode implements it."""

    @property
    def port(self) -> int:
        """The desired UDP port."""
        ...

    def bring_up(self) -> None:
        """Join the overlay if necessary, and set the port."""
        ...

    def facts(self, pid: int) -> RelayFacts:
        """Return the facts about the tailscaled with process id ``pid``."""
        ...

    def reset_port(self) -> None:
        """Remove the relay server and set it up again."""
        ...


class RelayKeeper:
    """A thread that reconciles one relay.

    :param pid: returns the process id of its tailscaled, None while there is none.
    :param restart: requests a restart of tailscaled, without waiting for it.
    :param say: logs one sentence.
    """

    def __init__(self, relay: Relay, pid: Callable[[], Optional[int]], restart: Callable[[], None], say: Say,
                 clock: Clock = time.monotonic) -> None:
        self._relay = relay
        self._pid = pid
        self._restart = restart
        self._say = say
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._staleness = Staleness(SILENT_AFTER, clock)
        self._unanswered = Unanswered()
        self._repairs = Repairs()
        self._joined = False
        self._started = clock()
        self._verdict = Verdict(False, 'starting')
        #: Why it is not up, as last said; '' if it is, or if nothing was said yet.
        self._said = ''
        self._sessions: Tuple[Session, ...] = ()

    def start(self) -> None:
        """Start checking the relay."""
        SupervisedThread('relay keeper', self._run, self._failed).start()

    def _failed(self, sentence: str) -> None:
        """Report nothing as known until the next check."""
        self._say(sentence)
        self._verdict, self._sessions = Verdict(False, 'unknown: ' + sentence), ()

    def wake(self) -> None:
        """Check at once, because its tailscaled was started."""
        self._joined = False
        self._started = self._clock()
        self._wake.set()

    def stop(self) -> None:
        """Start no further check; do not wait for a running one."""
        self._stopping.set()
        self._wake.set()

    def report(self) -> JsonObject:
        """Return the values that `server status` shows."""
        hangs = self._staleness.sentence('The thread relay keeper')
        verdict = Verdict(False, 'unknown: ' + hangs) if hangs else self._verdict
        return {'state': verdict.text, 'ok': verdict.ok, 'note': verdict.note,
                'repairs': self._repairs.count, 'sessions': len(self._sessions),
                'carrying': sum(all(session.bound) for session in self._sessions)}

    def _run(self) -> None:
        pause = 1.0
        while not self._stopping.is_set():
            self._wake.clear()
            self._staleness.seen()
            verdict = self._judge()
            if self._stopping.is_set():
                return
            self._announce(verdict, pause)
            repair = self._repairs.step(verdict, self._clock())
            if repair:
                self._repair(repair, verdict)
            pause = 1.0 if verdict.ok else min(pause * 2, PERIOD)
            self._wake.wait(PERIOD if verdict.ok else pause)

    def _judge(self) -> Verdict:
        try:
            pid = self._pid()
            if pid is None:
                return Verdict(False, 'its tailscaled does not run')
            if not self._joined:
                self._relay.bring_up()
                self._joined = True
            facts = self._relay.facts(pid)
        except _FAILURES as error:
            late = not self._joined and self._clock() - self._started > UP_TIMEOUT
            return Verdict(False, getattr(error, 'sentence', str(error)), RESTART if late else '')
        self._sessions = facts.sessions
        return judge(facts, self._relay.port, *self._unanswered.step(facts, self._clock()))

    def _announce(self, verdict: Verdict, pause: float) -> None:
        before, self._verdict = self._verdict, verdict
        if verdict.note and not before.note:
            self._say('The peer relay: {}'.format(verdict.note))
        if verdict.ok and not before.ok:
            self._say('The peer relay is up (UDP {}).'.format(self._relay.port))
            self._said = ''
        elif not verdict.ok and verdict.text != self._said and (before.ok or pause > QUIET_PAUSE):
            self._say('The peer relay is not up: {}'.format(verdict.text))
            self._said = verdict.text

    def _repair(self, repair: str, verdict: Verdict) -> None:
        words = {JOIN: 'it joins again', PORT: 'its port is set again'}
        self._say('Repairing the peer relay: {} ({}).'.format(
            words.get(repair, 'its tailscaled restarts'), verdict.note or verdict.text))
        self._unanswered = Unanswered()
        if repair == JOIN:
            self._joined = False
        elif repair == PORT:
            try:
                self._relay.reset_port()
            except _FAILURES as error:
                self._say('The peer relay was not repaired: {}'.format(getattr(error, 'sentence', error)))
        else:
            self._restart()
