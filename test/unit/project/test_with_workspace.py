"""Nobody who sources a setup.bash hands it its own arguments: catkin takes --local and --help as its own."""
import os
import re
import shutil
import subprocess

import pytest
from paths import ROOT

from ua_overlay.lab.fleet import SOURCE, shell_argv

#: As catkin's setup.sh: it hands its arguments, which are its caller's, to _setup_util.py.
SETUP = 'export CHAINED="/opt/ros/noetic"\nfor word in $@; do echo "catkin got $word"; CHAINED=; done\n'


@pytest.fixture
def space(tmp_path):
    (tmp_path / 'setup.bash').write_text('. "{}/setup.sh"\n'.format(tmp_path))
    (tmp_path / 'setup.sh').write_text(SETUP)
    return tmp_path


@pytest.mark.fault('K9', 'A program is called with --local or --help in a sourced workspace',
                   behaviour='the words reach the program, not catkin', reported='does not apply', recovery='at once',
                   lost='nothing')
@pytest.mark.parametrize('word', ['--local', '--help', '--extend'])
def test_arguments_do_not_reach_setup_bash(space, word):
    (space / 'dev').mkdir()
    shutil.copy(os.path.join(ROOT, 'dev', 'with_workspace.sh'), str(space / 'dev'))
    (space / '.workspace').mkdir()
    (space / '.workspace' / 'install').symlink_to(space)
    show = 'echo "$CHAINED $1"'
    for argv in (['bash', str(space / 'dev' / 'with_workspace.sh'), 'bash', '-c', show, 'x', word],
                 ['bash', '-c', SOURCE + '; exec "$@"', str(space), 'bash', '-c', show, 'x', word],
                 shell_argv('exec "$@"', str(space), ['bash', '-c', show, 'x', word])):
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=20)
        assert (done.stdout, done.stderr) == ('/opt/ros/noetic {}\n'.format(word), '')


def test_everybody_sources_in_a_function():
    """Wherever the repository sources a setup file, except where its caller has no arguments."""
    allowed = {'ansible/roles/ua_overlay/tasks/package_version.yml', 'dev/prepare.sh',
               'src/ua_overlay/checks/table.py'}  # advice for a shell
    found = set()
    for folder in ('src', 'scripts', 'dev', 'ansible', 'launch', 'bench', 'test/lab', 'test/rostest'):
        for directory, _, names in os.walk(os.path.join(ROOT, folder)):
            for name in names:
                path = os.path.join(directory, name)
                if name.endswith('.pyc') or os.path.islink(path):
                    continue
                with open(path, encoding='utf-8', errors='replace') as stream:
                    lines = stream.read().split('\n')
                if any(re.search(r'(^|[\'"; ])(\.|source) \S*setup\.(ba|z)?sh', line) and '() {' not in line
                       for line in lines):
                    found.add(os.path.relpath(path, ROOT))
    # A start-up file, units of a robot's own, and a chain of workspaces; their callers have no arguments.
    assert found <= allowed | {'test/lab/test_measure_machines.py', 'test/lab/test_service.py',
                               'test/lab/test_machines_changes.py'}
