"""The command itself: groups, exit status, errors as one sentence."""
import argparse
import importlib
import subprocess
import sys

import pytest
from paths import SOURCE

from ua_overlay import cli
from ua_overlay.errors import OverlayError, UsageError


def parsers():
    """(words, parser) of the command and of each of its groups and commands."""
    def walk(words, parser):
        yield words, parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for name, child in action.choices.items():
                    for found in walk(words + (name,), child):
                        yield found

    return list(walk((), cli.make_parser()))


@pytest.fixture
def group(monkeypatch):
    """Replaces the run of `status`; returns a setter."""
    def setter(run):
        def add_parser(subparsers):
            subparsers.add_parser('status').set_defaults(run=run)

        monkeypatch.setattr(importlib.import_module('ua_overlay.cli.status'), 'add_parser', add_parser)

    return setter


def test_every_group_is_there():
    names = {words[0] for words, _ in parsers() if words}
    assert names == set(cli.GROUPS)


@pytest.mark.parametrize('words, parser', parsers(),
                         ids=lambda value: ' '.join(value) if isinstance(value, tuple) else '')
def test_help_teaches(words, parser):
    """Each page says what it does and shows an example."""
    text = parser.format_help()
    assert parser.description
    if not any(isinstance(action, argparse._SubParsersAction) for action in parser._actions):
        # The page of one command, or that of its group, has an example.
        group = next(p for w, p in parsers() if w == words[:1])
        assert 'ua-overlay' in (parser.epilog or '') + (group.epilog or '') + (parser.description or '')
        assert callable(parser.get_default('run'))
    assert '%(' not in text


def test_only_the_group_that_is_asked_for_is_imported():
    code = 'import sys; sys.path.insert(0, {!r}); from ua_overlay.cli import main; main(["tools", "status"]); ' \
           'print("LOADED", sorted(m for m in sys.modules if m.startswith("ua_overlay.cli.")))'.format(SOURCE)
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, universal_newlines=True)
    assert 'ua_overlay.cli.tools' in done.stdout and 'ua_overlay.cli.server' not in done.stdout


def test_help_imports_no_group_and_says_what_each_of_them_says(monkeypatch):
    monkeypatch.setenv('COLUMNS', '100')
    code = 'import sys; sys.path.insert(0, {!r}); from ua_overlay import cli; ' \
           'cli.make_parser("--help").print_help(); ' \
           'assert not [m for m in sys.modules if m.startswith("ua_overlay.cli.")]'.format(SOURCE)
    done = subprocess.run([sys.executable, '-c', code], stdout=subprocess.PIPE, universal_newlines=True, check=True)
    assert done.stdout == cli.make_parser().format_help()


@pytest.mark.parametrize('argv', [[], ['nonsense'], ['status', '--nonsense']])
def test_a_command_line_that_makes_no_sense(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(argv)
    assert caught.value.code == 2 and 'usage: ua-overlay' in capsys.readouterr().err


def test_the_status_is_the_commands(group):
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


def test_an_interrupt_is_no_traceback(group, capsys):
    def fail(args):
        raise KeyboardInterrupt

    group(fail)
    assert cli.main(['status']) == 130
    assert capsys.readouterr() == ('', '')


def test_a_bug_is_a_traceback(group):
    def fail(args):
        raise ZeroDivisionError

    group(fail)
    with pytest.raises(ZeroDivisionError):
        cli.main(['status'])


def test_a_reader_that_has_seen_enough():
    code = 'import sys; sys.path.insert(0, {!r}); from ua_overlay import cli; import importlib; ' \
           'm = importlib.import_module("ua_overlay.cli.status"); ' \
           'm.add_parser = lambda s: s.add_parser("status").set_defaults(' \
           'run=lambda a: [print(n) for n in range(100000)] and 0); ' \
           'sys.exit(cli.main(["status"]))'.format(SOURCE)
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b''
    process.stderr.close()
    assert process.wait(20) == 141
