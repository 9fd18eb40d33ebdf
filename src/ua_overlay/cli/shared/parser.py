"""The parser of every command: filled when it is used, with help lines from one table and "did you mean"."""
import argparse
import importlib
import sys
import textwrap
from typing import IO, Any, Callable, Iterable, Iterator, List, NoReturn, Optional, Sequence, Tuple

from ua_overlay.cli.help import HELP
from ua_overlay.cli.shared.exit_status import INVALID

#: The first word of every usage line.
PROGRAM = 'ua-overlay'


class HelpFormatter(argparse.HelpFormatter):
    """Fills paragraphs to the width of the terminal, and keeps the line breaks of a paragraph with an indented line.

    Options and file names are not broken at their hyphens.
    """

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return '\n\n'.join(self._fill_paragraph(paragraph, width, indent) for paragraph in text.split('\n\n'))

    def _fill_paragraph(self, text: str, width: int, indent: str) -> str:
        lines = text.splitlines()
        if any(line.startswith(' ') for line in lines):
            return '\n'.join(indent + line for line in lines)
        return '\n'.join(indent + line for line in self._split_lines(text, width - len(indent)))

    def _split_lines(self, text: str, width: int) -> List[str]:
        return textwrap.wrap(' '.join(text.split()), width, break_on_hyphens=False, break_long_words=False)

    def _format_action(self, action: argparse.Action) -> str:
        # Only the commands: the line COMMAND above them repeats their heading.
        if isinstance(action, argparse._SubParsersAction):
            return ''.join(self._format_action(each) for each in action._get_subactions())
        return super()._format_action(action)


class CommandParser(argparse.ArgumentParser):
    """The parser of ``ua-overlay WORDS``. It is filled when the command is used or its help is printed, so a command
    imports only the modules that it needs.

    :param words: the words behind `ua-overlay`; () for the program itself.
    :param configure: adds description, arguments and commands to this parser; called once.
    """

    def __init__(self, words: Tuple[str, ...] = (), configure: Optional['Configure'] = None, **options: Any) -> None:
        options['prog'] = ' '.join((PROGRAM,) + words)
        super().__init__(formatter_class=HelpFormatter, **options)
        # The same words in every version of Python: before 3.10 options were 'optional arguments'.
        self._optionals.title, self._positionals.title = 'options', 'arguments'
        self.words = words
        self._configure = configure
        self._commands: Optional['argparse._SubParsersAction[CommandParser]'] = None
        self._takes_command_line = False
        self._argv: Sequence[str] = ()

    def describe(self, description: str, epilog: str = '') -> None:
        """Set what --help prints above and below the options."""
        self.description, self.epilog = description, epilog or None

    def add_command(self, name: str, configure: 'Configure') -> None:
        """Add the command ``name``.

        :raises KeyError: cli/help.py has no line for it.
        """
        if self._commands is None:
            self._commands = self.add_subparsers(title='commands', metavar='COMMAND', required=True,
                                                 parser_class=CommandParser, prog=self.prog)
            # Above the options: the command must be chosen first.
            self._action_groups.insert(0, self._action_groups.pop())
        words = self.words + (name,)
        self._commands.add_parser(name, help=HELP[' '.join(words)], words=words, configure=configure)

    def add_json(self) -> None:
        """Add --json."""
        self.add_argument('--json', action='store_true', help='print JSON')

    def add_command_line(self) -> None:
        """Accept the command line of another program: args.argv (list of str). Everything behind the first `--` is
        kept unchanged; argparse would drop a second `--`."""
        self.add_argument('argv', metavar='CMD', nargs='*', help='the command and its arguments, after `--`')
        self._takes_command_line = True

    def commands(self) -> List['CommandParser']:
        """The parsers of the commands below this one, in the order of --help; [] for a command without any."""
        self._load()
        return list(self._commands.choices.values()) if self._commands is not None else []

    def walk(self) -> Iterator['CommandParser']:
        """This parser and every one below it, all of them filled."""
        yield self
        for command in self.commands():
            yield from command.walk()

    def parse_known_args(  # type: ignore[override]  # typeshed lists overloads for namespaces of other classes
            self, args: Optional[Sequence[str]] = None,
            namespace: Optional[argparse.Namespace] = None) -> Tuple[argparse.Namespace, List[str]]:
        """Parse as argparse does, but report an unknown argument here, with the usage of its own command."""
        self._load()
        argv = sys.argv[1:] if args is None else list(args)
        cut = argv.index('--') if self._takes_command_line and '--' in argv else len(argv)
        self._argv = argv[:cut]
        parsed, extra = super().parse_known_args(argv[:cut], namespace)
        if extra:
            self.error(self._describe_extra(extra))
        if self._takes_command_line:
            parsed.argv = parsed.argv + argv[cut + 1:]
            if not parsed.argv:
                self.error('give a command, such as `-- bash`')
        return parsed, []

    def format_help(self) -> str:
        self._load()
        return super().format_help()

    def print_help(self, file: Optional[IO[str]] = None) -> None:
        """Print the help, and raise what that raises: argparse ignores it (_print_message, Python 3.12)."""
        print(self.format_help(), end='', file=file or sys.stdout)

    def error(self, message: str) -> NoReturn:
        """Print the usage and ``message``, and exit with INVALID."""
        if 'arguments are required' in message:
            # A mistyped option explains more: `user set ana --taems iris` does give --teams.
            unknown = [word for word in self._argv if self._is_unknown_option(word)]
            message = self._describe_extra(unknown) if unknown else message
        self.print_usage(sys.stderr)
        sentence = message[:1].upper() + message[1:] + ('' if message.endswith(('.', '?')) else '.')
        self.exit(INVALID, '{}: {} Next: {} --help\n'.format(PROGRAM, sentence, self.prog))

    def _load(self) -> None:
        configure, self._configure = self._configure, None
        if configure is not None:
            configure(self)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        choices = [str(choice) for choice in action.choices]
        if action is self._commands:
            self.error('There is no command `{} {}`.{}'.format(self.prog, value, did_you_mean(str(value), choices)))
        raise argparse.ArgumentError(action, '{!r} is not one of {}.{}'.format(
            value, ', '.join(choices), did_you_mean(str(value), choices)))

    def _describe_extra(self, extra: Sequence[str]) -> str:
        option = next((word.split('=', 1)[0] for word in extra if word.startswith('-') and word != '-'), None)
        if option is None:
            return '`{}` takes no argument {!r}.'.format(self.prog, extra[0])
        return '`{}` has no option {}.{}'.format(self.prog, option, did_you_mean(option, self._option_string_actions))

    def _is_unknown_option(self, word: str) -> bool:
        option = word.split('=', 1)[0]
        return option.startswith('--') and option != '--' and not any(
            known.startswith(option) for known in self._option_string_actions)


#: Fills a parser.
Configure = Callable[[CommandParser], None]


def from_module(module: str, function: str = 'configure') -> Configure:
    """A Configure that imports ``module`` first, when the parser is filled, and calls its ``function``."""
    def configure(parser: CommandParser) -> None:
        getattr(importlib.import_module(module), function)(parser)

    return configure


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """' Did you mean `status`?' with the most similar of ``words``; '' when none is similar."""
    # Imported only for an error: it would cost every start a millisecond.
    import difflib
    similar = difflib.get_close_matches(word, list(words), n=1)
    return ' Did you mean `{}`?'.format(similar[0]) if similar else ''
