"""A camera's stream: the command lines of its programs, and failures."""
import pytest

from ua_overlay.measure.campaign import campaign, plan
from ua_overlay.measure.fields import CampaignError
from ua_overlay.measure.hosts.local_host import LocalHost
from ua_overlay.measure.tools import ros_video
from ua_overlay.measure.tools.tool import Job, Unmeasured
from unit.measure.campaigns import ScriptedHost, say

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
CAMERA = {'sent': 20, 'skipped': 0, 'size_bytes': 9, 'congestion': 'cubic', 'process_percent': 1.0,
          'machine_percent': 5.0}
VIEWER = {'received': 19, 'hz': 9.5, 'gaps': 1, 'age_ms': [20.0] * 19, 'longest_ms': 210.0, 'bytes': 171,
          'process_percent': 2.0, 'machine_percent': 6.0}


@pytest.mark.parametrize('words, part', [
    ('encoding: h264', "tools.video.encoding: 'h264' is not one of raw, jpeg."),
    ('width: 1000', 'tools.video.width: 1000 is not a multiple of 16.'),
    ('hog: 1', 'tools.video.hog: 1 is neither true nor false.'),
    ('rate: 0', 'tools.video.rate: 0 is not a number'),
    ('size: 5', 'tools.video: size is unknown; ros-video has encoding'),
    ('congestion: "no such"', 'is not a congestion control')])
def test_an_invalid_setting_is_refused(words, part):
    with pytest.raises(CampaignError) as caught:
        campaign.parse('version: 1\nname: v\ntools: {video: {tool: ros-video, %s}}\nscenarios: '
                       '[{name: s, from: a, to: b}]' % words)
    assert part in caught.value.sentence


def test_the_default_is_a_camera_of_720p():
    assert RAW.settings == {'encoding': 'raw', 'width': 640, 'height': 480, 'rate': 30.0, 'seconds': 30.0, 'omit': 30,
                            'hog': False, 'congestion': '', 'nodelay': True}
    assert RAW.needs_ros and RAW.duration == 41.0 and JPEG.duration == 17.5
    settings = RAW.sample_settings(0.5, 1500)
    assert (settings['rate_hz'], settings['clock_error_ms'], settings['mtu']) == (30.0, 0.5, 1500)


def test_without_the_overlay_both_ends_require_an_address():
    assert [step.id for step in plan.steps(campaign.parse(TEXT))] == [
        's+{}+{}+1'.format(tool, path) for tool in ('jpeg', 'raw') for path in ('raw', 'overlay')]
    without = campaign.parse(TEXT.replace('a: {address: 10.0.0.1}, ', ''))
    assert {step.path for step in plan.steps(without)} == {'overlay'}
    forwarded = campaign.parse(TEXT.replace('to: b,', 'to: b, address: 192.0.2.1,'))
    assert {step.path for step in plan.steps(forwarded)} == {'overlay'}


def test_a_monitor_refuses_video():
    with pytest.raises(CampaignError, match='tools.raw: ros-video would saturate the link, so a monitor cannot use it'):
        RAW.wire_bits()


# --- the programs


def test_command_lines():
    viewer, camera = JPEG.argvs('overlay', '/x/camera')
    assert viewer[:5] == ['rosrun', 'ua_overlay', 'measure_video.py', 'show', '/x/camera'] and camera[3] == 'film'
    assert viewer[4:] == camera[4:] == ['/x/camera', '--encoding', 'jpeg', '--width', '1280', '--height', '720',
                                        '--rate', '10', '--seconds', '2', '--omit', '5', '--lead', '3', '--congestion',
                                        'cubic']
    viewer, camera = RAW.argvs('raw', '/x')
    assert viewer[-3:] == ['--nodelay', '--master', '11399'] and camera[-1] == '--nodelay' and '--lead' not in camera


def test_the_hog_runs_longer_than_the_stream():
    assert JPEG.hog_argv('10.0.0.2') == ['iperf3', '-c', '10.0.0.2', '-p', '5202', '-t', '7', '-J', '-C', 'cubic']
    assert ros_video.hog_bps([0.0, 9.0, 9.0, 2.0, 4.0, 9.0]) == 3.0
    assert ros_video.hog_bps([5.0]) == 5.0 and ros_video.hog_bps([]) == 0.0


def test_without_the_overlay_the_graph_uses_addresses():
    a, b = (LocalHost(name, '10.0.0.' + number) for name, number in (('a', '1'), ('b', '2')))
    assert ros_video.graphs_of('overlay', a, b) == (True, True)
    of_source, of_target = ros_video.graphs_of('raw', a, b)
    assert of_source == {'ROS_MASTER_URI': 'http://10.0.0.2:11399', 'ROS_IP': '10.0.0.1'}
    assert of_target['ROS_IP'] == '10.0.0.2'


# --- a stream

IPERF = {'intervals': [{'sum': {'bits_per_second': 1e6 * number}} for number in range(6)],
         'end': {'sum_sent': {'retransmits': 0}, 'sum_received': {'bits_per_second': 2e6, 'bytes': 1000}}}


def measure(camera, viewer='', path='overlay', tool=JPEG, iperf=None):
    source = ScriptedHost('a', {'rosrun': camera, 'iperf3': say(iperf or IPERF)}, address='10.0.0.1')
    target = ScriptedHost('b', {'rosrun': viewer or say('[WARN] x', VIEWER), 'iperf3': 'exec sleep 60'},
                          address='10.0.0.1')
    return tool.measure(Job(source, target, '100.64.0.2', path)), source, target


def test_a_stream_with_a_hog_beside_it():
    result, source, target = measure(say('some warning', 'ready') + '; sleep 0.2; ' + say(CAMERA))
    values = result.values
    assert set(JPEG.values) <= set(values)
    assert (values['hz'], values['sent'], values['congestion'], values['hog_bps']) == (9.5, 20, 'cubic', 3.5e6)
    assert (values['source_process_percent'], values['target_machine_percent']) == (1.0, 6.0)
    assert result.payload == 171 + 1000
    assert [argv[0] for argv, _ in source.started] == ['rosrun', 'iperf3']
    assert source.started[1][0][2] == '100.64.0.2' and source.started[0][1] is True


def test_a_stream_without_the_overlay_has_its_own_master():
    result, source, target = measure(say('ready', CAMERA), path='raw', tool=RAW)
    assert 'hog_bps' not in result.values
    (argv, ros), = target.started
    assert argv[-1] == '11399' and ros == {'ROS_MASTER_URI': 'http://10.0.0.1:11399', 'ROS_IP': '10.0.0.1'}
    assert len(source.started) == 1


@pytest.mark.parametrize('camera, viewer, part', [
    (say({'error': 'nobody subscribed'}), 'exec sleep 60', 'ROS on a: nobody subscribed.'),
    ('echo there is no team >&2; exit 1', 'exec sleep 60', 'on a printed no result: there is no team.'),
    (say('ready', CAMERA), say({'error': 'the end did not arrive'}), 'ROS on b: the end did not arrive.'),
    (say('ready', CAMERA), 'exit 1', 'on b printed no result: no output.')])
def test_an_end_that_fails_is_named(camera, viewer, part):
    with pytest.raises(Unmeasured) as caught:
        measure(camera, viewer)
    assert part in caught.value.sentence


def test_a_hog_that_fails_is_named():
    with pytest.raises(Unmeasured) as caught:
        measure(say('ready') + '; sleep 0.1; ' + say(CAMERA), iperf={'error': 'the server is busy'})
    assert 'The iperf3 server on b is busy' in caught.value.sentence
