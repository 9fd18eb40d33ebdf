"""`ros-topic`: age and rate of the messages of a topic."""
from typing import Any, Dict, List, Tuple

from ua_overlay.measure import headers, stats
from ua_overlay.measure.fields import LONGEST, Key
from ua_overlay.measure.hosts.process import finish, stop
from ua_overlay.measure.tools import metric
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.ros_ends import last_json
from ua_overlay.measure.tools.tool import Job, Result, Tool
from ua_overlay.system.schema import integer, number

KIND = 'ros-topic'


class RosTopic(Tool):
    """A topic from the source to the target, in the team's graph (scripts/measure_ros.py)."""

    kind = KIND
    title = 'ROS topic'
    keys = {'seconds': Key(10, number(1, LONGEST)), 'size': Key(1000, integer(16, 100000000)),
            'rate': Key(10, number(0.01, 10000)), 'omit': Key(5, integer(0, 10000))}
    series = ('age_ms',)
    values = {'hz': 'Hz', 'age_ms': 'ms', 'sent': '', 'received': '', 'size_bytes': 'bytes'}
    metrics = (
        Metric(KIND, 'age', 'Age of ROS messages', 'ms', metric.median('age_ms'), metric.every('age_ms'),
               stats.rtt_increase, 'Age of ROS messages',
               'a message; hosts with clocks of their own add the error of the clocks', 4),
        Metric(KIND, 'topic_hz', 'Rate of ROS messages', 'Hz', metric.number('hz'), None, stats.throughput_loss),
        Metric(KIND, 'topic_lost', 'Lost ROS messages', '%', metric.lost_percent))
    variant = ('size', 'rate_hz', 'rate')
    needs_ros = True
    compares_clocks = True
    rate_name = 'rate_hz'

    @property
    def duration(self) -> float:
        return float(self.settings['seconds'] + 5.0)

    def wire_bits(self) -> float:
        settings = self.settings
        messages = float(settings['seconds'] * settings['rate'] + settings['omit'])
        return messages * headers.overlay_packet_bits(settings['size']) / headers.overlay_efficiency()

    def argvs(self, topic: str) -> Tuple[List[str], List[str]]:
        """(argv of the subscriber at the target, which starts first; argv of the publisher at the source)."""
        program, settings = ['rosrun', 'ua_overlay', 'measure_ros.py'], self.settings
        common = ['--seconds', '{:g}'.format(settings['seconds']), '--omit', str(settings['omit'])]
        return program + ['listen', topic] + common, program + [
            'publish', topic, '--size', str(settings['size']), '--rate', '{:g}'.format(settings['rate'])] + common

    def measure(self, job: Job) -> Result:
        subscriber, publisher = self.argvs('/ua_overlay_measure_{}'.format(job.repetition))
        patience = self.patience(job.slack)
        listening = job.target.start(subscriber, ros=True)
        try:
            _, sent, sent_errors = job.source.run(publisher, patience, ros=True)
            _, heard, heard_errors = finish(listening, job.target.name, subscriber, patience)
        finally:
            stop(listening)
        return self.merge(last_json(sent or sent_errors, job.source.name),
                          last_json(heard or heard_errors, job.target.name))

    def merge(self, sent: Dict[str, Any], heard: Dict[str, Any]) -> Result:
        """The result in the outputs of the publisher and the subscriber."""
        size = self.settings['size']
        return Result({'hz': heard['hz'], 'age_ms': heard['age_ms'], 'sent': sent['sent'],
                       'received': heard['received'], 'size_bytes': size}, heard['received'] * size)


TOOL = RosTopic
