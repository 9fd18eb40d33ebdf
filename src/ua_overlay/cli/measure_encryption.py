"""`ua-overlay measure encryption`: prove that the overlay encrypts its traffic."""
import argparse
import json
import os
import secrets
import shutil
import sys
import tempfile
from typing import Any, Dict

from ua_overlay import defaults, link_types, resources
from ua_overlay.advice import command
from ua_overlay.cli.shared.exit_status import FAILED
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.progress import Progress
from ua_overlay.cli.shared.table import format_table
from ua_overlay.errors import UsageError
from ua_overlay.system import files, foreign_file

DESCRIPTION = """\
Prove that nobody on the way can read what the overlay carries. The command builds its own lab (needs root): two robots
behind two routers, and a server with relay and DERP. One robot sends the other a page with a random canary while
packets are captured inside the tunnel, outside the tunnel on both robots, on the routers and on the host of the relays.
The proof succeeds when the canary is found inside and nowhere outside, over {} and {}. Before that,
the page is sent outside the tunnel: the search must find the canary there, or it would prove nothing.

With --inside and --outside, the command searches captures of real robots instead (tcpdump -s 0 -w; see
docs/measure.md).""".format(', '.join(link_types.CARRYING[:-1]), link_types.CARRYING[-1])

EPILOG = """\
exit status:
  0  proven
  1  not proven: the output names the reasons

examples:
  sudo ua-overlay measure encryption --output proof
  sudo ua-overlay measure encryption --link DIRECT --json
  ua-overlay measure encryption --canary canary.txt \\
      --inside in.pcap --outside robot.pcap router.pcap"""

#: Longest capture that is read, which is kept in memory, and longest canary, in bytes.
_LONGEST_CAPTURE, _LONGEST_CANARY = 64 * 1024 * 1024, 4096


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('--link', action='append', choices=link_types.CARRYING, metavar='TYPE',
                        help='only this link type, repeatable: %(choices)s (default: all)')
    parser.add_argument('--output', metavar='DIR',
                        help='write encryption.json, encryption.html and the captures to a new DIR')
    parser.add_argument('--name', default='encryption', help='name of the lab (default: %(default)s)')
    parser.add_argument('--canary', metavar='FILE', help='canary of the captures: hexadecimal digits')
    parser.add_argument('--inside', nargs='+', metavar='PCAP', help='captures inside the tunnel ({})'.format(
        defaults.INTERFACE))
    parser.add_argument('--outside', nargs='+', metavar='PCAP', help='captures outside the tunnel of the same time')
    parser.add_json()
    parser.set_defaults(run=run_encryption)


def run_encryption(args: argparse.Namespace) -> int:
    if args.canary or args.inside or args.outside:
        return run_files(args)
    if args.output and os.path.exists(args.output):
        raise UsageError('{} exists already.'.format(args.output), 'ua-overlay measure encryption --output ANOTHER')
    from ua_overlay.lab.encryption import Stage
    from ua_overlay.lab.lab import Lab, load_topology
    from ua_overlay.wire import encryption, encryption_run
    links = (encryption.RAW,) + tuple(link for link in link_types.CARRYING if not args.link or link in args.link)
    progress = Progress()
    with tempfile.TemporaryDirectory(prefix='ua-proof-', dir='/tmp') as directory:
        with progress('Building a lab with a site and two robots'):
            lab = Lab.up(load_topology(resources.share_path('config', 'lab', 'two_nats.yaml')), args.name, bound=True)
        with lab:
            stage = Stage(lab, own_command())
            with progress('Joining the robots'):
                stage.prepare()
            runs = encryption_run.prove(stage, directory, lambda: secrets.token_hex(32), progress, links)
        proof = encryption.as_json(runs, links)
        if args.output:
            write(args.output, proof, directory)
    show(proof, args)
    return 0 if proof['proven'] else FAILED


def own_command() -> str:
    """The path of this ua-overlay, which the hosts of the lab also run."""
    return os.path.realpath(sys.argv[0])


def write(output: str, proof: Dict[str, Any], captured: str) -> None:
    """Write a proof to the new directory ``output``: its values, its page, and the captures of ``captured``."""
    from ua_overlay.wire import encryption_page
    try:
        shutil.copytree(captured, output, ignore=shutil.ignore_patterns('served'))
        files.write_atomic(os.path.join(output, 'encryption.json'), json.dumps(proof, indent=1) + '\n')
        files.write_atomic(os.path.join(output, 'encryption.html'), encryption_page.document(proof))
    except OSError as error:
        raise UsageError('The proof cannot be written to {}: {}.'.format(output, error.strerror or error),
                         command('df {}', os.path.dirname(os.path.abspath(output))))


def show(proof: Dict[str, Any], args: argparse.Namespace) -> None:
    from ua_overlay.wire import encryption, encryption_page
    if args.json:
        json.dump(proof, sys.stdout, indent=1)
        print()
        return
    for run in proof['runs']:
        print('Outside the tunnel' if run['link'] == encryption.RAW else 'Link ' + run['link'])
        print(format_table(encryption_page.HEADERS, encryption_page.rows(run)))
        print('\n'.join(run['why'] or ['As expected.']) + '\n')
    print('Proven: the canary was inside and nowhere outside.' if proof['proven'] else 'Not proven.')
    if args.output:
        print('Report: ' + os.path.join(args.output, 'encryption.html'))


def run_files(args: argparse.Namespace) -> int:
    from ua_overlay.wire import encryption
    if not (args.canary and args.inside and args.outside):
        raise UsageError('A search in captures needs --canary, --inside and --outside.',
                         'ua-overlay measure encryption --help')
    canary = read(args.canary, _LONGEST_CANARY).decode('ascii', 'replace').strip()
    if len(canary) < 32 or set(canary) - set('0123456789abcdef') or len(canary) % 2:
        raise UsageError('{} does not hold a canary: an even number of at least 32 hexadecimal digits (0-9a-f).'.format(
            args.canary), command('openssl rand -hex 32 > {}', args.canary))
    points = [encryption.inspect(name, '', inside, packets_of(name), canary)
              for inside, names in ((True, args.inside), (False, args.outside)) for name in names]
    why = encryption.judge_files(points)
    run = encryption.run_as_json(encryption.Run('files', canary, points, why, None))
    show({'schema': 1, 'proven': not why, 'runs': [run]}, args)
    return FAILED if why else 0


def packets_of(name: str) -> Any:
    from ua_overlay.wire import capture, packets
    try:
        return packets.parse_all(capture.read(read(name)))
    except capture.NotPcap as error:
        raise UsageError('{}: {}.'.format(name, error), 'tcpdump -i any -s 0 -w FILE')


def read(name: str, longest: int = _LONGEST_CAPTURE) -> bytes:
    try:
        return foreign_file.read(name, longest).data
    except OSError as error:
        raise UsageError('{} cannot be read: {}.'.format(name, error.strerror), command('ls -l {}', name))
