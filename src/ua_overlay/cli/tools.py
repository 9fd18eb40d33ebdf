"""`ua-overlay tools`: the programs of others that this package runs."""
import argparse
import json

from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.resources import share_path
from ua_overlay.toolchain.build import build
from ua_overlay.toolchain.find import cache_dir, find
from ua_overlay.toolchain.pins import MINIMUM, MODULES, module_of, read_pin

PROGRAMS = ('tailscale', 'tailscaled', 'headscale')
#: Needed on a remote host of a site alone: looked for when asked for.
OPTIONAL = ('derper',)


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'tools', help='find or build tailscale, tailscaled and headscale',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='tailscale, tailscaled and headscale: those on the PATH are used when they are new enough;\n'
                    'otherwise they are built from the versions pinned under toolchain/ into a cache.',
        epilog='minimum versions on the PATH:\n' + '\n'.join(
            '  {:<11}{:<8}{}'.format(name, '.'.join(map(str, minimum)), why)
            for name, (minimum, why) in sorted(MINIMUM.items())) +
        '\n\nexamples:\n  ua-overlay tools status\n  sudo ua-overlay tools install     # a few minutes, once')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    status = commands.add_parser('status', help='what is used, from where',
                                 description='What is used, from where. Exit status 0 when all three are there.')
    status.add_argument('--json', action='store_true', help='for programs')
    status.set_defaults(run=run_status)
    install = commands.add_parser(
        'install', help='build what is missing (static, no root needed)',
        description='Build what is missing into the cache: static programs that start on any Linux of this kind.')
    install.add_argument('program', nargs='*', metavar='PROGRAM',
                         help='tailscale, tailscaled, headscale or derper (a remote DERP host needs it); '
                              'default: all but derper')
    install.add_argument('--for-tests', action='store_true',
                         help='also the next tailscale release, against which the tests run')
    install.add_argument('--pinned', action='store_true',
                         help='the pinned versions, also where the PATH has newer ones: to copy them to other machines')
    install.add_argument('--json', action='store_true', help='for programs')
    install.set_defaults(run=run_install)


def run_status(args):
    # One that nobody needs here is no line of the table.
    optional = [item for item in map(find, OPTIONAL) if item.path is not None]
    return show([find(program) for program in PROGRAMS] + optional, args.json)


def show(found, as_json):
    """Print a row for each :class:`find.Found`; return the exit status."""
    if as_json:
        print(json.dumps([item._asdict() for item in found], indent=2))
    else:
        print(format_table(('PROGRAM', 'FROM', 'VERSION', 'PINNED', 'PATH'),
                           [(f.program, f.origin, f.version, f.pinned, f.path) for f in found]))
        if any(f.path is None for f in found):
            print('Next: ua-overlay tools install')
    return 0 if all(f.path for f in found) else 1


def run_install(args):
    unknown = set(args.program) - set(PROGRAMS + OPTIONAL)
    if unknown:
        from ua_overlay.errors import UsageError
        raise UsageError('There is no tool called {}.'.format(', '.join(sorted(unknown))), 'ua-overlay tools status')
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
