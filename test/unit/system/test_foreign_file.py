"""Whatever stands in the place of a file, reading it ends soon, with its content or an OSError that says what it is."""
import os
import socket

import pytest

from ua_overlay.system import foreign_file


def test_content_and_status_of_a_regular_file(tmp_path):
    path = tmp_path / 'site.yaml'
    path.write_bytes(b'version: 1\n')
    path.chmod(0o640)
    data, status = foreign_file.read(path)
    assert data == b'version: 1\n' and status.st_mode & 0o777 == 0o640
    assert foreign_file.read_text(str(path)) == 'version: 1\n'


def a_directory(path):
    path.mkdir()


def a_fifo(path):
    os.mkfifo(str(path))


def a_socket(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.close()


def a_link_to_zero(path):
    path.symlink_to('/dev/zero')


def a_long_file(path):
    path.write_bytes(b'x' * 101)


@pytest.mark.parametrize('make, reason', [
    (a_directory, 'Not a regular file but a directory'), (a_fifo, 'Not a regular file but a FIFO'),
    (a_socket, 'Not a regular file but a socket'), (a_link_to_zero, 'Not a regular file but a device'),
    (a_long_file, 'Longer than 100 bytes')])
def test_what_stands_in_a_files_place_is_named(make, reason, tmp_path):
    path = tmp_path / 'odd'
    make(path)
    with pytest.raises(OSError) as caught:
        foreign_file.read(path, longest=100)
    assert (caught.value.strerror, caught.value.filename) == (reason, str(path))


def test_a_file_of_just_the_longest_size_is_read(tmp_path):
    path = tmp_path / 'full'
    path.write_bytes(b'x' * 100)
    assert len(foreign_file.read(path, longest=100).data) == 100


def test_a_sparse_file_of_a_terabyte_costs_no_memory(tmp_path):
    path = tmp_path / 'sparse'
    with path.open('wb') as stream:
        stream.truncate(2 ** 40)
    with pytest.raises(OSError, match='Longer than 1048576 bytes'):
        foreign_file.read(path)


def test_a_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        foreign_file.read(tmp_path / 'none')


def test_a_path_with_a_nul_is_an_invalid_path():
    with pytest.raises(OSError, match='Invalid argument'):
        foreign_file.read('/tmp/a\0b')


def test_a_link_is_followed_only_where_the_reader_says_so(tmp_path):
    (tmp_path / 'file').write_text('x')
    (tmp_path / 'link').symlink_to('file')
    assert foreign_file.read_text(tmp_path / 'link') == 'x'
    with pytest.raises(OSError, match='Not a regular file but a symbolic link'):
        foreign_file.read(tmp_path / 'link', follow=False)


def test_a_text_in_another_encoding_is_named(tmp_path):
    path = tmp_path / 'latin'
    path.write_bytes(b'caf\xe9')
    with pytest.raises(OSError, match=r'Not UTF-8 text \(byte 3\)') as caught:
        foreign_file.read_text(path)
    assert caught.value.filename == str(path)
    with pytest.raises(OSError, match='Not ASCII text'):
        foreign_file.read_text(path, encoding='ascii')


def test_a_byte_order_mark_is_no_text(tmp_path):
    (tmp_path / 'file').write_bytes(b'\xef\xbb\xbfname: x\r\n')
    assert foreign_file.read_text(tmp_path / 'file') == 'name: x\r\n'


def test_a_long_file_can_be_read_in_parts_and_a_fifo_cannot(tmp_path):
    (tmp_path / 'file').write_bytes(b'abcdef')
    with foreign_file.opened(tmp_path / 'file') as stream:
        assert [stream.read(4), stream.read(4), stream.read(4)] == [b'abcd', b'ef', b'']
    os.mkfifo(tmp_path / 'fifo')
    with pytest.raises(OSError, match='Not a regular file but a FIFO'):
        foreign_file.opened(tmp_path / 'fifo')
