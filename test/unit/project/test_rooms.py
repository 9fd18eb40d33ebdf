"""Which room may import which: from the imports of every module under src/, at any place in a file."""
import ast
import os
import subprocess
import sys

import pytest
from rooms import GROUND, PACKAGE, imports, inside, is_generated, modules, room_of, tree_of

#: Which other rooms each room may import, beside the ground. A room that is not here may not exist.
ALLOWED = {
    # A robot's rooms. None of them may list headscale, relays, site, server, lab, wire or measure.
    'system': (),
    'toolchain': ('system',),
    'firewall': ('system',),
    'trust': ('system',),
    'tailscale': ('system', 'firewall'),
    'rosenv': ('system', 'tailscale'),
    'membership': ('system', 'trust', 'tailscale'),
    'agent': ('system', 'firewall', 'trust', 'tailscale', 'rosenv'),
    'checks': ('system', 'toolchain', 'firewall', 'trust', 'tailscale', 'rosenv'),
    'nodes': ('system', 'toolchain', 'tailscale', 'rosenv', 'membership', 'checks'),
    'wtf': ('system', 'tailscale', 'membership', 'checks'),
    # The server's rooms.
    'headscale': ('system', 'trust'),
    'relays': ('system', 'trust', 'tailscale', 'headscale'),
    'site': ('system', 'trust', 'headscale', 'relays'),
    'server': ('system', 'firewall', 'trust', 'tailscale', 'headscale', 'relays', 'site'),
    # Rooms for experiments and measurements.
    'wire': (),
    'lab': ('system', 'toolchain', 'wire'),
    'measure': ('system', 'toolchain', 'tailscale', 'wire', 'lab'),
    # The command serves all of them.
    'cli': ('system', 'toolchain', 'firewall', 'trust', 'tailscale', 'rosenv', 'membership', 'agent', 'checks',
            'headscale', 'relays', 'site', 'server', 'wire', 'lab', 'measure'),
}
#: What a robot runs, and what none of it may import, over however many steps.
ROBOT_ROOMS = ('system', 'toolchain', 'firewall', 'trust', 'tailscale', 'rosenv', 'membership', 'agent', 'checks',
               'nodes', 'wtf')
NOT_ON_A_ROBOT = ('headscale', 'relays', 'site', 'server', 'wire', 'lab', 'measure')
#: Commands of `ua-overlay` that a robot runs.
ROBOT_COMMANDS = (['status'], ['links'], ['doctor'], ['join'], ['leave'], ['env'], ['exec'], ['service', 'install'],
                  ['guard', 'on'], ['robot', 'prepare'], ['robot', 'agent'], ['tools', 'install'])
#: `wtf` is the roswtf plugin, a ROS adapter like the nodes.
ROS_ROOMS = ('wtf', 'nodes')
ROS = ('rospy', 'roslaunch', 'roslib', 'rosgraph', 'rosnode', 'rostopic', 'rosservice', 'rosparam', 'rosmaster',
       'rostest', 'roswtf', 'rospkg', 'catkin', 'genpy', 'genmsg', 'std_msgs', 'std_srvs', 'diagnostic_msgs',
       'rosgraph_msgs')
#: All that a robot has beyond Python itself (package.xml).
ROBOT_NEEDS = ('cryptography', 'netifaces', 'yaml')
#: What the lab and the measurements may import: extras that a robot never has.
EXTRAS = {'lab': ('pyroute2',), 'measure': ('pyroute2', 'matplotlib', 'numpy', 'pandas', 'fpdf')}


def is_ros(name):
    return name.split('.')[0] in ROS or is_generated(name)


def problems(dotted, tree):
    """Sentences about forbidden imports of a module."""
    room = room_of(dotted)
    if room and room not in ALLOWED and room not in GROUND:
        yield '{} is in no room: add it to ALLOWED in this test, and to CONTRIBUTING.md'.format(room)
        return
    found = sorted(set(imports(tree)))
    for name in inside(found):
        target = room_of(name)
        if target in ALLOWED and target != room and target not in ALLOWED.get(room, ()):
            yield '{} imports {}: {} may not know {}'.format(dotted, name, room or 'the package', target)
    for name in found:
        if is_ros(name) and room not in ROS_ROOMS:
            yield '{} imports {}: ROS is for nodes/ and wtf.py'.format(dotted, name)


def foreign(dotted, tree):
    """What a module imports that is neither ours, nor Python's, nor what a robot has, nor an extra of its room."""
    known = set(sys.stdlib_module_names) | {'ua_overlay'} | set(ROBOT_NEEDS) | set(EXTRAS.get(room_of(dotted), ()))
    tops = {name.split('.')[0] for name in imports(tree)}
    if room_of(dotted) in ROS_ROOMS:
        tops -= set(ROS)
    return sorted(tops - known - set(ROS))


def swallowed(tree):
    """Lines of handlers that catch everything and do nothing, and of those that name nothing to catch."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            names = [getattr(item, 'id', '') for item in getattr(node.type, 'elts', [node.type])]
            nothing = all(isinstance(item, (ast.Pass, ast.Continue)) or
                          isinstance(item, ast.Expr) and isinstance(item.value, ast.Constant) for item in node.body)
            if node.type is None or nothing and {'Exception', 'BaseException'} & set(names):
                yield node.lineno


@pytest.mark.parametrize('dotted, path', modules(), ids=lambda value: value.replace(PACKAGE, ''))
def test_every_import_is_allowed_to_its_room(dotted, path):
    assert list(problems(dotted, tree_of(path))) == []


def used(room):
    """The rooms that the modules of a room import."""
    return {room_of(name) for dotted, path in modules() if room_of(dotted) == room
            for name in inside(imports(tree_of(path)))}


@pytest.mark.parametrize('room', sorted(ALLOWED))
def test_every_allowed_import_is_used(room):
    assert sorted(set(ALLOWED[room]) - used(room)) == []


def reachable(room):
    """The rooms that a room may import, over however many steps."""
    found, left = set(), [room]
    while left:
        for other in ALLOWED[left.pop()]:
            if other not in found:
                found.add(other)
                left.append(other)
    return found


def test_rooms_have_no_import_cycle():
    assert [room for room in ALLOWED if room in reachable(room)] == []


@pytest.mark.parametrize('room', ROBOT_ROOMS)
def test_robot_rooms_reach_no_server_lab_or_measurement_room(room):
    assert reachable(room) & set(NOT_ON_A_ROBOT) == set()


def test_every_room_is_classified():
    assert set(ROBOT_ROOMS) | set(NOT_ON_A_ROBOT) | {'cli'} == set(ALLOWED)


@pytest.mark.parametrize('command', ROBOT_COMMANDS, ids=' '.join)
def test_robot_commands_load_no_server_lab_or_measurement_module(command):
    """What the parser of a command imports, and what the function that it runs would import."""
    code = 'import sys\nsys.path.insert(0, {!r})\nfrom ua_overlay.cli import make_parser\n' \
           'try: make_parser().parse_args({!r})\nexcept SystemExit: pass\n' \
           'print("LOADED", *sys.modules)\n'.format(os.path.dirname(PACKAGE), command + ['--help'])
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          universal_newlines=True)
    loaded = done.stdout.partition('LOADED')[2].split()
    assert 'ua_overlay.cli.' + command[0] in loaded, done.stdout
    assert [name for name in loaded if name.split('.')[1:2] and name.split('.')[1] in NOT_ON_A_ROBOT
            and name.startswith('ua_overlay.')] == []


@pytest.mark.parametrize('command', sorted({words[0] for words in ROBOT_COMMANDS}))
def test_imports_of_a_robot_command_at_run_time(command):
    """Imports inside functions count too."""
    path = os.path.join(PACKAGE, 'cli', command + '.py')
    assert [name for name in inside(sorted(set(imports(tree_of(path))))) if room_of(name) in NOT_ON_A_ROBOT] == []


@pytest.mark.skipif(not hasattr(sys, 'stdlib_module_names'), reason='Python before 3.10 does not list its own modules')
@pytest.mark.parametrize('dotted, path', modules(), ids=lambda value: value.replace(PACKAGE, ''))
def test_a_robot_needs_only_the_dependencies_of_package_xml(dotted, path):
    assert foreign(dotted, tree_of(path)) == []


@pytest.mark.parametrize('dotted, path', modules(), ids=lambda value: value.replace(PACKAGE, ''))
def test_no_error_is_swallowed(dotted, path):
    assert list(swallowed(tree_of(path))) == []


def test_every_robot_command_runs_without_extras():
    """Also the parsers of the lab and of the measurements need no extras."""
    code = 'import sys\nfor name in {!r}: sys.modules[name] = None\nsys.path.insert(0, {!r})\n' \
           'from ua_overlay.cli import make_parser\nprint(len(list(make_parser().walk())))\n'.format(
               sorted({name for names in EXTRAS.values() for name in names}) + list(ROS), os.path.dirname(PACKAGE))
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize('dotted, source, wrong', [
    ('tailscale.x', 'from ua_overlay.trust import ca', True),
    ('tailscale.x', 'from ua_overlay import trust', True),
    ('tailscale.x', 'def f():\n    import ua_overlay.trust.ca', True),
    ('trust.x', 'from ua_overlay.tailscale import model', True),
    ('membership.x', 'from ua_overlay.tailscale import model', False),
    ('trust.x', 'from ua_overlay import errors, defaults', False),
    ('trust.x', 'from ua_overlay.trust import ca', False),
    ('errors', 'from ua_overlay.trust import ca', True),
    ('toolchain.find', 'from ua_overlay.resources import share_path', False),
    ('cli.x', 'from ua_overlay.nodes import sources', True),
    ('checks.x', 'from ua_overlay.server import process', True),
    ('nodes.x', 'from ua_overlay.lab.lab import Lab', True),
    ('rosenv.x', 'import rospy', True),
    ('rosenv.x', 'def f():\n    from roslaunch import core', True),
    ('rosenv.x', 'from ua_overlay import msg', True),
    ('rosenv.x', 'from ua_overlay.srv import Join', True),
    ('nodes.x', 'import rospy\nfrom ua_overlay import msg, srv\nfrom std_msgs.msg import String', False),
    ('wtf', 'import rosgraph\nfrom ua_overlay.checks import table', False),
    ('elsewhere.x', '', True)])
def test_detected_imports(dotted, source, wrong):
    assert bool(list(problems(dotted, ast.parse(source)))) == wrong


@pytest.mark.skipif(not hasattr(sys, 'stdlib_module_names'), reason='Python before 3.10 does not list its own modules')
@pytest.mark.parametrize('dotted, source, found', [
    ('rosenv.x', 'import os, yaml, netifaces\nfrom cryptography import x509', []),
    ('rosenv.x', 'def f():\n    import pyroute2', ['pyroute2']), ('cli.x', 'import matplotlib.pyplot', ['matplotlib']),
    ('trust.x', 'from pandas import DataFrame', ['pandas']), ('lab.x', 'import pyroute2', []),
    ('lab.x', 'import pandas', ['pandas'])])
def test_detected_foreign_imports(dotted, source, found):
    assert foreign(dotted, ast.parse(source)) == found


@pytest.mark.parametrize('handler, wrong', [
    ('except: pass', True), ('except:\n    raise', True), ('except Exception: pass', True),
    ('except (OSError, BaseException):\n    "why"', True), ('except Exception as error: log(error)', False),
    ('except KeyError: pass', False)])
def test_detected_swallowed_errors(handler, wrong):
    assert bool(list(swallowed(ast.parse('try:\n    f()\n' + handler)))) == wrong


def test_relative_imports():
    with pytest.raises(AssertionError):
        list(imports(ast.parse('from . import x')))
