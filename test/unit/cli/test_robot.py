"""`ua-overlay robot prepare`: errors before it changes anything."""
import os

import pytest

from ua_overlay.cli import main, robot
from ua_overlay.system import units

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
