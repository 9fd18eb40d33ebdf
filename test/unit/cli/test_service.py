"""`ua-overlay service`: the user, the unit, and errors. The unit boots in test/lab/test_service.py."""
import os

import pytest

from ua_overlay.cli import main
from ua_overlay.cli import service as command
from ua_overlay.errors import UsageError
from ua_overlay.system import units


@pytest.fixture
def workspace(tmp_path):
    """An install space with this package."""
    (tmp_path / 'bin').mkdir()
    for name in ('setup.bash', 'bin/ua-overlay'):
        (tmp_path / name).write_text('')
    return str(tmp_path)


def test_the_default_user_comes_from_robot_prepare_or_sudo():
    assert command.default_user({'SUDO_USER': 'ann'}, 'robot') == 'robot'
    assert command.default_user({'SUDO_USER': 'ann'}, '') == 'ann'
    assert command.default_user({'SUDO_USER': 'root'}, '') == '' and command.default_user({}, '') == ''


def test_the_default_user_owns_the_robot_state(tmp_path, monkeypatch):
    monkeypatch.setattr(command.defaults, 'STATE_DIR', str(tmp_path / 'none'))
    assert command.prepared_for() == ''
    monkeypatch.setattr(command.defaults, 'STATE_DIR', str(tmp_path))
    monkeypatch.setattr(command.os, 'stat', lambda path: os.stat_result((0o40755, 0, 0, 1, 1, 1, 0, 0, 0, 0)))
    assert command.prepared_for() == 'daemon'


def test_a_user_is_required(workspace, monkeypatch, capsys):
    monkeypatch.delenv('SUDO_USER', raising=False)
    monkeypatch.setattr(command, 'prepared_for', lambda: '')
    assert main(['service', 'install', '--workspace', workspace]) == 2
    assert 'No user given' in capsys.readouterr().err
    assert main(['service', 'install', '--user', 'no-such-user']) == 2
    assert 'no-such-user' in capsys.readouterr().err


def test_a_workspace_without_the_package_is_refused(tmp_path, capsys):
    assert main(['service', 'install', '--user', 'daemon', '--workspace', str(tmp_path)]) == 2
    assert 'it has no setup.bash' in capsys.readouterr().err


def test_the_command_must_be_in_a_workspace_by_default(monkeypatch):
    monkeypatch.setattr(command.service, 'find_workspace', lambda environ, program: None)
    with pytest.raises(UsageError, match='not in a built workspace'):
        command.find_workspace(None)
    monkeypatch.setattr(command.service, 'find_workspace', lambda environ, program: '/ws/install')
    assert command.find_workspace(None) == '/ws/install'


def test_a_dry_run_prints_the_unit_and_changes_nothing(workspace, capsys):
    argv = ['service', 'install', '--user', 'daemon', '--workspace', workspace, '--arg', 'master:=dev-1', '--dry-run']
    assert main(argv) == 0
    output = capsys.readouterr().out
    assert '{} master:=dev-1\n'.format(workspace) in output
    assert 'write /etc/systemd/system/ua-overlay.service' in output
    assert main(['service', 'remove', '--dry-run']) == 0
    assert 'run systemctl daemon-reload' in capsys.readouterr().out


def test_the_robot_s_own_workspace(workspace, tmp_path, capsys):
    argv = ['service', 'install', '--user', 'daemon', '--workspace', workspace, '--dry-run', '--underlay']
    assert main(argv + [str(tmp_path / 'none')]) == 2
    assert '{}/none is not a devel or install space: it has no setup.bash.'.format(tmp_path) in capsys.readouterr().err
    own = tmp_path / 'my ws'
    own.mkdir()
    (own / 'setup.bash').write_text('')
    assert main(argv + [str(own)]) == 0
    assert '{} "{}"\n'.format(workspace, own) in capsys.readouterr().out


def test_root_is_required(workspace, monkeypatch, capsys):
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    assert main(['service', 'install', '--user', 'daemon', '--workspace', workspace]) == 1
    assert main(['service', 'remove']) == 1
    assert capsys.readouterr().err.count('needs root') == 2


def test_systemd_is_required(workspace, monkeypatch, capsys):
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(units, 'RUNS', os.path.join(workspace, 'none'))
    assert main(['service', 'install', '--user', 'daemon', '--workspace', workspace]) == 1
    assert 'Next: ua-overlay exec --local roslaunch ua_overlay overlay.launch' in capsys.readouterr().err
