"""Which Headscale version may run on which database."""
import os
import sqlite3

import pytest

from ua_overlay.headscale import versions
from ua_overlay.headscale.versions import FIRST, PATCH, SAME, UPGRADE, VersionError, decide


@pytest.mark.parametrize('recorded, installed, step', [
    ('', 'v0.29.3', FIRST), ('0.29.3', 'headscale version v0.29.3', SAME), ('0.29.3', '0.29.4', PATCH),
    ('0.29.3', '0.29.2', PATCH), ('0.29.3', '0.30.0', UPGRADE), ('0.29.3', 'dev', SAME)])
def test_kind_of_start(recorded, installed, step):
    assert decide(recorded, installed) == step


@pytest.mark.parametrize('recorded, installed, words', [
    ('0.28.1', '0.30.0', ('cannot skip a minor version', 'install Headscale 0.29 first')),
    ('0.30.0', '0.29.3', ('cannot go back', 'install Headscale 0.30 again')),
    ('0.30.0', '1.0.0', ('cannot skip a minor version',)), ('1.0.0', '0.31.0', ('cannot go back',))])
def test_a_refused_start(recorded, installed, words):
    with pytest.raises(VersionError) as caught:
        decide(recorded, installed)
    assert all(word in str(caught.value) for word in words), caught.value


class Site:
    def __init__(self, directory):
        self.directory = directory
        (directory / 'headscale').mkdir()

    def path(self, *parts):
        return str(self.directory.joinpath(*parts))


def test_the_last_run_is_remembered(tmp_path):
    site = Site(tmp_path)
    assert versions.recorded(site) == '' and not versions.has_database(site)
    versions.record(site, 'headscale version v0.29.3-dirty')
    assert versions.recorded(site) == '0.29.3'
    versions.record(site, 'no number')
    assert versions.recorded(site) == '0.29.3'


def test_the_version_is_read_from_the_database_without_a_version_file(tmp_path):
    site = Site(tmp_path)
    with sqlite3.connect(site.path('headscale', 'db.sqlite')) as database:
        database.execute('CREATE TABLE database_versions (id INTEGER, version TEXT)')
        database.execute("INSERT INTO database_versions VALUES (1, 'v0.29.2')")
    assert versions.recorded(site) == '0.29.2' and versions.has_database(site)
    (tmp_path / 'headscale' / 'db.sqlite').write_bytes(b'not a database at all' * 100)
    assert versions.recorded(site) == ''


@pytest.mark.parametrize('make', [lambda path: path.mkdir(), lambda path: os.mkfifo(str(path)),
                                  lambda path: path.write_bytes(b'\xff'), lambda path: path.write_text('9' * 5000)])
def test_something_else_in_place_of_the_version_file(tmp_path, make):
    """A pipe would block `server run` for ever, a directory end it with a traceback; the database knows it, too."""
    (tmp_path / 'headscale').mkdir()
    make(tmp_path / 'headscale' / versions.VERSION_FILE)

    class Site:
        @staticmethod
        def path(*parts):
            return str(tmp_path.joinpath(*parts))

    assert versions.recorded(Site()) == ''
    with sqlite3.connect(str(tmp_path / 'headscale' / 'db.sqlite')) as database:
        database.execute('CREATE TABLE database_versions (id INTEGER, version TEXT)')
        database.execute("INSERT INTO database_versions VALUES (1, '0.29.3')")
    assert versions.recorded(Site()) == '0.29.3'
