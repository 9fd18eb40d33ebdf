"""`ua-overlay measure encryption`: is what goes through the overlay readable on its way?"""
import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile

from ua_overlay import defaults, link_types, resources
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.system import files

DESCRIPTION = """\
Prove that nobody on the way reads what goes through the overlay. A lab of its own comes up (root): two robots behind
two routers, a server with relay and DERP. A page with a random canary goes from one robot to the other while packets
are captured at once inside the tunnel, outside it on both robots, on the routers and on the host of the relays. The
canary has to be found inside and nowhere outside, over DIRECT, PEER_RELAY and DERP. First the page goes past the
tunnel: the canary has to be found outside then, or the search would be blind.

With --inside and --outside: the same search in captures of real robots (tcpdump -s 0 -w; see docs/measure.md)."""

EPILOG = """\
exit status: 0 proven; 1 not proven, and the sentences say why

examples:
  sudo ua-overlay measure encryption --output proof
  sudo ua-overlay measure encryption --link DIRECT --json
  ua-overlay measure encryption --canary canary.txt --inside in.pcap --outside robot.pcap router.pcap"""


def add_command(commands):
    parser = commands.add_parser('encryption', help='prove that what the overlay carries is encrypted',
                                 description=DESCRIPTION, epilog=EPILOG,
                                 formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--link', action='append', choices=link_types.CARRYING, metavar='TYPE',
                        help='only this link type, repeatable: %(choices)s (default: all)')
    parser.add_argument('--output', metavar='DIR', help='new directory for encryption.json, encryption.html, captures')
    parser.add_argument('--name', default='encryption', help='name of the lab that is made (default: %(default)s)')
    parser.add_argument('--canary', metavar='FILE', help='the canary of captured files: hexadecimal digits')
    parser.add_argument('--inside', nargs='+', metavar='PCAP',
                        help='captures of {}, inside the tunnel'.format(defaults.INTERFACE))
    parser.add_argument('--outside', nargs='+', metavar='PCAP', help='captures outside it, of the same time')
    parser.add_argument('--json', action='store_true', help='for programs')
    parser.set_defaults(run=run_encryption)


def run_encryption(args):
    if args.canary or args.inside or args.outside:
        return run_files(args)
    if args.output and os.path.exists(args.output):
        raise UsageError('{} exists already.'.format(args.output), 'ua-overlay measure encryption --output ANOTHER')
    from ua_overlay.lab.encryption import Stage
    from ua_overlay.lab.lab import Lab, load_topology
    from ua_overlay.wire import encryption
    links = (encryption.RAW,) + tuple(link for link in link_types.CARRYING if not args.link or link in args.link)
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix='ua-proof-', dir='/tmp') as directory:
        with progress('A lab with a site and two robots'):
            lab = Lab.up(load_topology(resources.share_path('config', 'lab', 'two_nats.yaml')), args.name, bound=True)
        with lab:
            stage = Stage(lab, own_command())
            with progress('The robots join'):
                stage.prepare()
            runs = encryption.prove(stage, directory, lambda: secrets.token_hex(32), progress, links)
        proof = encryption.as_json(runs, links)
        if args.output:
            write(args.output, proof, directory)
    show(proof, args)
    return 0 if proof['proven'] else 1


def own_command():
    """The ua-overlay that runs now: what the hosts of the lab run, too."""
    return os.path.realpath(sys.argv[0])


def write(output, proof, captured):
    """Keep a proof: its values, its page, and the captures."""
    from ua_overlay.wire import encryption_page
    try:
        shutil.copytree(captured, output, ignore=shutil.ignore_patterns('served'))
        files.write_atomic(os.path.join(output, 'encryption.json'), json.dumps(proof, indent=1) + '\n')
        files.write_atomic(os.path.join(output, 'encryption.html'), encryption_page.document(proof))
    except OSError as error:
        raise UsageError('The proof cannot be written to {}: {}.'.format(output, error.strerror or error))


def show(proof, args):
    from ua_overlay.wire import encryption, encryption_page
    if args.json:
        json.dump(proof, sys.stdout, indent=1)
        print()
        return
    for run in proof['runs']:
        print('Past the tunnel' if run['link'] == encryption.RAW else 'Link ' + run['link'])
        print(format_table(encryption_page.HEADERS, encryption_page.rows(run)))
        print('\n'.join(run['why'] or ['As it has to be.']) + '\n')
    print('Proven: the canary was inside and nowhere outside.' if proof['proven'] else 'Not proven.')
    if args.output:
        print('See ' + os.path.join(args.output, 'encryption.html'))


def run_files(args):
    from ua_overlay.wire import encryption
    if not (args.canary and args.inside and args.outside):
        raise UsageError('Captured files need --canary, --inside and --outside.',
                         'ua-overlay measure encryption --help')
    canary = read(args.canary).decode('ascii', 'replace').strip()
    if len(canary) < 32 or set(canary) - set('0123456789abcdef') or len(canary) % 2:
        raise UsageError('{} holds no canary: an even number, 32 at least, of the digits 0-9a-f.'.format(args.canary),
                         'openssl rand -hex 32 > ' + args.canary)
    points = [encryption.inspect(name, '', inside, packets_of(name), canary)
              for inside, names in ((True, args.inside), (False, args.outside)) for name in names]
    why = encryption.judge_files(points)
    run = {'link': 'files', 'canary': canary, 'ok': not why, 'why': why, 'picture': None,
           'places': [dict(point._asdict()) for point in points]}
    show({'schema': 1, 'proven': not why, 'runs': [run]}, args)
    return 1 if why else 0


def packets_of(name):
    from ua_overlay.wire import capture, packets
    try:
        return packets.parse_all(capture.read(read(name)))
    except capture.NotPcap as error:
        raise UsageError('{}: {}.'.format(name, error), 'tcpdump -i any -s 0 -w FILE')


def read(name):
    try:
        with open(name, 'rb') as stream:
            return stream.read()
    except OSError as error:
        raise UsageError('{} cannot be read: {}.'.format(name, error.strerror))
