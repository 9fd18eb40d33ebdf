"""Room where the robot writes, on a real full file system too."""
import os
import subprocess
import sys

import pytest
from paths import ROOT

from ua_overlay.checks.observe.disks import observe_disks


def test_a_directory_that_does_not_exist_is_left_out(tmp_path):
    assert [item.directory for item in observe_disks([str(tmp_path), str(tmp_path / 'none')])] == [str(tmp_path)]


_FULL = """
import os, sys
sys.path.insert(0, sys.argv[2])
from ua_overlay.checks.observe.disks import observe_disks
try:
    with open(os.path.join(sys.argv[1], 'fill'), 'wb') as stream:
        while True:
            stream.write(b'x' * 4096)
            stream.flush()
except OSError:
    print(observe_disks([sys.argv[1]])[0].free)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason='mounts a tmpfs in a mount namespace')
def test_a_full_tmpfs(tmp_path):
    source = os.path.join(ROOT, 'src')
    done = subprocess.run(['unshare', '-m', 'sh', '-c', 'mount -t tmpfs -o size=64k none "$0" && exec "$@"',
                           str(tmp_path), sys.executable, '-c', _FULL, str(tmp_path), source],
                          stdout=subprocess.PIPE, check=True)
    assert done.stdout == b'0\n'
