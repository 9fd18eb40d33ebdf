"""A bundle of programs: what was packed is installed, and nothing else is."""
import contextlib
import gzip
import http.server
import io
import os
import struct
import tarfile
import threading

import pytest

from ua_overlay.toolchain import bundle
from ua_overlay.toolchain.architecture import named
from ua_overlay.toolchain.bundle import BundleError, install, pack, parse_sums, part_of
from ua_overlay.toolchain.find import build_dir
from ua_overlay.toolchain.pins import Pin

PINS = {'tailscale': Pin('tailscale', '1.102.5', (), '1.26.6'), 'headscale': Pin('headscale', '0.29.3', (), '1.26.5')}
ARM64, AMD64 = named('arm64'), named('amd64')
ELF = b'\x7fELF\2\1\1' + bytes(9) + struct.pack('<HH', 2, ARM64.elf_machine) + b'code'


@contextlib.contextmanager
def progress(text):
    yield


def made(tmp_path, programs=('tailscale', 'tailscaled'), content=ELF):
    """(path of a bundle, its SHA-256)"""
    parts = []
    for program in programs:
        (tmp_path / program).write_bytes(content + program.encode())
        parts.append(part_of(str(tmp_path / program), '1.102.5'))
    path = str(tmp_path / 'bundle.tar.gz')
    return path, pack(parts, path)


def tar_of(members):
    """A gzipped tar file; ``members``: (name or TarInfo, content)."""
    output = io.BytesIO()
    with tarfile.open(fileobj=output, mode='w:gz') as tar:
        for name, content in members:
            member = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return output.getvalue()


def sums_of(**programs):
    return bundle.sums_text([bundle.Part(name, '', '', bundle.sha256_of(io.BytesIO(content)))
                             for name, content in programs.items()]).encode()


def put(source, cache, expected='', architecture=ARM64, ask=lambda path: '1.102.5'):
    return install(str(source), expected, PINS, architecture, str(cache), progress, ask)


def refused(source, cache, *words, **options):
    with pytest.raises(BundleError) as caught:
        put(source, cache, **options)
    assert all(word in caught.value.sentence for word in words), caught.value.sentence
    assert caught.value.next_command
    # Nothing is left of it.
    assert not os.path.exists(str(cache)) or os.listdir(str(cache / 'tools')) == []


@pytest.mark.fault('case 17', 'A robot without Go, without internet and with another architecture than the controller',
                   behaviour='It installs what another machine built, after checking SHA-256, architecture and version',
                   reported='-', recovery='-', lost='nothing')
def test_what_was_packed_is_installed_where_a_build_would_be(tmp_path):
    path, digest = made(tmp_path)
    asked = []
    assert put(path, tmp_path / 'cache', digest.upper(), ask=lambda path: asked.append(path) or '1.102.5-t12') == [
        'tailscale', 'tailscaled']
    target = tmp_path / 'cache' / 'tools' / os.path.basename(build_dir('tailscale', '1.102.5', '/c', ARM64))
    for program in ('tailscale', 'tailscaled'):
        assert (target / program).read_bytes() == ELF + program.encode()
        assert (target / program).stat().st_mode & 0o777 == 0o755
    assert len(asked) == 2 and os.listdir(str(tmp_path / 'cache' / 'tools')) == [target.name]
    # Again, over what is there; without the SHA-256, too.
    assert put(path, tmp_path / 'cache')


def test_the_same_programs_give_the_same_bytes(tmp_path):
    first, second = tmp_path / 'a', tmp_path / 'b'
    first.mkdir()
    second.mkdir()
    digests = [made(folder)[1] for folder in (first, second)]
    assert digests[0] == digests[1]
    assert sorted(os.listdir(str(first))) == ['bundle.tar.gz', 'tailscale', 'tailscaled']
    with tarfile.open(str(first / 'bundle.tar.gz')) as tar:
        assert tar.getnames() == ['SHA256SUMS', 'tailscale', 'tailscaled']


def test_a_bundle_that_cannot_be_written_leaves_nothing(tmp_path):
    (tmp_path / 'tailscale').write_bytes(ELF)
    with pytest.raises(OSError):
        pack([part_of(str(tmp_path / 'tailscale'), '1'), bundle.Part('tailscaled', '1', str(tmp_path / 'none'), '')],
             str(tmp_path / 'out.tar.gz'))
    assert os.listdir(str(tmp_path)) == ['tailscale']


def test_another_file_or_a_damaged_one(tmp_path):
    path, digest = made(tmp_path)
    refused(path, tmp_path / 'cache', digest, 'f' * 64, expected='f' * 64)
    with open(path, 'rb') as stream:
        whole = stream.read()
    for cut in (0, 10, len(whole) // 4, len(whole) // 2):
        (tmp_path / 'part').write_bytes(whole[:cut])
        refused(tmp_path / 'part', tmp_path / 'cache', 'no complete bundle')


def test_another_architecture_and_another_version(tmp_path):
    path, _ = made(tmp_path)
    refused(path, tmp_path / 'cache', 'is for arm64, and this machine is amd64', architecture=AMD64)
    refused(path, tmp_path / 'cache', 'is for arm64, and this machine is ' + os.uname().machine, architecture=None)
    refused(path, tmp_path / 'cache', 'is 1.100.0, and this package needs 1.102.5', ask=lambda path: '1.100.0')
    refused(path, tmp_path / 'cache', 'does not run', ask=lambda path: '')
    script, _ = made(tmp_path, content=b'#!/bin/sh\necho 1.102.5 #')
    refused(script, tmp_path / 'cache', 'unknown architecture')


GOOD = ('SHA256SUMS', sums_of(tailscale=ELF)), ('tailscale', ELF)


def special(name, kind, target=''):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize('members, word', [
    ([], 'missing'),
    (GOOD[:1], 'missing'),
    (GOOD[::-1], 'the member tailscale'),
    (GOOD + GOOD[1:], 'the member tailscale'),
    (GOOD[:1] + (('tailscale', ELF + b'x'),), 'another SHA-256'),
    (GOOD + (('tailscaled', ELF),), 'tailscaled has no sum'),
    (GOOD + (('../../etc/passwd', b''),), 'no sum'),
    ((('SHA256SUMS', sums_of(**{'../tailscale': ELF})), ('../tailscale', ELF)), 'the line'),
    ((('SHA256SUMS', sums_of(wget=ELF)), ('wget', ELF)), 'the line'),
    ((('SHA256SUMS', b'0' * 5000),), 'longer than'),
    ((('SHA256SUMS', b'\xff\n'),), 'ascii'),
    ((GOOD[0], (special('tailscale', tarfile.SYMTYPE, '/etc/passwd'), b'')), 'the member tailscale'),
    ((GOOD[0], (special('tailscale', tarfile.LNKTYPE, 'SHA256SUMS'), b'')), 'the member tailscale'),
    ((GOOD[0], (special('tailscale', tarfile.FIFOTYPE), b'')), 'the member tailscale'),
    ((GOOD[0], (special('tail\x1b[2Jscale', tarfile.FIFOTYPE), b'')), 'the member tail\\x1b[2Jscale'),
])
def test_members_that_no_bundle_has(tmp_path, members, word):
    (tmp_path / 'odd').write_bytes(tar_of(members))
    refused(tmp_path / 'odd', tmp_path / 'cache', 'no complete bundle', word)


def test_a_header_that_claims_any_length(tmp_path):
    """Of 4 GB of zeros that gzip packs into 4 MB: the beginning is not read either."""
    member = tarfile.TarInfo('pax')
    member.type, member.size = tarfile.XHDTYPE, 1 << 32
    (tmp_path / 'bomb').write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20)))
    refused(tmp_path / 'bomb', tmp_path / 'cache', 'a header of 4294967296 bytes')


def test_headers_behind_headers(tmp_path):
    member = tarfile.TarInfo('pax')
    member.type, member.size = tarfile.XHDTYPE, 0
    (tmp_path / 'chain').write_bytes(gzip.compress(member.tobuf(tarfile.GNU_FORMAT) * 5000))
    refused(tmp_path / 'chain', tmp_path / 'cache', 'no complete bundle')


def test_what_is_no_file(tmp_path):
    os.mkfifo(str(tmp_path / 'fifo'))
    refused(tmp_path / 'fifo', tmp_path / 'cache', 'Not a regular file but a FIFO')
    refused('/dev/zero', tmp_path / 'cache', 'Not a regular file but a device')
    refused(tmp_path / 'missing', tmp_path / 'cache', 'No such file')
    (tmp_path / 'text').write_text('not gzip')
    refused(tmp_path / 'text', tmp_path / 'cache', 'no complete bundle')


def test_a_cache_that_cannot_be_written(tmp_path):
    path, _ = made(tmp_path)
    (tmp_path / 'file').write_text('')
    with pytest.raises(BundleError, match='cannot be installed in'):
        put(path, tmp_path / 'file')


@contextlib.contextmanager
def web(directory, length=None):
    """A web server of ``directory``; ``length``: claim this Content-Length."""
    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=str(directory))

        def send_header(self, name, value):
            super().send_header(name, length if length and name == 'Content-Length' else value)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield 'http://127.0.0.1:{}/'.format(server.server_port)
        finally:
            server.shutdown()
            thread.join()


def test_from_a_web_server(tmp_path):
    path, digest = made(tmp_path)
    with web(tmp_path) as url:
        assert put(url + 'bundle.tar.gz', tmp_path / 'cache', digest) == ['tailscale', 'tailscaled']
        refused(url + 'missing', tmp_path / 'other', '404', expected=digest)
    refused(url + 'bundle.tar.gz', tmp_path / 'other', 'cannot be read', expected=digest)
    with web(tmp_path, length='abc') as url:
        refused(url + 'bundle.tar.gz', tmp_path / 'third', expected='0' * 64)


@pytest.mark.parametrize('text', ['', 'x', '0' * 64, '{}  wget\n'.format('0' * 64), '{}  tailscale\n'.format('0' * 63),
                                  '{0}  tailscale\n{0}  tailscale\n'.format('0' * 64),
                                  '{}  ../tailscale'.format('0' * 64)])
def test_sums_that_are_none(text):
    with pytest.raises(ValueError):
        parse_sums(text)


def test_sums_as_sha256sum_writes_them():
    assert parse_sums('{}  tailscale\n{} *derper\n'.format('a' * 64, 'b' * 64)) == {
        'tailscale': 'a' * 64, 'derper': 'b' * 64}
