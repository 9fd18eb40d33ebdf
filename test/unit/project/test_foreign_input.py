"""What comes from outside this process has one way in: threads, files, JSON and YAML are reached by one module each.

findings.md's kinds K1 and K4 were each a dozen places that called Python's own functions.
"""
import ast

import pytest
from paths import ROOT
from rooms import modules, room_of, tree_of

#: {function as it is called: (the module that may call it, what others call)}.
WAYS = {
    'threading.Thread': ('system.thread', 'SupervisedThread'),
    'open': ('system.foreign_file', 'foreign_file.read'),
    'json.load': ('system.foreign_json', 'foreign_json.parse'),
    'json.loads': ('system.foreign_json', 'foreign_json.parse'),
    'yaml.load': ('system.schema', 'schema.load'),
    'yaml.safe_load': ('system.schema', 'schema.load'),
}
#: Rooms that read only what they made a moment before, on one machine, as one user.
ROOMS_APART = ('lab', 'wire')
#: {(module, function): why it needs another way}.
EXCEPTIONS = {
    ('system.deadline', 'threading.Thread'): 'hands the exception to the caller, who waits for it',
    ('checks.observe.packets', 'open'): 'of /sys',
    ('checks.observe.processes', 'open'): 'of /proc',
    ('firewall.guard', 'open'): 'of /proc',
    ('system.instance', 'open'): 'of /proc',
    ('system.leftovers', 'open'): 'of /proc',
    ('system.process', 'open'): 'of /proc',
    ('system.procnet', 'open'): 'of /proc',
    ('system.supervised', 'open'): 'the log that its own child has just written',
    ('tailscale.daemon_proxy', 'open'): 'of /proc',
    ('tailscale.other_daemons', 'open'): 'of /proc',
}


def calls(tree):
    """(line, function of WAYS) of every call of one; of open, only for reading a file by its path."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func)
        if name == 'open' and (writes(node) or ast.unparse(node.args[0]).startswith('os.open(')):
            continue
        if name in WAYS:
            yield node.lineno, name


def writes(call):
    """Whether a call of open names a mode that writes."""
    modes = call.args[1:2] + [word.value for word in call.keywords if word.arg == 'mode']
    return any(isinstance(mode, ast.Constant) and set('wax+') & set(mode.value) for mode in modes)


def problems(dotted, tree):
    for line, name in calls(tree):
        home, instead = WAYS[name]
        if dotted != home and (dotted, name) not in EXCEPTIONS:
            yield 'line {}: {} is for {}; call {}'.format(line, name, home, instead)


@pytest.mark.parametrize('dotted, path', [found for found in modules() if room_of(found[0]) not in ROOMS_APART],
                         ids=lambda value: value.replace(ROOT, ''))
def test_threads_files_and_texts_have_one_way_in(dotted, path):
    assert list(problems(dotted, tree_of(path))) == []


#: Modules that ask isdigit() of what cannot hold other digits: names below /proc, of our own files, of the DNS.
KERNELS_DIGITS = {'digits', 'lab.state', 'lab.host', 'lab.leftovers', 'system.process', 'trust.names'}


@pytest.mark.parametrize('dotted, path', modules(), ids=lambda value: value.replace(ROOT, ''))
def test_numbers_have_one_way_in(dotted, path):
    """'²'.isdigit() is true, and int('²') raises."""
    used = [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Attribute)
            and node.attr in ('isdigit', 'isnumeric', 'isdecimal')]
    assert not used or dotted in KERNELS_DIGITS, 'line {}: call digits.is_number'.format(used[0])


def test_every_exception_is_still_needed():
    there = {(dotted, name) for dotted, path in modules() for _, name in calls(tree_of(path))}
    assert sorted(set(EXCEPTIONS) - there) == []


@pytest.mark.parametrize('source, wrong', [
    ('threading.Thread(target=f)', True), ('open(path)', True), ('open(path, "rb")', True), ('json.loads(x)', True),
    ('yaml.safe_load(x)', True), ('open(path, "w")', False), ('open(path, mode="ab")', False),
    ('open(os.open(path, 1), "wb")', False), ('tarfile.open(path)', False), ('threading.Lock()', False),
    ('json.dumps(x)', False)])
def test_detected_calls(source, wrong):
    assert bool(list(problems('x.y', ast.parse(source)))) == wrong
