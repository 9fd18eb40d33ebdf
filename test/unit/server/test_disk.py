"""What `server status` and `server check` say about the disks of a site."""
import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import disk
from ua_overlay.site.site import Site
from ua_overlay.system import file_system


@pytest.mark.fault('K3', "The disk of the server's site is full", behaviour='what runs goes on; commands refuse',
                   reported='at once: server status, server check', recovery='when there is room', lost='nothing')
@needs_root
def test_a_full_disk_is_named_once(tmp_path):
    with small_file_system(tmp_path / 'small', '17m') as small:
        site = Site.create(small.path + '/site', SiteSettings('s.test'), lambda directory: None)
        assert disk.problems(site) == []
        with open(small.path + '/half', 'wb') as stream:
            stream.write(bytes(2 << 20))
        problem, = disk.problems(site)
        assert problem.sentence.startswith('The file system {} has only 15'.format(small.path))
        small.fill()
        problem, = disk.problems(site)
        assert str(problem) == 'The file system {0} is full. Next: df -h {0}'.format(small.path)


def test_a_log_that_loses_lines(tmp_path):
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), lambda directory: None)
    found = disk.problems(site, ['The log x cannot be written: it is full.'])
    assert str(found[-1]) == 'The log x cannot be written: it is full. Its lines are dropped. Next: ls -ld {}'.format(
        site.path('log'))
    assert disk.problems(Site(str(tmp_path / 'none'), SiteSettings('s.test'))) == []


@needs_root
def test_a_file_system_without_inodes(tmp_path):
    with small_file_system(tmp_path / 'small', '64m,nr_inodes=2') as small:
        (tmp_path / 'small' / 'x').write_text('')
        assert str(file_system.shortage(small.path)) == (
            'The file system {0} has no inode left for a new file. Next: df -i {0}'.format(small.path))
