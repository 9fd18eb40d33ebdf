"""A fake tool: everything that a new module of measure.tools must define."""
from ua_overlay.measure.fields import Key
from ua_overlay.measure.tools import metric
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.tool import Result, Tool
from ua_overlay.system.schema import integer

KIND = 'echo'


class Echo(Tool):
    """The system's echo, which prints round trips here."""

    kind = KIND
    title = 'echoes'
    keys = {'count': Key(3, integer(1, 100))}
    values = {'echo_ms': 'ms'}
    series = ('echo_ms',)
    metrics = (Metric(KIND, 'echo', 'Echo', 'ms', metric.median('echo_ms'), metric.every('echo_ms'),
                      heading='Echoes by place', piece='an echo'),)
    variant = ('count',)

    @property
    def duration(self):
        return 0.1 * self.settings['count']

    def wire_bits(self):
        return 1000.0 * self.settings['count']

    def measure(self, job):
        _, output, _ = job.source.run(['echo', job.address], self.patience(job.slack))
        return Result({'echo_ms': [float(word) for word in output.split()]}, 9.0)


TOOL = Echo
