"""Changes that need root: a recipe (pure, printable), and an applier that can repeat, resume and undo it.

The previous contents of files are kept below CONFIG_DIR/before, which only root can write. Each purpose has a manifest
of the files that it wrote, so that undoing one leaves the others alone.
"""
import contextlib
import hashlib
import json
import os
import pwd
import subprocess
from dataclasses import dataclass
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set, Tuple

from ua_overlay import defaults
from ua_overlay.advice import command as command_line
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.printable import printable
from ua_overlay.system import file_system, files, foreign_file, foreign_json, instance, ownership

BEFORE_DIR = defaults.CONFIG_DIR + '/before'
#: Longest file of the system that is kept and restored, in bytes.
_LONGEST_FILE = 16 * 1024 * 1024
#: Below it, systemd reads units.
_UNITS = '/etc/systemd/'
#: Next command when a program is missing.
MISSING = {'systemctl': 'sudo ua-overlay robot prepare --service-manager none --user USER',
           'nft': 'sudo apt install nftables'}

#: The manifest of a purpose, as JSON.
Manifest = Dict[str, Any]
#: Runs an argv; raises OverlayError when it fails.
Run = Callable[[List[str]], None]
#: User name -> (uid, gid).
OwnerOf = Callable[[str], Tuple[int, int]]


@dataclass(frozen=True)
class File:
    """A file that belongs to root."""

    path: str
    text: str
    mode: int = 0o644


@dataclass(frozen=True)
class Directory:
    """A directory that is created if missing, and given to ``user`` in any case."""

    path: str
    user: str
    mode: int = 0o755


@dataclass(frozen=True)
class Command:
    """A command that runs when one of the files ``after`` changed, or always when there are none.

    :ivar unless: a command without side effects; if it exits with status 0, the command is not needed.
    :ivar undo: the command that reverts it; undoing the recipe runs it if the command may have run.
    """

    argv: Tuple[str, ...]
    after: Tuple[str, ...] = ()
    unless: Tuple[str, ...] = ()
    undo: Tuple[str, ...] = ()


@dataclass(frozen=True)
class Recipe:
    """Directories, files and commands to apply, in this order."""

    files: Tuple[File, ...]
    directories: Tuple[Directory, ...]
    commands: Tuple[Command, ...]
    #: Manual steps for a person, one sentence each.
    by_hand: Tuple[str, ...]


def describe(recipe: Recipe) -> List[str]:
    """Describe the effect of applying the recipe, as lines for people."""
    lines = ['write {} ({:04o})'.format(item.path, item.mode) for item in recipe.files]
    lines += ['make {} for {}'.format(item.path, item.user) for item in recipe.directories]
    lines += ['run {}{}'.format(' '.join(item.argv), ' (when something changed)' if item.after else
                                ' (unless that is done)' if item.unless else '') for item in recipe.commands]
    return lines + ['by hand: ' + sentence for sentence in recipe.by_hand]


def uid_of(user: str) -> Tuple[int, int]:
    """Return (uid, gid) of a user.

    :raises UsageError: there is no such user.
    """
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise UsageError('There is no user {} on this machine.'.format(user), 'getent passwd')
    return entry.pw_uid, entry.pw_gid


class Applier:
    """Applies a recipe below ``root`` and undoes it.

    :param manifest: path, below CONFIG_DIR, of the file that lists what this purpose wrote.
    :param command: the command that applies the recipe again: the next command of its errors.
    :param owner_of: user name -> (uid, gid); None leaves owners alone.
    :param ask: runs an argv that changes nothing; returns whether it exited with status 0.
    """

    def __init__(self, manifest: str, command: str, root: str = '/', run: Optional[Run] = None,
                 owner_of: Optional[OwnerOf] = uid_of, ask: Optional[Callable[[List[str]], bool]] = None) -> None:
        self._manifest_path = manifest
        self._command = command
        self._root = root
        self._run = run_command if run is None else run
        self._owner_of = owner_of
        self._ask = holds if ask is None else ask
        #: Sentences about what the last :meth:`apply` could not take back.
        self.notes: List[str] = []

    def applied(self) -> bool:
        """Return whether there is something to undo."""
        return os.path.exists(self._target(self._manifest_path))

    def remember(self, name: str, value: Any) -> None:
        """Keep a value of the original state (JSON) in the manifest, unless it has one. See :meth:`remembered`."""
        manifest = self._manifest()
        if name not in manifest['remembered']:
            manifest['remembered'][name] = value
            self._save(manifest)

    def remembered(self, name: str) -> Any:
        """Return the value that :meth:`remember` kept, or None."""
        return self._manifest()['remembered'].get(name)

    def apply(self, recipe: Recipe) -> Set[str]:
        """Apply and return the paths that changed; an empty set when everything was in place.

        What an earlier recipe of this purpose wrote and this one does not is taken back first, as by :meth:`undo`.

        :raises OverlayError: a file cannot be written, or a command failed; applying again resumes at that point.
        :raises ownership.Unsafe: another user could replace one of the files; nothing was changed.
        :raises instance.AlreadyRunning: another process applies or undoes this purpose; nothing was changed.
        """
        with self._alone():
            return self._apply(recipe)

    def _apply(self, recipe: Recipe) -> Set[str]:
        for path in [item.path for item in recipe.files] + [item.path for item in recipe.directories]:
            ownership.check(os.path.dirname(self._target(path)), 'The place of {}'.format(path))
        manifest = self._manifest()
        pending = set(manifest['pending'])
        changed: Set[str] = set()
        try:
            changed |= self._take_back(recipe, manifest)
            for item in recipe.files:
                if self._write(item, manifest):
                    changed.add(item.path)
            for directory in recipe.directories:
                if self._make_directory(directory, manifest):
                    changed.add(directory.path)
        except OSError as error:
            raise OverlayError('{} cannot be written: {}.'.format(error.filename, error.strerror),
                               file_system.next_command(error, self._command))
        # Also run the commands that an interrupted attempt did not reach.
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
                # Recorded before it runs, like the files, so that undo also reverts an interrupted command.
                manifest['undo'].append(undo)
                self._save(manifest)
            self._run(list(command.argv))
        if pending:
            manifest['pending'] = []
            self._save(manifest)
        return changed

    def undo(self, stop_commands: Iterable[List[str]] = (), after_commands: Iterable[List[str]] = ()
             ) -> Optional[List[str]]:
        """Restore the original state.

        :param stop_commands: argvs to run before the files are removed and the commands are reverted.
        :param after_commands: argvs to run afterwards.
        :returns: what stays, and commands that failed, one sentence each; None when nothing had been applied.
        :raises OverlayError: one of ``stop_commands`` or ``after_commands`` failed, or the manifest is damaged.
        :raises instance.AlreadyRunning: as :meth:`apply`.
        """
        with self._alone():
            return self._undo(stop_commands, after_commands) if self.applied() else None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep a second process out: it would take what the first one writes for the original state."""
        name = hashlib.sha256(self._target(self._manifest_path).encode('utf-8', 'surrogateescape')).hexdigest()
        claimed = instance.claim_name('recipe-' + name[:16], '`{}`'.format(self._command))
        try:
            yield
        finally:
            if claimed is not None:
                claimed.close()

    def _undo(self, stop_commands: Iterable[List[str]], after_commands: Iterable[List[str]]) -> List[str]:
        manifest = self._manifest()
        notes: List[str] = []
        for argv in stop_commands:
            self._run(list(argv))
        for argv in manifest['undo'][::-1]:
            self._revert(argv, notes)
        for path, entry in sorted(manifest['files'].items()):
            self._restore(path, entry, notes)
        for path, owner in sorted(manifest['owners'].items()):
            if os.path.isdir(self._target(path)):
                os.chown(self._target(path), *owner)
        for path in manifest['directories']:
            target = self._target(path)
            if os.path.isdir(target):
                if os.listdir(target):
                    notes.append('{} stays: it is not empty.'.format(path))
                else:
                    os.rmdir(target)
        os.unlink(self._target(self._manifest_path))
        # Also our own directories: another purpose may have created them and been undone before this one.
        for path in sorted(set(manifest['made']) | {BEFORE_DIR, defaults.CONFIG_DIR}, key=len, reverse=True):
            target = self._target(path)
            if os.path.isdir(target) and not os.listdir(target):
                os.rmdir(target)
        for argv in after_commands:
            self._run(list(argv))
        return notes

    def _take_back(self, recipe: Recipe, manifest: Manifest) -> Set[str]:
        """Restore the files that the recipe no longer has, and revert the commands; return their paths."""
        self.notes = []
        stale = sorted(set(manifest['files']) - {item.path for item in recipe.files})
        if not stale:
            return set()
        kept = [list(command.undo) for command in recipe.commands]
        for argv in manifest['undo'][::-1]:
            if argv not in kept:
                self._revert(argv, self.notes)
                manifest['undo'] = [each for each in manifest['undo'] if each != argv]
                self._save(manifest)
        for path in stale:
            self._restore(path, manifest['files'].pop(path), self.notes)
            self._save(manifest)
        if any(path.startswith(_UNITS) for path in stale):
            self._run(['systemctl', 'daemon-reload'])
        return set(stale)

    def _revert(self, argv: Iterable[str], notes: List[str]) -> None:
        """Run an undo command. If it fails, the others still run: what it reverts may never have been done."""
        try:
            self._run(list(argv))
        except OverlayError as error:
            notes.append(error.sentence)

    def _restore(self, path: str, entry: Dict[str, Any], notes: List[str]) -> None:
        """Restore one file, unless another program has changed it."""
        target = self._target(path)
        try:
            changed = _digest(target) not in (entry['wrote'], None)
        except OSError:  # a FIFO or a directory stands there now
            changed = True
        if changed:
            notes.append('{} stays: it was changed since.'.format(path))
            return
        if entry['before']:
            before = self._target(BEFORE_DIR + '/' + entry['before'])
            files.write_atomic(target, _read(before), entry['mode'])
            os.unlink(before)
        elif os.path.lexists(target):
            os.unlink(target)

    def _target(self, path: str) -> str:
        return os.path.join(self._root, path.lstrip('/'))

    def _manifest(self) -> Manifest:
        empty: Manifest = {'files': {}, 'directories': [], 'owners': {}, 'made': [], 'pending': [],
                 'undo': [], 'remembered': {}}
        damaged = OverlayError('{} is damaged; the original state cannot be restored from it.'.format(
            self._manifest_path), command_line('sudo rm {}', self._manifest_path))
        try:
            manifest = dict(empty, **foreign_json.parse_object(_read(self._target(self._manifest_path))))
        except FileNotFoundError:
            return empty
        except PermissionError:
            raise OverlayError('This user may not read {}.'.format(self._manifest_path), self._command)
        except OSError as error:
            raise OverlayError('{} cannot be read: {}.'.format(self._manifest_path, error.strerror),
                               command_line('ls -l {}', self._manifest_path))
        except ValueError:
            raise damaged
        if not _is_manifest(manifest, empty):
            raise damaged
        return manifest

    def _save(self, manifest: Manifest) -> None:
        self._parents(self._manifest_path, manifest)
        text = json.dumps(manifest, indent=1, sort_keys=True) + '\n'
        if _digest(self._target(self._manifest_path)) != hashlib.sha256(text.encode('utf-8')).hexdigest():
            files.write_atomic(self._target(self._manifest_path), text, 0o600)

    def _parents(self, path: str, manifest: Manifest) -> None:
        """Create the directory of ``path``, and list in the manifest the directories that were missing."""
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

    def _write(self, item: File, manifest: Manifest) -> bool:
        target = self._target(item.path)
        desired = item.text.encode('utf-8')
        present = _digest(target)
        digest = hashlib.sha256(desired).hexdigest()
        entry = manifest['files'].get(item.path)
        right = present == digest and os.stat(target).st_mode & 0o7777 == item.mode
        if entry is not None and right:
            return False
        self._parents(item.path, manifest)
        if entry is None:
            entry = {'before': '', 'mode': 0}
            if present is not None:
                entry['before'] = item.path.strip('/').replace('/', '%')
                entry['mode'] = os.stat(target).st_mode & 0o7777
                self._parents(BEFORE_DIR + '/x', manifest)
                files.write_atomic(self._target(BEFORE_DIR + '/' + entry['before']), _read(target), entry['mode'])
        # Write the manifest first: after a crash in between, undo still knows the file.
        manifest['files'][item.path] = dict(entry, wrote=digest)
        self._save(manifest)
        if right:
            return False
        files.write_atomic(target, desired, item.mode)
        return True

    def _make_directory(self, item: Directory, manifest: Manifest) -> bool:
        target = self._target(item.path)
        owner = None if self._owner_of is None else self._owner_of(item.user)
        made = not os.path.isdir(target)
        if made:
            self._parents(item.path, manifest)
            os.mkdir(target, item.mode)
            os.chmod(target, item.mode)
            if item.path not in manifest['directories']:
                manifest['directories'].append(item.path)
        status = os.stat(target)
        if owner is not None and (status.st_uid, status.st_gid) != tuple(owner):
            if item.path not in manifest['directories']:
                manifest['owners'].setdefault(item.path, [status.st_uid, status.st_gid])
                self._save(manifest)
            os.chown(target, *owner)
            return True
        return made


def _read(path: str) -> bytes:
    """Return the content of a file of the system.

    :raises OSError: it is missing, too long, or a FIFO, a device or a directory.
    """
    return foreign_file.read(path, _LONGEST_FILE).data


def _digest(path: str) -> Optional[str]:
    """Return the SHA-256 of a file, None if it is missing.

    :raises OSError: see :func:`_read`.
    """
    try:
        return hashlib.sha256(_read(path)).hexdigest()
    except FileNotFoundError:
        return None


def _is_manifest(manifest: Manifest, empty: Manifest) -> bool:
    """Return whether every field has the type that it has in an ``empty`` manifest, also in its entries."""
    def texts(value: Any) -> bool:
        return isinstance(value, list) and all(isinstance(each, str) for each in value)

    if any(not isinstance(manifest[name], type(value)) for name, value in empty.items()):
        return False
    entries = manifest['files'].values()
    return (all(isinstance(entry, dict) and isinstance(entry.get('before'), str) and isinstance(entry.get('mode'), int)
                and isinstance(entry.get('wrote'), str) and '/' not in entry['before'] for entry in entries)
            and all(texts(manifest[name]) for name in ('directories', 'made', 'pending'))
            and all(texts(argv) and argv for argv in manifest['undo'])
            and all(isinstance(owner, list) and len(owner) == 2 and all(isinstance(each, int) for each in owner)
                    for owner in manifest['owners'].values()))


def run_command(argv: List[str]) -> None:
    """Run ``argv``.

    :raises OverlayError: it failed; the sentence has only the first line of its output, because systemctl's other lines
        only refer to its logs.
    """
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=120)
    except FileNotFoundError:
        raise OverlayError('There is no {} on this machine.'.format(argv[0]), MISSING.get(argv[0], ''))
    except subprocess.TimeoutExpired:
        raise OverlayError('`{}` did not finish within two minutes.'.format(' '.join(argv)), 'systemctl list-jobs')
    if done.returncode != 0:
        answer = printable(done.stdout.decode('utf-8', 'replace').strip().split('\n')[0])
        raise OverlayError('`{}` failed: {}.'.format(' '.join(argv), answer.rstrip('.') or done.returncode),
                           'journalctl -xe')


def holds(argv: List[str]) -> bool:
    """Run ``argv``, drop its output, and return whether it exited with status 0."""
    try:
        return subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              timeout=120).returncode == 0
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return False
