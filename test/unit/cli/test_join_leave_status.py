"""`ua-overlay join`, `leave` and `status`: what is printed, and the exit status."""
import importlib
import json
import os
import signal
import subprocess
import sys

import pytest
from paths import DATA, SOURCE

from ua_overlay.checks.facts import Server
from ua_overlay.cli import main
from ua_overlay.errors import OverlayError
from ua_overlay.membership.outcome import Outcome

join_command = importlib.import_module('ua_overlay.cli.join')
leave_command = importlib.import_module('ua_overlay.cli.leave')
status_command = importlib.import_module('ua_overlay.cli.status')
ANSWERS = os.path.join(DATA, 'tailscale')
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
    """Replaces Join; the dict gets what it was made and called with."""
    seen = {'outcome': JOINED}

    class Played:
        def __init__(self, api, ca_file, state_dir, timeout, unstable=None):
            seen.update(socket=api.socket_path, ca=ca_file, state_dir=state_dir, timeout=timeout)

        def __call__(self, path):
            seen['path'] = path
            return seen['outcome']

    monkeypatch.setattr(join_command, 'Join', Played)
    return seen


def test_join(joining, capsys):
    assert main(['join', 'dev-1.yaml', '--timeout', '8', '--ca', '/ca', '--state-dir', '/state'] + SOCKET) == 0
    assert capsys.readouterr().out == JOINED.message + '\n'
    assert (joining['path'], joining['timeout'], joining['ca'], joining['state_dir'], joining['socket']) == (
        'dev-1.yaml', 8.0, '/ca', '/state', SOCKET[1])


def test_join_without_an_invitation(joining, capsys):
    assert main(['join']) == 0 and joining['path'] == '' and joining['timeout'] == 60.0


def test_join_for_programs(joining, capsys):
    assert main(['join', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == {
        'code': 'OK', 'message': JOINED.message, 'dns_name': JOINED.dns_name, 'addresses': ['100.64.0.1']}


def test_join_that_is_refused(joining, capsys):
    joining['outcome'] = Outcome('OTHER_TEAM', 'It is in another team. Next: this')
    assert main(['join', 'x']) == 1
    captured = capsys.readouterr()
    assert captured.out == '' and 'ua-overlay: OTHER_TEAM: It is in another team. Next: this\n' in captured.err
    assert main(['join', 'x', '--json']) == 1
    assert json.loads(capsys.readouterr().out)['code'] == 'OTHER_TEAM'


def test_already_joined_is_no_failure(joining, capsys):
    joining['outcome'] = Outcome('ALREADY_JOINED', 'So it is.')
    assert main(['join', 'x']) == 0
    assert capsys.readouterr().out == 'So it is.\n'


def test_no_daemon_through_all_of_it(capsys):
    assert main(['join'] + SOCKET) == 1
    assert 'NO_DAEMON' in capsys.readouterr().err
    assert main(['leave'] + SOCKET) == 1
    assert 'NO_DAEMON' in capsys.readouterr().err
    assert main(['status'] + SOCKET) == 1
    assert 'ua-overlay: No tailscaled answers' in capsys.readouterr().err


#: A join that waits, and says what it met at the end.
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
def test_signals_let_a_join_put_back(number):
    # Back to the default first: under nohup, or in the background of a script, these tests inherit that it is ignored.
    process = subprocess.Popen([sys.executable, '-c', WAITING.format(SOURCE)], stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL, universal_newlines=True,
                               preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
    assert process.stdout.readline() == 'WAITING\n'
    process.send_signal(number)
    assert process.communicate(timeout=20)[0] == 'KeyboardInterrupt\n'
    assert process.returncode == 130


def test_nohup_is_respected(joining):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    main(['join', 'x'])
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_leave(monkeypatch, capsys):
    calls = []

    def leave(api, forget, state_dir):
        calls.append((api.socket_path, forget, state_dir))
        return Outcome('OK', 'dev-1 left.') if forget else Outcome('NOT_JOINED', 'Nothing to leave.')

    monkeypatch.setattr(leave_command, 'leave', leave)
    assert main(['leave', '--forget', '--state-dir', '/state'] + SOCKET) == 0
    assert capsys.readouterr().out == 'dev-1 left.\n'
    assert main(['leave', '--json']) == 1
    assert json.loads(capsys.readouterr().out)['code'] == 'NOT_JOINED'
    assert calls[0] == (SOCKET[1], True, '/state') and calls[1][1] is False


@pytest.fixture
def daemon(monkeypatch):
    """Plays the status of a recorded tailscaled."""
    def setter(name, **changes):
        with open(os.path.join(ANSWERS, name + '-1.98.10.json')) as stream:
            status = dict(json.load(stream), **changes)

        class Played:
            def __init__(self, socket_path):
                pass

            def status(self):
                return status

            def prefs(self):
                return {}

        monkeypatch.setattr(status_command, 'LocalApi', Played)

    def locate():
        raise OverlayError('There is no place.')

    monkeypatch.setattr(status_command.envfile, 'locate', locate)
    return setter


def test_status_running(daemon, capsys):
    daemon('running')
    assert main(['status']) == 0
    output = capsys.readouterr().out
    assert output.startswith('dev-1 (100.64.0.1, ') and ' in team iris' in output
    assert 'ROS: There is no place.' in output
    lines = output.splitlines()
    header = next(index for index, line in enumerate(lines) if line.startswith('PEER'))
    assert {line.split()[0] for line in lines[header + 1:]} == {'dev-2', 'dev-3', 'dev-5', 'dev-6', 'relay'}


def test_status_for_programs(daemon, capsys):
    daemon('running', AuthURL='https://server.ua.test:8080/register/secret')
    assert main(['status', '--json']) == 0
    output = capsys.readouterr().out
    answer = json.loads(output)
    assert (answer['state'], answer['team'], answer['self']['name']) == ('Running', 'iris', 'dev-1')
    assert [link['peer'] for link in answer['links']] == [peer['name'] for peer in answer['peers']]
    assert answer['environment'] == {} and 'secret' not in output


@pytest.mark.parametrize('name, words', [
    ('stopped', 'This robot left its team and keeps its identity. Next: ua-overlay join'),
    ('needs_login', 'in no team. Next: ua-overlay join INVITATION')])
def test_status_of_a_robot_that_is_not_there(daemon, capsys, name, words):
    daemon(name, AuthURL='https://server.ua.test:8080/register/secret')
    assert main(['status']) == 3
    output = capsys.readouterr().out
    assert words in output and 'PEER' not in output and 'secret' not in output


def test_status_when_the_server_does_not_see_it(daemon, capsys):
    daemon('running')
    import ua_overlay.cli.status as module
    played = module.LocalApi('')
    played.status()['Self']['Online'] = False
    played.status()['Health'] = ['It is ill.']
    assert main(['status']) == 0
    output = capsys.readouterr().out
    assert 'not connected to the server' in output and 'tailscaled: It is ill.' in output


@pytest.mark.parametrize('known', [True, False, None])
def test_status_when_the_server_removed_the_robot(daemon, capsys, monkeypatch, known):
    daemon('running')
    monkeypatch.setattr('ua_overlay.checks.observe.probe_server',
                        lambda *_, **__: Server('https://s.test', key_known=known))
    assert main(['status']) == 0
    assert ('does not know' in capsys.readouterr().out) == (known is False)
