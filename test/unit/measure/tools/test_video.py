"""A camera's stream: the picture, the count at both ends, what the programs are called with, and a run that fails."""
import io
import json
import subprocess

import pytest

from ua_overlay.measure.campaign import campaign, plan, sample
from ua_overlay.measure.hosts import host
from ua_overlay.measure.tools import frames, picture, programs, video

TEXT = '''
version: 1
name: v
repetitions: 1
hosts: {a: {address: 10.0.0.1}, b: {address: 10.0.0.2}}
tools:
  jpeg: {tool: ros-video, seconds: 2, omit: 5, rate: 10, hog: true, congestion: cubic}
  raw: {tool: ros-video, encoding: raw, width: 640, height: 480, nodelay: true}
scenarios:
  - {name: s, from: a, to: b, paths: [raw, overlay]}
'''
JPEG, RAW = campaign.parse(TEXT).scenarios[0].tools
WORDS = {'source': 'a', 'target': 'b', 'port': ''}
CAMERA = {'sent': 20, 'skipped': 0, 'size_bytes': 9, 'congestion': 'cubic', 'process_percent': 1.0,
          'machine_percent': 5.0}
VIEWER = {'received': 19, 'hz': 9.5, 'gaps': 1, 'age_ms': [20.0] * 19, 'longest_ms': 210.0, 'bytes': 171,
          'process_percent': 2.0, 'machine_percent': 6.0}


# --- the picture


def test_a_jpeg_is_one_and_shows_what_the_raw_picture_shows():
    images = pytest.importorskip('PIL.Image', reason='Pillow comes with what draws the report')
    chops, stat = pytest.importorskip('PIL.ImageChops'), pytest.importorskip('PIL.ImageStat')
    coded, plain = picture.Picture(160, 96, 'jpeg'), picture.Picture(160, 96, 'raw')
    for number in (0, 4):
        image = images.open(io.BytesIO(coded.frame(number)))
        image.load()
        assert (image.size, image.mode, image.format) == ((160, 96), 'RGB', 'JPEG')
        raw = images.frombytes('RGB', (160, 96), plain.frame(number), 'raw', 'BGR')
        assert max(stat.Stat(chops.difference(image, raw)).rms) < 8, number


@pytest.mark.parametrize('encoding', ['raw', 'jpeg'])
def test_the_picture_moves_and_comes_round(encoding):
    made = picture.Picture(64, 64, encoding)
    shown = [made.frame(number) for number in range(8)]
    assert len(set(shown[:4])) == 4 and shown[:4] == shown[4:]
    assert picture.Picture(64, 64, encoding).frame(2) == shown[2]


def test_a_jpegs_marks_stand_where_the_format_wants_them():
    found = picture.Picture(32, 160, 'jpeg').frame(3)
    assert found[:2] == b'\xff\xd8' and found[-2:] == b'\xff\xd9'
    body = found[found.index(b'\xff\xda'):-2]
    marks = [body[place + 1] for place in range(2, len(body) - 1) if body[place] == 0xFF and body[place + 1]]
    assert marks == [0xD0 + number % 8 for number in range(9)]


# --- the count


class Clock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


def test_a_camera_that_is_late_by_a_slot_has_no_frame_of_it():
    clock = Clock()
    camera = frames.Camera(2, 1.0, 10.0, clock)
    taken = []
    for number in camera.slots(clock.sleep):
        taken.append((number, round(clock.now - 100.0, 6)))
        camera.took(number, 50)
        if number == 5:
            clock.now += 0.37
    assert [number for number, _ in taken] == [0, 1, 2, 3, 4, 5, 8, 9, 10, 11]
    assert taken[5] == (5, 0.5) and taken[6] == (8, 0.87) and taken[-1] == (11, 1.1)
    assert camera.totals() == {'sent': 8, 'skipped': 2, 'size_bytes': 50}
    assert camera.numbers() == (3, 10)


def test_what_arrives_is_counted():
    viewer = frames.Viewer()
    assert not viewer.complete
    # Two that do not count, 3 to 8 that do, 5 and 6 overtaken, 4 twice.
    for number, now in ((1, 0.1), (2, 0.2), (3, 0.3), (4, 0.4), (4, 0.41), (7, 0.8)):
        viewer.took(number, 0.1 * number, now + 0.02, 10)
    viewer.numbers = (3, 8)
    assert not viewer.complete
    found = viewer.totals(0.6, 10.0)
    assert found == {'received': 3, 'hz': pytest.approx(5.0), 'gaps': 2, 'age_ms': [20.0, 20.0, 120.0],
                     'longest_ms': 400.0, 'bytes': 30}
    viewer.took(8, 0.8, 1.82, 10)
    assert viewer.complete
    # What came late took longer than the stream: 1.5 s and a frame's time.
    assert viewer.totals(0.6, 10.0)['hz'] == pytest.approx(4 / 1.6)


def test_a_stream_that_breaks_off_has_a_long_time_without_a_frame():
    viewer = frames.Viewer()
    for number in range(1, 11):
        viewer.took(number, 0.1 * number, 0.1 * number + 0.02, 10)
    viewer.numbers = (1, 50)
    assert viewer.totals(5.0, 10.0)['longest_ms'] == pytest.approx(4100.0)


def test_a_stream_of_which_nothing_arrives_is_counted_too():
    viewer = frames.Viewer()
    viewer.numbers = (1, 30)
    assert viewer.totals(1.0, 30.0) == {'received': 0, 'hz': 0.0, 'gaps': 0, 'age_ms': [], 'longest_ms': 1000.0,
                                        'bytes': 0}


# --- the campaign


@pytest.mark.parametrize('words, part', [
    ('encoding: h264', "tools.video.encoding: 'h264' is not one of raw, jpeg."),
    ('width: 1000', 'tools.video.width: 1000 is not a multiple of 16.'),
    ('hog: 1', 'tools.video.hog: 1 is neither true nor false.'),
    ('rate: 0', 'tools.video.rate: 0 is not a number'), ('size: 5', 'tools.video: size is unknown; ros-video has encoding'),
    ('congestion: "no such"', 'is not a congestion control')])
def test_a_campaign_that_makes_no_sense_is_refused(words, part):
    with pytest.raises(campaign.CampaignError) as caught:
        campaign.parse('version: 1\nname: v\ntools: {video: {tool: ros-video, %s}}\nscenarios: '
                       '[{name: s, from: a, to: b}]' % words)
    assert part in caught.value.sentence


def test_what_is_not_said_is_a_camera_of_720p():
    assert RAW.settings == {'encoding': 'raw', 'width': 640, 'height': 480, 'rate': 30.0, 'seconds': 30.0, 'omit': 30,
                            'hog': False, 'congestion': '', 'nodelay': True}
    assert RAW.ros and RAW.duration == 41.0 and JPEG.duration == 17.5
    found = programs.settings_of(RAW, 1500, 0.5)
    assert (found['rate_hz'], found['clock_error_ms'], found['mtu']) == (30.0, 0.5, 1500)


def test_without_the_overlay_both_ends_need_an_address():
    assert [step.id for step in plan.steps(campaign.parse(TEXT))] == [
        's+{}+{}+1'.format(tool, path) for tool in ('jpeg', 'raw') for path in ('raw', 'overlay')]
    without = campaign.parse(TEXT.replace('a: {address: 10.0.0.1}, ', ''))
    assert {step.path for step in plan.steps(without)} == {'overlay'}
    forwarded = campaign.parse(TEXT.replace('to: b,', 'to: b, address: 192.0.2.1,'))
    assert {step.path for step in plan.steps(forwarded)} == {'overlay'}


# --- the programs


def test_what_the_programs_are_called_with():
    viewer, camera = video.argvs(JPEG, 'overlay', '/x/camera')
    assert viewer[:5] == ['rosrun', 'ua_overlay', 'measure_video.py', 'show', '/x/camera'] and camera[3] == 'film'
    assert viewer[4:] == camera[4:] == ['/x/camera', '--encoding', 'jpeg', '--width', '1280', '--height', '720',
                                        '--rate', '10', '--seconds', '2', '--omit', '5', '--lead', '3', '--congestion',
                                        'cubic']
    viewer, camera = video.argvs(RAW, 'raw', '/x')
    assert viewer[-3:] == ['--nodelay', '--master', '11399'] and camera[-1] == '--nodelay' and '--lead' not in camera
    # From three seconds before the first frame to one after the last.
    assert video.hog_argv(JPEG, '10.0.0.2') == ['iperf3', '-c', '10.0.0.2', '-p', '5202', '-t', '7', '-J', '-C',
                                                'cubic']
    assert video.hog_rate([0.0, 9.0, 9.0, 2.0, 4.0, 9.0]) == 3.0
    assert video.hog_rate([5.0]) == 5.0 and video.hog_rate([]) == 0.0


def test_without_the_overlay_the_graph_is_one_of_addresses():
    a, b = (host.Here(name, address='10.0.0.' + number) for name, number in (('a', '1'), ('b', '2')))
    assert video.graphs('overlay', a, b) == (True, True)
    here, there = video.graphs('raw', a, b)
    assert here == {'ROS_MASTER_URI': 'http://10.0.0.2:11399', 'ROS_IP': '10.0.0.1'} and there['ROS_IP'] == '10.0.0.2'
    assert a.ros_argv(['x'], here) == ['env', '-u', 'ROS_HOSTNAME', 'ROS_IP=10.0.0.1',
                                       'ROS_MASTER_URI=http://10.0.0.2:11399', 'x']
    assert a.ros_argv(['x'], True)[:2] == ['ua-overlay', 'exec']


class Scripted(host.Host):
    """A host whose programs are shell scripts: real processes that say what the real ones say.

    A mock: a camera that fails in mid-run needs a machine that is broken.
    """

    def __init__(self, name, scripts):
        super().__init__(name, address='10.0.0.1')
        self.scripts, self.called = scripts, []

    def popen(self, argv, ros=False, **options):
        self.called.append((argv, ros))
        return subprocess.Popen(['sh', '-c', self.scripts[argv[0]]], **options)


def say(*lines):
    return '; '.join("echo '{}'".format(line if isinstance(line, str) else json.dumps(line)) for line in lines)


IPERF = {'intervals': [{'sum': {'bits_per_second': 1e6 * number}} for number in range(6)],
         'end': {'sum_sent': {'retransmits': 0}, 'sum_received': {'bits_per_second': 2e6, 'bytes': 1000}}}


def run(near, far_end='', path='overlay', tool='jpeg', iperf=None):
    step = next(each for each in plan.steps(campaign.parse(TEXT)) if (each.tool.name, each.path) == (tool, path))
    source = Scripted('a', {'rosrun': near, 'iperf3': say(iperf or IPERF)})
    target = Scripted('b', {'rosrun': far_end or say('[WARN] x', VIEWER), 'iperf3': 'exec sleep 60'})
    return video.run(step, source, target, '100.64.0.2', WORDS), source, target


def test_a_stream_with_a_hog_beside_it():
    (values, payload), source, target = run(say('some warning', 'ready') + '; sleep 0.2; ' + say(CAMERA))
    assert set(sample.VALUES[sample.VIDEO]) <= set(values)
    assert (values['hz'], values['sent'], values['congestion'], values['hog_bps']) == (9.5, 20, 'cubic', 3.5e6)
    assert (values['source_process_percent'], values['target_machine_percent']) == (1.0, 6.0)
    assert payload == 171 + 1000
    assert [argv[0] for argv, _ in source.called] == ['rosrun', 'iperf3']
    assert source.called[1][0][2] == '100.64.0.2' and source.called[0][1] is True


def test_a_stream_without_the_overlay_has_a_master_of_its_own():
    (values, _), source, target = run(say('ready', CAMERA), path='raw', tool='raw')
    assert 'hog_bps' not in values
    (argv, ros), = target.called
    assert argv[-1] == '11399' and ros == {'ROS_MASTER_URI': 'http://10.0.0.1:11399', 'ROS_IP': '10.0.0.1'}
    assert len(source.called) == 1


@pytest.mark.parametrize('near, viewer, part', [
    (say({'error': 'nobody subscribed'}), 'exec sleep 60', 'ROS on a: nobody subscribed.'),
    ('echo there is no team >&2; exit 1', 'exec sleep 60', 'on a said nothing: there is no team.'),
    (say('ready', CAMERA), say({'error': 'the end did not arrive'}), 'ROS on b: the end did not arrive.'),
    (say('ready', CAMERA), 'exit 1', 'on b said nothing: no output.')])
def test_an_end_that_fails_is_named_and_nothing_runs_on(near, viewer, part):
    with pytest.raises(programs.Unmeasured) as caught:
        run(near, viewer)
    assert part in caught.value.sentence


def test_a_hog_that_fails_is_named():
    with pytest.raises(programs.Unmeasured) as caught:
        run(say('ready') + '; sleep 0.1; ' + say(CAMERA), iperf={'error': 'the server is busy'})
    assert 'The iperf3 server on b is busy' in caught.value.sentence


# --- reading up to a line


def test_what_comes_behind_the_line_is_left():
    process = host.Here('a').start(['sh', '-c', 'echo already; echo ready; echo more; echo done'])
    assert host.read_until(process, 'ready', 10.0) == 'already\nready\n'
    assert host.finish(process, 'a', ['sh'], 10.0)[1] == 'more\ndone\n'


@pytest.mark.parametrize('script, found', [('echo one', 'one\n'), ('echo one; exec sleep 60', 'one\n')])
def test_a_line_that_never_comes_is_not_waited_for_for_ever(script, found):
    process = host.Here('a').start(['sh', '-c', script])
    assert host.read_until(process, 'ready', 0.5) == found
    host.stop(process)
