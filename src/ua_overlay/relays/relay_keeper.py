"""Keeps a relay carrying: looks every few seconds, repairs, and says so."""
import subprocess
import threading
import time

from ua_overlay.errors import OverlayError
from ua_overlay.relays.relay_health import JOIN, PORT, RESTART, Repairs, Unanswered, Verdict, judge

#: Seconds between two looks.
PERIOD = 10.0
#: A tailscaled that cannot be brought up within this many seconds is started anew.
UP_TIMEOUT = 120.0


class RelayKeeper:
    """A thread that reconciles one relay.

    :param node: RelayNode.
    :param pid: function() -> process id of its tailscaled, None while it does not run.
    :param restart: function() that has it started anew, without waiting.
    :param say: function(sentence).
    """

    def __init__(self, node, pid, restart, say, clock=time.monotonic):
        self._node = node
        self._pid = pid
        self._restart = restart
        self._say = say
        self._clock = clock
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._unanswered = Unanswered()
        self._repairs = Repairs()
        self._joined = False
        self._started = clock()
        self._verdict = Verdict(False, 'starting')
        self._sessions = ()
        self._thread = None

    def start(self):
        self._thread = threading.Thread(target=self._run, daemon=True, name='relay')
        self._thread.start()

    def wake(self):
        """Look now: its tailscaled was started."""
        self._joined = False
        self._started = self._clock()
        self._wake.set()

    def stop(self):
        """No look begins after this; one that is under way is not waited for."""
        self._stopping.set()
        self._wake.set()

    def report(self):
        """What `server status` shows, as plain values."""
        return {'state': self._verdict.text, 'ok': self._verdict.ok, 'note': self._verdict.note,
                'repairs': self._repairs.count, 'sessions': len(self._sessions),
                'carrying': sum(all(session.bound) for session in self._sessions)}

    def _run(self):
        pause = 1.0
        while not self._stopping.is_set():
            self._wake.clear()
            verdict = self._judge()
            if self._stopping.is_set():
                return
            self._tell(verdict, pause)
            repair = self._repairs.step(verdict, self._clock())
            if repair:
                self._mend(repair, verdict)
            pause = 1.0 if verdict.ok else min(pause * 2, PERIOD)
            self._wake.wait(PERIOD if verdict.ok else pause)

    def _judge(self):
        try:
            pid = self._pid()
            if pid is None:
                return Verdict(False, 'its tailscaled does not run')
            if not self._joined:
                self._node.bring_up()
                self._joined = True
            facts = self._node.facts(pid)
        except (OverlayError, OSError, subprocess.SubprocessError) as error:
            late = not self._joined and self._clock() - self._started > UP_TIMEOUT
            return Verdict(False, getattr(error, 'sentence', str(error)), RESTART if late else '')
        self._sessions = facts.sessions
        return judge(facts, self._node.settings.port, *self._unanswered.step(facts, self._clock()))

    def _tell(self, verdict, pause):
        before, self._verdict = self._verdict, verdict
        if verdict.note and not before.note:
            self._say('The peer relay: {}'.format(verdict.note))
        if verdict.ok and not before.ok:
            self._say('The peer relay is up (UDP {}).'.format(self._node.settings.port))
        elif not verdict.ok and verdict.text != before.text and (before.ok or pause > 4):
            self._say('The peer relay is not up: {}'.format(verdict.text))

    def _mend(self, repair, verdict):
        words = {JOIN: 'it joins again', PORT: 'its port is set again'}
        self._say('The peer relay is mended: {} ({}).'.format(
            words.get(repair, 'its tailscaled starts again'), verdict.note or verdict.text))
        self._unanswered = Unanswered()
        if repair == JOIN:
            self._joined = False
        elif repair == PORT:
            try:
                self._node.reset_port()
            except (OverlayError, OSError, subprocess.SubprocessError) as error:
                self._say('The peer relay was not mended: {}'.format(getattr(error, 'sentence', error)))
        else:
            self._restart()
