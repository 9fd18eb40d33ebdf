"""Advice is a promise: every command line in the next step of an error or a finding can be typed.

This test parses each of them with the real parser. test/lab/test_doctor.py makes the faults of `doctor`, types its
lines and sees the findings go; test/unit/project/test_doctor_advice.py lists who types which.
"""
import ast
import contextlib
import functools
import io
import itertools
import os
import re
import shlex

import pytest
from paths import ROOT
from rooms import modules, tree_of

from ua_overlay.cli import complete, make_parser

#: Classes of errors: the second argument is the next command.
ERROR = re.compile(r'(Error|Refused|Forgotten|Missing|Unsafe|Absent|Failed|Down|Denied|TooOld|Running|Lost|Unavailable|'
                   r'NotInTime|Problem|Unusable|_Verdict)$')
#: Functions of checks.finding and values beside them: position of the next command.
POSITION = {'error': 2, 'warn': 2, 'unknown': 2, 'Verdict': 3, '_Known': 3, 'Problem': 2, '_Verdict': 2}
#: Our command in a text, with what follows until the words that end a command line.
OURS = re.compile(r'(?<![\w/`\'-])(?:sudo )?ua-overlay (?=[a-z{-])(?!of )')
END = re.compile(
    r'\s+#|;|\||`|\(|"?\)|,(?= )|…|\.\s|\.$|\n|\s{2,}| (?:on (?:the|that|this|each|every|dev|\{)|there|here|again)\b|'
    r' (?:prints|shows|makes|names|and|or|then|for|with an? |after|as|where|whose|to)\b')
#: Stand-ins for placeholders, until one parses.
VALUES = ('dev-1', '5', 'relay', 'on', '203.0.113.5', '/tmp/file', '1330', 'robot prepare', 'workspace')
#: Programs that a next command names besides ours, all of them part of Ubuntu, ROS, tailscale or chrony.
KNOWN = set(
    'sudo systemctl journalctl nft ip getent resolvectl ping tracepath ssh cat ls df du mv rm mkdir chown chmod date '
    'timedatectl apt apt-get kill yes echo printf tee unset eval source tailscale iptables sort tail grep which pip '
    'pip3 make rosdep catkin_make tar sha256sum ss nsenter curl hostname modprobe less sed pgrep openssl cp stat edit '
    'findmnt'.split())


def is_error(call):
    name = ast.unparse(call.func).rpartition('.')[2]
    return name, bool(ERROR.search(name)) or name in POSITION


def advice(tree):
    """Yield (line, expression) of every next command in a module."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name, ours = is_error(node)
        if not ours:
            continue
        given = [word.value for word in node.keywords if word.arg == 'next_command']
        position = POSITION.get(name, 1)
        given += node.args[position:position + 1] if not any(isinstance(arg, ast.Starred) for arg in node.args) else []
        for expression in given:
            yield node.lineno, expression


def texts(expression):
    """Yield the string constants of an expression, joined where the source joins them."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            # "$(id -un 1000)" is one word.
            yield re.sub(r'\$\([^)]*\)', 'SUBSTITUTED', node.value)


def command_lines(text):
    """Yield the words after `ua-overlay` of every command of ours in a text."""
    for match in OURS.finditer(text):
        rest = text[match.end():]
        stated = END.split(rest, 1)[0].strip()
        yield stated


#: One parser for all command lines: it imports a command and adds its options once.
the_parser = functools.lru_cache(make_parser)


@functools.lru_cache(maxsize=None)
def parses(stated):
    """Return whether a command line parses, with some value for each placeholder."""
    holes = re.findall(r'\{\w*\}|\b[A-Z][A-Z_]+\b', stated)
    for values in itertools.product(VALUES, repeat=min(len(holes), 3)):
        filled = stated
        for hole, value in zip(holes, values + ('dev-1',) * len(holes)):
            filled = filled.replace(hole, value, 1)
        try:
            words = shlex.split(filled)
        except ValueError:
            continue
        with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
            try:
                the_parser().parse_args(complete(words))
                return True
            except SystemExit as end:
                if end.code == 0:
                    return True  # --help
    return False


def all_advice():
    for _, path in modules():
        tree = tree_of(path)
        for line, expression in advice(tree):
            for text in texts(expression):
                for stated in command_lines(text):
                    if stated in COMPLETED:
                        continue
                    yield '{}:{}'.format(os.path.relpath(path, ROOT), line), stated


def untypable(text):
    """Return the words behind a command of ours that a shell would take for its arguments, or None."""
    for match in OURS.finditer(text):
        rest = text[match.end():]
        end = END.search(rest)
        if end and not re.match(r'\s+#|;|\||"?\)|\n|$', rest[end.start():]):
            return rest[end.start():][:40]
    return None


#: Commands that a text names without giving all of their arguments: the caller completes them.
COMPLETED = ('team create', 'invite TEAM')


@pytest.mark.fault('K7', 'The next command of an error cannot be typed as it is printed',
                   behaviour='each one is parsed by the command\'s own parser, and its values are quoted for a shell',
                   reported='-', recovery='-', lost='nothing')
def test_every_command_line_of_ours_parses():
    wrong = sorted({(stated, where) for where, stated in all_advice() if not parses(stated)})
    assert not wrong, '\n'.join('{}: ua-overlay {}'.format(where, stated) for stated, where in wrong)


def test_what_follows_a_command_line_is_a_comment():
    """`ua-overlay server renew, on the server` gives the command `renew,` when it is copied."""
    wrong = sorted({'{}:{}: …{}'.format(os.path.relpath(path, ROOT), line, untypable(text))
                    for _, path in modules() for line, expression in advice(tree_of(path))
                    for text in texts(expression) if untypable(text)})
    assert not wrong, '\n'.join(wrong)


def test_every_value_in_a_command_line_is_quoted():
    """A path with a space is one word: advice.command quotes it, str.format and + do not."""
    wrong = []
    for _, path in modules():
        for line, expression in advice(tree_of(path)):
            for node in ast.walk(expression):
                text = unquoted(node)
                if text and (OURS.search(text) or re.match(r'(?:{})\b'.format('|'.join(sorted(KNOWN))), text)):
                    wrong.append('{}:{}: {}'.format(os.path.relpath(path, ROOT), line, text))
    assert not wrong, '\n'.join(wrong)


def unquoted(node):
    """Return the template of a text that is put together without quotes, or None."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == 'format' and \
            isinstance(node.func.value, ast.Constant) and not all(is_safe(arg) for arg in node.args):
        # What a comment holds is not typed.
        return node.func.value.value if '{' in str(node.func.value.value).split('   # ')[0] else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add) and isinstance(node.left, ast.Constant) and \
            isinstance(node.left.value, str) and not is_safe(node.right):
        return node.left.value
    return None


#: Names that hold words of the source: a subcommand, an option, a kernel module of a fixed set.
OURS_ONLY = ('command', 'option', 'name')


def is_safe(argument):
    """Whether a value needs no quotes: another text of the source, a number, a command of ours, what is quoted."""
    text = ast.unparse(argument)
    return isinstance(argument, ast.Constant) or text in OURS_ONLY or ' if ' in text or bool(re.match(
        r"(quoted|shlex\.quote|len|int|command|command_line|.*\.command|.*again|' '\.join)\(", text))


@pytest.mark.parametrize('source, found', [
    ("OverlayError('a', 'cat {}'.format(path))", True), ("OverlayError('a', 'cat ' + path)", True),
    ("OverlayError('a', command('cat {}', path))", False), ("OverlayError('a', 'cat {}'.format(quoted(path)))", False),
    ("OverlayError('a {}'.format(path), 'ls')", False)])
def test_what_counts_as_quoted(source, found):
    expressions = [expression for _, expression in advice(ast.parse(source))]
    assert any(unquoted(node) for expression in expressions for node in ast.walk(expression)) == found
