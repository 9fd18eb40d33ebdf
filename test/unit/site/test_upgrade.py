"""A start of another Headscale: allowed with a backup, or refused."""
import datetime
import os

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import versions
from ua_overlay.site import archive
from ua_overlay.site.upgrade import KEPT, UpgradeGuard

NOW = datetime.datetime(2026, 11, 24, 14, 25, tzinfo=datetime.timezone.utc)


@pytest.fixture
def site(tmp_path, make_site):
    return make_site(tmp_path / 'site')


def test_an_upgrade_is_preceded_by_a_backup_and_recorded(site, tmp_path):
    said, version = [], ['0.29.3']
    guard = UpgradeGuard(site, lambda: version[0], lambda: NOW, said.append)
    assert guard.before_start() == '' and said == []
    version[0] = '0.30.1'
    path = guard.before_start()
    (tmp_path / 'unpacked').mkdir()
    assert archive.unpack(path, str(tmp_path / 'unpacked')).headscale == '0.29.3'
    assert 'takes over from 0.29.3' in said[0] and path in said[0]
    guard.after_start()
    assert versions.recorded(site) == '0.30.1' and guard.before_start() == ''
    version[0] = '0.32.0'
    with pytest.raises(OverlayError, match='skip a minor version'):
        guard.before_start()


def test_only_the_last_backups_are_kept(site):
    now = [NOW]
    guard = UpgradeGuard(site, lambda: '0.30.1', lambda: now[0], lambda line: None)
    made = []
    for _ in range(KEPT + 2):
        made.append(os.path.basename(guard.before_start()))
        now[0] += datetime.timedelta(minutes=1)
    assert sorted(os.listdir(site.path('backups'))) == made[-KEPT:]


def test_a_site_without_a_database_needs_no_backup(site):
    os.unlink(site.path('headscale', 'db.sqlite'))
    assert UpgradeGuard(site, lambda: '0.30.1', lambda: NOW, print).before_start() == ''
    assert not os.path.exists(site.path('backups'))
