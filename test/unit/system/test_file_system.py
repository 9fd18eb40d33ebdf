"""Which file system is full."""
import errno
import os
import subprocess

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.system import file_system, files


def test_the_mount_point_of_a_path(tmp_path):
    assert file_system.mount_point('/') == '/' and file_system.mount_point('/proc/self/none') == '/proc'
    assert os.path.ismount(file_system.mount_point(tmp_path / 'none' / 'none'))


@needs_root
def test_a_full_file_system_is_named(tmp_path):
    with small_file_system(tmp_path / 'small') as small:
        (tmp_path / 'link').symlink_to(small.path)
        files.write_atomic(small.path + '/kept', 'old')
        small.fill()
        with pytest.raises(OSError) as caught:
            files.write_atomic(tmp_path / 'link' / 'kept', 'x' * 9000)
        assert caught.value.errno == errno.ENOSPC
        error = file_system.as_error(caught.value)
        assert error.sentence == '{}/link/kept cannot be used: the file system {} is full.'.format(tmp_path, small.path)
        assert (error.next_command, error.code) == ('df -h ' + small.path, 'FILE_SYSTEM')
        assert small.names() == ['kept'] and open(small.path + '/kept').read() == 'old'
        small.free()
        files.write_atomic(tmp_path / 'link' / 'kept', 'x' * 9000)


@pytest.mark.parametrize('number, words', [
    (errno.ENOSPC, 'is full'), (errno.EDQUOT, 'has no space left for this user (quota)'), (errno.EROFS, 'is read-only'),
    (errno.EIO, 'has a read or write error')])
def test_other_troubles_of_a_file_system(number, words):
    error = file_system.named(OSError(number, os.strerror(number)), '/proc/x')
    assert (error.filename, error.strerror) == ('/proc/x', 'the file system /proc ' + words)
    assert file_system.named(error, '/other') is error and error.strerror == 'the file system /proc ' + words
    assert file_system.next_command(error, 'other') == 'df -h /proc' and file_system.is_trouble(error)


@pytest.mark.parametrize('error, sentence, next_command', [
    (PermissionError(errno.EACCES, 'Permission denied', '/x/y'), '/x/y cannot be used: Permission denied.',
     'ls -ld /x/y'),
    (OSError(errno.ENETDOWN, 'Network is down'), 'The system refused an operation: Network is down.', ''),
    (subprocess.TimeoutExpired(['/opt/headscale', 'KEY'], 30), '`headscale` did not end within 30 s.', ''),
    (subprocess.CalledProcessError(1, ['/opt/headscale', 'KEY']), '`headscale` failed.', '')])
def test_errors_that_no_command_expects(error, sentence, next_command):
    shown = file_system.as_error(error)
    assert (shown.sentence, shown.next_command) == (sentence, next_command)


def test_an_error_without_a_file_names_what_was_written():
    assert file_system.as_error(OSError(errno.ENOSPC, 'No space left on device'), 'standard output').sentence == (
        'Standard output cannot be written: No space left on device.')
    assert file_system.next_command(OSError(errno.ENOSPC, 'x'), 'other') == 'other'


MOUNTINFO = '''24 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 24 8:1 / /media/pi/USB\\040STICK rw,nosuid,nodev shared:1 - vfat /dev/sda1 rw,uid=1000,fmask=0022
32 24 0:9 / /run rw - tmpfs tmpfs rw
33 24 0:9 / /run rw master:2 - overlay x rw
'''


@pytest.mark.parametrize('place, kind', [
    ('/', 'ext4'), ('/media/pi/USB STICK', 'vfat'), ('/run', 'overlay'), ('/x', '')])
def test_the_type_of_a_file_system(place, kind):
    assert file_system.kind_in(MOUNTINFO, place) == kind


def test_the_type_of_real_file_systems():
    assert file_system.kind_of('/proc/self/none') == 'proc' and file_system.kind_of('/') != ''


@pytest.mark.parametrize('owner, kind, user, words', [
    (1000, 'ext4', 1000, 'chmod 600 /a/x.yaml'), (1000, 'ext4', 0, 'chmod 600 /a/x.yaml'),
    (0, 'ext4', 1000, 'install -m 600 /a/x.yaml ~/x.yaml   # and use that copy'),
    (1000, 'vfat', 1000, 'install -m 600 /a/x.yaml ~/x.yaml   # and use that copy'),
    (0, 'vfat', 0, 'install -m 600 /a/x.yaml ~/x.yaml   # and use that copy')])
def test_how_to_close_a_file_to_others(owner, kind, user, words):
    assert file_system.closing_command('/a/x.yaml', owner, kind, user) == words
