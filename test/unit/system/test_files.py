"""Files that are whole or not there."""
import os
import stat
import subprocess
import sys

import pytest
from paths import SOURCE

from ua_overlay.system import files


def mode(path):
    return stat.S_IMODE(os.stat(str(path)).st_mode)


@pytest.fixture(autouse=True)
def usual_umask():
    before = os.umask(0o022)
    yield
    os.umask(before)


@pytest.mark.parametrize('data, desired', [('ü\n', b'\xc3\xbc\n'), (b'\0\xff', b'\0\xff'), ('', b'')])
def test_content(tmp_path, data, desired):
    path = tmp_path / 'file'
    files.write_atomic(path, data)
    assert path.read_bytes() == desired and mode(path) == 0o644
    assert os.listdir(str(tmp_path)) == ['file']


def test_mode_is_independent_of_the_umask(tmp_path):
    os.umask(0o077)
    files.write_atomic(tmp_path / 'open', 'x', mode=0o664)
    os.umask(0)
    files.write_secret(tmp_path / 'secret', 'x')
    assert (mode(tmp_path / 'open'), mode(tmp_path / 'secret')) == (0o664, 0o600)


def test_a_secret_is_never_readable_by_others(tmp_path, monkeypatch):
    """Neither before it has its name nor when it replaces a file that was open."""
    (tmp_path / 'secret').write_text('old')
    (tmp_path / 'secret').chmod(0o644)
    seen = []
    replace = os.replace

    def look(source, target):
        seen.append((mode(source), open(source).read(), os.path.dirname(source)))
        replace(source, target)

    monkeypatch.setattr(os, 'replace', look)
    os.umask(0)
    files.write_secret(tmp_path / 'secret', 'new')
    assert seen == [(0o600, 'new', str(tmp_path))]
    assert mode(tmp_path / 'secret') == 0o600


def test_an_open_reader_keeps_the_old_file(tmp_path):
    files.write_atomic(tmp_path / 'file', 'old')
    with open(str(tmp_path / 'file')) as stream:
        files.write_atomic(tmp_path / 'file', 'new')
        assert stream.read() == 'old'
    assert (tmp_path / 'file').read_text() == 'new'


def test_a_link_is_replaced_not_followed(tmp_path):
    (tmp_path / 'target').write_text('kept')
    (tmp_path / 'link').symlink_to(tmp_path / 'target')
    files.write_atomic(tmp_path / 'link', 'new')
    assert (tmp_path / 'target').read_text() == 'kept' and not (tmp_path / 'link').is_symlink()


@pytest.mark.parametrize('name', ['fsync', 'fchmod', 'replace'])
@pytest.mark.parametrize('error', [OSError(28, 'No space left on device'), KeyboardInterrupt()])
def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, name, error):
    files.write_atomic(tmp_path / 'file', 'old')

    def fail(*args):
        raise error

    monkeypatch.setattr(os, name, fail)
    with pytest.raises(type(error)):
        files.write_atomic(tmp_path / 'file', 'new')
    monkeypatch.undo()
    assert os.listdir(str(tmp_path)) == ['file'] and (tmp_path / 'file').read_text() == 'old'


def test_the_file_is_synced_before_the_rename_and_the_directory_after(tmp_path, monkeypatch):
    order = []
    fsync, replace = os.fsync, os.replace

    def note_fsync(handle):
        order.append('directory' if stat.S_ISDIR(os.fstat(handle).st_mode) else 'file')
        fsync(handle)

    monkeypatch.setattr(os, 'fsync', note_fsync)
    monkeypatch.setattr(os, 'replace', lambda *args: (order.append('rename'), replace(*args)))
    files.write_atomic(tmp_path / 'file', 'x')
    assert order == ['file', 'rename', 'directory']


def test_owner(tmp_path, monkeypatch):
    given = []
    monkeypatch.setattr(os, 'fchown', lambda handle, uid, gid: given.append((uid, gid)))
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    files.write_secret(tmp_path / 'file', 'x', owner=(1000, 1001))
    files.write_secret(tmp_path / 'file', 'x')
    assert given == [(1000, 1001)]


def test_a_missing_directory(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write_atomic(tmp_path / 'missing' / 'file', 'x')


def test_a_name_without_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    replace, places = os.replace, []
    monkeypatch.setattr(os, 'replace', lambda source, target: (places.append(os.path.dirname(source)),
                                                               replace(source, target)))
    files.write_atomic('file', 'x')
    assert places == [str(tmp_path)]  # beside it: elsewhere might be another file system
    assert (tmp_path / 'file').read_text() == 'x'


@pytest.mark.skipif(os.geteuid() != 0, reason='Only root gives files away.')
def test_root_keeps_the_owner_of_the_old_file_or_the_directory(tmp_path):
    """A server that runs as another user goes on reading what an administrator wrote."""
    def owner(path):
        found = os.stat(str(path))
        return found.st_uid, found.st_gid

    os.chown(str(tmp_path), 1234, 4321)
    files.write_secret(tmp_path / 'new', 'x')
    (tmp_path / 'other').write_text('x')
    os.chown(str(tmp_path / 'other'), 7, 8)
    files.write_atomic(tmp_path / 'other', 'y')
    files.write_secret(tmp_path / 'asked', 'x', owner=(0, 0))
    assert [owner(tmp_path / name) for name in ('new', 'other', 'asked')] == [(1234, 4321), (7, 8), (0, 0)]
    assert mode(tmp_path / 'new') == 0o600


def test_root_changes_no_owner_of_its_own_files(tmp_path, monkeypatch):
    """In the agent's sandbox that call is refused."""
    monkeypatch.setattr(os, 'fchown', lambda *_: pytest.fail('fchown'))
    files.write_atomic(tmp_path / 'file', 'x')
    files.write_atomic(tmp_path / 'file', 'y')
    assert (tmp_path / 'file').read_text() == 'y'


def test_only_regular_files_are_replaced(tmp_path):
    """Root's `--output /dev/null` would otherwise leave the machine without one."""
    os.mkfifo(str(tmp_path / 'pipe'))
    with pytest.raises(OSError):
        files.write_atomic(tmp_path / 'pipe', 'x')
    assert stat.S_ISFIFO(os.stat(str(tmp_path / 'pipe')).st_mode) and os.listdir(str(tmp_path)) == ['pipe']


#: Is killed between the write and the rename.
KILLED = ('import os, signal, sys\nfrom ua_overlay.system import files\n'
          'os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n'
          'files.write_secret(sys.argv[1], "half")\n')
#: Waits between the write and the rename.
WAITS = ('import os, sys, time\nfrom ua_overlay.system import files\n'
         'os.replace = lambda *paths: (print("ready", flush=True), time.sleep(600))\n'
         'files.write_secret(sys.argv[1], "half")\n')


def python(script, *arguments):
    return subprocess.Popen([sys.executable, '-c', script] + list(map(str, arguments)), stdout=subprocess.PIPE,
                            env=dict(os.environ, PYTHONPATH=SOURCE))


@pytest.mark.fault('K5', 'A command is killed while it writes a file', behaviour='the old file stays complete',
                   reported='never', recovery='the next writer of the file removes the temporary one', lost='nothing')
def test_the_next_writer_removes_what_a_killed_one_left(tmp_path, monkeypatch):
    path, other = tmp_path / 'ca.key', tmp_path / 'other.key'
    path.write_text('old')
    for each in (path, other):
        killed = python(KILLED, each)
        assert killed.wait() == -9
        killed.stdout.close()
    assert path.read_text() == 'old' and len(os.listdir(str(tmp_path))) == 3
    monkeypatch.setattr(files, '_swept', set())
    files.write_secret(path, 'new')
    left = sorted(os.listdir(str(tmp_path)))
    assert [name[:11] for name in left] == ['.other.key.', 'ca.key'] and path.read_text() == 'new'
    assert files.sweep(str(tmp_path)) == [str(tmp_path / left[0])] and os.listdir(str(tmp_path)) == ['ca.key']


def test_a_file_that_is_being_written_is_not_swept(tmp_path):
    busy = python(WAITS, tmp_path / 'file')
    try:
        assert busy.stdout.readline() == b'ready\n'
        assert files.sweep(str(tmp_path)) == [] and len(os.listdir(str(tmp_path))) == 1
    finally:
        busy.kill()
        busy.wait()
        busy.stdout.close()
    assert len(files.sweep(str(tmp_path))) == 1 and files.sweep(str(tmp_path / 'none')) == []


def test_files_of_others_are_not_swept(tmp_path):
    for name in ('.file.abc', '.file.abcdefghi', 'file.abcdefgh', '.hidden', '.file.ABCDEFGH'):
        (tmp_path / name).write_text('x')
    (tmp_path / '.file.abcdefgh').mkdir()
    (tmp_path / '.file.12345678').symlink_to(tmp_path / '.hidden')
    assert files.sweep(str(tmp_path)) == [] and len(os.listdir(str(tmp_path))) == 7


def test_a_file_that_is_right_is_not_written(tmp_path):
    path = tmp_path / 'file'
    assert files.write_changed(path, 'a', 0o600) and not files.write_changed(path, 'a', 0o600)
    before = os.stat(str(path))
    assert not files.write_changed(path, b'a', 0o600) and os.stat(str(path)).st_ino == before.st_ino
    assert files.write_changed(path, b'a', 0o644) and os.stat(str(path)).st_ino != before.st_ino
    assert files.write_changed(path, 'b', 0o644) and path.read_text() == 'b'
    path.unlink()
    path.symlink_to('/etc/hostname')
    assert files.write_changed(path, 'b') and not path.is_symlink()


def test_a_removed_file_is_gone_from_the_disk(tmp_path, monkeypatch):
    """test/lab/test_power_cuts.py shows why: here only that the directory is synced after the removal."""
    synced = []
    monkeypatch.setattr(files, 'sync_directory', lambda directory: synced.append((directory, os.listdir(directory))))
    (tmp_path / 'file').touch()
    files.remove(tmp_path / 'file')
    assert synced == [(str(tmp_path), [])]
    with pytest.raises(FileNotFoundError):
        files.remove(tmp_path / 'file')


def test_a_file_that_is_written_in_place_is_created_or_opened(tmp_path):
    path = tmp_path / 'log'
    for content in (b'a', b'b'):
        handle = files.open_or_create(path, os.O_WRONLY | os.O_APPEND)
        os.write(handle, content)
        os.close(handle)
    assert path.read_bytes() == b'ab' and stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize('make', [lambda path: os.symlink('/etc/hostname', path), os.mkfifo, os.mkdir])
def test_something_else_in_place_of_a_file_is_neither_followed_nor_waited_for(make, tmp_path):
    make(str(tmp_path / 'log'))
    with pytest.raises(OSError):
        files.open_or_create(tmp_path / 'log', os.O_WRONLY)
