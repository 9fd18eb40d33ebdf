"""Who locks a database: /proc/locks, and a real lock of SQLite."""
import os
import sqlite3
import subprocess
import sys

from ua_overlay.headscale import database_lock

LOCKS = '''\
1: POSIX  ADVISORY  WRITE 4711 08:01:100 1073741824 1073742335
2: POSIX  ADVISORY  READ 4712 08:01:100 0 EOF
3: FLOCK  ADVISORY  WRITE 4713 00:19:7 0 EOF
3: -> FLOCK  ADVISORY  WRITE 4714 00:19:7 0 EOF
4: OFDLCK ADVISORY  WRITE -1 08:01:100 0 EOF
5: POSIX  ADVISORY  WRITE 0 08:01:100 0 EOF
nonsense
'''


def test_writers_of_an_inode():
    assert database_lock.writers(LOCKS, {100}) == [4711] and database_lock.writers(LOCKS, {7}) == [4713]
    assert database_lock.writers(LOCKS, set()) == [] == database_lock.writers('', {100})


def test_the_holder_of_a_real_lock_is_named(tmp_path):
    path = str(tmp_path / 'db.sqlite')
    program = ('import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1], isolation_level=None)\n'
               'base.execute("PRAGMA journal_mode=WAL")\nbase.execute("BEGIN EXCLUSIVE")\nprint(1, flush=True)\n'
               'sys.stdin.read()')
    with subprocess.Popen([sys.executable, '-c', program, path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b'1\n'
        found = database_lock.holders(path)
        assert [each.pid for each in found] == [holder.pid] and found[0].name.startswith('python')
        holder.stdin.close()
        holder.wait(10)
    assert database_lock.holders(path) == []


def test_a_program_with_the_same_inode_on_another_file_system_is_not_named(tmp_path):
    """A new tmpfs counts its inodes from one: `kill` would have hit somebody else's program."""
    path = str(tmp_path / 'db.sqlite')
    with open(path, 'w'):
        pass
    with subprocess.Popen([sys.executable, '-c', 'import sys; sys.stdin.read()'], stdin=subprocess.PIPE) as other:
        locks = tmp_path / 'locks'
        locks.write_text('1: POSIX  ADVISORY  WRITE {} 00:99:{} 0 EOF\n'.format(other.pid, os.stat(path).st_ino))
        assert database_lock.writers(locks.read_text(), {os.stat(path).st_ino}) == [other.pid]
        assert database_lock.holders(path, str(locks)) == []
        other.stdin.close()


def test_no_lock_is_visible(tmp_path):
    assert database_lock.holders(str(tmp_path / 'missing')) == []
    assert database_lock.holders(str(tmp_path), locks=os.devnull) == []
    with sqlite3.connect(str(tmp_path / 'db.sqlite')) as base:
        base.execute('CREATE TABLE t (x)')
    assert database_lock.holders(str(tmp_path / 'db.sqlite')) == []
