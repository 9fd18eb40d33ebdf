"""For tests of the measurements: a short campaign, its samples, and hosts whose programs are shell scripts."""
import json
import subprocess

from ua_overlay.measure.campaign import campaign, sample
from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.campaign.sample import Sample
from ua_overlay.measure.hosts.host import Host

TEXT = '''
version: 1
name: short
repetitions: 2
hosts: {b: {address: 10.0.0.2}}
tools:
  tcp: {tool: iperf3-tcp, seconds: 3, omit: 1}
  ping: {count: 5, interval: 0.1}
  topic: {tool: ros-topic}
scenarios:
  - {name: pair, from: a, to: b, expected: DIRECT, paths: [raw, overlay]}
'''


def short():
    return campaign.parse(TEXT)


def tool_of(kind, **settings):
    """A tool with the settings that a campaign file gives it."""
    words = ', '.join('{}: {}'.format(key, json.dumps(value)) for key, value in settings.items())
    return campaign.parse('version: 1\nname: t\ntools: {it: {tool: %s%s}}\nscenarios: [{name: s, from: a, to: b}]' % (
        kind, ', ' + words if words else '')).scenarios[0].tools[0]


def of_step(step, status=sample.OK, values=None):
    """A sample of a step, as the loop appends it."""
    scenario = step.scenario
    if values is None:
        values = {key: [1.0] if key in ('rtt_ms', 'age_ms', 'intervals_bps') else 1.0 for key in step.tool.values}
    return Sample(
        id=step.id, campaign='short', scenario=scenario.name, place=scenario.place, source=scenario.source,
        target=scenario.target, path=step.path, expected=scenario.expected, repetition=step.repetition,
        started=sample.moment(0), duration=1.0, tool=step.tool.kind, values=values, proof=Proof(), status=status)


class ScriptedHost(Host):
    """A host whose programs are shell scripts: real processes, with the answers of the real programs.

    A mock: a host that vanishes in mid-run, and counters that go another way, need a network that does so.

    :param scripts: {program, or program and first argument: shell script}.
    """

    def __init__(self, name, scripts, directory=None, **options):
        super().__init__(name, **options)
        self.scripts, self.directory = scripts, directory
        #: (argv, ros) of each program that was started.
        self.started = []

    def popen(self, argv, ros=False, **options):
        self.started.append((argv, ros))
        argv = argv[2:] if argv[0] == 'env' else argv
        words = [word for word in argv[1:2] if not word.startswith('-')]
        script = self.scripts.get(' '.join(argv[:1] + words)) or self.scripts.get(argv[0])
        if script is None:
            raise FileNotFoundError(2, 'No such file or directory')
        return subprocess.Popen(['sh', '-c', script], cwd=self.directory, **options)


def say(*lines):
    """A shell script that prints lines: texts, or values as JSON."""
    return '; '.join("echo '{}'".format(line if isinstance(line, str) else json.dumps(line)) for line in lines)
