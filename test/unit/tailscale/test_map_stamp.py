"""The map that tailscaled keeps is used for a time after the robot was last connected, and removed after that."""
import os
import re
import subprocess
import time

import pytest

from ua_overlay import defaults
from ua_overlay.tailscale import map_stamp, prepare
from ua_overlay.tailscale.daemon_unit import DaemonArguments
from ua_overlay.tailscale.map_stamp import Stamp


def test_the_stamp_is_as_far_ahead_as_the_site_says(tmp_path):
    map_stamp.renew(str(tmp_path), 1.7e9, 86400)
    assert os.stat(map_stamp.path(str(tmp_path))).st_mtime == 1.7e9 + 86400
    assert map_stamp.read(str(tmp_path)) == Stamp(1.7e9, 1.7e9 + 86400)
    map_stamp.renew(str(tmp_path), 1.7e9 + 60, 3600)
    assert os.stat(map_stamp.path(str(tmp_path))).st_mtime == 1.7e9 + 3660
    assert map_stamp.read(str(tmp_path)) == Stamp(1.7e9 + 60, 1.7e9 + 3660)


@pytest.mark.parametrize('text', [
    '', 'nan', 'inf', '-5', '1e99', '99999999999', 'x' * 1000, '1700000000 and more', '²'])
def test_a_stamp_that_something_else_wrote_is_none(text, tmp_path):
    assert map_stamp.read(str(tmp_path)) is None
    with open(map_stamp.path(str(tmp_path)), 'w') as stream:
        stream.write(text)
    assert map_stamp.read(str(tmp_path)) is None
    map_stamp.renew(str(tmp_path), 5.0, 60)
    assert map_stamp.read(str(tmp_path)) == Stamp(5.0, 65.0)


@pytest.mark.parametrize('make', [os.mkfifo, lambda path: os.symlink('/etc/passwd', path), os.mkdir])
def test_something_else_in_its_place_is_an_error(make, tmp_path):
    make(map_stamp.path(str(tmp_path)))
    with pytest.raises(OSError):
        map_stamp.renew(str(tmp_path), 1.7e9, 86400)
    assert map_stamp.read(str(tmp_path)) is None


@pytest.mark.parametrize('age, kept', [(0, True), (defaults.ADMISSION_MEMORY - 60, True),
                                       (defaults.ADMISSION_MEMORY + 60, False), (None, False)])
@pytest.mark.fault('new', 'A robot was removed from the site while this one was off, and the server is dead',
                   behaviour='This one trusts it for a day after its own last connection, and not after that',
                   reported='-', recovery='-', lost='nothing')
def test_the_drop_in_removes_an_old_map(age, kept, tmp_path):
    state, daemon = tmp_path / 'robot', tmp_path / 'tail scale'
    state.mkdir()
    kept_map = daemon / 'profile-data' / '1234' / 'netmap-cache'
    kept_map.mkdir(parents=True)
    (kept_map / 'peers').write_text('x')
    if age is not None:
        map_stamp.renew(str(state), time.time() - age, defaults.ADMISSION_MEMORY)
    text = prepare.drop_in(DaemonArguments(directories=(str(daemon),)))
    command = re.search(r"ExecStartPre=-\+/bin/sh -c '(find [^']*)'\n", text).group(1)
    command = command.replace(map_stamp.path(defaults.STATE_DIR), map_stamp.path(str(state)))
    subprocess.run(['/bin/sh', '-c', command], check=True, timeout=10)
    assert kept_map.exists() == kept


@pytest.mark.parametrize('age, kept', [(0, True), (defaults.ADMISSION_MEMORY - 60, True),
                                       (defaults.ADMISSION_MEMORY + 60, False), (None, False)])
def test_a_node_that_runs_tailscaled_removes_an_old_map(age, kept, tmp_path):
    kept_map = tmp_path / 'tail[s]cale' / 'profile-data' / '1234' / 'netmap-cache'
    kept_map.mkdir(parents=True)
    (kept_map / 'peers').write_text('x')
    other = tmp_path / 'tail[s]cale' / 'profile-data' / '1234' / 'other'
    other.mkdir()
    if age is not None:
        map_stamp.renew(str(tmp_path), time.time() - age, defaults.ADMISSION_MEMORY)
    map_stamp.remove_expired(str(tmp_path), str(tmp_path / 'tail[s]cale'), time.time())
    assert kept_map.exists() == kept and other.exists()


@pytest.mark.parametrize('path', ["/data/it's", '/data/$HOME', '/data/"x"', '/data/`id`', '/data/a\\b'])
def test_a_path_that_a_shell_would_change_is_left_out(path):
    assert path not in prepare.kept_maps(DaemonArguments(directories=(path,)))
