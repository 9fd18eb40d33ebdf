"""Who may know whom: read from the imports of every module under src/, wherever in a file they stand."""
import ast
import os
import subprocess
import sys

import pytest

import ua_overlay

PACKAGE = os.path.dirname(os.path.realpath(ua_overlay.__file__))
#: An arrow goes down this list only. `wtf` is the roswtf plugin, a ROS adapter like the nodes.
LAYERS = ('wtf', 'nodes', 'cli', 'membership', 'checks', 'rosenv', 'headscale', 'trust', 'tailscale', 'lab', 'measure')
#: What every layer may use, and what uses no layer.
GROUND = ('defaults', 'errors', 'files', 'recipe', 'resources', 'strict_yaml', 'tags', 'toolchain')
ROS_LAYERS = ('wtf', 'nodes')
#: Made by catkin of msg/ and srv/: ROS, although they have our name.
GENERATED = ('ua_overlay.msg', 'ua_overlay.srv')
ROS = ('rospy', 'roslaunch', 'roslib', 'rosgraph', 'rosnode', 'rostopic', 'rosservice', 'rosparam', 'rosmaster',
       'rostest', 'roswtf', 'rospkg', 'catkin', 'genpy', 'genmsg', 'std_msgs', 'std_srvs', 'diagnostic_msgs',
       'rosgraph_msgs')
#: All that a robot has beyond Python itself (package.xml).
ROBOT_NEEDS = ('cryptography', 'netifaces', 'yaml')
#: What the lab and the measurements may import: extras that a robot never has.
EXTRAS = {'lab': ('pyroute2',), 'measure': ('pyroute2', 'matplotlib', 'numpy', 'pandas', 'fpdf')}


def modules():
    """(dotted name below ua_overlay, path) of every module."""
    found = []
    for folder, _, names in os.walk(PACKAGE):
        for name in sorted(names):
            if name.endswith('.py'):
                path = os.path.join(folder, name)
                dotted = os.path.relpath(path, PACKAGE)[:-len('.py')].replace(os.sep, '.')
                found.append(('' if dotted == '__init__' else dotted.replace('.__init__', ''), path))
    return found


def tree_of(path):
    with open(path, encoding='utf-8') as stream:
        return ast.parse(stream.read(), path)


def imports(tree):
    """Dotted names of all that a module imports; of `from a.b import c` both a.b and a.b.c, since c may be a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, 'an import that begins with a dot in line {}'.format(node.lineno)
            yield node.module
            for alias in node.names:
                yield node.module + '.' + alias.name


def layer_of(dotted):
    """'rosenv' of 'rosenv.keeper'; '' of the package itself."""
    return dotted.split('.')[0]


def unlayered(found):
    """Our own names among imports, without the package's, as names below it."""
    return [name[len('ua_overlay.'):] for name in found if name.startswith('ua_overlay.') and not is_generated(name)]


def is_generated(name):
    return any(name == own or name.startswith(own + '.') for own in GENERATED)


def is_ros(name):
    return name.split('.')[0] in ROS or is_generated(name)


def problems(dotted, tree):
    """What is wrong with the imports of a module, as sentences."""
    layer = layer_of(dotted)
    if layer and layer not in LAYERS + GROUND:
        yield '{} is in no layer: say where it belongs in this test, and in the design'.format(layer)
        return
    found = sorted(set(imports(tree)))
    for name in unlayered(found):
        target = layer_of(name)
        if target in GROUND or target == layer or target not in LAYERS:
            continue
        if layer not in LAYERS or LAYERS.index(target) < LAYERS.index(layer):
            yield '{} imports {}, which is above it'.format(dotted, name)
    for name in found:
        if is_ros(name) and layer not in ROS_LAYERS:
            yield '{} imports {}: ROS is for nodes/ and wtf.py'.format(dotted, name)


def foreign(dotted, tree):
    """What a module imports that is neither ours, nor Python's, nor what a robot has, nor an extra of its layer."""
    known = set(sys.stdlib_module_names) | {'ua_overlay'} | set(ROBOT_NEEDS) | set(EXTRAS.get(layer_of(dotted), ()))
    tops = {name.split('.')[0] for name in imports(tree)}
    if layer_of(dotted) in ROS_LAYERS:
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
def test_imports_go_down_only(dotted, path):
    assert list(problems(dotted, tree_of(path))) == []


@pytest.mark.skipif(not hasattr(sys, 'stdlib_module_names'), reason='Python before 3.10 does not list its own modules')
@pytest.mark.parametrize('dotted, path', modules(), ids=lambda value: value.replace(PACKAGE, ''))
def test_a_robot_needs_only_what_package_xml_says(dotted, path):
    assert foreign(dotted, tree_of(path)) == []


@pytest.mark.parametrize('dotted, path', modules(), ids=lambda value: value.replace(PACKAGE, ''))
def test_no_error_is_swallowed(dotted, path):
    assert list(swallowed(tree_of(path))) == []


def test_a_robot_without_the_extras_can_run_every_command():
    """`ua-overlay --help` imports all groups, the lab's too."""
    code = 'import sys\nfor name in {!r}: sys.modules[name] = None\nsys.path.insert(0, {!r})\n' \
           'from ua_overlay.cli import make_parser\nmake_parser()\n'.format(
               sorted({name for names in EXTRAS.values() for name in names}) + list(ROS), os.path.dirname(PACKAGE))
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout.decode()


@pytest.mark.parametrize('dotted, source, wrong', [
    ('tailscale.x', 'from ua_overlay.trust import ca', True),
    ('tailscale.x', 'from ua_overlay import trust', True),
    ('tailscale.x', 'def f():\n    import ua_overlay.trust.ca', True),
    ('trust.x', 'from ua_overlay.tailscale import model', False),
    ('trust.x', 'from ua_overlay import files, defaults', False),
    ('trust.x', 'from ua_overlay.trust import ca', False),
    ('files', 'from ua_overlay.trust import ca', True),
    ('toolchain.find', 'from ua_overlay.resources import share_path', False),
    ('cli.x', 'from ua_overlay.nodes import sources', True),
    ('rosenv.x', 'import rospy', True),
    ('rosenv.x', 'def f():\n    from roslaunch import core', True),
    ('rosenv.x', 'from ua_overlay import msg', True),
    ('rosenv.x', 'from ua_overlay.srv import Join', True),
    ('nodes.x', 'import rospy\nfrom ua_overlay import msg, srv\nfrom std_msgs.msg import String', False),
    ('wtf', 'import rosgraph\nfrom ua_overlay.checks import table', False),
    ('elsewhere.x', '', True)])
def test_the_rule_sees(dotted, source, wrong):
    assert bool(list(problems(dotted, ast.parse(source)))) == wrong


@pytest.mark.skipif(not hasattr(sys, 'stdlib_module_names'), reason='Python before 3.10 does not list its own modules')
@pytest.mark.parametrize('dotted, source, found', [
    ('rosenv.x', 'import os, yaml, netifaces\nfrom cryptography import x509', []),
    ('rosenv.x', 'def f():\n    import pyroute2', ['pyroute2']), ('cli.x', 'import matplotlib.pyplot', ['matplotlib']),
    ('trust.x', 'from pandas import DataFrame', ['pandas']), ('lab.x', 'import pyroute2', []),
    ('lab.x', 'import pandas', ['pandas'])])
def test_the_rule_sees_what_is_foreign(dotted, source, found):
    assert foreign(dotted, ast.parse(source)) == found


@pytest.mark.parametrize('handler, wrong', [
    ('except: pass', True), ('except:\n    raise', True), ('except Exception: pass', True),
    ('except (OSError, BaseException):\n    "why"', True), ('except Exception as error: log(error)', False),
    ('except KeyError: pass', False)])
def test_the_rule_sees_what_is_swallowed(handler, wrong):
    assert bool(list(swallowed(ast.parse('try:\n    f()\n' + handler)))) == wrong


def test_an_import_that_begins_with_a_dot():
    with pytest.raises(AssertionError):
        list(imports(ast.parse('from . import x')))
