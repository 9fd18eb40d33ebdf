"""Observe the DERP regions outside Headscale, and write the map from which Headscale assigns homes to robots."""
import threading
import time
from typing import Callable, Dict, Mapping, Optional, Set

from ua_overlay.headscale import derp_map
from ua_overlay.headscale.remote_hosts import Region
from ua_overlay.headscale.site_directory import SiteDirectory
from ua_overlay.protocols import Clock, Say, WallClock
from ua_overlay.relays import derp_certificate
from ua_overlay.relays.probe import Trust, Unreachable, probe_derp_page
from ua_overlay.system import file_system, files
from ua_overlay.system.staleness import Staleness
from ua_overlay.system.thread import SupervisedThread

#: (address, port, name, trust) -> expiry of its certificate, in Unix seconds; raises Unreachable.
DerpProbe = Callable[[str, int, str, Trust], float]

#: Seconds between two probes.
PERIOD = 10.0
#: Seconds without a probe after which it hangs; each probe takes at most some ten.
SILENT_AFTER = 120.0
#: A region counts as down after this many failures in a row, and as up again at the first answer.
FAILURES = 2


class Answering:
    """Decides which regions answer, with hysteresis over single probes. No clock, no socket."""

    def __init__(self) -> None:
        self._failures: Dict[str, int] = {}

    def step(self, answers: Mapping[str, bool]) -> Set[str]:
        """Return the names of the regions that count as answering.

        :param answers: for each region, whether it answered now.
        """
        for name, ok in answers.items():
            self._failures[name] = 0 if ok else self._failures.get(name, FAILURES - 1) + 1
        return {name for name in answers if self._failures[name] < FAILURES}


class DerpWatcher:
    """A thread that probes each region of a site.

    :param say: logs one sentence.
    :param probe: like probe.probe_derp_page.
    """

    def __init__(self, site: SiteDirectory, say: Say, probe: DerpProbe = probe_derp_page,
                 now: WallClock = time.time, clock: Clock = time.monotonic) -> None:
        self._site = site
        self._staleness = Staleness(SILENT_AFTER, clock)
        self._say = say
        self._probe = probe
        self._now = now
        #: By region: the expiry of its certificate; the last warning about it; why it does not answer, None if it does.
        self._ends: Dict[str, float] = {}
        self._warned: Dict[str, Optional[str]] = {}
        self._reasons: Dict[str, Optional[str]] = {}
        self._answering = Answering()
        self._stopping = threading.Event()
        self._written: Optional[str] = None
        #: Why the map cannot be written, '' if it can.
        self._problem = ''

    def prepare(self) -> None:
        """Probe all regions once and write the map, before Headscale starts."""
        self._step_and_say()

    def start(self) -> None:
        """Start probing every PERIOD seconds."""
        SupervisedThread('DERP probe', self._run, self._failed).start()

    def stop(self) -> None:
        """End the thread after its current probe."""
        self._stopping.set()

    def report(self) -> Dict[str, str]:
        """Return 'up' for each region that answers, or why it does not."""
        hangs = self._staleness.sentence('The thread DERP probe')
        return {region.name: 'unknown: ' + hangs if hangs else self._reasons.get(region.name) or 'up'
                for region in self._site.settings.regions}

    def ends(self) -> Dict[str, float]:
        """Return the expiry of the certificate of each remote region that has answered, in Unix seconds. The server
        renews its own."""
        return {host.name: self._ends[host.name] for host in self._site.settings.derp if host.name in self._ends}

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD):
            self._staleness.seen()
            self._step_and_say()

    def _failed(self, sentence: str) -> None:
        """Report no region as known: none has been probed since."""
        self._say(sentence)
        self._reasons = {region.name: 'unknown: ' + sentence for region in self._site.settings.regions}

    def _step_and_say(self) -> None:
        try:
            self.step()
        except OSError as error:
            file_system.named(error, self._site.path(derp_map.MAP_FILE))
            problem = 'The DERP map cannot be written: {}.'.format(error.strerror)
            if problem != self._problem:
                self._say(problem)
            self._problem = problem
        else:
            self._problem = ''

    def step(self) -> None:
        """Probe every region, and write the map when it changed.

        :raises OSError: the map cannot be written.
        """
        settings = self._site.settings
        answers: Dict[str, bool] = {}
        for region in settings.regions:
            self._staleness.seen()
            reason = self._reason(region)
            answers[region.name] = reason is None
            if answers[region.name] != (self._reasons.get(region.name, 'not probed yet') is None):
                self._say('DERP region {} {}.'.format(
                    region.name, 'answers' if reason is None else 'does not answer: ' + reason))
            self._reasons[region.name] = reason
        for host in settings.derp:
            self._warn(host.name)
        text = derp_map.dump_map(derp_map.derp_map(settings, self._answering.step(answers)))
        if settings.regions and text != self._written:
            files.write_changed(self._site.path(derp_map.MAP_FILE), text, mode=0o600)
            self._written = text

    def _warn(self, name: str) -> None:
        """Warn that a certificate expires soon; once a day, because the sentence counts the days."""
        warning = derp_certificate.warning(name, self._ends[name], self._now()) if name in self._ends else None
        if warning is not None and warning.sentence != self._warned.get(name):
            self._say(str(warning))
        self._warned[name] = None if warning is None else warning.sentence

    def _reason(self, region: Region) -> Optional[str]:
        """Probe a region; return why it does not answer, None when it does."""
        try:
            self._ends[region.name] = self._probe(region.probed_at, region.port, region.host_name,
                                                  {'ca_file': self._site.ca_file})
        except Unreachable as error:
            return str(error)
        return None
