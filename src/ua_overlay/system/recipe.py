"""What needs root: a recipe (pure, printable) and one applier that can repeat it, go on from a failure and undo it.

What a file held before is kept below CONFIG_DIR/before, where only root writes; a manifest of each purpose says what
was written, so that undoing one leaves the others.
"""
import hashlib
import json
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from typing import Tuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system import files

BEFORE_DIR = defaults.CONFIG_DIR + '/before'
#: What to type when a program is not there.
MISSING = {'systemctl': 'sudo ua-overlay robot prepare --service-manager none --user USER',
           'nft': 'sudo apt install nftables'}


@dataclass(frozen=True)
class File:
    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Directory:
    """Made when missing; owned by ``user`` either way."""

    path: str
    user: str
    mode: int = 0o755


@dataclass(frozen=True)
class Command:
    """Run when one of the files ``after`` changed, or always when there are none.

    :ivar unless: a command without effect; when it ends with status 0 there is nothing to run.
    :ivar undo: what takes the command back; undoing the recipe runs it, if the command was ever run.
    """

    argv: Tuple[str, ...]
    after: Tuple[str, ...] = ()
    unless: Tuple[str, ...] = ()
    undo: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    files: Tuple[File, ...]
    directories: Tuple[Directory, ...]
    commands: Tuple[Command, ...]
    by_hand: Tuple[str, ...]  #: what a person has to do, one sentence each


def describe(recipe):
    """Return the lines that say what applying would do."""
    lines = ['write {} ({:04o})'.format(item.path, item.mode) for item in recipe.files]
    lines += ['make {} for {}'.format(item.path, item.user) for item in recipe.directories]
    lines += ['run {}{}'.format(' '.join(item.argv), ' (when something changed)' if item.after else
                                ' (unless it is so)' if item.unless else '') for item in recipe.commands]
    return lines + ['by hand: ' + sentence for sentence in recipe.by_hand]


def uid_of(user):
    """Return (uid, gid) of a user.

    :raises UsageError: there is none.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError('There is no user {} on this machine.'.format(user), 'getent passwd')
    return entry.pw_uid, entry.pw_gid


class Applier:
    """Applies a recipe below ``root`` and undoes it.

    :param manifest: path of the file that remembers what this purpose wrote, below CONFIG_DIR.
    :param command: what a person types to apply it again: the next command of its errors.
    :param run: called with each argv (list); raises OverlayError when it fails.
    :param owner_of: user name -> (uid, gid), or None to leave owners alone.
    :param ask: called with an argv (list) that changes nothing; returns whether it ended with status 0.
    """

    def __init__(self, manifest, command, root='/', run=None, owner_of=uid_of, ask=None):
        self._manifest_path = manifest
        self._command = command
        self._root = root
        self._run = run_command if run is None else run
        self._owner_of = owner_of
        self._ask = holds if ask is None else ask

    def applied(self):
        """Whether there is something to undo."""
        return os.path.exists(self._target(self._manifest_path))

    def remember(self, name, value):
        """Keep a value of before with what undoing needs; the first one stays. :meth:`remembered` gives it back."""
        manifest = self._manifest()
        if name not in manifest['remembered']:
            manifest['remembered'][name] = value
            self._save(manifest)

    def remembered(self, name):
        """What :meth:`remember` kept, or None."""
        return self._manifest()['remembered'].get(name)

    def apply(self, recipe):
        """Apply and return the set of paths that changed; an empty set when everything was so already.

        :raises OverlayError: a file cannot be written or a command failed; applying again goes on from there.
        """
        manifest = self._manifest()
        pending = set(manifest['pending'])
        changed = set()
        try:
            for item in recipe.files:
                if self._write(item, manifest):
                    changed.add(item.path)
            for item in recipe.directories:
                if self._make_directory(item, manifest):
                    changed.add(item.path)
        except OSError as error:
            raise OverlayError('{} cannot be written: {}.'.format(error.filename, error.strerror),
                               self._command)
        # Commands that a broken-off attempt owes are owed until they have run.
        pending |= {item.path for item in recipe.files if item.path in changed}
        manifest['pending'] = sorted(pending)
        self._save(manifest)
        for command in recipe.commands:
            if command.after and not pending & set(command.after):
                continue
            if command.unless and self._ask(list(command.unless)):
                continue
            undo = list(command.undo)
            if undo and undo not in manifest['undo']:
                # First, like the files: what may have been run is taken back.
                manifest['undo'].append(undo)
                self._save(manifest)
            self._run(list(command.argv))
        if pending:
            manifest['pending'] = []
            self._save(manifest)
        return changed

    def undo(self, stop_commands=(), after_commands=()):
        """Put back what was there before.

        :param stop_commands: argvs run before the files go, and before the commands' own undoing;
            ``after_commands``: afterwards.
        :returns: notes about what was left alone, a list of sentences; None when nothing had been applied.
        """
        if not self.applied():
            return None
        manifest = self._manifest()
        notes = []
        for argv in list(stop_commands) + manifest['undo'][::-1]:
            self._run(list(argv))
        for path, entry in sorted(manifest['files'].items()):
            target = self._target(path)
            if _digest(target) not in (entry['wrote'], None):
                notes.append('{} was changed by someone else and is left as it is.'.format(path))
                continue
            if entry['before']:
                before = self._target(BEFORE_DIR + '/' + entry['before'])
                with open(before, 'rb') as stream:
                    files.write_atomic(target, stream.read(), entry['mode'])
                os.unlink(before)
            elif os.path.lexists(target):
                os.unlink(target)
        for path, owner in sorted(manifest['owners'].items()):
            if os.path.isdir(self._target(path)):
                os.chown(self._target(path), *owner)
        for path in manifest['directories']:
            target = self._target(path)
            if os.path.isdir(target):
                if os.listdir(target):
                    notes.append('{} is not empty and stays.'.format(path))
                else:
                    os.rmdir(target)
        os.unlink(self._target(self._manifest_path))
        # Our own directories besides: another purpose may have made them, and may have gone before this one.
        for path in sorted(set(manifest['made']) | {BEFORE_DIR, defaults.CONFIG_DIR}, key=len, reverse=True):
            target = self._target(path)
            if os.path.isdir(target) and not os.listdir(target):
                os.rmdir(target)
        for argv in after_commands:
            self._run(list(argv))
        return notes

    def _target(self, path):
        return os.path.join(self._root, path.lstrip('/'))

    def _manifest(self):
        empty = {'files': {}, 'directories': [], 'owners': {}, 'made': [], 'pending': [],
                 'undo': [], 'remembered': {}}
        try:
            with open(self._target(self._manifest_path)) as stream:
                return dict(empty, **json.load(stream))
        except FileNotFoundError:
            return empty
        except ValueError:
            raise OverlayError('{} is damaged, so it is not known what was here before.'.format(self._manifest_path),
                               'sudo rm {}'.format(self._manifest_path))

    def _save(self, manifest):
        self._parents(self._manifest_path, manifest)
        text = json.dumps(manifest, indent=1, sort_keys=True) + '\n'
        if _digest(self._target(self._manifest_path)) != hashlib.sha256(text.encode('utf-8')).hexdigest():
            files.write_atomic(self._target(self._manifest_path), text, 0o600)

    def _parents(self, path, manifest):
        """Make the directory of ``path`` and remember which ones were not there."""
        missing = []
        directory = os.path.dirname(path)
        while directory != '/' and not os.path.isdir(self._target(directory)):
            missing.append(directory)
            directory = os.path.dirname(directory)
        for directory in reversed(missing):
            os.mkdir(self._target(directory), 0o755)
            os.chmod(self._target(directory), 0o755)
            if directory not in manifest['made']:
                manifest['made'].append(directory)

    def _write(self, item, manifest):
        target = self._target(item.path)
        desired = item.text.encode('utf-8')
        found = _digest(target)
        digest = hashlib.sha256(desired).hexdigest()
        entry = manifest['files'].get(item.path)
        right = found == digest and os.stat(target).st_mode & 0o7777 == item.mode
        if entry is not None and right:
            return False
        self._parents(item.path, manifest)
        if entry is None:
            entry = {'before': '', 'mode': 0}
            if found is not None:
                entry['before'] = item.path.strip('/').replace('/', '%')
                entry['mode'] = os.stat(target).st_mode & 0o7777
                self._parents(BEFORE_DIR + '/x', manifest)
                shutil.copy2(target, self._target(BEFORE_DIR + '/' + entry['before']))
        # The manifest goes first: after a crash in between, undo still knows.
        manifest['files'][item.path] = dict(entry, wrote=digest)
        self._save(manifest)
        if right:
            return False
        files.write_atomic(target, desired, item.mode)
        return True

    def _make_directory(self, item, manifest):
        target = self._target(item.path)
        owner = None if self._owner_of is None else self._owner_of(item.user)
        made = not os.path.isdir(target)
        if made:
            self._parents(item.path, manifest)
            os.mkdir(target, item.mode)
            os.chmod(target, item.mode)
            if item.path not in manifest['directories']:
                manifest['directories'].append(item.path)
        found = os.stat(target)
        if owner is not None and (found.st_uid, found.st_gid) != tuple(owner):
            if item.path not in manifest['directories']:
                manifest['owners'].setdefault(item.path, [found.st_uid, found.st_gid])
                self._save(manifest)
            os.chown(target, *owner)
            return True
        return made


def _digest(path):
    try:
        with open(path, 'rb') as stream:
            return hashlib.sha256(stream.read()).hexdigest()
    except FileNotFoundError:
        return None


def run_command(argv):
    """Run argv.

    :raises OverlayError: with the first line it printed: systemctl's others say where to read on.
    """
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120)
    except FileNotFoundError:
        raise OverlayError('There is no {} on this machine.'.format(argv[0]), MISSING.get(argv[0], ''))
    except subprocess.TimeoutExpired:
        raise OverlayError('`{}` did not end within two minutes.'.format(' '.join(argv)), 'systemctl list-jobs')
    if done.returncode != 0:
        answer = done.stdout.decode('utf-8', 'replace').strip().split('\n')[0]
        raise OverlayError('`{}` failed: {}.'.format(' '.join(argv), answer.rstrip('.') or done.returncode),
                           'journalctl -xe')


def holds(argv):
    """Whether ``argv`` ends with status 0; what it prints is nobody's."""
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=120).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
