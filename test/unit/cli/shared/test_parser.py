"""The parser: errors about mistyped words, modules that it loads, and the layout of help."""
import pytest

from ua_overlay.cli import main
from ua_overlay.cli.shared.parser import CommandParser, did_you_mean, from_module


def refused(capsys, line):
    """The output of an invalid command line on standard error."""
    with pytest.raises(SystemExit) as caught:
        main(line.split())
    captured = capsys.readouterr()
    assert caught.value.code == 2 and captured.out == ''
    usage, _, message = captured.err.rpartition('ua-overlay: ')
    assert usage.startswith('usage: ua-overlay')
    return message


@pytest.mark.parametrize('line, message', [
    ('statsu', 'There is no command `ua-overlay statsu`. Did you mean `status`? Next: ua-overlay --help'),
    ('robot perpare', 'There is no command `ua-overlay robot perpare`. Did you mean `prepare`? '
                      'Next: ua-overlay robot --help'),
    ('server rotate-ca swich', 'There is no command `ua-overlay server rotate-ca swich`. Did you mean `switch`? '
                               'Next: ua-overlay server rotate-ca --help'),
    ('xyzzy', 'There is no command `ua-overlay xyzzy`. Next: ua-overlay --help')])
def test_an_unknown_command(capsys, line, message):
    assert refused(capsys, line) == message + '\n'


@pytest.mark.parametrize('line, message', [
    ('status --jsno', '`ua-overlay status` has no option --jsno. Did you mean `--json`? '
                      'Next: ua-overlay status --help'),
    ('lab link set dev-1 --dealy=3ms', '`ua-overlay lab link set` has no option --dealy. Did you mean `--delay`? '
                                       'Next: ua-overlay lab link set --help'),
    ('invite iris dev-1 --exipres 3h', '`ua-overlay invite create` has no option --exipres. Did you mean `--expires`? '
                                       'Next: ua-overlay invite create --help'),
    ('invite --lifetme 3h', '`ua-overlay invite create` has no option --lifetme. '
                            'Next: ua-overlay invite create --help'),
    ('robot --jsno list', '`ua-overlay robot` has no option --jsno. Next: ua-overlay robot --help'),
    ('exec --wiat rosnode list', '`ua-overlay exec` has no option --wiat. Did you mean `--wait`? '
                                 'Next: ua-overlay exec --help')])
def test_an_unknown_option(capsys, line, message):
    assert refused(capsys, line) == message + '\n'


def test_an_unknown_option_is_reported_before_a_missing_one(capsys):
    assert refused(capsys, 'user set ana --taems iris').startswith(
        '`ua-overlay user set` has no option --taems. Did you mean `--teams`?')
    assert refused(capsys, 'user set ana').startswith('The following arguments are required: --teams.')


def test_an_extra_argument(capsys):
    assert refused(capsys, 'team remove iris blue') == \
        "`ua-overlay team remove` takes no argument 'blue'. Next: ua-overlay team remove --help\n"


def test_an_invalid_choice(capsys):
    assert refused(capsys, 'measure report x --format htm') == \
        "Argument --format: 'htm' is not one of html, pdf, csv. Did you mean `html`? " \
        'Next: ua-overlay measure report --help\n'


def test_a_value_of_the_wrong_kind(capsys):
    assert refused(capsys, 'exec --wait --timeout soon true') == \
        "Argument --timeout: 'soon' is not a number of seconds such as 30. Next: ua-overlay exec --help\n"


def test_a_missing_command_names_no_option(capsys):
    assert refused(capsys, 'robot') == 'The following arguments are required: COMMAND. Next: ua-overlay robot --help\n'


@pytest.mark.parametrize('word, answer', [('statu', ' Did you mean `status`?'), ('zzz', ''), ('', '')])
def test_the_most_similar_word(word, answer):
    assert did_you_mean(word, ['status', 'doctor']) == answer


@pytest.fixture
def parser():
    """`ua-overlay lab exec` alone, with an argument, an option and a command line."""
    def configure(parser):
        parser.add_argument('host')
        parser.add_argument('--user')
        parser.add_command_line()

    return CommandParser(('lab', 'exec'), configure)


@pytest.mark.parametrize('words, user, argv', [
    ('dev-1 -- bash -c x', None, ['bash', '-c', 'x']), ('dev-1 bash', None, ['bash']),
    ('dev-1 --user robot -- a -- b', 'robot', ['a', '--', 'b']), ('dev-1 -- --user x', None, ['--user', 'x'])])
def test_a_command_line_after_two_hyphens_is_unchanged(parser, words, user, argv):
    args = parser.parse_args(words.split())
    assert (args.host, args.user, args.argv) == ('dev-1', user, argv)


def test_a_command_line_is_required(parser, capsys):
    with pytest.raises(SystemExit):
        parser.parse_args(['dev-1'])
    assert 'ua-overlay: Give a command, such as `-- bash`. Next: ua-overlay lab exec --help' in capsys.readouterr().err


def test_a_parser_is_filled_once_on_first_use():
    filled = []
    parser = CommandParser((), lambda parent: parent.add_command('status', filled.append))
    parser.format_help()
    assert filled == []
    status = parser.commands()[0]
    status.format_help()
    status.parse_args([])
    assert filled == [status]


def test_a_module_is_imported_when_its_parser_is_filled():
    with pytest.raises(ModuleNotFoundError):
        CommandParser((), from_module('ua_overlay.cli.no_such_module')).format_help()
    parser = CommandParser(('leave',), from_module('ua_overlay.cli.leave'))
    assert '--forget' in parser.format_help()


def test_every_command_has_a_help_line():
    with pytest.raises(KeyError):
        CommandParser().add_command('dance', lambda parser: None)


def test_paragraphs_are_wrapped_and_indented_text_is_kept(monkeypatch):
    monkeypatch.setenv('COLUMNS', '50')
    parser = CommandParser()
    parser.describe('One two three four five six seven\neight nine ten.\n\n  kept   as\n  it is', 'the end')
    assert parser.format_help() == (
        'usage: ua-overlay [-h]\n\nOne two three four five six seven eight nine\nten.\n\n  kept   as\n  it is\n\n'
        'options:\n  -h, --help  show this help message and exit\n\nthe end\n')
