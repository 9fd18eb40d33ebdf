"""A value that holds a secret does not show it: not in a repr, which tracebacks, logs and failed assertions print."""
import ast

import pytest
from paths import ROOT
from rooms import modules, room_of, tree_of

#: Parts of the names of fields that hold a secret.
SECRET = ('key', 'secret', 'token', 'password')
#: Rooms whose keys are those of mappings.
ROOMS_APART = ('lab', 'measure', 'wire')
#: {(module, class, field): why it is none}.
EXCEPTIONS = {
    ('site.invitation_list', 'ListedInvitation', 'key'): 'the id of a key',
}


def is_value(node):
    """Whether a class is a dataclass or a NamedTuple: Python makes their repr."""
    names = [ast.unparse(each) for each in node.decorator_list + node.bases]
    return any('dataclass' in name or 'NamedTuple' in name for name in names)


def shown(tree):
    """(class, field) of every field that may hold a secret and is part of a repr."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef) or not is_value(node):
            continue
        for each in node.body:
            if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
                continue
            name, kind = each.target.id, ast.unparse(each.annotation)
            secret = any(part in name.split('_') for part in SECRET) and ('str' in kind or 'bytes' in kind)
            public = name.endswith(('_id', '_file', '_path')) or name.startswith('public_')
            if secret and not public and 'repr=False' not in (ast.unparse(each.value) if each.value else ''):
                yield node.name, name


@pytest.mark.parametrize('dotted, path', [found for found in modules() if room_of(found[0]) not in ROOMS_APART],
                         ids=lambda value: value.replace(ROOT, ''))
def test_no_repr_shows_a_secret(dotted, path):
    found = [(dotted, *each) for each in shown(tree_of(path))]
    assert [each for each in found if each not in EXCEPTIONS] == []


def test_every_exception_is_still_needed():
    there = {(dotted, *each) for dotted, path in modules() for each in shown(tree_of(path))}
    assert sorted(set(EXCEPTIONS) - there) == []


@pytest.mark.parametrize('source, found', [
    ('@dataclass\nclass A:\n    key: str', [('A', 'key')]),
    ('class A(NamedTuple):\n    api_key: str', [('A', 'api_key')]),
    ('@dataclass(frozen=True)\nclass A:\n    key: str = field(repr=False)', []), ('class A:\n    key: str', []),
    ('@dataclass\nclass A:\n    key_id: str\n    keys: int', [])])
def test_detected_fields(source, found):
    assert list(shown(ast.parse(source))) == found
