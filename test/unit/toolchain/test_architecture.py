"""The names of architectures, and which one a program is for."""
import struct
import sys

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.toolchain.architecture import ARCHITECTURES, ELF_HEADER, named, of_machine, of_program, of_this_machine


def header(machine, order=1):
    """The beginning of an ELF program."""
    return b'\x7fELF' + bytes([2, order, 1]) + bytes(9) + struct.pack('<HH' if order == 1 else '>HH', 2, machine)


@pytest.mark.parametrize('word, name', [
    ('amd64', 'amd64'), ('x86_64', 'amd64'), ('arm64', 'arm64'), ('aarch64', 'arm64'), ('armv7', 'armv7'),
    ('armv7l', 'armv7'), ('armv8l', 'armv7')])
def test_names_of_people_and_of_the_kernel(word, name):
    assert named(word).name == name


@pytest.mark.parametrize('word', ['armv6l', 'riscv64', 'i686', '', 'ARM64'])
def test_an_architecture_without_programs(word):
    with pytest.raises(UsageError, match='only for amd64, arm64, armv7') as caught:
        named(word)
    assert caught.value.next_command
    assert of_machine(word) is None


def test_the_architecture_of_a_program():
    assert [of_program(header(each.elf_machine)) for each in ARCHITECTURES] == list(ARCHITECTURES)
    with open(sys.executable, 'rb') as stream:
        assert of_program(stream.read(ELF_HEADER)) == of_this_machine()


@pytest.mark.parametrize('data', [b'', b'\x7fELF', b'#!/bin/sh\n# a script', header(8), header(183, order=2)])
def test_no_program_for_any_architecture(data):
    assert of_program(data) is None
