"""Whatever a bundle of programs, its list of sums or a program's header is, the result is a value or a typed error."""
import contextlib
import functools
import gzip
import io
import os
import struct
import tempfile

from hypothesis import given
from hypothesis import strategies as st

from ua_overlay.toolchain import bundle
from ua_overlay.toolchain.architecture import named, of_program
from ua_overlay.toolchain.pins import Pin

ARM64 = named('arm64')
PINS = {'tailscale': Pin('tailscale', '1.102.5', (), '1.26.6'), 'headscale': Pin('headscale', '0.29.3', (), '1.26.5')}


@contextlib.contextmanager
def no_progress(_text):
    yield


@functools.lru_cache(maxsize=None)
def good():
    """The bytes of a bundle."""
    with tempfile.TemporaryDirectory() as directory:
        parts = []
        for program in ('tailscale', 'tailscaled'):
            path = os.path.join(directory, program)
            with open(path, 'wb') as stream:
                stream.write(b'\x7fELF\2\1\1' + bytes(9) + struct.pack('<HH', 2, ARM64.elf_machine) + program.encode())
            parts.append(bundle.part_of(path, '1.102.5'))
        path = os.path.join(directory, 'bundle')
        bundle.pack(parts, path)
        with open(path, 'rb') as stream:
            return stream.read()


def install(data):
    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, 'file')
        with open(path, 'wb') as stream:
            stream.write(data)
        try:
            found = bundle.install(path, '', PINS, ARM64, os.path.join(directory, 'cache'), no_progress,
                                   lambda path: '1.102.5')
        except bundle.BundleError as error:
            assert os.listdir(os.path.join(directory, 'cache', 'tools')) == [] and error.next_command
            return None
        return found


@given(st.binary(max_size=2000))
def test_any_bytes(data):
    assert install(data) is None


@given(st.integers(0, len(good()) - 1), st.integers(0, 255))
def test_one_byte_of_a_bundle(place, value):
    """What is installed in spite of it has the right sums: the byte was padding, or the same."""
    data = bytearray(good())
    data[place] = value
    assert install(bytes(data)) in (None, ['tailscale', 'tailscaled'])


@given(st.integers(0, 7), st.binary(max_size=600))
def test_members_of_a_tar_file(block, noise):
    """The headers inside, which gzip's sum would otherwise hide."""
    inside = bytearray(gzip.decompress(good()))
    inside[block * 512:block * 512 + len(noise)] = noise
    assert install(gzip.compress(bytes(inside))) in (None, ['tailscale', 'tailscaled'])


@given(st.text(max_size=300))
def test_sums(text):
    try:
        sums = bundle.parse_sums(text)
    except ValueError:
        return
    assert set(sums) <= set(bundle.PROGRAMS) and all(len(value) == 64 for value in sums.values())


@given(st.binary(max_size=64))
def test_headers_of_programs(data):
    of_program(data)
    bundle.sha256_of(io.BytesIO(data))
