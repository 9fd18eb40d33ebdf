"""A site with real certificates and a real SQLite database, for the tests of backups and upgrades."""
import contextlib
import datetime
import sqlite3

import pytest

from ua_overlay.headscale import versions
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site.site import Site
from ua_overlay.trust import store

NOW = datetime.datetime(2026, 11, 24, 14, 25, tzinfo=datetime.timezone.utc)


@pytest.fixture
def make_site():
    """Function(directory, name) -> a Site on whose database Headscale 0.29.3 ran."""
    def make(directory, name='server.example.org'):
        settings = SiteSettings(name)
        site = Site.create(str(directory), settings, lambda path: store.init(path, name, [name], [], NOW))
        with contextlib.closing(sqlite3.connect(site.path('headscale', 'db.sqlite'))) as database:
            database.execute('PRAGMA journal_mode=WAL')
            database.execute('CREATE TABLE nodes (name TEXT)')
            database.execute("INSERT INTO nodes VALUES ('dev-1')")
            database.commit()
        for path in ('headscale/noise.key', 'relay/tailscaled.state', 'relay/tailscaled.log1.txt', 'log/headscale.log',
                     'api.key'):
            with open(site.path(path), 'w', encoding='ascii') as stream:
                stream.write('content of ' + path)
        versions.record(site, '0.29.3')
        return site

    return make
