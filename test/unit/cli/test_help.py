"""The table of help lines, and its readers."""
import pytest

from ua_overlay.cli import make_parser
from ua_overlay.cli.help import GROUPS, HELP

#: First words of help lines.
VERBS = frozenset((
    'Add Back Build Change Check Choose Close Convert Create Delete Diagnose Find Join Keep Leave Let List Make '
    'Measure Move Prepare Print Prove Put Probe Record Remove Renew Replace Restore Return Revoke Run Set Show Shut '
    'Start Stop Take Turn').split())


def test_the_table_and_the_parsers_have_the_same_commands():
    assert sorted(' '.join(parser.words) for parser in make_parser().walk() if parser.words) == sorted(HELP)


def test_commands_are_listed_in_the_order_of_the_table():
    for parser in make_parser().walk():
        names = [' '.join(command.words) for command in parser.commands()]
        assert names == sorted(names, key=list(HELP).index)


@pytest.mark.parametrize('words', HELP)
def test_a_help_line_is_an_imperative_sentence_of_one_line(words):
    line = HELP[words]
    assert line.split()[0].rstrip(',') in VERBS and not line.endswith('.')
    # Behind the longest name of a command, in a terminal of 80 columns.
    assert len(line) <= 64


@pytest.mark.parametrize('words', HELP)
def test_the_help_of_the_parent_prints_the_line(words, monkeypatch):
    monkeypatch.setenv('COLUMNS', '80')
    parent, _, name = words.rpartition(' ')
    page = next(parser for parser in make_parser().walk() if ' '.join(parser.words) == parent).format_help()
    assert [name, HELP[words]] in [line.split(None, 1) for line in page.splitlines()]


def test_groups_are_the_commands_of_one_word():
    assert GROUPS[:2] == ('status', 'links') and 'robot prepare' not in GROUPS
