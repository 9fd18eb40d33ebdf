"""Back up a site to one file and restore it: everything on which a robot's address, a key or a team depends.

The server may be running; the backup is consistent. The file (archive.py) contains every private key of the site, so
its mode is 0600.
"""
import contextlib
import ctypes
import datetime
import errno
import os
import shutil
import sqlite3
import stat
import time
import urllib.parse
from typing import Dict, List, Optional, Tuple

from ua_overlay.advice import command
from ua_overlay.clock import format_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import site_settings, versions
from ua_overlay.printable import printable
from ua_overlay.site import last_good
from ua_overlay.site.archive import BackupError, Manifest, digest_of, pack, unpack
from ua_overlay.site.site import BACKUPS, SCRATCH, SITE_FILE, SUBDIRECTORIES, RelayRuns, Site, SiteError
from ua_overlay.system import file_system, files, foreign_file, scratch
from ua_overlay.trust import store

#: (uid, gid).
Owner = Tuple[int, int]

DATABASE = 'headscale/db.sqlite'
#: Directories that a backup leaves out: sockets and locks, logs, what derper makes or copies, older backups.
_NOT_KEPT = ('run', 'log', 'derp', BACKUPS)
#: The identity of the relay's tailscaled; its other files are caches and logs.
_RELAY_KEPT = ('tailscaled.state',)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2
#: Longest file of a site but its database, in bytes: the invitation log of a million robots.
_LONGEST_FILE = 256 * 1024 * 1024
#: Prefix of the directories in which a backup is prepared.
_SCRATCH = '.ua_overlay_backup.'
#: Steps of SQLite's virtual machine between two looks at the clock, and seconds for the check of a database. A crafted
#: one may take for ever.
_STEPS, _CHECK_TIMEOUT = 100000, 60.0


def kept(directory: str) -> List[str]:
    """Return the regular files of a site for a backup, without the database: paths below ``directory``, sorted."""
    paths: List[str] = []
    for folder, folders, names in os.walk(directory):
        below = os.path.relpath(folder, directory)
        if below == '.':
            folders[:] = [name for name in folders if name not in _NOT_KEPT]
        for name in names:
            path = os.path.normpath(os.path.join(below, name))
            # Names with a leading dot are temporary files of a killed files.write_atomic.
            if not name.startswith('.') and _kept(path) and stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode):
                paths.append(path)
    return sorted(paths)


def _kept(path: str) -> bool:
    if path.startswith('relay' + os.sep):
        return os.path.basename(path) in _RELAY_KEPT
    return not path.startswith(DATABASE) and not path.endswith('.lock')


def write(site: Site, output: str, now: datetime.datetime) -> Manifest:
    """Write a backup of ``site`` to ``output``, completely or not at all; the server may be running.

    :param output: path of the new file.
    :param now: aware UTC datetime.
    :raises BackupError: a file cannot be read or written, or the database is damaged.
    """
    output = os.path.abspath(output)
    if os.path.lexists(output) and not stat.S_ISREG(os.lstat(output).st_mode):
        # Renaming the new file over it would replace a device of the system.
        raise BackupError('The backup cannot be written to {}: it is not a regular file.'.format(output),
                          'run the same command with another --output')
    try:
        with scratch.directory(os.path.dirname(output), _SCRATCH) as place, site.unchanged(), store.held(
                site.directory):
            # Pack copies: the relay's tailscaled may write its state meanwhile.
            sources: Dict[str, str] = {}
            for number, path in enumerate(kept(site.directory)):
                sources[path] = os.path.join(place, str(number))
                _copy(site.path(*path.split(os.sep)), sources[path])
            if versions.has_database(site):
                sources[DATABASE] = os.path.join(place, 'db.sqlite')
                copy_database(site.path(*DATABASE.split('/')), sources[DATABASE])
            manifest = Manifest(site.settings.name, format_rfc3339(now), versions.recorded(site),
                                {path: digest_of(source) for path, source in sources.items()})
            packed = os.path.join(place, 'packed')
            pack(packed, manifest, sources)
            os.replace(packed, output)
            files.sync_directory(os.path.dirname(output))
    except OSError as error:
        file_system.named(error, output)
        raise BackupError('The backup cannot be written to {}: {}.'.format(output, error.strerror),
                          file_system.next_command(error, 'run the same command with another --output, or with sudo'))
    return manifest


def _copy(source: str, target: str) -> None:
    """Copy a regular file; it may have been replaced since it was listed.

    :raises BackupError: it is far too long for a file of a site.
    """
    with foreign_file.opened(source, follow=False) as stream, open(target, 'xb') as copy:
        if os.fstat(stream.fileno()).st_size > _LONGEST_FILE:
            raise BackupError('{} is too long for a file of a site: {} MB.'.format(
                source, os.fstat(stream.fileno()).st_size >> 20), command('ls -l {}', source))
        shutil.copyfileobj(stream, copy)


def copy_database(source: str, target: str) -> None:
    """Copy a consistent state of a SQLite database, even while another process writes to it, and check the copy.

    :raises BackupError: it is damaged, or locked for longer than half a minute, or the copy has no room.
    """
    try:
        # Open it read-only: copying must neither create nor repair a database.
        with contextlib.closing(sqlite3.connect('file:{}?mode=ro'.format(urllib.parse.quote(source)), uri=True,
                                                timeout=30)) as live:
            with contextlib.closing(sqlite3.connect(target)) as copy:
                live.backup(copy)
    except sqlite3.Error as error:
        if 'full' in str(error):  # SQLITE_FULL; Python 3.8 has no sqlite_errorcode
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), target)
        raise BackupError('The database {} cannot be copied: {}.'.format(source, error),
                          'ua-overlay server status')
    check_database(target, source)


def check_database(path: str, name: str) -> None:
    """Check a SQLite database.

    :param name: what to call it in an error.
    :raises BackupError: it is damaged.
    """
    try:
        deadline = time.monotonic() + _CHECK_TIMEOUT
        with contextlib.closing(sqlite3.connect(path)) as database:
            database.set_progress_handler(lambda: int(time.monotonic() > deadline), _STEPS)
            row = database.execute('PRAGMA integrity_check').fetchone()
            verdict = str(row[0]) if row else 'no verdict'
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != 'ok':
        raise BackupError('The database {} is damaged: {}.'.format(name, printable(verdict.strip().split('\n')[0])),
                          'ua-overlay server restore FILE   # an older backup', 'BACKUP_DAMAGED')


def restore(path: str, directory: str, installed: str, replace: bool = False, owner: Optional[Owner] = None,
            stamp: str = 'before') -> Tuple[Site, Manifest, str]:
    """Restore the site in a backup to ``directory``, completely or not at all.

    :param directory: absolute. It must not exist, or be empty; with ``replace`` it may hold an older state of the same
        site, which is then moved aside.
    :param installed: version text of this machine's headscale.
    :param owner: the owner of the restored site; None: the owner of the replaced site, else the caller.
    :param stamp: suffix of the path to which a replaced site is moved.
    :returns: (the site, the manifest, path of the replaced site or '').
    :raises BackupError: see `archive.unpack`; or it belongs to another site, or its parts are inconsistent.
    :raises VersionError: the installed headscale cannot use its database.
    :raises SiteError: the directory is in use.
    """
    site_settings.check_directory(directory)
    present = _present(directory, replace)
    with contextlib.ExitStack() as stack:
        if present is not None:
            stack.enter_context(present.held())
            try:
                stack.enter_context(present.relay_held())
            except RelayRuns as error:
                raise RelayRuns(error.sentence, 'stop it: sudo systemctl stop ua-overlay-server-relay')
            status = os.stat(directory)
            owner = owner or ((status.st_uid, status.st_gid) if os.geteuid() == 0 else None)
        try:
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            staging = stack.enter_context(scratch.directory(os.path.dirname(directory), SCRATCH))
            manifest = unpack(path, staging)
            site = _assemble(staging, directory, path)
            versions.decide(manifest.headscale, installed, 'The site in ' + path)
            if present is not None and present.settings.name != site.settings.name:
                raise BackupError('{} is a backup of the site {}, and {} holds the site {}.'.format(
                    path, site.settings.name, directory, present.settings.name),
                    command('ua-overlay server restore {} --dir OTHER', path), 'BACKUP_FOREIGN')
            _own(staging, owner)
            return site, manifest, _move_to(staging, directory, stamp if present is not None else '')
        except OSError as error:
            file_system.named(error, directory)
            raise SiteError('The site cannot be restored to {}: {}.'.format(directory, error.strerror),
                            file_system.next_command(error, 'run the same command with sudo, or with another --dir'))


def _present(directory: str, replace: bool) -> Optional[Site]:
    """Return the site in ``directory`` that is to be replaced; None without one.

    :raises SiteError: the contents of the directory must not be replaced.
    """
    if not os.path.lexists(directory) or os.path.isdir(directory) and not os.listdir(directory):
        return None
    if not os.path.exists(os.path.join(directory, SITE_FILE)):
        raise SiteError('{} is not empty and holds no site; nothing was changed.'.format(directory),
                        'ua-overlay server restore FILE --dir OTHER')
    if not replace:
        raise SiteError('{} holds a site already; nothing was changed.'.format(directory),
                        command('ua-overlay server restore FILE --dir {} --replace   # keeps the old site beside it',
                                directory))
    return last_good.load(directory)[0]


def _assemble(staging: str, directory: str, path: str) -> Site:
    """Check that ``staging`` contains a site, and write the files that depend on the site's path.

    :param directory: final path of the site.
    :param path: of the backup, for errors.
    """
    unfit = 'The backup {} is complete, but its parts do not fit together: {{}}'.format(path)
    try:
        site = last_good.load(staging)[0]
        store.load(staging)
    except (OSError, UnicodeDecodeError) as error:
        raise BackupError(unfit.format(error), 'an older backup', 'BACKUP_DAMAGED')
    except OverlayError as error:
        raise BackupError(unfit.format(error.sentence), 'an older backup, or the ua_overlay that made it',
                          'BACKUP_DAMAGED')
    if os.path.exists(os.path.join(staging, DATABASE)):
        check_database(os.path.join(staging, DATABASE), DATABASE)
    for name in SUBDIRECTORIES:
        os.makedirs(os.path.join(staging, name), mode=0o700, exist_ok=True)
    site.directory = directory
    site.write_generated(staging)
    return site


def _move_to(staging: str, directory: str, stamp: str) -> str:
    """Move ``staging`` to ``directory`` atomically; return the path of the replaced site, '' without one."""
    for folder, _, names in os.walk(staging):
        for name in names:
            with foreign_file.opened(os.path.join(folder, name)) as stream:
                os.fsync(stream.fileno())
        files.sync_directory(folder)
    if not stamp:
        if os.path.isdir(directory):
            os.rmdir(directory)
        os.rename(staging, directory)
        files.sync_directory(os.path.dirname(directory))
        return ''
    # Renamed before the swap: afterwards this is the old site, which must not be removed as a temporary directory.
    aside = '{}.{}'.format(directory, stamp)
    os.rename(staging, aside)
    try:
        exchange(aside, directory)
    except OSError:
        os.rename(aside, staging)
        raise
    files.sync_directory(os.path.dirname(directory))
    return aside


def exchange(first: str, second: str) -> None:
    """Swap two directories so that both names exist at any moment, even after a power cut (renameat2(2)).

    :raises OSError: the file system cannot swap directories, or any other reason.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(first), _AT_FDCWD, os.fsencode(second), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, 'this file system cannot swap directories' if number == errno.EINVAL
                      else os.strerror(number), first)


def _own(directory: str, owner: Optional[Owner]) -> None:
    if owner is None:
        return
    for folder, _, names in os.walk(directory):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            os.chown(path, *owner)
