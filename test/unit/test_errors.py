"""Errors for people, and the list of all errors."""
import ast
import collections
import os

import pytest
from rooms import PACKAGE, modules, tree_of

from ua_overlay import errors
from ua_overlay.errors import OverlayError, Problem, UsageError

INDENT = '    '


def test_the_sentence_and_the_next_command():
    error = OverlayError('It is so.', 'do this')
    assert str(error) == 'It is so. Next: do this'
    assert (error.sentence, error.next_command, error.code, error.exit_status) == ('It is so.', 'do this', 'ERROR', 1)
    assert str(OverlayError('It is so.')) == 'It is so.'


def test_a_code_comes_from_the_class_or_the_instance():
    assert OverlayError('a', code='BUSY').code == 'BUSY'
    assert OverlayError('a').code == 'ERROR'
    assert (UsageError('a').code, UsageError('a').exit_status) == ('USAGE', 2)
    assert UsageError('a', code='X').code == 'X' and UsageError.code == 'USAGE'


def test_an_extended_sentence_is_shown_in_full():
    error = OverlayError('One.', 'do this')
    error.sentence += ' Two.'
    assert str(error) == 'One. Two. Next: do this'


@pytest.mark.parametrize('error, text', [(OverlayError('One.', 'do this', 'X'), 'One. Next: do this'),
                                         (OverlayError('One.', code='X'), 'One.')])
def test_an_error_as_a_problem(error, text):
    assert error.problem() == Problem('X', 'One.', error.next_command) and str(error.problem()) == text


Class = collections.namedtuple('Class', 'name base code module')


def classes(sources):
    """The exceptions in {module: tree}, as a list of Class; ``base`` is '' for those that are no OverlayError."""
    found = {}
    for module, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                base = next((getattr(each, 'id', getattr(each, 'attr', '')) for each in node.bases), '')
                code = next((part.value.value for part in node.body if isinstance(part, ast.Assign)
                             and part.targets[0].id == 'code'), '')
                found[node.name] = Class(node.name, base, code, module)

    def kind(name, depth=0):
        if name in ('OverlayError', 'Exception') or depth > 9 or name not in found:
            return name
        return kind(found[name].base, depth + 1)

    return [each if kind(name) == 'OverlayError' else each._replace(base='') for name, each in sorted(found.items())
            if kind(name) in ('OverlayError', 'Exception')]


def codes(sources, names):
    """{code that a place gives: names of the modules}: as `code='X'`, or as the third argument of an exception."""
    found = collections.defaultdict(set)
    for module, tree in sources.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = getattr(node.func, 'id', getattr(node.func, 'attr', ''))
                given = [word.value for word in node.keywords if word.arg == 'code']
                given += node.args[2:3] if called in names else []
                for value in given:
                    if isinstance(value, ast.Constant) and value.value:
                        found[value.value].add(module)
    return found


def listed(sources):
    """The list in errors.py."""
    found = classes(sources)

    def below(base, depth):
        for each in sorted(found, key=lambda item: (item.module, item.name)):
            if each.base == base:
                yield '{:34}{:20}{}'.format(INDENT * depth + each.name, each.code or '(as its base)', each.module)
                yield from below(each.name, depth + 1)

    given = codes(sources, {each.name for each in found if each.base})
    return '\n'.join(
        [INDENT + '{:30}{:20}{}'.format('OverlayError', 'ERROR', 'errors')] + list(below('OverlayError', 2)) +
        ['', 'Codes that replace the code of the class:', ''] +
        [INDENT + '{:20}{}'.format(code, ', '.join(sorted(given[code]))) for code in sorted(given)] +
        ['', 'Internal exceptions; the caller converts them to one of the above:', ''] +
        ['{:54}{}'.format(INDENT + each.name, each.module) for each in sorted(found, key=lambda item: item.module)
         if not each.base and each.name != 'OverlayError'])


def test_the_list_of_errors_is_complete():
    sources = {dotted: tree_of(path) for dotted, path in modules()}
    assert len(sources) > 200 and os.path.isdir(PACKAGE)
    assert listed(sources) in errors.__doc__, 'The list in errors.py has to be:\n' + listed(sources)


@pytest.mark.parametrize('source, line', [
    ('class A(OverlayError):\n    code = "A"', '        A                         A                   x.y'),
    ('class A(UsageError):\n    """Doc."""\nclass UsageError(OverlayError):\n    code = "USAGE"',
     '            A                     (as its base)       x.y'),
    ('class A(errors.OverlayError): pass\nraise A("a", "b", "BUSY")', '    BUSY                x.y'),
    ('def f():\n    return refuse("a", code="LATE")', '    LATE                x.y'),
    ('class Quiet(Exception): pass', '    Quiet                                             x.y')])
def test_lines_of_the_list(source, line):
    assert line in listed({'x.y': ast.parse(source)}).split('\n')


def test_an_error_shows_a_terminal_no_hidden_characters():
    error = errors.OverlayError('No robot \x1b]0;x\x07 in iris\u202e.', 'ua-overlay \x1b[2J')
    assert str(error) == r'No robot \x1b]0;x\x07 in iris\u202e. Next: ua-overlay \x1b[2J'
    assert str(error.problem()) == str(error) and error.args == (error.sentence,)
