"""Which Headscale may run on which database: pure decisions, and how the last run is remembered.

Headscale's migrations are written for one step of its minor version at a time, and none goes back. It refuses the rest
itself since 0.29, but only after it has been started; here it is known before, while the database is still untouched.
"""
import contextlib
import os
import sqlite3
import urllib.parse

from ua_overlay.errors import OverlayError
from ua_overlay.system import files
from ua_overlay.toolchain.pins import parse_version

#: Beside the database: the Headscale that last ran on it, one line.
VERSION_FILE = 'version'
FIRST, SAME, PATCH, UPGRADE = 'FIRST', 'SAME', 'PATCH', 'UPGRADE'


class VersionError(OverlayError):
    """The Headscale that is installed must not touch this database."""

    code = 'VERSION'


def decide(recorded, installed, what='The database of this site'):
    """What a start of ``installed`` on a database of ``recorded`` is.

    :param recorded: version text of the last run, '' when there was none.
    :param installed: version text of the program.
    :param what: what to call the database in an error: the beginning of a sentence.
    :returns: FIRST (nothing is recorded), SAME, PATCH (within one minor version, in either direction) or UPGRADE (to
        the next minor version).
    :raises VersionError: a minor version would be skipped, or gone back to.
    """
    before, now = parse_version(recorded), parse_version(installed)
    if before is None or now is None:
        # A build of one's own without a version: Headscale treats it the same way.
        return FIRST if before is None else SAME
    if before == now:
        return SAME
    if before[:2] == now[:2]:
        return PATCH
    if before[0] == now[0] and now[1] == before[1] + 1:
        return UPGRADE
    if now[:2] < before[:2]:
        raise VersionError(
            '{} was last used by Headscale {}, and Headscale {} is installed: it cannot go back.'.format(
                what, _text(before), _text(now)),
            'install Headscale {}.{} again, or restore a backup that was made with {}.{}'.format(
                before[0], before[1], now[0], now[1]))
    raise VersionError(
        '{} was last used by Headscale {}, and Headscale {} is installed: no minor version may be skipped.'.format(
            what, _text(before), _text(now)),
        'install Headscale {}.{} first and run the server once with it'.format(before[0], before[1] + 1))


def short(text):
    """'0.29.3' of whatever a program says of its version; the text itself when there is no number in it."""
    version = parse_version(text)
    return _text(version) if version else text


def _text(version):
    return '.'.join(str(part) for part in version)


def recorded(site):
    """Version text of the Headscale that last ran on the site's database, '' when that is not known."""
    return _of_file(site) or _of_database(site.path('headscale', 'db.sqlite'))


def _of_file(site):
    try:
        with open(site.path('headscale', VERSION_FILE), encoding='ascii', errors='replace') as stream:
            return stream.readline().strip()
    except FileNotFoundError:
        return ''


def _of_database(path):
    """What Headscale itself noted in its database (since 0.29), '' without it."""
    if not os.path.isfile(path):
        return ''
    try:
        with contextlib.closing(sqlite3.connect('file:{}?mode=ro'.format(urllib.parse.quote(path)), uri=True)) as found:
            row = found.execute('SELECT version FROM database_versions WHERE id = 1').fetchone()
    except sqlite3.Error:
        return ''
    return short(str(row[0])) if row and parse_version(str(row[0])) else ''


def record(site, installed):
    """Remember that ``installed`` (version text) runs on the database now."""
    version = parse_version(installed)
    if version is not None and _of_file(site) != _text(version):
        files.write_atomic(site.path('headscale', VERSION_FILE), _text(version) + '\n', mode=0o600)


def has_database(site):
    """Whether Headscale ever ran here."""
    return os.path.isfile(site.path('headscale', 'db.sqlite'))
