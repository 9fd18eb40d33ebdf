"""Every command, option, link and path in the pages exists, and so does every command of the playbook."""
import functools
import glob
import os
import re
import shlex

import pytest
import yaml
from paths import ROOT

from ua_overlay.cli import GROUPS, complete, make_parser

PAGES = sorted(os.path.relpath(path, ROOT) for pattern in ('*.md', 'docs/*.md', '*/README.md', '*/*/README.md')
               for path in glob.glob(os.path.join(ROOT, pattern)))
#: Folders at the top of the checkout: what begins with one of them is a path.
FOLDERS = ('ansible', 'bench', 'config', 'dev', 'docs', 'env-hooks', 'launch', 'requirements', 'scripts', 'src', 'test',
           'toolchain')
#: Where the words of a command end: a comment, a pipe, a redirection, an omission.
END = re.compile(r'\s+#.*|\s*[|;><…].*')
#: A command: after our program's name, or a group with its subcommand.
NAMED = re.compile(r'(?:^|[ =/])ua-overlay (.+)')
SHORT = re.compile(r'((?:{}) [a-z][a-z-]* ?.*)'.format('|'.join(GROUPS)))


def read(page):
    with open(os.path.join(ROOT, page), encoding='utf-8') as stream:
        return stream.read()


def commands(text):
    """Yield (words after `ua-overlay`, whether that is a whole command) for each command line and inline command."""
    lines = [(line, True) for line in re.findall(r'^    (?!#)(.*)$', text, re.MULTILINE)]
    for line, whole in lines + [(part, False) for part in re.findall(r'`([^`\n]+)`', text)]:
        for part in line.split(' && '):
            match = NAMED.search(part) or (None if whole else SHORT.match(part))
            if match:
                stated = match.group(1).split('  #')[0].rstrip()
                words = END.sub('', stated)
                yield shlex.split(re.sub(r'\$\([^)]*\)|[][]', '', words)), whole and words == stated


#: One parser for all pages.
the_parser = functools.lru_cache(make_parser)


def unknown(words):
    """Return a sentence about the first word of a command that `ua-overlay` does not know, or None."""
    parser = the_parser()
    for word in complete(words):
        option = word.split('=')[0]
        commands_here = {command.words[-1]: command for command in parser.commands()}
        if commands_here and not word.startswith('-'):
            if not re.match('[a-z]', word):
                return None  # COMMAND
            if word not in commands_here:
                return '{}: no command {}'.format(parser.prog, word)
            parser = commands_here[word]
        elif {'argv', 'command'} & {action.dest for action in parser._actions} and not word.startswith('-'):
            return None  # another program's words
        elif option.startswith('--') and option != '--' and option not in parser._option_string_actions:
            return '{}: no option {}'.format(parser.prog, option)
    return None


def refused(words, capsys):
    """Return the parser's error about a whole command, or None."""
    try:
        the_parser().parse_args(complete(words))
    except SystemExit:
        return '{}: {}'.format(' '.join(words), capsys.readouterr().err.splitlines()[-1])
    return None


@pytest.mark.parametrize('page', PAGES)
def test_every_command_and_option_exists(page, capsys):
    for words, whole in commands(read(page)):
        assert unknown(words) is None, ' '.join(words)
        assert not whole or refused(words, capsys) is None


def argvs(value):
    """Yield the words of every `argv` in a task file of Ansible; of a template those in quotes, if the group is one."""
    for item in value if isinstance(value, list) else []:
        yield from argvs(item)
    for key, item in value.items() if isinstance(value, dict) else []:
        if key == 'argv' and isinstance(item, list):
            yield [str(word) for word in item]
        elif key == 'argv' and re.search("/ua-overlay', *'", item):
            yield re.findall("'([^']*)'", item)
        else:
            yield from argvs(item)


def test_every_command_of_the_playbook_exists():
    checked = 0
    for path in glob.glob(os.path.join(ROOT, 'ansible', 'roles', '*', 'tasks', '*.yml')):
        for argv in argvs(yaml.safe_load(read(path))):
            program = next((index for index, word in enumerate(argv) if word.endswith('/ua-overlay')), None)
            if program is not None and '{{' not in argv[program + 1]:
                checked += 1
                assert unknown(argv[program + 1:]) is None, (path, argv)
    assert checked > 15


def anchors(text):
    """Return the anchors that the headings of a page have on a forge."""
    headings = re.findall(r'^#+ (.*)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES)
def test_every_link_has_a_target(page):
    for target in re.findall(r'\]\(([^)\s]+)\)', read(page)):
        path, _, anchor = target.partition('#')
        if not re.match('https?:', target):
            path = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
            assert os.path.exists(os.path.join(ROOT, path)), target
            assert not anchor or anchor in anchors(read(path)), target


@pytest.mark.parametrize('page', PAGES)
def test_every_path_exists(page):
    for path in re.findall(r'(?<![\w./~-])(?:{})/[\w./-]*\w'.format('|'.join(FOLDERS)), read(page)):
        assert os.path.exists(os.path.join(ROOT, path)), path


@pytest.mark.parametrize('page', PAGES)
def test_every_module_exists(page):
    """`tailscale/watcher.py` is below src/ua_overlay."""
    for path in re.findall(r'`(\w+/[\w/]+\.py)`', read(page)):
        assert any(os.path.exists(os.path.join(ROOT, folder, path)) for folder in ('', 'src/ua_overlay')), path


def test_pages_are_collected():
    assert {'README.md', 'CONTRIBUTING.md', 'docs/operate.md', 'docs/results/README.md'} <= set(PAGES)


def test_commands_are_extracted():
    text = '''    sudo ua-overlay server init --name a  # why
    # ua-overlay nothing
    x && /y/ua-overlay status | z
See `ua-overlay exec [--wait] CMD…`, `relay run`, `relay`, `test status x` and `tools install a && b`.'''
    assert list(commands(text)) == [
        (['server', 'init', '--name', 'a'], True), (['status'], False), (['exec', '--wait', 'CMD'], False),
        (['relay', 'run'], False), (['tools', 'install', 'a'], False)]


@pytest.mark.parametrize('words, sentence', [
    ('server init --name a', None), ('server start', 'ua-overlay server: no command start'),
    ('team create iris --port 1', 'ua-overlay team create: no option --port'), ('COMMAND --help', None),
    ('exec --local rostopic list --nothing', None), ('invite iris dev-1 --master', None),
    ('nothing here', 'ua-overlay: no command nothing')])
def test_unknown_commands(words, sentence):
    assert unknown(words.split()) == sentence


def test_command_lines_refused_by_the_parser(capsys):
    assert refused(['team', 'create', 'iris'], capsys) is None
    assert 'required' in refused(['team', 'create'], capsys)


def test_anchors():
    assert anchors('# A b-c\ntext\n## What it does, and why: `x`\n') == {'a-b-c', 'what-it-does-and-why-x'}
