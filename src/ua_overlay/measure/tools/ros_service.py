"""`ros-service`: round trips of calls of a service."""
from typing import Any, Dict, List, Tuple

from ua_overlay.measure import stats
from ua_overlay.measure.fields import Key
from ua_overlay.measure.hosts.process import stop
from ua_overlay.measure.tools import metric
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.ros_ends import last_json
from ua_overlay.measure.tools.tool import Job, Result, Tool, Unmeasured
from ua_overlay.system.schema import integer

KIND = 'ros-service'
#: Bytes of a call and its answer: the least (two packets of IPv4 and TCP), and the usual number with ROS's headers.
LEAST_OF_CALL, USUAL_CALL = 100, 1000


class RosService(Tool):
    """An empty service at the target that the source calls, in the team's graph (scripts/measure_ros.py)."""

    kind = KIND
    title = 'ROS service'
    keys = {'calls': Key(50, integer(1, 1000000)), 'omit': Key(5, integer(0, 10000))}
    series = ('rtt_ms',)
    values = {'rtt_ms': 'ms', 'failed': ''}
    metrics = (Metric(KIND, 'service', 'Call of a ROS service', 'ms', metric.median('rtt_ms'), metric.every('rtt_ms'),
                      stats.rtt_increase, 'Calls of a ROS service', 'a call', 5),)
    needs_ros = True

    @property
    def _calls(self) -> int:
        return int(self.settings['omit'] + self.settings['calls'])

    @property
    def duration(self) -> float:
        # On a path of 50 ms or more, a call takes a tenth of a second.
        return 5.0 + 0.1 * self._calls

    def wire_bits(self) -> float:
        return 8.0 * self._calls * USUAL_CALL

    def argvs(self, service: str) -> Tuple[List[str], List[str]]:
        """(argv of the service at the target, which starts first; argv of the caller at the source)."""
        program, settings = ['rosrun', 'ua_overlay', 'measure_ros.py'], self.settings
        return program + ['serve', service, '--seconds', '{:.0f}'.format(self.patience())], program + [
            'call', service, '--calls', str(settings['calls']), '--omit', str(settings['omit'])]

    def measure(self, job: Job) -> Result:
        server, caller = self.argvs('/ua_overlay_measure_{}'.format(job.repetition))
        serving = job.target.start(server, ros=True)
        try:
            _, output, errors = job.source.run(caller, self.patience(job.slack), ros=True)
        finally:
            stop(serving)
        answer = last_json(output or errors, job.source.name)
        if not answer.get('rtt_ms'):
            raise Unmeasured('No call from {} to {} was answered.'.format(job.source.name, job.target.name))
        return self.read_answer(answer)

    @staticmethod
    def read_answer(answer: Dict[str, Any]) -> Result:
        """The result in the caller's output."""
        return Result({'rtt_ms': answer['rtt_ms'], 'failed': answer['failed']},
                      len(answer['rtt_ms']) * LEAST_OF_CALL)


TOOL = RosService
