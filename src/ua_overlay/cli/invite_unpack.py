"""`ua-overlay invite unpack`: an invitation as files for a machine on which this package does not run."""
import argparse
import json
import os
from typing import NamedTuple, Tuple

from ua_overlay.advice import command
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.site import caller_ids
from ua_overlay.errors import OverlayError
from ua_overlay.system import files
from ua_overlay.trust import invitation_file
from ua_overlay.trust.invitation import Invitation

DESCRIPTION = """\
Unpack an invitation for a Windows or macOS machine, on which this package does not run: write the site's CA and the key
into two files, and print the two commands to type there with the stock Tailscale client. Carry both files like the
invitation, and delete them when the machine has joined."""
EPILOG = """\
examples:
  sudo ua-overlay invite --user ana laptop-1
  ua-overlay invite unpack laptop-1.invitation.yaml   # laptop-1.ca.crt and .key"""


class Client(NamedTuple):
    """A stock client: where to type, and what makes its system trust a CA (a template with the CA's file)."""

    system: str
    place: str
    trust: str


#: Each verifies the server's certificate with the system's roots (Go's crypto/x509, root_windows.go and root_darwin.go;
#: tailscale v1.102.5, net/tlsdial). docs/operate.md has the table of all clients.
CLIENTS = (
    Client('Windows', 'a terminal as administrator', 'certutil -addstore -f Root {}'),
    Client('macOS', 'a terminal', 'sudo security add-trusted-cert -d -r trustRoot '
                                  '-k /Library/Keychains/System.keychain {}'),
)


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_argument('invitation', metavar='FILE', help='the invitation')
    parser.add_argument('--output-dir', metavar='DIR', default='.', help='where to write (default: this directory)')
    parser.add_json()
    parser.set_defaults(run=run)


def login_command(invitation: Invitation, key_file: str) -> str:
    """Return the command that joins with the key in a file. Pure. The key must not be in a command line."""
    return command('tailscale login --login-server {} --auth-key file:{} --hostname {}', invitation.server_url,
                   key_file, invitation.robot)


def files_of(invitation: Invitation) -> Tuple[str, str]:
    """Return the names of the files of the CA and of the key. Pure. Windows opens *.crt as a certificate."""
    return invitation.robot + '.ca.crt', invitation.robot + '.key'


def run(args: argparse.Namespace) -> int:
    invitation = invitation_file.read(args.invitation)
    if not invitation.ca_pem:
        raise OverlayError('{} has the SHA-256 of the CA instead of the CA, which stock clients cannot compare.'.format(
            args.invitation), command('ua-overlay invite --user {} {}   # on the server, without --ca-sha256',
                                      invitation.user, invitation.robot))
    ca_file, key_file = files_of(invitation)
    owner = caller_ids(os.environ, os.geteuid(), os.getegid())
    files.write_atomic(os.path.join(args.output_dir, ca_file), invitation.ca_pem, owner=owner)
    files.write_secret(os.path.join(args.output_dir, key_file), invitation.key + '\n', owner)
    steps = {client.system: [command(client.trust, ca_file), login_command(invitation, key_file)]
             for client in CLIENTS}
    if args.json:
        print(json.dumps({'robot': invitation.robot, 'ca': os.path.join(args.output_dir, ca_file),
                          'key': os.path.join(args.output_dir, key_file), 'commands': steps}, indent=2))
        return 0
    print('{} and {} written. Copy both to the machine, then type there, in their folder:'.format(ca_file, key_file))
    for client in CLIENTS:
        print('\n{} ({}):'.format(client.system, client.place))
        for line in steps[client.system]:
            print('  ' + line)
    print('\nThen delete both files. Other systems: docs/operate.md, "Laptops".')
    return 0
