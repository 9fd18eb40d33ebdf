"""`ua-overlay join`: its calls, output, exit status and signals."""
import json
import signal
import subprocess
import sys

import pytest
from paths import SOURCE

from ua_overlay.cli import join as command
from ua_overlay.cli import main
from ua_overlay.membership.outcome import Outcome

SOCKET = ['--socket', '/nonexistent/tailscaled.sock']
JOINED = Outcome('OK', 'dev-1 joined team iris at 100.64.0.1.', 'dev-1.overlay.internal', ('100.64.0.1',))


@pytest.fixture(autouse=True)
def handlers():
    """The signal handlers as they were."""
    before = [(number, signal.getsignal(number)) for number in (signal.SIGHUP, signal.SIGTERM)]
    yield
    for number, handler in before:
        signal.signal(number, handler)


@pytest.fixture
def joining(monkeypatch):
    """Replaces Join; the dict records the arguments of its constructor and its call."""
    calls = {'outcome': JOINED}

    class Played:
        def __init__(self, api, ca_file, state_dir, timeout, unstable=None, lack_of_room=None, elsewhere=None):
            calls.update(socket=api.socket_path, ca=ca_file, state_dir=state_dir, timeout=timeout)

        def __call__(self, path):
            calls['path'] = path
            return calls['outcome']

    monkeypatch.setattr(command, 'Join', Played)
    return calls


def test_join(joining, capsys):
    assert main(['join', 'dev-1.yaml', '--timeout', '8', '--ca', '/ca', '--state-dir', '/state'] + SOCKET) == 0
    assert capsys.readouterr().out == JOINED.message + '\n'
    assert (joining['path'], joining['timeout'], joining['ca'], joining['state_dir'], joining['socket']) == (
        'dev-1.yaml', 8.0, '/ca', '/state', SOCKET[1])


def test_join_without_an_invitation(joining, capsys):
    assert main(['join']) == 0 and joining['path'] == '' and joining['timeout'] == 60.0


def test_join_as_json(joining, capsys):
    assert main(['join', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {
        'code': 'OK', 'message': JOINED.message, 'dns_name': JOINED.dns_name, 'addresses': ['100.64.0.1']}


def test_a_refused_join(joining, capsys):
    joining['outcome'] = Outcome('OTHER_TEAM', 'It is in another team. Next: this')
    assert main(['join', 'x']) == 1
    captured = capsys.readouterr()
    assert captured.out == '' and 'ua-overlay: OTHER_TEAM: It is in another team. Next: this\n' in captured.err
    assert main(['join', 'x', '--json']) == 1
    assert json.loads(capsys.readouterr().out)['code'] == 'OTHER_TEAM'


def test_joining_again_succeeds(joining, capsys):
    joining['outcome'] = Outcome('ALREADY_JOINED', 'So it is.')
    assert main(['join', 'x']) == 0
    assert capsys.readouterr().out == 'So it is.\n'


#: A join that waits, and prints which exception ends it.
WAITING = '''
import sys, time
sys.path.insert(0, {!r})
import importlib
join_command = importlib.import_module('ua_overlay.cli.join')
class Played:
    def __init__(self, *args, **options):
        pass
    def __call__(self, path):
        try:
            print('WAITING', flush=True)
            time.sleep(60)
        except BaseException as error:
            print(type(error).__name__, flush=True)
            raise
join_command.Join = Played
from ua_overlay.cli import main
sys.exit(main(['join', 'x']))
'''


@pytest.mark.parametrize('number', [signal.SIGHUP, signal.SIGTERM, signal.SIGINT])
def test_a_signal_makes_a_join_undo_its_changes(number):
    # Set the default first: under nohup, or in the background of a script, these tests inherit an ignored signal.
    process = subprocess.Popen([sys.executable, '-c', WAITING.format(SOURCE)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, universal_newlines=True,
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    assert process.stdout.readline() == 'WAITING\n'
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == 'KeyboardInterrupt\n'
    assert process.returncode == 130


def test_a_join_under_nohup_ignores_sighup(joining):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main(['join', 'x'])
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_without_a_daemon(capsys):
    assert main(['join'] + SOCKET) == 1
    assert 'NO_DAEMON' in capsys.readouterr().err
