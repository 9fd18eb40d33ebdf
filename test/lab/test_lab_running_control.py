"""The control socket: a robot's test works the lab from inside a host."""
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from places import ROOT

from ua_overlay.errors import OverlayError
from ua_overlay.lab.lab_socket import SOCKET_PATH, LabControl

INSIDE = '''
import sys
sys.path.insert(0, {source!r})
from ua_overlay.errors import OverlayError
from ua_overlay.lab.lab_socket import LabControl
control = LabControl()
'''.format(source=os.path.join(ROOT, 'src'))


@pytest.fixture
def control(lab):
    """The socket as the machine sees it, served."""
    with lab.serve_control():
        yield LabControl(lab.state.path('control', 'control.sock'))


def inside(lab, code):
    return lab.host('dev-1').run(['/usr/bin/python3', '-c', INSIDE + code], user='robot').stdout


def test_a_robot_switches_a_nat_and_acts_on_the_other_robot(lab, control):
    out = inside(lab, '''
control.nat('nat2', 'hard')
print(control.exec('dev-2', ['sh', '-c', 'id -un; cat; exit 4'], user='robot', input='typed', check=False))
control.start_service('dev-2', 'far', ['sh', '-c', 'echo $WORD; exec sleep 4321'], env={'WORD': 'here'})
control.kill('dev-2', 'far', 15)
control.stop_service('dev-2', 'far')
print(control.log('dev-2', 'far'))
''')
    assert "returncode=4, stdout='robot\\ntyped', stderr=''" in out
    assert out.endswith('here\n\n')
    assert lab.nat_kind('nat2') == 'hard'
    lab.nat('nat2', 'easy')


@pytest.mark.parametrize('call, code, words', [
    ("control.nat('nat9', 'easy')", 'USAGE', 'no NAT nat9'),
    ("control.nat('nat1', 'soft')", 'USAGE', 'soft is no kind of NAT'),
    ("control.exec('dev-9', ['true'])", 'USAGE', 'no host dev-9'),
    ("control.exec('dev-2', ['sh', '-c', 'echo no >&2; exit 3'])", 'LAB_COMMAND', 'status 3: no'),
    ("control.exec('dev-2', ['sleep', '60'], timeout=0.3)", 'LAB_TIMEOUT', 'longer than 0.3 s'),
    ("control.kill('dev-2', 'nothing')", 'LAB_SERVICE', 'no service nothing on dev-2'),
])
def test_errors_are_returned_unchanged(lab, control, call, code, words):
    out = inside(lab, 'try:\n    {}\nexcept OverlayError as error:\n    print(error.code, error)'.format(call))
    assert out.startswith(code + ' ')
    assert words in out


def test_invalid_requests_are_refused_with_a_sentence(lab, control):
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(10)
        link.connect(control.path)
        with link.makefile('rwb') as stream:
            for line in (b'{"op": "fly"}', b'not json', b'[]', b'{"op": "nat"}',
                         b'{"op": "exec", "host": "dev-2", "argv": 3}'):
                stream.write(line + b'\n')
                stream.flush()
                answer = json.loads(stream.readline())
                assert answer['error'].endswith('.') and answer['code']


def test_two_concurrent_requests(lab, control):
    control.exec('dev-2', ['mkfifo', '/run/gate'])
    with ThreadPoolExecutor(1) as pool:
        # Ends only when the second request, served meanwhile, writes the line it waits for.
        waiting = pool.submit(control.exec, 'dev-2', ['cat', '/run/gate'], timeout=20)
        control.exec('dev-2', ['sh', '-c', 'echo open > /run/gate'], timeout=20)
        assert waiting.result().stdout == 'open\n'


def test_a_missing_server_is_named(lab):
    assert not os.path.exists(lab.host('dev-1').path(SOCKET_PATH))
    with pytest.raises(OverlayError, match='No process serves') as caught:
        LabControl(lab.state.path('control', 'control.sock')).nat('nat1', 'easy')
    assert caught.value.code == 'LAB_CONTROL'


def test_a_socket_left_by_a_killed_server_is_replaced(lab):
    path = lab.state.path('control', 'control.sock')
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(path)
    with pytest.raises(OverlayError, match='No process serves'):
        LabControl(path).nat('nat1', 'easy')
    with lab.serve_control():
        LabControl(path).nat('nat1', 'easy')
    assert not os.path.exists(path)
