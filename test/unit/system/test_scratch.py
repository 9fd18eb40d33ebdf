"""Private directories, and what killed commands left of them."""
import os
import signal
import subprocess
import sys

import pytest
from full_disk import needs_root, small_file_system
from paths import SOURCE

from ua_overlay.system import scratch

#: Makes a directory with a key in it, says so, and waits.
HOLD = ('import sys, time\nfrom ua_overlay.system import scratch\n'
        'with scratch.directory(sys.argv[1], ".test.") as path:\n'
        '    open(path + "/key", "w").write("secret")\n    print(path, flush=True)\n    time.sleep(600)\n')


@pytest.fixture
def holder(tmp_path):
    """(process that holds a directory, the directory)."""
    process = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE,
                               env=dict(os.environ, PYTHONPATH=SOURCE), universal_newlines=True)
    yield process, process.stdout.readline().strip()
    process.kill()
    process.wait()
    process.stdout.close()


def test_it_is_private_and_removed(tmp_path):
    with scratch.directory(str(tmp_path), '.test.') as path:
        assert os.stat(path).st_mode & 0o777 == 0o700 and os.path.dirname(path) == str(tmp_path)
        os.mkdir(path + '/below')
    assert os.listdir(str(tmp_path)) == []
    with scratch.directory(str(tmp_path), '.test.') as path:
        os.rename(path, str(tmp_path / 'kept'))
    assert os.listdir(str(tmp_path)) == ['kept']


@pytest.mark.fault('K5', 'server restore, backup or init is killed half way',
                   behaviour='nothing changes; a directory with keys stays until the next command',
                   reported='never', recovery='with the next command', lost='nothing')
def test_the_next_one_removes_what_a_killed_one_left(tmp_path, holder):
    process, path = holder
    assert scratch.sweep(str(tmp_path), '.test.') == [] and os.path.exists(path + '/key'), 'it is in use'
    process.send_signal(signal.SIGKILL)
    process.wait()
    with scratch.directory(str(tmp_path), '.test.') as mine:
        name = os.path.basename(mine)
        assert sorted(os.listdir(str(tmp_path))) == [name, name + '.lock']


def test_what_is_left_of_a_killed_removal_is_swept(tmp_path):
    (tmp_path / '.test.x' / 'below').mkdir(parents=True)
    (tmp_path / '.test.y.lock').write_text('')
    assert scratch.sweep(str(tmp_path), '.test.') == [str(tmp_path / '.test.x'), str(tmp_path / '.test.y')]
    assert os.listdir(str(tmp_path)) == []


def test_only_directories_of_this_kind_are_swept(tmp_path):
    (tmp_path / '.test.file').write_text('x')
    (tmp_path / '.other.x').mkdir()
    (tmp_path / '.test.link').symlink_to(tmp_path / '.other.x')
    assert scratch.sweep(str(tmp_path), '.test.') == [] and len(os.listdir(str(tmp_path))) == 3
    assert scratch.sweep(str(tmp_path / 'none'), '.test.') == []


@needs_root
def test_other_users_directories_stay(tmp_path):
    (tmp_path / '.test.x').mkdir()
    os.chmod(str(tmp_path), 0o777)
    for path in list(tmp_path.parents)[:2]:
        os.chmod(str(path), 0o755)
    script = ('import os, sys\nfrom ua_overlay.system import scratch\nos.setuid(65534)\n'
              'print(scratch.sweep(sys.argv[1], ".test."))')
    done = subprocess.run([sys.executable, '-c', script, str(tmp_path)], stdout=subprocess.PIPE,
                          env=dict(os.environ, PYTHONPATH=SOURCE), universal_newlines=True)
    assert done.stdout == '[]\n' and (tmp_path / '.test.x').exists()


@needs_root
def test_a_full_file_system_is_named(tmp_path):
    with small_file_system(tmp_path / 'small', '4k,nr_inodes=2') as small:
        small.fill()
        with pytest.raises(OSError) as caught, scratch.directory(small.path, '.test.'):
            pass
        assert caught.value.strerror == 'the file system {} is full'.format(small.path)


def test_a_missing_parent(tmp_path):
    with pytest.raises(FileNotFoundError), scratch.directory(str(tmp_path / 'none'), '.test.'):
        pass
