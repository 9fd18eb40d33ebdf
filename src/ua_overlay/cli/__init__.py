"""The `ua-overlay` command: the package's use cases without ROS."""
import argparse
import importlib
import sys

from ua_overlay.errors import OverlayError

#: Command groups with their lines in --help, in its order: what a robot's user needs first. Each is a module with
#: add_parser(); the lines are here as well so that --help need not import them all (cryptography alone is 50 ms).
GROUPS = {
    'status': 'this robot, its peers and links',
    'doctor': 'what is wrong, why, and what to type next',
    'join': 'join the team of an invitation, or come back to it',
    'leave': "leave the team's network",
    'env': 'the ROS environment of the team',
    'exec': 'run a command in the team graph, or in the local one',
    'robot': 'prepare this robot; list or remove robots (on the server)',
    'service': 'overlay.launch at boot',
    'guard': "keep this robot's LAN out of ROS",
    'server': 'set up and run the control server of a site',
    'team': 'create, list and remove teams, choose their masters (on the server)',
    'policy': 'who may talk to whom: check, show, apply (on the server)',
    'invite': 'make, list and revoke the files with which robots join (on the server)',
    'user': 'people, and which teams their laptops reach (on the server)',
    'relay': 'peer relays on remote hosts',
    'derp': 'DERP regions on remote hosts',
    'measure': 'measure the overlay: campaigns, reports, proof of encryption',
    'tools': 'find or build tailscale, tailscaled and headscale',
    'lab': 'hosts and NATs on this machine, to try things out',
}

#: Groups that do something without a word for it, too: `invite iris dev-1` is `invite create iris dev-1`.
DEFAULTS = {'invite': ('create', 'list', 'revoke')}

DESCRIPTION = """\
A WireGuard overlay for teams of ROS 1 robots, coordinated by the team's own server.

on a robot:    status, doctor, join, leave, env, exec, robot prepare, guard, service
on the server: server, team, user, policy, invite, robot list|remove, relay, derp
to try it out: lab, tools
to measure it: measure"""

EPILOG = """\
exit status: 0 done; 1 it failed and the sentence says why; 2 the command line makes no sense; 3 nothing to show

examples:
  ua-overlay join dev-1.invitation.yaml
  ua-overlay exec rostopic list
  ua-overlay COMMAND --help"""


def make_parser(first_word=None):
    """Build the parser, as much of it as is needed: the command starts faster.

    :param first_word: of the command line. A group: that one alone is imported. Another word: none, which is enough for
        --help and for an error. None: all of them.
    """
    parser = argparse.ArgumentParser(prog='ua-overlay', description=DESCRIPTION, epilog=EPILOG,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    subparsers = parser.add_subparsers(dest='group', metavar='COMMAND', required=True)
    for group in ([first_word] if first_word in GROUPS else GROUPS):
        if first_word is None or group == first_word:
            importlib.import_module('ua_overlay.cli.' + group).add_parser(subparsers)
        else:
            subparsers.add_parser(group, help=GROUPS[group])
    return parser


def complete(argv):
    """``argv`` (list of str) with the word that DEFAULTS stands for, where none of its group is there."""
    words = DEFAULTS.get(argv[0] if argv else '')
    if words is None or len(argv) < 2 or argv[1] in words + ('-h', '--help'):
        return argv
    return argv[:1] + [words[0]] + argv[1:]


def main(argv=None):
    """Run the command line ``argv`` (default: sys.argv[1:]) and return the exit status."""
    argv = complete(sys.argv[1:] if argv is None else list(argv))
    args = make_parser(argv[0] if argv else '').parse_args(argv)
    try:
        return args.run(args)
    except OverlayError as error:
        print('ua-overlay: {}'.format(error), file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has seen enough (`ua-overlay … | head`); keep the interpreter from complaining too.
        sys.stdout = None
        return 141
