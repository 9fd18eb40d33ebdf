"""The command itself: groups, exit status, errors as one sentence."""
import argparse
import importlib
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from paths import ROOT, SOURCE

from ua_overlay import cli
from ua_overlay.errors import OverlayError, UsageError

PARSERS = list(cli.make_parser().walk())


@pytest.fixture
def group(monkeypatch):
    """Replaces the run of `status`; returns a setter."""
    def setter(run):
        monkeypatch.setattr(importlib.import_module('ua_overlay.cli.status'), 'configure',
                            lambda parser: parser.set_defaults(run=run))

    return setter


@pytest.mark.parametrize('parser', PARSERS, ids=lambda parser: ' '.join(parser.words))
def test_each_page_of_help_describes_the_command_and_shows_an_example(parser):
    assert parser.description
    if not parser.commands():
        # The page of a command, or that of its group, has an example.
        group = next(each for each in PARSERS if each.words == parser.words[:1])
        assert 'ua-overlay' in (parser.epilog or '') + (group.epilog or '') + (parser.description or '')
        assert callable(parser.get_default('run'))
    assert '%(' not in parser.format_help()


@pytest.mark.parametrize('parser', PARSERS, ids=lambda parser: ' '.join(parser.words))
def test_each_page_of_help_fits_a_terminal_of_80_columns(parser, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    assert [line for line in parser.format_help().splitlines() if len(line) > 80] == []


@pytest.mark.parametrize('parser', PARSERS, ids=lambda parser: ' '.join(parser.words))
def test_json_has_the_same_help_everywhere(parser):
    for action in parser._actions:
        if '--json' in action.option_strings:
            assert action.help.startswith('print JSON')


@pytest.mark.parametrize('parser', PARSERS, ids=lambda parser: ' '.join(parser.words))
def test_each_option_and_argument_has_a_help_line(parser):
    assert [action.dest for action in parser._actions
            if not action.help and not isinstance(action, argparse._SubParsersAction)] == []


def test_exit_status_4_is_documented_by_every_command_that_returns_it():
    returning = {('doctor',), ('server', 'status'), ('policy', 'show'), ('relay', 'status'), ('derp', 'status'),
                 ('server', 'relay', 'status')}
    # A command that returns ATTENTION must be listed above.
    folder = os.path.join(SOURCE, 'ua_overlay', 'cli')
    modules = {name for name in os.listdir(folder) + ['shared/' + name for name in os.listdir(folder + '/shared')]
               if name.endswith('.py') and 'ATTENTION' in open(os.path.join(folder, name), encoding='utf-8').read()}
    assert modules == {'doctor.py', 'server.py', 'server_relay.py', 'policy.py', 'shared/remote_host.py',
                       'shared/exit_status.py'}
    for parser in PARSERS:
        documented = re.search(r'\b4 [^;]*needs attention', ' '.join((parser.epilog or '').split()))
        assert bool(documented) == (parser.words in returning or parser.words == ()), parser.words
    assert all(' '.join(words) in ' '.join(cli.EPILOG.split()) for words in returning)


def test_robot_help_names_all_of_its_commands():
    robot = next(parser for parser in PARSERS if parser.words == ('robot',))
    assert all(command.words[1] in robot.description for command in robot.commands())


def test_only_the_requested_group_is_imported():
    code = 'import sys; sys.path.insert(0, {!r}); from ua_overlay.cli import main; main(["tools", "status"]); ' \
           'print("LOADED", sorted(m for m in sys.modules if m.startswith("ua_overlay.cli.")))'.format(SOURCE)
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, universal_newlines=True)
    assert 'ua_overlay.cli.tools' in done.stdout and 'ua_overlay.cli.server' not in done.stdout


def test_the_main_help_imports_no_group():
    code = 'import sys; sys.path.insert(0, {!r}); from ua_overlay import cli; ' \
           'cli.make_parser().print_help(); print("LOADED", *sys.modules)'.format(SOURCE)
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, universal_newlines=True, check=True)
    loaded = done.stdout.partition('LOADED')[2].split()
    assert 'ua_overlay.cli.help' in loaded
    assert [name for name in loaded if name.startswith('ua_overlay.cli.') and name.split('.')[2] in cli.GROUPS] == []


@pytest.mark.parametrize('argv', [[], ['nonsense'], ['status', '--nonsense']])
def test_an_invalid_command_line(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2 and 'usage: ua-overlay' in capsys.readouterr().err


def test_the_exit_status_is_that_of_the_command(group):
    group(lambda args: 3)
    assert cli.main(['status']) == 3


@pytest.mark.parametrize('error, status', [
    (OverlayError('It is so.', 'do this'), 1), (UsageError('It is so.', 'do this'), 2)])
def test_an_error_is_one_sentence(group, capsys, error, status):
    def fail(args):
        raise error

    group(fail)
    assert cli.main(['status']) == status
    assert capsys.readouterr().err == 'ua-overlay: It is so. Next: do this\n'


def test_an_interrupt_shows_no_traceback(group, capsys):
    def fail(args):
        raise KeyboardInterrupt

    group(fail)
    assert cli.main(['status']) == 130
    assert capsys.readouterr() == ('', '')


def test_a_bug_shows_a_traceback(group):
    def fail(args):
        raise ZeroDivisionError

    group(fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(['status'])


def test_a_closed_pipe():
    code = 'import sys; sys.path.insert(0, {!r}); from ua_overlay import cli; import importlib; ' \
           'm = importlib.import_module("ua_overlay.cli.status"); ' \
           'm.configure = lambda parser: parser.set_defaults(' \
           'run=lambda a: [print(n) for n in range(100000)] and 0); ' \
           'sys.exit(cli.main(["status"]))'.format(SOURCE)
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b''
    process.stderr.close()
    assert process.wait(20) == 141


@pytest.mark.parametrize('error, words', [
    (PermissionError(13, 'Permission denied', '/x/y'), '/x/y cannot be used: Permission denied. Next: ls -ld /x/y'),
    (OSError(28, 'No space left on device', '/proc/x'),
     '/proc/x cannot be used: the file system /proc is full. Next: df -h /proc'),
    (ConnectionRefusedError(111, 'Connection refused'), 'The system refused an operation: Connection refused.'),
    (subprocess.TimeoutExpired(['tailscale', 'x'], 9), '`tailscale` did not end within 9 s.')])
def test_an_error_of_the_system_is_a_sentence(group, capsys, error, words):
    def run(args):
        raise error

    group(run)
    assert cli.main(['status']) == 1
    assert capsys.readouterr().err == 'ua-overlay: {}\n'.format(words)


def typed(words, redirection='', **environ):
    """Run `ua-overlay WORDS REDIRECTION` in a shell, with the buffers that Python has by default."""
    environ = dict({name: value for name, value in os.environ.items() if name != 'PYTHONUNBUFFERED'}, **environ)
    return subprocess.run(['bash', '-c', '"$@" ' + redirection, 'bash', sys.executable,
                           os.path.join(ROOT, 'scripts', 'ua-overlay')] + words, env=environ, timeout=60,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)


FULL = 'ua-overlay: Standard output cannot be written: No space left on device.\n'


@pytest.mark.fault('K3', 'The disk behind `> FILE` is full', behaviour='the command says so', reported='at once',
                   recovery='with the next command after there is room', lost='the output')
@pytest.mark.parametrize('environ', [{}, {'PYTHONUNBUFFERED': '1'}])
@pytest.mark.parametrize('words', [['env', '--help'], ['--help'], ['tools', 'status']])
def test_a_full_disk_behind_standard_output_is_a_sentence(words, environ):
    done = typed(words, '>/dev/full', **environ)
    assert (done.returncode, done.stderr) == (1, FULL)


def test_a_full_disk_behind_an_error(group, capsys, monkeypatch):
    """Both are told."""
    def fail(args):
        print('so far')
        raise UsageError('It is so.', 'do this')

    group(fail)
    with open('/dev/full', 'w') as full, open(os.devnull, 'w') as null:
        monkeypatch.setattr(sys, 'stdout', full)
        assert cli.main(['status']) == 1 and sys.stdout is None
        os.dup2(null.fileno(), full.fileno())  # or it could not be closed
    assert capsys.readouterr().err == 'ua-overlay: It is so. Next: do this\n' + FULL


@pytest.mark.parametrize('words', [['tools', 'status'], ['--help'], ['nothing']])
def test_standard_streams_that_are_closed(words):
    status = typed(words).returncode
    for closed in ('>&-', '<&-', '2>&-', '>&- 2>&-'):
        done = typed(words, closed)
        assert done.returncode == status and 'Traceback' not in done.stdout + done.stderr, (closed, done)


def catches_interrupts(pid):
    """Whether a process has a handler of SIGINT (proc(5): SigCgt, whose lowest bit is signal 1)."""
    try:
        with open('/proc/{}/status'.format(pid)) as stream:
            mask = next(line.split()[1] for line in stream if line.startswith('SigCgt:'))
    except (FileNotFoundError, ProcessLookupError, StopIteration):
        return False
    return bool(int(mask, 16) & 1 << signal.SIGINT - 1)


def test_an_interrupt_at_the_exit_of_python_shows_no_traceback(tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(
        'import atexit, time\natexit.register(lambda: (print("exits", flush=True), time.sleep(20)))\n')
    process = subprocess.Popen(
        [sys.executable, os.path.join(ROOT, 'scripts', 'ua-overlay'), 'status', '--socket', '/nonexistent'],
        env=dict(os.environ, PYTHONPATH=str(tmp_path)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == 'exits\n'
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=15)
    assert 'Traceback' not in errors and process.returncode == -signal.SIGINT, errors


def test_an_interrupt_while_modules_are_imported_shows_no_traceback():
    """At ten moments of the first third of a second from our first line on; Python's own start comes before."""
    for moment in range(10):
        process = subprocess.Popen([sys.executable, os.path.join(ROOT, 'scripts', 'ua-overlay'), 'status', '--socket',
                                    '/nonexistent'], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for caught in (True, False):  # by Python, then by nobody
            while catches_interrupts(process.pid) != caught and process.poll() is None:
                time.sleep(0.001)
        time.sleep(0.03 * moment)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        assert 'Traceback' not in errors, (moment, errors)
        assert process.returncode in (-signal.SIGINT, 130, 1), (moment, process.returncode, errors)


LOSES_AN_INTERRUPT = '''
import signal, sys, time
signal.signal(signal.SIGINT, signal.SIG_DFL)
from ua_overlay import cli

class Finalized:
    def __del__(self):
        signal.raise_signal(signal.SIGINT)

def run(args):
    Finalized()
    time.sleep(60)

class Parser:
    def parse_args(self, argv):
        return type('Args', (), {'run': staticmethod(run)})

cli.make_parser = Parser
sys.exit(cli.main([]))
'''


@pytest.mark.parametrize('cause, status', [(KeyboardInterrupt(), 130), (None, None)])
def test_an_interrupt_that_python_wraps_in_another_error_ends_the_command(monkeypatch, cause, status):
    def fail():
        raise RuntimeError("Error calling __set_name__ on 'x'") from cause

    monkeypatch.setattr('ua_overlay.cli.make_parser', fail)
    if cause is None:
        with pytest.raises(RuntimeError):
            cli.main([])
    else:
        assert cli.main([]) == status


def test_an_interrupt_that_python_would_forget_ends_the_command():
    """One that arrives in a finalizer, or in the last step of an import."""
    done = subprocess.run([sys.executable, '-c', LOSES_AN_INTERRUPT], stderr=subprocess.PIPE, universal_newlines=True,
                          timeout=30, env=dict(os.environ, PYTHONPATH=SOURCE))
    assert (done.returncode, done.stderr) == (130, '')
