"""`ua-overlay robot prepare`: errors before it changes anything."""
import argparse
import base64
import json
import os

import pytest

from ua_overlay.cli import main, robot
from ua_overlay.system import procnet, units
from ua_overlay.tailscale import localapi, other_daemons
from ua_overlay.tailscale.daemon_unit import DaemonArguments
from ua_overlay.tailscale.tailnet import OtherTailnet

USER = 'nobody'


@pytest.fixture
def plain(monkeypatch, tmp_path):
    """An unprivileged user on a machine without systemd."""
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    monkeypatch.setattr(units, 'RUNS', str(tmp_path / 'none'))
    monkeypatch.setattr(robot.defaults, 'CA_FILE', str(tmp_path / 'ca.pem'))
    return tmp_path


def run(capsys, *argv):
    status = main(['robot'] + list(argv))
    captured = capsys.readouterr()
    return status, captured.out + captured.err


def test_a_user_is_required(plain, capsys):
    assert run(capsys, 'prepare')[0] == 2
    status, text = run(capsys, 'prepare', '--user', 'no-such-user')
    assert status == 2 and 'no-such-user' in text


def test_the_first_run_requires_a_ca(plain, capsys):
    status, text = run(capsys, 'prepare', '--user', USER)
    assert status == 2 and '--invitation FILE' in text


@pytest.mark.parametrize('content', [None, b'', b'no pem', b'\xff\xfe'])
def test_a_bad_ca_file(plain, capsys, content):
    path = plain / 'given.pem'
    if content is not None:
        path.write_bytes(content)
    status, text = run(capsys, 'prepare', '--user', USER, '--ca', str(path))
    assert status == 1 and str(path) in text and 'Traceback' not in text


def test_a_missing_invitation(plain, capsys):
    status, text = run(capsys, 'prepare', '--user', USER, '--invitation', str(plain / 'none.yaml'))
    assert status == 1 and 'none.yaml' in text


def test_a_machine_without_systemd(plain, capsys):
    status, text = run(capsys, 'prepare', '--user', USER, '--service-manager', 'systemd')
    assert status == 2 and '--service-manager none' in text


def test_undo_requires_root(plain, capsys):
    status, text = run(capsys, 'prepare', '--undo')
    assert status == 1 and 'root' in text and 'prepare --undo' in text


@pytest.mark.skipif(os.geteuid() != 0, reason='The note is for root.')
def test_programs_that_other_users_can_change(tmp_path):
    program = tmp_path / 'program'
    program.write_text('')
    program.chmod(0o755)
    before = robot.program_note(str(program))
    assert str(program) not in before
    program.chmod(0o666)
    assert 'runs {0}, which users other than root can modify by {0}'.format(program) in robot.program_note(str(program))
    program.chmod(0o755)
    os.chown(str(tmp_path), 65534, 65534)
    assert 'can modify by {}, and'.format(tmp_path) in robot.program_note(str(program))


@pytest.mark.fault('K5', "The directory of root's settings belongs to another user", behaviour='the root service of '
                   'the robot does not start', reported='at once: its log', recovery='with the command that it '
                   'recommends', lost='nothing')
@pytest.mark.skipif(os.geteuid() != 0, reason='Only root can give directories to others.')
def test_the_agent_refuses_settings_that_another_user_could_replace(tmp_path, monkeypatch, capsys):
    (tmp_path / 'etc').mkdir()
    os.chown(str(tmp_path / 'etc'), 65534, 65534)
    monkeypatch.setattr(robot.defaults, 'CONFIG_DIR', str(tmp_path / 'etc' / 'ua_overlay'))
    status, text = run(capsys, 'agent', '--user', USER)
    assert status == 1 and '{0}/etc belongs to the user nobody'.format(tmp_path) in text
    assert 'Next: sudo chown root {}/etc'.format(tmp_path) in text


OURS = {'ID': 'a', 'ControlURL': 'https://server.ua.test:8080', 'Name': 'tagged'}
THEIRS = {'ID': 'b', 'ControlURL': '', 'Name': 'ana@example.org'}


class Daemon:
    """A LocalAPI with logins, and the arguments of the command."""

    def __init__(self, monkeypatch, profiles, current, error=None, **arguments):
        self.profiles_, self.current, self.error = profiles, current, error
        self.arguments = argparse.Namespace(**dict(dict(
            invitation='x.yaml', ca=None, user='robot', service_manager=None, no_egress=False, take_over=False),
            **arguments))
        monkeypatch.setattr(localapi, 'LocalApi', lambda socket: self)
        monkeypatch.setattr(other_daemons, 'running_daemons', list)

    def status(self, peers=True):
        if self.error:
            raise self.error
        return {'BackendState': 'Running', 'HaveNodeKey': bool(self.current), 'Self': {
            'DNSName': 'robot-7.tail1234.ts.net.', 'TailscaleIPs': ['100.101.102.103']}}

    def prefs(self):
        return {'ControlURL': self.current.get('ControlURL', ''), 'RunSSH': True}

    def profiles(self):
        return self.profiles_, self.current

    def look(self, state='/nowhere', known=None):
        return robot.look_for_tailnet(self.arguments, DaemonArguments(state=state), ['server.ua.test'], known)


def test_another_tailnet_is_refused_with_the_command_to_type(monkeypatch):
    with pytest.raises(OtherTailnet) as caught:
        Daemon(monkeypatch, [THEIRS], THEIRS).look()
    assert 'controlplane.tailscale.com' in caught.value.sentence and 'Tailscale SSH' in caught.value.sentence
    assert caught.value.next_command.startswith(
        'sudo ua-overlay robot prepare --invitation x.yaml --user robot --take-over   #')
    # A login that was never saved has no profile yet.
    with pytest.raises(OtherTailnet):
        Daemon(monkeypatch, [], THEIRS).look()


def test_another_login_that_is_not_in_use(monkeypatch):
    with pytest.raises(OtherTailnet, match='keeps a login at https://controlplane.tailscale.com'):
        Daemon(monkeypatch, [OURS, THEIRS], OURS).look()
    # After a --take-over it is no news, unless somebody switched to it.
    taken = {'profile': 'b', 'others': ['b']}
    assert Daemon(monkeypatch, [OURS, THEIRS], OURS).look(known=taken) is None
    with pytest.raises(OtherTailnet, match='would be cut off'):
        Daemon(monkeypatch, [OURS, THEIRS], THEIRS).look(known=taken)


def test_a_machine_that_may_be_prepared(monkeypatch):
    assert Daemon(monkeypatch, [OURS], OURS).look() is None
    assert Daemon(monkeypatch, [], {}).look() is None
    taken = Daemon(monkeypatch, [OURS, THEIRS], THEIRS, take_over=True).look()
    assert taken == {'profile': 'b', 'others': ['b']}


@pytest.mark.parametrize('error', [localapi.DaemonMissing('No tailscaled answers.'),
                                   localapi.DaemonError('It did not answer in time.')])
def test_a_tailscaled_that_does_not_answer_is_judged_by_its_state(monkeypatch, tmp_path, error):
    daemon = Daemon(monkeypatch, [], {}, error)
    assert daemon.look(str(tmp_path / 'none')) is None
    profiles = base64.b64encode(json.dumps({'b': dict(THEIRS, Key='profile-b')}).encode()).decode()
    current = base64.b64encode(b'profile-b').decode()
    (tmp_path / 'state').write_text(json.dumps({'_profiles': profiles, '_current-profile': current}))
    with pytest.raises(OtherTailnet, match='controlplane.tailscale.com'):
        daemon.look(str(tmp_path / 'state'))
    (tmp_path / 'state').write_text('{"key": {}, "nonce": "", "data": ""}')
    with pytest.raises(OtherTailnet, match='cannot be seen'):
        daemon.look(str(tmp_path / 'state'))


def test_a_dry_run_of_a_user_who_may_not_ask(monkeypatch):
    assert Daemon(monkeypatch, [], {}, localapi.DaemonDenied('No.')).look() is None


def test_connections_that_came_in(monkeypatch):
    sockets = [procnet.Socket('0.0.0.0', 22, '0.0.0.0', 0, procnet.LISTEN, 0, 1),
               procnet.Socket('100.101.102.103', 22, '100.1.1.1', 5, procnet.ESTABLISHED, 0, 2),
               procnet.Socket('100.101.102.103', 50000, '100.1.1.1', 22, procnet.ESTABLISHED, 0, 3)]
    monkeypatch.setattr(procnet, 'read_sockets', lambda protocol: sockets)
    assert robot.count_connections(('100.101.102.103',)) == 1
