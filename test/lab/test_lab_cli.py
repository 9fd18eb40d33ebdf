"""`ua-overlay lab` as a person types it."""
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile

import pytest
from places import ROOT
from topologies import TWO_NATS_FILE as TOPOLOGY

NAME = 'cli-{}'.format(os.getpid())
PROGRAM = [sys.executable, '-c', 'import sys; from ua_overlay.cli import main; sys.exit(main())', 'lab']


def lab(*argv, **options):
    environment = dict(os.environ, PYTHONPATH=os.path.join(ROOT, 'src'))
    return subprocess.run(PROGRAM + list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
                          universal_newlines=True, timeout=60, **options)


@pytest.fixture(scope='module')
def up(lab_possible):
    done = lab('up', TOPOLOGY, '--name', NAME)
    try:
        assert (done.returncode, done.stderr) == (0, '')
        yield done.stdout
    finally:
        assert lab('down', '--name', NAME).returncode == 0


def mine():
    found = [item for item in json.loads(lab('status', '--json').stdout) if item['name'] == NAME]
    return found[0] if found else None


def test_up_lists_the_hosts_and_the_next_commands(up):
    assert 'dev-1   robot     10.0.2.15' in up
    assert 'ua-overlay lab exec dev-2 --name {} -- bash'.format(NAME) in up


def test_status_as_text_and_json(up):
    assert 'Lab {}: up'.format(NAME) in lab('status').stdout
    hosts = {host['name']: host for host in mine()['hosts']}
    assert hosts['nat1']['nat_kind'] == 'easy' and hosts['dev-2']['behind'] == 'nat2'
    assert hosts['inet']['services'] == ['dns']


def test_exec_passes_input_output_and_status(up):
    done = lab('exec', 'dev-1', '--name', NAME, '--user', 'robot', '--', 'sh', '-c', 'id -un; cat; exit 7',
               input='typed')
    assert (done.returncode, done.stdout, done.stderr) == (7, 'robot\ntyped', '')
    assert lab('exec', '--name', NAME, 'dev-1', '--', 'echo', '--', '-x').stdout == '-- -x\n'
    assert lab('exec', '--name', NAME, 'dev-1', '--cwd', '/tmp', '--', 'pwd').stdout == '/tmp\n'


def test_exec_gives_a_terminal_with_job_control(up):
    """Through script(1), which makes a terminal: ^C ends the command, not the shell."""
    argv = PROGRAM + ['exec', '--name', NAME, 'dev-1', '--', 'bash', '--norc']
    command = ' '.join("'{}'".format(word) for word in argv)
    process = subprocess.Popen(['script', '-qec', command, '/dev/null'], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=os.path.join(ROOT, 'src')), bufsize=0)
    seen = b''

    def until(mark):
        nonlocal seen
        while mark not in seen:
            assert select.select([process.stdout], [], [], 15)[0], seen
            data = process.stdout.read(1024)
            assert data, seen
            seen += data

    def type_in(text):
        process.stdin.write(text.encode())

    until(b'# ')
    # The command ends by itself after some seconds, so that a lost ^C shows instead of hanging.
    type_in('sh -c \'trap "echo got $((6 * 7)); exit" INT; tty; for i in $(seq 50); do sleep 0.1; done; '
            'echo lo$((1))st\'\n')
    until(b'/dev/pts/')
    type_in('\x03')
    until(b'got 42')
    type_in('echo still $((40 + 3)); exit 5\n')
    until(b'still 43')
    process.communicate(timeout=20)
    assert process.returncode == 5
    assert b'lo1st' not in seen


def test_nat_changes_the_kind(up):
    assert lab('nat', 'nat2', 'hard', '--name', NAME).stdout == 'nat2 is now hard.\n'
    assert {host['name']: host['nat_kind'] for host in mine()['hosts']}['nat2'] == 'hard'


@pytest.mark.parametrize('argv, status, words', [
    (('exec', 'dev-9', '--', 'true'), 2, 'no host dev-9; it has dev-1, dev-2, inet'),
    (('nat', 'nat9', 'easy'), 2, 'no NAT nat9'),
    (('nat', 'nat1', 'soft'), 2, 'easy, hard, udp-blocked'),
    (('up',), 1, 'exists already. Next: ua-overlay lab down --name '),
    (('up', '/no/such/file.yaml'), 2, 'The topology /no/such/file.yaml cannot be read: No such file or directory.'),
])
def test_errors_are_one_sentence(up, argv, status, words):
    words_before = ['--name', NAME] if argv[0] != 'up' or len(argv) > 1 else ['--name', NAME, TOPOLOGY]
    done = lab(argv[0], *(words_before + list(argv[1:])))
    assert (done.returncode, done.stdout) == (status, '')
    assert done.stderr.startswith('ua-overlay: ') and words in done.stderr
    assert done.stderr.count('\n') == 1


def test_exec_in_no_lab(lab_possible):
    done = lab('exec', '--name', 'none-such', 'dev-1', '--', 'true')
    assert done.returncode == 1
    assert done.stderr == 'ua-overlay: There is no lab none-such. Next: ua-overlay lab up --name none-such\n'


def test_down_without_a_lab_succeeds(lab_possible):
    done = lab('down', '--name', 'none-such')
    assert (done.returncode, done.stdout) == (0, 'There is no lab none-such; nothing to remove.\n')


def test_lab_requires_root(lab_possible):
    # A copy that everyone may read: the checkout may be in root's home.
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        for tree in ('src', 'config'):
            shutil.copytree(os.path.join(ROOT, tree), os.path.join(place, tree))
        shutil.copy(os.path.join(ROOT, 'package.xml'), place)
        refused_to_nobody(os.path.join(place, 'src'))


def refused_to_nobody(source):
    code = 'import os, sys; os.setgid(65534); os.setuid(65534); sys.path.insert(0, {!r})\n' \
           'from ua_overlay.cli import main; sys.exit(main(["lab", "{}"]))'
    for command in ('up', 'down', 'status'):
        done = subprocess.run(['/usr/bin/python3', '-c', code.format(source, command)],
                              stderr=subprocess.PIPE, universal_newlines=True)
        assert done.returncode == 1
        assert done.stderr.startswith('ua-overlay: A lab needs root')
