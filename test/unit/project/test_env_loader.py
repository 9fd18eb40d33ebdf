"""scripts/env_loader.sh with a workspace made of one setup.sh. In a real one: test/lab/test_doctor.py."""
import os
import subprocess

import pytest
from paths import ROOT

LOADER = os.path.join(ROOT, 'scripts', 'env_loader.sh')
SETUP = 'export FROM_SETUP="$# $CATKIN_SHELL ${_CATKIN_SETUP_DIR} ${ROS_MASTER_URI-}"\nfalse\n'


@pytest.fixture
def workspace(tmp_path):
    """An install space with the script where the package installs it, and blanks in its path."""
    prefix = tmp_path / 'my ws' / 'install'
    (prefix / 'lib' / 'ua_overlay').mkdir(parents=True)
    (prefix / 'setup.sh').write_text(SETUP)
    script = prefix / 'lib' / 'ua_overlay' / 'env_loader.sh'
    with open(LOADER, encoding='utf-8') as stream:
        script.write_text(stream.read())
    script.chmod(0o755)
    return prefix


def run(script, *argv, **environ):
    return subprocess.run([str(script)] + list(argv), env=dict(environ, PATH='/usr/bin:/bin'), stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, universal_newlines=True, timeout=20)


def loader(workspace):
    return workspace / 'lib' / 'ua_overlay' / 'env_loader.sh'


def test_sources_the_workspace_and_runs_the_command(workspace):
    done = run(loader(workspace), 'sh', '-c', 'echo "$FROM_SETUP" "$1"; exit 7', 'x', 'a  b', ROS_MASTER_URI='http://m:1/')
    # No argument of the command reached setup.sh; the slash went; a setup.sh that ends with a failure is no end.
    assert done.stdout == '0 sh {} http://m:1 a  b\n'.format(workspace) and done.returncode == 7, done.stderr


def test_symbolic_link(workspace, tmp_path):
    (tmp_path / 'link').symlink_to(loader(workspace))
    assert run(tmp_path / 'link', 'printenv', 'FROM_SETUP').stdout.startswith('0 sh ')


def test_devel_space(workspace, tmp_path):
    (tmp_path / 'ws' / 'src' / 'ua_overlay' / 'scripts').mkdir(parents=True)
    (tmp_path / 'ws' / 'devel').mkdir()
    (tmp_path / 'ws' / 'devel' / 'setup.sh').write_text(SETUP)
    script = tmp_path / 'ws' / 'src' / 'ua_overlay' / 'scripts' / 'env_loader.sh'
    script.write_bytes(loader(workspace).read_bytes())
    script.chmod(0o755)
    assert str(tmp_path / 'ws' / 'devel') in run(script, 'printenv', 'FROM_SETUP').stdout


def test_a_named_workspace(workspace, tmp_path):
    (tmp_path / 'other').mkdir()
    (tmp_path / 'other' / 'setup.sh').write_text(SETUP)
    done = run(loader(workspace), 'printenv', 'FROM_SETUP', UA_OVERLAY_SETUP=str(tmp_path / 'other' / 'setup.sh'))
    assert str(tmp_path / 'other') in done.stdout


def test_refusals(workspace, tmp_path):
    done = run(loader(workspace))
    assert done.returncode == 2 and 'no command' in done.stderr
    done = run(loader(workspace), 'true', UA_OVERLAY_SETUP=str(tmp_path / 'none.sh'))
    assert done.returncode == 1 and 'UA_OVERLAY_SETUP' in done.stderr


@pytest.mark.parametrize('environ, expected', [
    ({'ROS_MASTER_URI': 'http://dev-1.x:11312/'}, 'http://dev-1.x:11312 dev-2.x '),
    ({'ROS_MASTER_URI': 'http://dev-1.x:11312', 'ROS_IP': '10.0.2.15'}, 'http://dev-1.x:11312  10.0.2.15'),
    ({'ROS_MASTER_URI': 'http://10.0.2.1:11311'}, 'http://10.0.2.1:11311  '), ({}, '  ')])
def test_a_program_with_the_master_of_the_team_gets_the_name(workspace, environ, expected):
    (workspace / 'bin').mkdir()
    (workspace / 'bin' / 'ua-overlay').write_text(
        '#!/bin/sh\necho "unset ROS_IP"\necho export ROS_MASTER_URI=http://dev-1.x:11312\n'
        'echo export ROS_HOSTNAME=dev-2.x\n')
    (workspace / 'bin' / 'ua-overlay').chmod(0o755)
    (workspace / 'setup.sh').write_text('export PATH="{}/bin:$PATH"\n'.format(workspace))
    shown = run(loader(workspace), 'sh', '-c', 'echo "${ROS_MASTER_URI-} ${ROS_HOSTNAME-} ${ROS_IP-}"', **environ)
    assert shown.stdout == expected + '\n', shown.stderr
