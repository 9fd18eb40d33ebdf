"""`ua-overlay env`: its three forms, and a missing or unsafe env file."""
import json
import os
import subprocess

import pytest

from ua_overlay.cli import main
from ua_overlay.rosenv import envfile

TEAM = {'ROS_MASTER_URI': 'http://dev-1.overlay.internal:11312', 'ROS_HOSTNAME': 'dev-2.overlay.internal',
        'UA_OVERLAY_TEAM': 'iris', 'UA_OVERLAY_ROBOT': 'dev-2'}


@pytest.fixture
def env_file(tmp_path, monkeypatch):
    """The location of the env file, which does not exist yet."""
    monkeypatch.setenv('UA_OVERLAY_RUN_DIR', str(tmp_path / 'run'))
    for name in envfile.ROS_KEYS:
        monkeypatch.delenv(name, raising=False)
    return envfile.locate()


def test_lines_and_json(env_file, capsys):
    envfile.write(env_file, TEAM)
    assert main(['env']) == 0
    assert capsys.readouterr().out.split('\n')[0] == 'ROS_MASTER_URI=http://dev-1.overlay.internal:11312'
    assert main(['env', '--json']) == 0
    assert json.loads(capsys.readouterr().out) == TEAM


def test_shell_lines_work_in_a_shell(env_file, capsys):
    envfile.write(env_file, TEAM)
    main(['env', '--shell'])
    script = capsys.readouterr().out + 'echo "$ROS_MASTER_URI $ROS_HOSTNAME [${ROS_IP-gone}]"'
    done = subprocess.run(['sh', '-euc', script], stdout=subprocess.PIPE, env=dict(os.environ, ROS_IP='10.0.2.15'),
                           check=True)
    assert done.stdout.decode() == 'http://dev-1.overlay.internal:11312 dev-2.overlay.internal [gone]\n'


def test_no_environment_now(env_file, capsys):
    assert main(['env']) == 3
    assert capsys.readouterr().err.endswith('Next: ua-overlay status\n')


def test_an_unsafe_file_is_not_shown(env_file, capsys):
    envfile.write(env_file, TEAM)
    os.chmod(env_file.path, 0o666)
    assert main(['env']) == 1
    captured = capsys.readouterr()
    assert captured.out == '' and env_file.path in captured.err
