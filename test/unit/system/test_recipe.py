"""Recipes and their applier below a directory of the test; real commands. What each purpose makes of it stands in its
tests: test/unit/tailscale/test_prepare.py has the longest recipe."""
import os

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system import ownership
from ua_overlay.system.instance import AlreadyRunning
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
    assert machine.applier().undo() == ['/etc/thing.conf stays: it was changed since.', '/srv stays: it is not empty.']


def test_an_unwritable_file_is_named(machine):
    os.mkdir(machine.path + CONF)
    with pytest.raises(OverlayError, match='/etc/thing.conf cannot be written: Not a regular file but a dir') as caught:
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


def sparse(path):
    with open(path, 'wb') as stream:
        stream.truncate(1 << 40)


@pytest.mark.fault('K4', 'A FIFO or a device stands where a recipe writes', behaviour='the command refuses and names '
                   'it; nothing is replaced', reported='at once', recovery='when it is removed', lost='nothing')
@pytest.mark.parametrize('place, words', [
    (os.mkfifo, 'Not a regular file but a FIFO'), (os.mkdir, 'Not a regular file but a directory'),
    (lambda path: os.symlink('/dev/zero', path), 'Not a regular file but a device'),
    (sparse, 'Longer than 16777216 bytes')])
def test_an_odd_target(machine, place, words):
    place(machine.path + CONF)
    with pytest.raises(OverlayError) as caught:
        machine.applier().apply(recipe())
    assert words in caught.value.sentence and CONF in caught.value.sentence
    assert caught.value.next_command == 'sudo do it again'


def test_an_odd_target_is_left_alone_at_the_end(machine):
    machine.applier().apply(recipe())
    os.unlink(machine.path + CONF)
    os.mkfifo(machine.path + CONF)
    assert machine.applier().undo() == ['{} stays: it was changed since.'.format(CONF)]


@pytest.mark.parametrize('text', ['', '[]', '{"files": []}', '{"files": {"/x": 1}}', '{"undo": "x"}', '{"undo": [[]]}',
                                  '{"files": {"/x": {"before": "../../x", "mode": 1, "wrote": ""}}}', '[' * 100000,
                                  '{"owners": {"/x": ["a", "b"]}}', '{"made": [1]}', '{"a": 1e999}', '\xff'])
def test_a_damaged_manifest(machine, text):
    os.makedirs(machine.path + defaults.CONFIG_DIR)
    path = machine.path + defaults.CONFIG_DIR + '/thing.json'
    with open(path, 'w', encoding='latin-1') as stream:
        stream.write(text)
    for call in (lambda: machine.applier().apply(recipe()), lambda: machine.applier().undo()):
        with pytest.raises(OverlayError, match='is damaged'):
            call()
    os.unlink(path)
    os.mkfifo(path)
    with pytest.raises(OverlayError, match='Not a regular file but a FIFO'):
        machine.applier().undo()


@pytest.mark.fault('K5', "A directory above a file of root's belongs to another user", behaviour='the command refuses '
                   'and names the directory and the user', reported='at once', recovery='with the command that it '
                   'recommends', lost='nothing')
@pytest.mark.skipif(os.geteuid() != 0, reason='Only root can give directories to others.')
def test_another_users_directory(machine):
    os.chown(machine.path + '/etc', 65534, 65534)
    with pytest.raises(ownership.Unsafe) as caught:
        machine.applier().apply(recipe(directories=(Directory('/srv/x', 'root'),)))
    assert caught.value.sentence == (
        'The place of {0} is not safe: {1}/etc belongs to the user nobody, who could put something else there, and '
        'root would run by it.'.format(CONF, machine.path))
    assert caught.value.next_command == 'sudo chown root {}/etc'.format(machine.path)
    assert machine.tree() == ['/etc'], 'nothing was changed'
    os.chown(machine.path + '/etc', 0, 0)
    assert CONF in machine.applier().apply(recipe())


@needs_root
def test_a_full_disk_is_named(tmp_path):
    with small_file_system(tmp_path / 'small') as small:
        os.mkdir(small.path + '/etc')
        machine = Machine(small.path)
        machine.applier().apply(recipe())
        small.fill()
        for text in ('x' * 9000, 'y' * 9000):
            with pytest.raises(OverlayError, match='the file system {} is full'.format(small.path)) as caught:
                machine.applier().apply(recipe(text))
            assert caught.value.next_command == 'df -h ' + small.path and machine.read(CONF) == 'one\n'
        small.free()
        assert machine.applier().apply(recipe('two\n')) == {CONF} and machine.applier().undo() == []


@pytest.mark.fault('case 13', 'The first run of robot prepare left an egress rule that the kernel refuses',
                   behaviour='the next run with --no-egress removes its files and its unit',
                   reported='at once: the command lists what it removed', recovery='with that run', lost='nothing')
def test_what_a_recipe_no_longer_has_is_taken_back(machine):
    """An option was left out: its file, its unit and its command go, and what stood there before comes back."""
    unit = '/etc/systemd/system/thing.service'
    os.makedirs(machine.path + '/etc/systemd/system')
    with open(machine.path + CONF, 'w') as stream:
        stream.write('before\n')
    stop, load = Command(('start', 'it'), undo=('stop', 'it')), Command(('load',), undo=('unload',))
    whole = recipe(commands=(stop, load))
    whole = Recipe(whole.files + (File(unit, 'unit\n'), File('/etc/rules', 'x\n')), (), whole.commands, ())
    machine.applier().apply(whole)
    machine.ran.clear()
    machine.fail = 'unload'  # it never was loaded: the kernel refuses both
    applier = machine.applier()
    changed = applier.apply(Recipe((File('/etc/rules', 'x\n'),), (), (stop,), ()))
    assert changed == {CONF, unit} and applier.notes == ['It failed.']
    assert machine.ran == ['unload', 'systemctl daemon-reload', 'start it']
    assert machine.read(CONF) == 'before\n' and not os.path.exists(machine.path + unit)
    # Nothing of it is left for undo, and a second run has nothing to do.
    machine.ran.clear()
    machine.fail = None
    assert machine.applier().apply(Recipe((File('/etc/rules', 'x\n'),), (), (stop,), ())) == set()
    assert machine.applier().undo() == [] and machine.ran == ['start it', 'stop it']
    assert machine.read(CONF) == 'before\n' and not os.path.exists(machine.path + '/etc/rules')


def test_undo_goes_on_when_a_command_fails(machine):
    """nft was removed meanwhile: the files go nevertheless, and the answer names the failure."""
    machine.applier().apply(recipe(commands=(Command(('load',), undo=('unload',)), Command(('b',), undo=('c',)))))
    machine.ran.clear()
    machine.fail = 'unload'
    assert machine.applier().undo() == ['It failed.'] and machine.ran == ['c', 'unload']
    assert not machine.applier().applied() and not os.path.exists(machine.path + CONF)


@pytest.mark.fault('K6', 'Two commands set up the same thing at once (Ansible and a person)',
                   behaviour='the second one says who runs, and changes nothing', reported='at once',
                   recovery='with the next command after the first has ended', lost='nothing')
def test_a_second_command_would_take_the_files_of_the_first_for_the_original_ones(machine):
    seconds = []

    def meanwhile(argv):
        for second in (lambda: machine.applier().apply(recipe('two\n')), lambda: machine.applier().undo()):
            with pytest.raises(AlreadyRunning) as caught:
                second()
            seconds.append(caught.value.sentence)

    first = machine.applier()
    first._run = meanwhile
    first.apply(recipe(commands=(Command(('load', CONF)),)))
    assert len(seconds) == 2
    assert seconds[0].startswith('`sudo do it again` runs already: process {} '.format(os.getpid()))
    assert machine.read(CONF) == 'one\n'
    # Another purpose is not kept out, and the same one goes on afterwards.
    machine.applier('other').apply(recipe('three\n', '/etc/other.conf'))
    assert machine.applier().undo() == [] and not os.path.exists(machine.path + CONF)
