"""For tests only: the pinned tailscale in the forms in which its vendor publishes it: an archive, a repository, and
what the package leaves on a machine.

The real ones cannot be reached from a test. Programs, unit and defaults are the vendor's (test/data/tailscale).
"""
import hashlib
import os
import shutil
import subprocess
import tarfile

from ua_overlay.resources import share_path
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import cache_dir
from ua_overlay.toolchain.pins import read_pin

DATA = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'data', 'tailscale')
VERSION = read_pin(share_path('toolchain'), 'tailscale').version
#: Where the package has the programs, and the files of the service.
PROGRAMS = {'tailscale': '/usr/bin/tailscale', 'tailscaled': '/usr/sbin/tailscaled'}
SERVICE_FILES = {'tailscaled.service': '/usr/lib/systemd/system/tailscaled.service',
                 'tailscaled.defaults': '/etc/default/tailscaled'}
_CONTROL = '''\
Package: tailscale
Version: {}
Architecture: {}
Maintainer: the tests <tests@example.test>
Description: The vendor's programs, packed by a test
'''
_PRERM = '#!/bin/sh\nsystemctl stop tailscaled.service || true\n'


def tools():
    """What the tests built, for the ``binds`` of a machine of the lab."""
    return os.path.join(cache_dir(), 'tools'), '/var/cache/ua_overlay/tools'


def binds(programs=PROGRAMS):
    """The tools, and these of the package's programs where the package has them, for a machine of the lab."""
    return [tools()] + [(locate(program), PROGRAMS[program]) for program in programs]


def install_service(machine):
    """The files of the package's service, on a machine that has its programs by :func:`binds`."""
    for name, path in SERVICE_FILES.items():
        with open(os.path.join(DATA, name)) as stream:
            machine.write(path, stream.read())


def make_archive(directory):
    """An archive as the vendor's, with a directory in it; returns its path."""
    path = os.path.join(str(directory), 'tailscale_{}.tgz'.format(VERSION))
    inside = 'tailscale_{}_kind'.format(VERSION)
    with tarfile.open(path, 'w:gz', compresslevel=1) as tar:
        for program in PROGRAMS:
            tar.add(locate(program, 'tailscale'), os.path.join(inside, program))
        tar.add(os.path.join(DATA, 'tailscaled.service'), os.path.join(inside, 'systemd', 'tailscaled.service'))
    return path


def make_repository(directory):
    """A signed repository; returns (its directory, its key ring)."""
    directory = str(directory)
    root, repository = os.path.join(directory, 'root'), os.path.join(directory, 'repository')
    os.makedirs(repository)
    architecture = run(['dpkg', '--print-architecture'], directory).strip()
    sources = [(locate(name, 'tailscale'), path) for name, path in PROGRAMS.items()]
    sources += [(os.path.join(DATA, name), path) for name, path in SERVICE_FILES.items()]
    for source, path in sources:
        target = os.path.join(root, path.lstrip('/'))
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(source, target)
        os.chmod(target, 0o755 if 'bin/' in path else 0o644)
    write(os.path.join(root, 'DEBIAN', 'control'), _CONTROL.format(VERSION, architecture))
    write(os.path.join(root, 'DEBIAN', 'conffiles'), '/etc/default/tailscaled\n')
    write(os.path.join(root, 'DEBIAN', 'prerm'), _PRERM, 0o755)
    run(['dpkg-deb', '--root-owner-group', '-Zgzip', '-z1', '--build', root, repository], directory)
    write(os.path.join(repository, 'Packages'), run(['dpkg-scanpackages', '.'], repository))
    with open(os.path.join(repository, 'Packages'), 'rb') as stream:
        text = stream.read()
    write(os.path.join(repository, 'Release'), 'Architectures: {}\nSHA256:\n {} {} Packages\n'.format(
        architecture, hashlib.sha256(text).hexdigest(), len(text)))
    return repository, sign(directory, os.path.join(repository, 'Release'))


def sign(directory, release):
    """InRelease beside ``release``, with a key of its own; returns the key ring."""
    home = os.path.join(directory, 'gnupg')
    os.mkdir(home, 0o700)
    gpg = ['gpg', '--homedir', home, '--batch', '--quiet']
    try:
        run(gpg + ['--passphrase', '', '--quick-generate-key', 'tests@example.test', 'rsa2048', 'sign', 'never'], home)
        run(gpg + ['--clearsign', '--output', os.path.join(os.path.dirname(release), 'InRelease'), release], home)
        run(gpg + ['--output', os.path.join(directory, 'key.gpg'), '--export'], home)
    finally:
        run(['gpgconf', '--homedir', home, '--kill', 'all'], home)
    return os.path.join(directory, 'key.gpg')


def write(path, text, mode=0o644):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text)


def run(argv, directory):
    return subprocess.run(argv, cwd=directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
