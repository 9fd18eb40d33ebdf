"""Decisions of a host about accounts and errors. Real hosts: test/lab."""
import os

import pytest

from ua_overlay.lab import init


def test_a_new_account_gets_the_first_free_user_id():
    assert init.free_id(set()) == 1000
    assert init.free_id({0, 999, 1000, 1001, 1003}) == 1002


def test_ids_are_read_from_their_column(tmp_path):
    path = tmp_path / 'passwd'
    path.write_text('root:x:0:0:root:/root:/bin/bash\n\nrobot:x:1000:1001::/home/robot:/bin/bash\n+nis\n')
    assert init.column(str(path), 2) == {0, 1000}
    assert init.column(str(path), 3) == {0, 1001}


@pytest.mark.parametrize('error, text', [
    (FileNotFoundError(2, 'No such file or directory', '/x'), '/x: No such file or directory'),
    (OSError(1, 'mount proc on /proc: Operation not permitted'), 'mount proc on /proc: Operation not permitted')])
def test_an_error_names_its_file(error, text):
    assert init.describe(error) == text


def test_the_life_line_stays_open():
    reading, writing = os.pipe()
    os.write(writing, b'{"name": "x"}\nkeep\n')
    os.close(writing)
    assert init.read_line(reading) == b'{"name": "x"}\n'
    assert os.read(reading, 64) == b'keep\n'
    with pytest.raises(SystemExit):
        init.read_line(reading)
    os.close(reading)


def test_a_dangling_link_is_replaced_by_a_file(tmp_path):
    path = tmp_path / 'resolv.conf'
    path.symlink_to(tmp_path / 'missing')
    init.write(str(path), 'nameserver 203.0.113.2\n', 0o444)
    assert not path.is_symlink() and path.read_text() == 'nameserver 203.0.113.2\n'
    assert path.stat().st_mode & 0o777 == 0o444
