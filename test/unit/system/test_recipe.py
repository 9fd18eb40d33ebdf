"""Recipes and their applier below a directory of the test; real commands. What each purpose makes of it stands in its
tests: test/unit/tailscale/test_prepare.py has the longest recipe."""
import os

import pytest

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system.recipe import (
    Applier,
    Command,
    Directory,
    File,
    Recipe,
    describe,
    holds,
    run_command,
    uid_of,
)

CONF = '/etc/thing.conf'


class Machine:
    """A root directory, and the commands that ran there; ``true`` holds the argvs that end with status 0."""

    def __init__(self, path):
        self.path, self.ran, self.true, self.fail = str(path), [], set(), None

    def applier(self, purpose='thing'):
        return Applier('{}/{}.json'.format(defaults.CONFIG_DIR, purpose), 'sudo do it again', self.path, self.run, None,
                       lambda argv: ' '.join(argv) in self.true)

    def run(self, argv):
        self.ran.append(' '.join(argv))
        if self.ran[-1] == self.fail:
            raise OverlayError('It failed.')

    def read(self, path):
        with open(self.path + path) as stream:
            return stream.read()

    def tree(self):
        return sorted(os.path.join(folder, name)[len(self.path):] for folder, folders, names in os.walk(self.path)
                      for name in folders + names)


@pytest.fixture
def machine(tmp_path):
    (tmp_path / 'etc').mkdir()
    return Machine(tmp_path)


def recipe(text='one\n', path=CONF, **fields):
    return Recipe((File(path, text, 0o640),), **dict(dict(directories=(), commands=(), by_hand=()), **fields))


def test_a_recipe_as_text():
    plan = recipe(directories=(Directory('/srv/x', 'ana'),), by_hand=('Start it.',), commands=(
        Command(('load', 'it')), Command(('reload',), (CONF,)), Command(('enable',), unless=('is-enabled',))))
    assert describe(plan) == ['write /etc/thing.conf (0640)', 'make /srv/x for ana', 'run load it',
                              'run reload (when something changed)', 'run enable (unless that is done)',
                              'by hand: Start it.']


def test_commands_run_when_needed(machine):
    plan = recipe(commands=(Command(('always',)), Command(('changed',), (CONF,)),
                            Command(('enable',), unless=('is-enabled',))))
    assert machine.applier().apply(plan) == {CONF} and machine.ran == ['always', 'changed', 'enable']
    machine.ran.clear()
    machine.true.add('is-enabled')
    assert machine.applier().apply(plan) == set() and machine.ran == ['always']


def test_the_next_run_continues_after_a_failure(machine):
    plan = recipe(commands=(Command(('first',), (CONF,)), Command(('second',), (CONF,))))
    machine.fail = 'second'
    with pytest.raises(OverlayError):
        machine.applier().apply(plan)
    machine.fail = None
    machine.ran.clear()
    assert machine.applier().apply(plan) == set() and machine.ran == ['first', 'second']


def test_undo_restores_files_and_reverts_commands_in_reverse_order(machine):
    with open(machine.path + CONF, 'w') as stream:
        stream.write('mine\n')
    before = machine.tree()
    plan = recipe(directories=(Directory('/srv', 'root'),), commands=(
        Command(('a',), undo=('undo', 'a')), Command(('b',), undo=('undo', 'b')), Command(('c',))))
    machine.applier().apply(plan)
    machine.applier().apply(plan)
    assert machine.applier().applied() and machine.read(CONF) == 'one\n'
    machine.ran.clear()
    assert machine.applier().undo([['stop']], [['reload']]) == []
    assert machine.ran == ['stop', 'undo b', 'undo a', 'reload']
    assert machine.read(CONF) == 'mine\n' and machine.tree() == before and machine.applier().undo() is None


def test_purposes_do_not_affect_each_other(machine):
    machine.applier().apply(recipe())
    machine.applier('other').apply(recipe('two\n', '/etc/other.conf'))
    machine.applier().undo()
    assert machine.read('/etc/other.conf') == 'two\n' and machine.applier('other').applied()
    machine.applier('other').undo()
    assert machine.tree() == ['/etc']


def test_files_edited_since_are_kept_and_named(machine):
    machine.applier().apply(recipe(directories=(Directory('/srv', 'root'),)))
    for path in (CONF, '/srv/data'):
        with open(machine.path + path, 'a') as stream:
            stream.write('mine\n')
    assert machine.applier().undo() == ['Somebody changed /etc/thing.conf; it is left as it is.',
                                        '/srv is not empty; it is left as it is.']


def test_an_unwritable_file_is_named(machine):
    os.mkdir(machine.path + CONF)
    with pytest.raises(OverlayError, match='/etc/thing.conf cannot be written: Is a directory') as caught:
        machine.applier().apply(recipe())
    assert caught.value.next_command == 'sudo do it again'


def test_a_damaged_manifest_is_named(machine):
    machine.applier().remember('owner', [1, 2])
    assert machine.applier().remembered('owner') == [1, 2] and machine.applier().remembered('other') is None
    with open(machine.path + defaults.CONFIG_DIR + '/thing.json', 'w') as stream:
        stream.write('{')
    with pytest.raises(OverlayError, match='thing.json is damaged') as caught:
        machine.applier().remembered('owner')
    assert caught.value.next_command == 'sudo rm /etc/ua_overlay/thing.json'


@pytest.mark.parametrize('argv, words', [
    (['/bin/sh', '-c', 'echo first.; echo second; exit 3'], 'failed: first.'),
    (['/bin/sh', '-c', 'exit 3'], 'failed: 3'),
    (['no-such-program'], 'There is no no-such-program'), (['/bin/true'], None)])
def test_real_commands(argv, words):
    assert holds(argv) == (words is None)
    if words is None:
        return run_command(argv)
    with pytest.raises(OverlayError) as caught:
        run_command(argv)
    assert words in caught.value.sentence


def test_users():
    assert uid_of('root') == (0, 0)
    with pytest.raises(UsageError, match='no user nobody-of-that-name'):
        uid_of('nobody-of-that-name')
