"""A site in one file, and back: what a robot's address, a key or a team depends on, consistent while the server runs.

The file (archive.py) holds every private key of the site, so it is 0600 like them.
"""
import contextlib
import ctypes
import errno
import os
import shutil
import sqlite3
import stat
import tempfile
import urllib.parse

from ua_overlay.clock import format_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import site_settings, versions
from ua_overlay.site import last_good
from ua_overlay.site.archive import BackupError, Manifest, digest_of, pack, unpack
from ua_overlay.site.site import SITE_FILE, SUBDIRECTORIES, SiteError
from ua_overlay.system import files
from ua_overlay.trust import store

DATABASE = 'headscale/db.sqlite'
#: Below a site's directory: safety copies of upgrades.
BACKUP_DIR = 'backups'
#: Directories without anything to keep: sockets and locks, logs, older backups.
_NOT_KEPT = ('run', 'log', BACKUP_DIR)
#: Of the relay's tailscaled only its identity; the rest is caches and logs.
_RELAY_KEPT = ('tailscaled.state',)
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def kept(directory):
    """Paths below a site's ``directory`` that a backup has besides the database, sorted; only regular files."""
    found = []
    for folder, folders, names in os.walk(directory):
        below = os.path.relpath(folder, directory)
        if below == '.':
            folders[:] = [name for name in folders if name not in _NOT_KEPT]
        for name in names:
            path = os.path.normpath(os.path.join(below, name))
            # Dotted: what files.write_atomic leaves when it is killed.
            if not name.startswith('.') and _kept(path) and stat.S_ISREG(os.lstat(os.path.join(folder, name)).st_mode):
                found.append(path)
    return sorted(found)


def _kept(path):
    if path.startswith('relay' + os.sep):
        return os.path.basename(path) in _RELAY_KEPT
    return not path.startswith(DATABASE) and not path.endswith('.lock')


def write(site, output, now):
    """Write a backup of ``site`` to ``output``, whole or not at all; the server may run.

    :param output: path of the new file.
    :param now: aware UTC datetime.
    :returns: :class:`Manifest`.
    :raises BackupError: it cannot be read or written, or the database is damaged.
    """
    output = os.path.abspath(output)
    try:
        with _scratch(os.path.dirname(output)) as scratch, site.unchanged(), store.held(site.directory):
            # Copies: the relay's tailscaled may write its state while we pack.
            sources = {}
            for number, path in enumerate(kept(site.directory)):
                sources[path] = os.path.join(scratch, str(number))
                shutil.copyfile(site.path(*path.split(os.sep)), sources[path])
            if versions.has_database(site):
                sources[DATABASE] = os.path.join(scratch, 'db.sqlite')
                copy_database(site.path(*DATABASE.split('/')), sources[DATABASE])
            manifest = Manifest(site.settings.name, format_rfc3339(now), versions.recorded(site),
                                {path: digest_of(source) for path, source in sources.items()})
            packed = os.path.join(scratch, 'packed')
            pack(packed, manifest, sources)
            os.replace(packed, output)
            files.sync_directory(os.path.dirname(output))
    except OSError as error:
        raise BackupError('The backup cannot be written to {}: {}.'.format(output, error.strerror or error),
                          'the same command with another --output, or with sudo')
    return manifest


def copy_database(source, target):
    """Copy a SQLite database that another process may be writing to, as it is at one moment, and check the copy.

    :raises BackupError: it is damaged, or locked for longer than half a minute.
    """
    try:
        # Read only: a copy must not be what creates or repairs a database.
        with contextlib.closing(sqlite3.connect('file:{}?mode=ro'.format(urllib.parse.quote(source)), uri=True,
                                                timeout=30)) as live:
            with contextlib.closing(sqlite3.connect(target)) as copy:
                live.backup(copy)
    except sqlite3.Error as error:
        raise BackupError('The database {} cannot be copied: {}.'.format(source, error),
                          'ua-overlay server status')
    check_database(target, source)


def check_database(path, name):
    """:raises BackupError: the SQLite database at ``path`` (called ``name``) is damaged."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as database:
            verdict = database.execute('PRAGMA integrity_check').fetchone()[0]
    except sqlite3.Error as error:
        verdict = str(error)
    if verdict != 'ok':
        raise BackupError('The database {} is damaged: {}.'.format(name, verdict.splitlines()[0]),
                          'ua-overlay server restore, with an older backup', 'BACKUP_DAMAGED')


def restore(path, directory, installed, replace=False, owner=None, stamp='before'):
    """Make the site of a backup in ``directory``: wholly, or nothing is changed.

    :param directory: absolute; must not exist, be empty or, with ``replace``, hold an older state of the same site,
        which is then moved aside.
    :param installed: version text of this machine's headscale.
    :param owner: (uid, gid) that the site is to belong to; None: the one of a site that is replaced, else the caller.
    :param stamp: ending of the name under which a replaced site is kept.
    :returns: (Site, Manifest, path of the replaced site or '').
    :raises BackupError: see `archive.unpack`; another site's; its parts do not fit together.
    :raises SiteError: the directory is in use.
    """
    site_settings.check_directory(directory)
    present = _present(directory, replace)
    with contextlib.ExitStack() as stack:
        if present is not None:
            stack.enter_context(present.held())
            found = os.stat(directory)
            owner = owner or ((found.st_uid, found.st_gid) if os.geteuid() == 0 else None)
        try:
            os.makedirs(os.path.dirname(directory), exist_ok=True)
            staging = stack.enter_context(_scratch(os.path.dirname(directory), '.ua_overlay_site.'))
            manifest = unpack(path, staging)
            site = _assemble(staging, directory, path)
            versions.decide(manifest.headscale, installed, 'The site in ' + path)
            if present is not None and present.settings.name != site.settings.name:
                raise BackupError('{} is a backup of the site {}, and {} holds the site {}.'.format(
                    path, site.settings.name, directory, present.settings.name),
                    'ua-overlay server restore {} --dir OTHER'.format(path), 'BACKUP_FOREIGN')
            _own(staging, owner)
            return site, manifest, _move_to(staging, directory, stamp if present is not None else '')
        except OSError as error:
            raise SiteError('The site cannot be restored to {}: {}.'.format(directory, error.strerror or error),
                            'the same command with sudo, or with --dir and a place of your own')


def _present(directory, replace):
    """The Site that is in the way and may be replaced, or None."""
    if not os.path.lexists(directory) or os.path.isdir(directory) and not os.listdir(directory):
        return None
    if not os.path.exists(os.path.join(directory, SITE_FILE)):
        raise SiteError('{} is not empty and holds no site; it was left as it is.'.format(directory),
                        'ua-overlay server restore FILE --dir OTHER')
    if not replace:
        raise SiteError('{} holds a site already; it was left as it is.'.format(directory),
                        'ua-overlay server restore FILE --dir {} --replace   (keeps the present one beside it)'.format(
                            directory))
    return last_good.load(directory)[0]


def _assemble(staging, directory, path):
    """Check that what was unpacked into ``staging`` is a site, and write what follows from its place."""
    unfit = 'The backup {} is whole, but what is in it does not fit together: {{}}'.format(path)
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


def _move_to(staging, directory, stamp):
    """Move ``staging`` to ``directory`` in one step; returns where the site of before is, '' without one."""
    for folder, _, names in os.walk(staging):
        for name in names:
            with open(os.path.join(folder, name), 'rb') as stream:
                os.fsync(stream.fileno())
        files.sync_directory(folder)
    if not stamp:
        if os.path.isdir(directory):
            os.rmdir(directory)
        os.rename(staging, directory)
        files.sync_directory(os.path.dirname(directory))
        return ''
    # Under its final name before the swap: from then on it is the old site, which nothing may tidy away.
    aside = '{}.{}'.format(directory, stamp)
    os.rename(staging, aside)
    try:
        exchange(aside, directory)
    except OSError:
        os.rename(aside, staging)
        raise
    files.sync_directory(os.path.dirname(directory))
    return aside


def exchange(one, other):
    """Swap two directories so that at no moment, not even after a power cut, either name is missing (renameat2(2)).

    :raises OSError: a file system that cannot do it, or any other reason.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, 'this file system cannot swap directories' if number == errno.EINVAL
                      else os.strerror(number), one)


def _own(directory, owner):
    if owner is None:
        return
    for folder, _, names in os.walk(directory):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            os.chown(path, *owner)


@contextlib.contextmanager
def _scratch(parent, prefix='.ua_overlay_backup.'):
    """A directory that only we enter, beside where its content is going, gone afterwards unless it was renamed."""
    path = tempfile.mkdtemp(prefix=prefix, dir=parent)
    try:
        yield path
    finally:
        if os.path.isdir(path):
            shutil.rmtree(path)
