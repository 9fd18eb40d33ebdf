"""Decide whether a Headscale may run on a database, from the version that ran on it last.

Headscale migrates a database forward by one minor version at a time, and never back. Since 0.29 it refuses other steps
itself, but only after its start; this module refuses them before the database is touched.
"""
import contextlib
import os
import sqlite3
import urllib.parse
from typing import Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_directory import SiteFiles
from ua_overlay.system import files, foreign_file
from ua_overlay.system.version import parse_version

#: File beside the database with one line: the version of the Headscale that last ran on it.
VERSION_FILE = 'version'
_LONGEST = 4096
FIRST, SAME, PATCH, UPGRADE = 'FIRST', 'SAME', 'PATCH', 'UPGRADE'


class VersionError(OverlayError):
    """The installed Headscale must not run on this database."""

    code = 'VERSION'


def decide(recorded: str, installed: str, what: str = 'The database of this site') -> str:
    """Classify a start of ``installed`` on a database of ``recorded``. Pure.

    :param recorded: version text of the last run, '' when there was none.
    :param installed: version text of the program.
    :param what: what to call the database in an error: the beginning of a sentence.
    :returns: FIRST (nothing is recorded), SAME, PATCH (within one minor version, in either direction) or UPGRADE (to
        the next minor version).
    :raises VersionError: it would skip a minor version, or go back.
    """
    before, now = parse_version(recorded), parse_version(installed)
    if before is None:
        return FIRST
    if now is None:
        # A custom build without a version: Headscale treats it the same way.
        return SAME
    if before == now:
        return SAME
    if before[:2] == now[:2]:
        return PATCH
    if before[0] == now[0] and now[1] == before[1] + 1:
        return UPGRADE
    sentence = '{} was last used by Headscale {}, and Headscale {} is installed: it cannot {}.'
    if now[:2] < before[:2]:
        raise VersionError(
            sentence.format(what, _text(before), _text(now), 'go back'),
            'install Headscale {}.{} again, or restore a backup that was made with {}.{}'.format(
                before[0], before[1], now[0], now[1]))
    raise VersionError(
        sentence.format(what, _text(before), _text(now), 'skip a minor version'),
        'install Headscale {}.{} first and run the server once with it'.format(before[0], before[1] + 1))


def short(text: str) -> str:
    """Return the version number ('0.29.3') in the output of a program, or the text itself if it has no number."""
    version = parse_version(text)
    return _text(version) if version else text


def _text(version: Tuple[int, ...]) -> str:
    return '.'.join(str(part) for part in version)


def recorded(site: SiteFiles) -> str:
    """Return the version of the Headscale that last ran on the site's database, '' if it is unknown."""
    return _of_file(site) or _of_database(site.path('headscale', 'db.sqlite'))


def _of_file(site: SiteFiles) -> str:
    try:
        text = foreign_file.read_text(site.path('headscale', VERSION_FILE), longest=_LONGEST, encoding='ascii')
    except OSError:
        return ''  # missing, or no text file: the database knows it, too
    return text.partition('\n')[0].strip()


def _of_database(path: str) -> str:
    """Return the version that Headscale itself noted in its database (since 0.29), '' when there is none."""
    if not os.path.isfile(path):
        return ''
    uri = 'file:{}?mode=ro'.format(urllib.parse.quote(path))
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True)) as database:
            row = database.execute('SELECT version FROM database_versions WHERE id = 1').fetchone()
    except sqlite3.Error:
        return ''
    return short(str(row[0])) if row and parse_version(str(row[0])) else ''


def record(site: SiteFiles, installed: str) -> None:
    """Record that ``installed`` (version text) now runs on the database."""
    version = parse_version(installed)
    if version is not None and _of_file(site) != _text(version):
        files.write_atomic(site.path('headscale', VERSION_FILE), _text(version) + '\n', mode=0o600)


def has_database(site: SiteFiles) -> bool:
    """Return whether the site has a database, so Headscale has run before."""
    return os.path.isfile(site.path('headscale', 'db.sqlite'))
