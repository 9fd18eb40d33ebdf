"""One measurement between two hosts, from looking for the path to the sample."""
import os
import subprocess
import tempfile
import time

from ua_overlay import link_types
from ua_overlay.errors import OverlayError
from ua_overlay.measure.campaign import proof, sample
from ua_overlay.measure.hosts import host
from ua_overlay.measure.tools import programs, video
from ua_overlay.system.interfaces import in_overlay

#: Seconds that iperf3's server gets to listen.
LISTEN = 15.0
_WAYS = (('via DERP', link_types.DERP), ('via peer-relay', link_types.PEER_RELAY), (' via ', link_types.DIRECT))


def way_of(text):
    """The link type that `tailscale ping` names in its last answer, '' without one."""
    answers = [line for line in text.splitlines() if line.startswith('pong ')]
    return next((kind for part, kind in _WAYS if answers and part in answers[-1]), '')


def wait_for_link(source, address, expected, patience, clock=time.monotonic, sleep=time.sleep):
    """Ping until the link to ``address`` is of the type that is expected, or ``patience`` has passed: the sample is
    taken all the same then, and its proof says what it was. Returns the type found last."""
    deadline = clock() + patience
    while True:
        _, said, _ = source.run(source.tailscale + ['ping', '-c', '1', '--timeout', '3s', address], 20.0)
        found = way_of(said)
        if found and found == (expected or found) or clock() > deadline:
            return found
        sleep(0.5)


class Measurement:
    """Takes the sample of one step.

    :param campaign: its name and clock error go into the sample.
    :param hosts: name -> host.Host.
    :param store: sample.Store, for iperf3's own answer.
    :param links: function without arguments -> {host: words} of emulated links.
    :param versions: {host: {program: version}}.
    :param slack: seconds that a tool may need beyond twice its time.
    """

    def __init__(self, campaign, hosts, store, links, versions, wall=time.time, clock=time.monotonic,
                 sleep=time.sleep, slack=60.0):
        self.campaign = campaign
        self.hosts = hosts
        self.store = store
        self.links = links
        self.versions = versions
        self.wall, self.clock, self.sleep = wall, clock, sleep
        self.slack = slack

    def take(self, step):
        """The sample of a step (dict): whatever goes wrong, that is in it."""
        scenario = step.scenario
        found = {'schema': sample.SCHEMA, 'id': step.id, 'campaign': self.campaign.name, 'scenario': scenario.name,
                 'place': scenario.place, 'source': scenario.source, 'target': scenario.target, 'path': step.path,
                 'expected': scenario.expected if step.path == sample.OVERLAY else '', 'repetition': step.repetition,
                 'started': sample.rfc3339(self.wall()), 'duration': 0.0, 'tool': step.tool.kind,
                 'settings': programs.settings_of(step.tool, None, self.campaign.clock_error_ms),
                 'values': {}, 'cpu': {},
                 'proof': {'bytes': proof.counts(None), 'verdict': proof.UNKNOWN, 'way': ''}, 'link': {},
                 'status': sample.FAILED, 'problem': '', 'versions': self._versions(scenario)}
        start = self.clock()
        try:
            found['link'] = self.links()
            self._measure(step, found)
        except OverlayError as error:
            found['problem'] = error.sentence
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            found['problem'] = '{} could not be measured: {}: {}.'.format(step.id, type(error).__name__, error)
        if found['status'] == sample.FAILED:
            found['duration'] = round(self.clock() - start, 3)
        return found

    def _versions(self, scenario):
        found = dict(self.versions.get(scenario.source, {}))
        found.update((key + '_target', value) for key, value in self.versions.get(scenario.target, {}).items())
        return found

    def _measure(self, step, found):
        source, target = self.hosts[step.scenario.source], self.hosts[step.scenario.target]
        if step.path == sample.OVERLAY:
            address = target.overlay_address()
            way = wait_for_link(source, address, step.scenario.expected, step.scenario.link_timeout, self.clock,
                                self.sleep)
        else:
            # By number: a name may be one of the overlay.
            address, way = source.numeric(step.scenario.address or target.address), ''
            if in_overlay(address):
                raise host.HostLost('The raw path to {} would go through the overlay: {} is {} on {}.'.format(
                    target.name, step.scenario.address or target.address, address, source.name),
                    'address of {}, in the campaign'.format(target.name))
        found['settings']['mtu'] = source.mtu(address)
        before = source.path_bytes(), source.processor(), target.processor()
        found['started'], start = sample.rfc3339(self.wall()), self.clock()
        words = {'source': source.name, 'target': target.name, 'port': step.tool.settings.get('port', ''),
                 'trouble': ''}
        values, payload = self._run_tool(step, source, target, address, words)
        found['duration'] = round(self.clock() - start, 3)
        after = source.path_bytes(), source.processor(), target.processor()
        counted = proof.moved(before[0], after[0])
        verdict, sentence = proof.judge(counted, step.path, found['expected'], payload)
        found.update(values=values, proof={'bytes': proof.counts(counted), 'verdict': verdict, 'way': way},
                     cpu={'source_percent': host.processor_percent(before[1], after[1]),
                          'target_percent': host.processor_percent(before[2], after[2])})
        # A raw path has its own address: without a tailscaled there is nothing to prove about it.
        good = verdict == proof.PROVEN or verdict == proof.UNKNOWN and step.path == sample.RAW_PATH
        found['status'] = sample.OK if good else sample.EXCLUDED
        found['problem'] = '' if verdict == proof.PROVEN else sentence
        if good and step.tool.kind in (sample.TCP, sample.UDP):
            found['problem'] = found['problem'] or words['trouble'] or different_versions(found['versions'])
        apart = clocks_apart(values, self.campaign.clock_error_ms)
        if good and apart:
            found.update(status=sample.EXCLUDED, problem=apart)

    def _run_tool(self, step, source, target, address, words):
        if step.tool.kind == sample.PING:
            argv = programs.ping_argv(step.tool, address)
            _, said, errors = source.run(argv, programs.patience(step.tool, self.slack))
            return programs.parse_ping(step.tool, said + errors, words)
        if step.tool.kind == sample.VIDEO:
            return video.run(step, source, target, address, words)
        if step.tool.ros:
            return self._run_ros(step, source, target, words)
        text = self._run_iperf(step, source, target, address, words)
        if text.lstrip().startswith('{'):
            self._keep_raw(step.id, text, words)
        return programs.parse_iperf(step.tool, text, words)

    def _keep_raw(self, identity, text, words):
        """The sample is good without iperf3's own answer: a full disk does not spoil it."""
        try:
            self.store.keep_raw(identity, text)
        except OSError as error:
            words['trouble'] = 'The answer of iperf3 could not be kept: {}.'.format(error.strerror)

    def _run_iperf(self, step, source, target, address, words):
        """What the client printed. A server that was started here is ended here."""
        argv, patience = programs.iperf_argv(step.tool, address), programs.patience(step.tool, self.slack)
        if step.tool.settings['server'] != 'started':
            return self._client(source, argv, patience)
        serve = ['iperf3', '-s', '-1', '-p', str(step.tool.settings['port'])]
        # Into a file: for hours it says a line a second, and nobody reads a pipe.
        with tempfile.TemporaryFile('w+') as said:
            server = target.start(serve, output=said)
            try:
                deadline = self.clock() + LISTEN
                while True:
                    text = self._client(source, argv, patience)
                    failed = server.poll() not in (None, 0)
                    if failed and programs.iperf_refused(text):
                        raise target.lost(server.returncode, tail(said)) or programs.Unmeasured(
                            'The iperf3 server of {} ended: {}.'.format(target.name, host.last_line(tail(said))))
                    if not programs.iperf_refused(text) or self.clock() > deadline:
                        break
                    self.sleep(0.3)
                if failed:
                    words['trouble'] = 'Another iperf3 server answered on port {} of {}; ours ended: {}.'.format(
                        step.tool.settings['port'], target.name, host.last_line(tail(said)))
                return text
            finally:
                host.stop(server)

    @staticmethod
    def _client(source, argv, patience):
        _, said, errors = source.run(argv, patience)
        return said or errors

    def _run_ros(self, step, source, target, words):
        name = '/ua_overlay_measure_{}'.format(step.repetition)
        theirs, mine = programs.ros_argvs(step.tool, name)
        patience = programs.patience(step.tool, self.slack)
        other = target.start(theirs, ros=True)
        try:
            _, said, errors = source.run(mine, patience, ros=True)
            if step.tool.kind == sample.SERVICE:
                return programs.parse_ros(step.tool, said or errors, '', words)
            _, heard, trouble = host.finish(other, target.name, theirs, patience)
            return programs.parse_ros(step.tool, said or errors, heard or trouble, words)
        finally:
            host.stop(other)


def tail(stream, most=2000):
    """The end of what a program wrote to a text file that it shares with this process."""
    text = os.pread(stream.fileno(), 1 << 20, max(0, os.fstat(stream.fileno()).st_size - most))
    return text.decode('utf-8', 'replace')


def clocks_apart(values, error):
    """A sentence when a message is older than 0 by more than the clocks may differ (``error``, ms), else ''."""
    youngest = min(values.get('age_ms') or [0.0])
    if error is None or youngest >= -error:
        return ''
    return 'A message arrived {:.3g} ms before it was sent: the clocks differ by more than the {:g} ms of ' \
           'clock_error_ms.'.format(-youngest, error)


def different_versions(versions):
    """A sentence when iperf3 is not the same at both ends, else ''."""
    mine, theirs = (programs.version_of(versions.get(key)) for key in ('iperf3', 'iperf3_target'))
    if mine and theirs and mine != theirs:
        return 'iperf3 is {} at the source and {} at the target.'.format(mine, theirs)
    return ''
