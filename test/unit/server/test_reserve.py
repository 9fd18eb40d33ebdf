"""The room that a server keeps for its next start. With a real Headscale: test/lab/test_policy_real.py."""
import os

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import reserve
from ua_overlay.site.site import Site

pytestmark = needs_root


@pytest.fixture
def small(tmp_path):
    with small_file_system(tmp_path / 'small', '32m') as mounted:
        yield mounted


@pytest.fixture
def site(small):
    return Site.create(small.path + '/site', SiteSettings('s.test'), lambda directory: None)


def room(small):
    status = os.statvfs(small.path)
    return status.f_bavail * status.f_frsize


def test_room_is_kept_and_given_when_there_is_none(small, site):
    before = room(small)
    reserve.keep(site)
    reserve.keep(site)
    assert before - room(small) == reserve.SIZE and os.stat(reserve.path_of(site)).st_mode & 0o777 == 0o600
    assert not reserve.release(site), 'there is room'
    small.fill()
    assert reserve.release(site) and room(small) == reserve.SIZE and not reserve.release(site)
    reserve.keep(site)
    assert not os.path.exists(reserve.path_of(site)), 'the disk is nearly full'
    small.free()
    reserve.keep(site)
    assert os.path.exists(reserve.path_of(site))


@pytest.mark.parametrize('make', [os.mkfifo, os.mkdir, lambda path: os.symlink('/etc/passwd', path)])
def test_something_else_in_its_place_is_left_alone(small, site, make):
    make(reserve.path_of(site))
    reserve.keep(site)
    small.fill()
    reserve.release(site)
    assert os.path.getsize('/etc/passwd') > 0 and room(small) == 0


def test_a_site_without_the_directory(small, site):
    os.rmdir(site.path('run'))
    reserve.keep(site)
    assert not reserve.release(site)
