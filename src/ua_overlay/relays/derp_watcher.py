"""Observes the DERP regions on remote hosts, and writes the map from which Headscale tells robots their homes."""
import threading
import time

from ua_overlay.headscale import derp_map
from ua_overlay.relays import derp_certificate
from ua_overlay.relays.probe import Unreachable, probe_derp_page
from ua_overlay.system import files

#: Seconds between two probes.
PERIOD = 10.0
#: A region is gone when it failed this often in a row; it is back at the first answer.
FAILURES = 2


class Answering:
    """Which regions answer: hysteresis over single answers. No clock, no socket."""

    def __init__(self):
        self._failures = {}

    def step(self, answers):
        """:param answers: dict name -> whether it answered now. :returns: set of the names that count as answering."""
        for name, ok in answers.items():
            self._failures[name] = 0 if ok else self._failures.get(name, FAILURES - 1) + 1
        return {name for name in answers if self._failures[name] < FAILURES}


class DerpWatcher:
    """A thread that probes each region of a site.

    :param site: the Site.
    :param say: function(sentence).
    :param probe: as probe.probe_derp_page; ``now``: function() -> Unix seconds.
    """

    def __init__(self, site, say, probe=probe_derp_page, now=time.time):
        self._site = site
        self._say = say
        self._probe = probe
        self._now = now
        self._ends = {}
        self._warned = {}
        self._answering = Answering()
        self._stopping = threading.Event()
        self._reasons = {}
        self._written = None

    def prepare(self):
        """Write the map before Headscale starts, from a first look at all regions."""
        self.step()

    def start(self):
        threading.Thread(target=self._run, daemon=True, name='derp').start()

    def stop(self):
        self._stopping.set()

    def report(self):
        """dict name -> 'up', or why it is not."""
        return {host.name: self._reasons.get(host.name) or 'up' for host in self._site.settings.derp}

    def ends(self):
        """dict name -> when the certificate of that region ends, in Unix seconds, as far as it was seen."""
        return {host.name: self._ends[host.name] for host in self._site.settings.derp if host.name in self._ends}

    def _run(self):
        while not self._stopping.wait(PERIOD):
            try:
                self.step()
            except OSError as error:
                self._say('The DERP map cannot be written: {}.'.format(error.strerror or error))

    def step(self):
        """Look at every region, and write the map when it changed."""
        settings, answers = self._site.settings, {}
        for host in settings.derp:
            reason = self._reason(host)
            answers[host.name] = reason is None
            if answers[host.name] != (self._reasons.get(host.name, 'never looked at') is None):
                self._say('DERP region {} {}.'.format(
                    host.name, 'answers' if reason is None else 'does not answer: ' + reason))
            self._reasons[host.name] = reason
            self._warn(host.name)
        text = derp_map.dump_map(derp_map.derp_map(settings, self._answering.step(answers)))
        if settings.derp and text != self._written:
            files.write_atomic(self._site.path(derp_map.MAP_FILE), text, mode=0o600)
            self._written = text

    def _warn(self, name):
        """Say once a day that a certificate ends soon."""
        found = derp_certificate.warning(name, self._ends[name], self._now()) if name in self._ends else None
        if found is not None and found.sentence != self._warned.get(name):
            self._say(str(found))
        self._warned[name] = found and found.sentence

    def _reason(self, host):
        try:
            self._ends[host.name] = self._probe(host.address, host.port, host.host_name(self._site.settings.name),
                       {'ca_file': self._site.ca_file})
        except Unreachable as error:
            return str(error)
        return None
