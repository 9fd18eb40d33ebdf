"""The arguments of overlay.launch, from the launch file to values."""
import os
import xml.etree.ElementTree

import pytest
from paths import ROOT

from ua_overlay.errors import UsageError
from ua_overlay.nodes import arguments

PORT, PERIOD = "a port number (0: the team's)", 'a number of seconds from 0.1 to 600'
LAUNCH = xml.etree.ElementTree.parse(os.path.join(ROOT, 'launch', 'overlay.launch')).getroot()


def test_every_argument_reaches_the_node_and_is_documented():
    names = [argument.get('name') for argument in LAUNCH.findall('arg')]
    passed = {each.get('name'): each.get('value') for each in LAUNCH.find('node').findall('env')}
    assert passed.pop('ROS_HOSTNAME') == 'localhost'
    assert passed == {arguments.PREFIX + name: '$(arg {})'.format(name) for name in names}
    assert set(arguments.TYPES) <= set(names)
    # roslaunch --ros-args prints them, in whatever locale.
    assert all(argument.get('doc') and argument.get('doc').isascii() for argument in LAUNCH.findall('arg'))


def test_the_launch_file_sets_no_parameter():
    """roslaunch would set it on the server of a node that runs already."""
    assert not LAUNCH.findall('.//param') and not LAUNCH.findall('.//rosparam')


def test_the_defaults_have_their_types():
    values = arguments.parse({arguments.PREFIX + each.get('name'): each.get('default')
                              for each in LAUNCH.findall('arg')})
    assert (values['team_port'], values['team_roscore'], values['heartbeat']) == (0, True, 10.0)
    assert values['team_launch'] == ''
    assert values['manage_daemon'] is False and values['config'] == '/etc/ua_overlay/robot.yaml'


def test_texts_are_kept_as_they_are():
    text = 'my_robot/drive.launch name:="a b" rate:=5 #x'
    assert arguments.parse({'UA_OVERLAY_ARG_team_launch': text, 'PATH': '/bin'}) == {'team_launch': text}
    assert arguments.without({'UA_OVERLAY_ARG_team_launch': text, 'PATH': '/bin'}) == {'PATH': '/bin'}


@pytest.mark.parametrize('name, text, what', [
    ('team_port', 'abc', PORT), ('team_port', '', PORT), ('team_port', '-5', PORT), ('team_port', '65536', PORT),
    ('heartbeat', 'often', PERIOD), ('heartbeat', '0', PERIOD), ('heartbeat', '-1', PERIOD),
    ('heartbeat', 'nan', PERIOD), ('server_period', 'inf', PERIOD), ('server_period', '1e-9', PERIOD),
    ('team_face', 'no', 'true or false')])
def test_a_wrong_value_is_named(name, text, what):
    with pytest.raises(UsageError) as caught:
        arguments.parse({arguments.PREFIX + name: text})
    assert caught.value.sentence == '{}:={} of overlay.launch is not {}.'.format(name, text, what)
    assert caught.value.next_command == 'roslaunch ua_overlay overlay.launch --ros-args'
