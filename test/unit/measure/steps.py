"""For tests of the measurements: campaigns and samples."""
from ua_overlay.measure.campaign import campaign, sample

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


def of_step(step, status=sample.OK, values=None):
    """A sample of a step, as the loop appends it."""
    scenario = step.scenario
    filled = {key: 1 for key in sample.VALUES[step.tool.kind]}
    return {'schema': 1, 'id': step.id, 'campaign': 'short', 'scenario': scenario.name, 'place': scenario.place,
            'source': scenario.source, 'target': scenario.target, 'path': step.path, 'expected': scenario.expected,
            'repetition': step.repetition, 'started': sample.rfc3339(0), 'duration': 1.0, 'tool': step.tool.kind,
            'settings': {}, 'values': filled if values is None else values, 'cpu': {}, 'proof': {}, 'link': {},
            'status': status, 'problem': '', 'versions': {}}
