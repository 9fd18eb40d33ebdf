"""The processor architectures for which the pinned programs are built: their names of Debian, Go, the kernel and ELF.

The programs are static, so one build runs on every Linux of its architecture.
"""
import os
from typing import NamedTuple, Optional, Tuple

from ua_overlay.errors import UsageError


class Architecture(NamedTuple):
    """One architecture."""

    #: As in the options of commands: Debian's name, but armv7, since Debian's armhf is also that of an ARMv6 board.
    name: str
    #: $GOARCH, $GOARM of `go build` ('' for none).
    goarch: str
    goarm: str
    #: e_machine of an ELF header (elf.h: EM_X86_64, EM_AARCH64, EM_ARM).
    elf_machine: int
    #: What `uname -m` says on such a machine. A 32-bit system on a 64-bit kernel says the kernel's.
    machines: Tuple[str, ...]


ARCHITECTURES = (
    Architecture('amd64', 'amd64', '', 62, ('x86_64',)),
    Architecture('arm64', 'arm64', '', 183, ('aarch64',)),
    Architecture('armv7', 'arm', '7', 40, ('armv7l', 'armv8l')),
)
#: Bytes of an ELF header up to e_machine.
ELF_HEADER = 20


def of_machine(machine: str) -> Optional[Architecture]:
    """Return the architecture of a machine whose `uname -m` is ``machine``, None if no programs are built for it."""
    return next((each for each in ARCHITECTURES if machine in each.machines), None)


def of_this_machine() -> Optional[Architecture]:
    """:func:`of_machine` of the machine that runs this."""
    return of_machine(os.uname().machine)


def named(word: str) -> Architecture:
    """Return an architecture by its name or by what `uname -m` says.

    :raises UsageError: there is none.
    """
    for each in ARCHITECTURES:
        if word == each.name or word in each.machines:
            return each
    raise UsageError('There are no programs for the architecture {}, only for {}.'.format(
        word, ', '.join(each.name for each in ARCHITECTURES)), 'on the robot: uname -m')


def of_program(header: bytes) -> Optional[Architecture]:
    """Return the architecture of a program, None if it is no ELF program for one of ARCHITECTURES.

    :param header: its first ELF_HEADER bytes: magic, class, byte order, …, e_type, e_machine (little-endian).
    """
    if len(header) < ELF_HEADER or header[:4] != b'\x7fELF' or header[5] != 1:
        return None
    machine = int.from_bytes(header[18:20], 'little')
    return next((each for each in ARCHITECTURES if each.elf_machine == machine), None)
