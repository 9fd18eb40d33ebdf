"""`ros-video`: a camera's stream, optionally with a hog (a TCP transfer) beside it."""
import math
import subprocess
from typing import Any, Dict, List, Sequence, Tuple

from ua_overlay.measure import paths, stats
from ua_overlay.measure.fields import LONGEST, CampaignError, Key, congestion
from ua_overlay.measure.hosts.host import NOWHERE, Graph, Host
from ua_overlay.measure.hosts.process import finish, read_until, stop
from ua_overlay.measure.tools import iperf, metric
from ua_overlay.measure.tools.iperf_tcp import IperfTcp
from ua_overlay.measure.tools.metric import Metric
from ua_overlay.measure.tools.ros_ends import last_json
from ua_overlay.measure.tools.tool import Job, Result, Tool
from ua_overlay.system.schema import choice, flag, integer, number, optional

KIND = 'ros-video'
#: The camera's program prints this line, waits LEAD seconds, and begins.
READY = 'ready'
#: Seconds that the hog runs before the first frame.
LEAD = 3
HOG_PORT = 5202
_HOG = IperfTcp('hog', {'port': HOG_PORT})
#: Port of the roscore without the overlay.
RAW_MASTER_PORT = 11399
#: Settings that both programs take as options.
_OPTIONS = ('encoding', 'width', 'height', 'rate', 'seconds', 'omit')


class RosVideo(Tool):
    """A camera at the source and a viewer at the target (scripts/measure_video.py).

    On the overlay both are in the team's graph. Without it, the viewer's program also runs a roscore. `values` also has
    `congestion` (the name of the stream's congestion control), `hog_bps` (bit/s) with a hog, and for `source_` and
    `target_` each `process_percent` (of one processor) and `machine_percent` (of all).
    """

    kind = KIND
    title = 'video'
    keys = {'encoding': Key('jpeg', choice(('raw', 'jpeg'))), 'width': Key(1280, integer(64, 4096, multiple_of=16)),
            'height': Key(720, integer(64, 4096, multiple_of=16)), 'rate': Key(30, number(0.5, 240)),
            'seconds': Key(30, number(1, LONGEST)), 'omit': Key(30, integer(0, 10000)), 'hog': Key(False, flag),
            'congestion': Key('', optional(congestion, '')), 'nodelay': Key(False, flag)}
    series = ('age_ms',)
    values = {'hz': 'Hz', 'age_ms': 'ms', 'sent': '', 'received': '', 'skipped': '', 'gaps': '', 'longest_ms': 'ms',
              'size_bytes': 'bytes'}
    metrics = (
        Metric(KIND, 'video_hz', 'Frames of video', 'Hz', metric.number('hz'), None, stats.throughput_loss),
        Metric(KIND, 'video_age', 'Age of video frames', 'ms', metric.median('age_ms'), metric.every('age_ms'),
               stats.rtt_increase),
        Metric(KIND, 'video_age95', 'Age of video frames, 95 %', 'ms', metric.percentile('age_ms', 0.95)),
        Metric(KIND, 'video_age99', 'Age of video frames, 99 %', 'ms', metric.percentile('age_ms', 0.99)),
        Metric(KIND, 'video_lost', 'Lost video frames', '%', metric.lost_percent),
        Metric(KIND, 'video_skipped', 'Skipped video frames', 'frames', metric.number('skipped')),
        Metric(KIND, 'video_longest', 'Longest time without a video frame', 'ms', metric.number('longest_ms')),
        Metric(KIND, 'video_hog', 'TCP beside the video', 'Mbit/s', metric.number('hog_bps', 1e-6)))
    variant = ('encoding', 'width', 'height', 'rate_hz', 'congestion', 'nodelay', 'hog')
    needs_ros = True
    compares_clocks = True
    rate_name = 'rate_hz'

    @property
    def duration(self) -> float:
        settings = self.settings
        return float(settings['seconds'] + settings['omit'] / settings['rate'] + (15.0 if settings['hog'] else 10.0))

    def wire_bits(self) -> float:
        raise CampaignError(
            'tools.{}: ros-video would saturate the link, so a monitor cannot use it.'.format(self.name))

    def runs_raw(self, open_both_ways: bool) -> bool:
        # ROS connects from each end to any port of the other.
        return open_both_ways

    def argvs(self, path: str, topic: str) -> Tuple[List[str], List[str]]:
        """(argv of the viewer, which starts first; argv of the camera)."""
        settings = self.settings
        common = [topic]
        for key in _OPTIONS:
            value = settings[key]
            common += ['--' + key, '{:g}'.format(value) if isinstance(value, float) else str(value)]
        common += ['--lead', str(LEAD)] if settings['hog'] else []
        common += ['--congestion', settings['congestion']] if settings['congestion'] else []
        common += ['--nodelay'] if settings['nodelay'] else []
        program = ['rosrun', 'ua_overlay', 'measure_video.py']
        # A roscore in the viewer's program ends with it, even if the connection to that host breaks.
        master = ['--master', str(RAW_MASTER_PORT)] if path == paths.RAW else []
        return program + ['show'] + common + master, program + ['film'] + common

    def hog_argv(self, address: str) -> List[str]:
        """Argv of the iperf3 client, which starts before the first frame and ends after the last."""
        settings = self.settings
        seconds = math.ceil(LEAD + settings['omit'] / settings['rate'] + settings['seconds'] + 1)
        return iperf.client_argv(address, HOG_PORT, seconds) + (
            ['-C', settings['congestion']] if settings['congestion'] else [])

    def measure(self, job: Job) -> Result:
        started: 'List[subprocess.Popen[str]]' = []
        try:
            return self._measure(job, started)
        finally:
            for process in reversed(started):
                stop(process)

    def _measure(self, job: Job, started: 'List[subprocess.Popen[str]]') -> Result:
        """:param started: gets every process, in order."""
        source, target, patience = job.source, job.target, self.patience()
        graphs = graphs_of(job.path, source, target)
        viewer_argv, camera_argv = self.argvs(job.path, '/ua_overlay_measure_{}/camera'.format(job.repetition))
        if self.settings['hog']:
            started.append(target.start(iperf.server_argv(HOG_PORT), output=NOWHERE))
        viewer = target.start(viewer_argv, ros=graphs[1])
        started.append(viewer)
        camera = source.start(camera_argv, ros=graphs[0])
        started.append(camera)
        begin = read_until(camera, READY, patience)
        hog = None
        if self.settings['hog'] and begin.endswith(READY + '\n'):
            hog = source.start(self.hog_argv(job.address))
            started.append(hog)
        _, output, errors = finish(camera, source.name, camera_argv, patience)
        filmed = last_json('\n'.join((begin + output, errors)), source.name)
        _, output, errors = finish(viewer, target.name, viewer_argv, patience)
        result = merge(filmed, last_json('\n'.join((output, errors)), target.name))
        if hog:
            _, output, errors = finish(hog, source.name, ['iperf3'], patience)
            beside = _HOG.parse(output or errors, source.name, target.name)
            result.values['hog_bps'] = hog_bps(beside.values['intervals_bps'])
            result = result._replace(payload=result.payload + beside.payload)
        return result


def graphs_of(path: str, source: Host, target: Host) -> Tuple[Graph, Graph]:
    """The graphs of the source's and the target's program: the team's, or without the overlay their own."""
    if path == paths.OVERLAY:
        return True, True
    master = 'http://{}:{}'.format(target.address, RAW_MASTER_PORT)
    return ({'ROS_MASTER_URI': master, 'ROS_IP': source.address},
            {'ROS_MASTER_URI': master, 'ROS_IP': target.address})


def hog_bps(intervals: Sequence[float]) -> float:
    """Mean bit/s of the hog during the stream: without the seconds before the first frame and the second after it."""
    during = intervals[LEAD:-1] or intervals
    return sum(during) / len(during) if during else 0.0


def merge(filmed: Dict[str, Any], shown: Dict[str, Any]) -> Result:
    """The result in the outputs of the camera's and the viewer's program."""
    values = {key: filmed[key] for key in ('sent', 'skipped', 'size_bytes', 'congestion')}
    values.update((key, shown[key]) for key in ('hz', 'age_ms', 'received', 'gaps', 'longest_ms'))
    values.update(('{}_{}'.format(end, key), printed.get(key))
                  for end, printed in (('source', filmed), ('target', shown))
                  for key in ('process_percent', 'machine_percent'))
    return Result(values, shown['bytes'])


TOOL = RosVideo
