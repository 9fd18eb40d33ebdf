"""`ua-overlay robot`: prepare this robot (root, once); list and remove robots (on the server)."""
import argparse
import os
import subprocess
import sys

import ua_overlay
from ua_overlay import defaults
from ua_overlay.cli.shared.loop import say, until_sigterm
from ua_overlay.cli.shared.needs import need_root
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system.units import systemd_runs

PREPARE = '''\
Does once, as root, what joining an overlay needs on a robot:
  - gives tailscaled, and no other program, the site's CA ({ca})
  - switches tailscaled's telemetry off, and lets it connect to the site's servers and to other robots only
  - takes tailscaled every privilege that it does not need
  - lets USER join and leave without root, and keeps it so (a small root service, which also keeps the team's names in
    the hosts file on a machine where MagicDNS does not work)
  - makes {state} and {run} for USER
It can be repeated and undone. Nothing is sent anywhere and no overlay is joined.'''

PREPARE_EXAMPLES = '''\
examples:
  sudo ua-overlay robot prepare --invitation dev-1.invitation.yaml --user "$USER"
  sudo ua-overlay robot prepare --ca ca.pem --user robot --dry-run
  sudo ua-overlay robot prepare --undo'''


def add_parser(subparsers):
    parser = subparsers.add_parser(
        'robot', help='prepare this robot; list or remove robots (on the server)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='On a robot: prepare, agent. On the server: list, remove.',
        epilog='example:\n  sudo ua-overlay robot prepare --invitation dev-1.invitation.yaml --user "$USER"')
    commands = parser.add_subparsers(dest='command', metavar='COMMAND', required=True)
    prepare = commands.add_parser(
        'prepare', help='what needs root on a robot, once', formatter_class=argparse.RawDescriptionHelpFormatter,
        description=PREPARE.format(ca=defaults.CA_FILE, state=defaults.STATE_DIR, run=defaults.RUN_DIR),
        epilog=PREPARE_EXAMPLES)
    source = prepare.add_mutually_exclusive_group()
    source.add_argument('--invitation', metavar='FILE', help='take the CA from this invitation; its key is not used')
    source.add_argument('--ca', metavar='FILE', help='take the CA from this PEM file')
    prepare.add_argument('--user', metavar='USER', help='who may join and leave: the user that runs overlay.launch')
    prepare.add_argument('--undo', action='store_true', help='put everything back as it was')
    prepare.add_argument('--dry-run', action='store_true', help='say what would be done, and do nothing')
    prepare.add_argument('--no-egress', action='store_true',
                         help='without the rule for what tailscaled connects to (for a kernel without nftables)')
    prepare.add_argument('--service-manager', choices=('systemd', 'none'),
                         help='default: systemd where it runs; none: files only, and what to start by hand')
    prepare.set_defaults(run=run_prepare)
    agent = commands.add_parser(
        'agent', help='let USER join and leave, and keep names working, for as long as this runs (root)',
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description='Sets USER as the operator of tailscaled and sets it again whenever `tailscale up` or a logout\n'
                    'wiped it. When the names of the team do not resolve on this machine, puts them into a marked\n'
                    'block of /etc/hosts, until the robot leaves. `robot prepare` makes a service of this.',
        epilog='example:\n  sudo ua-overlay robot agent --user robot')
    agent.add_argument('--user', metavar='USER', required=True)
    agent.add_argument('--socket', metavar='PATH', default=defaults.DAEMON_SOCKET,
                       help='of tailscaled (default: %(default)s)')
    agent.set_defaults(run=run_agent)
    from ua_overlay.cli import robot_server
    for add in (robot_server.add_list_parser, robot_server.add_move_parser, robot_server.add_remove_parser,
                robot_server.add_prune_parser):
        add(commands)


def run_prepare(args):
    from ua_overlay.firewall import egress, egress_rules
    from ua_overlay.system.nft import find_nft
    from ua_overlay.system.recipe import describe, uid_of
    from ua_overlay.tailscale.prepare import applier, check_in_force, make_recipe
    from ua_overlay.trust.servers import resolve_soon, servers_of
    manager = args.service_manager or ('systemd' if systemd_runs() else 'none')
    if manager == 'systemd' and not systemd_runs() and not args.dry_run:
        raise UsageError('systemd does not run on this machine.',
                         'sudo ua-overlay robot prepare --service-manager none --user "$USER"')
    if args.undo:
        if not args.dry_run:
            need_root('robot prepare', '--undo')
        return undo(manager, args.dry_run)
    if not args.user:
        raise UsageError('`robot prepare` needs the user that may join and leave.',
                         'sudo ua-overlay robot prepare --user "$USER"')
    uid_of(args.user)
    command = os.path.realpath(sys.argv[0])
    ca_pem = read_ca(args)
    nft = '' if args.no_egress else find_nft()
    recipe = make_recipe(args.user, ca_pem, command,
                         os.path.dirname(os.path.dirname(os.path.realpath(ua_overlay.__file__))), manager,
                         missing_daemon() if manager == 'systemd' else None,
                         egress_rules.make_rules(egress.ROBOT, servers_of(ca_pem), resolve_soon) if nft else '', nft)
    if args.dry_run:
        print('\n'.join(describe(recipe)))
        return 0
    need_root('robot prepare', '--user ' + args.user)
    machine = applier()
    machine.remember('operator', present_operator())
    changed = machine.apply(recipe)
    if manager == 'systemd':
        check_in_force(environment_of('tailscaled.service'))
    for path in sorted(changed):
        print('wrote {}'.format(path))
    if not changed:
        print('This robot was prepared for {} already; nothing changed.'.format(args.user))
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    if manager == 'systemd' and writable_by_others(command):
        print('Note: the root service ua-overlay-agent runs {}, which is not root\'s alone: whoever can change it '
              'can become root.'.format(command))
    print('Next: ua-overlay join FILE.invitation.yaml   (as {}; not as root)'.format(args.user))
    return 0


def undo(manager, dry_run):
    from ua_overlay.rosenv import hosts
    from ua_overlay.system.recipe import run_command
    from ua_overlay.tailscale.localapi import LocalApi
    from ua_overlay.tailscale.prepare import AGENT_NAME, AGENT_UNIT, DAEMON_UNIT, MANIFEST, applier
    machine = applier()
    if not dry_run and not machine.applied():
        print('The names of the team are out of {}.'.format(hosts.HOSTS) if hosts.remove_block()
              else 'Nothing was prepared here.')
        return 0
    after = []
    if manager == 'systemd':
        after = [['systemctl', 'daemon-reload']]
        if not ours(DAEMON_UNIT):
            after.append(['systemctl', 'try-restart', 'tailscaled.service'])
    if dry_run:
        print('\n'.join(['put back what {} lists'.format(MANIFEST)] + ['run ' + ' '.join(argv) for argv in after]))
        return 0
    if manager == 'systemd' and os.path.exists(AGENT_UNIT):
        # First: it would set its user again, and the names.
        run_command(['systemctl', 'stop', AGENT_NAME])
    before = machine.remembered('operator') or ''
    try:
        LocalApi().edit_prefs(OperatorUser=before)
    except OverlayError as error:
        print('Note: the operator was not taken back: {}'.format(error.sentence))
    hosts.remove_block()
    for note in machine.undo((), after):
        print(note)
    if before and manager == 'systemd' and not ours(DAEMON_UNIT) and present_operator() != before:
        # A tailscaled that never logged in keeps no preferences over its restart.
        LocalApi().edit_prefs(OperatorUser=before)
    if manager == 'none':
        print('By hand: end `ua-overlay robot agent`, and start tailscaled again without SSL_CERT_FILE.')
    return 0


def present_operator():
    """Who is tailscaled's operator now, '' when nobody is or when it does not run."""
    from ua_overlay.tailscale.localapi import LocalApi
    try:
        return LocalApi().prefs().get('OperatorUser') or ''
    except OverlayError:
        return ''


def environment_of(unit):
    """The environment of a unit's process, as a dict.

    :raises OverlayError: it does not run.
    """
    done = subprocess.run(['systemctl', 'show', '--property=MainPID', '--value', unit], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True, timeout=30)
    try:
        with open('/proc/{}/environ'.format(int(done.stdout)), 'rb') as stream:
            words = stream.read().decode('utf-8', 'replace').split('\0')
    except (OSError, ValueError):
        raise OverlayError('{} does not stay up.'.format(unit), 'journalctl -u ' + unit)
    return dict(word.split('=', 1) for word in words if '=' in word)


def run_agent(args):
    from ua_overlay.agent import agent
    from ua_overlay.system.recipe import uid_of
    uid_of(args.user)
    stop = until_sigterm()
    try:
        agent.run(agent.duties(args.user, args.socket, stop, say))
    except KeyboardInterrupt:
        return 0
    return 0


def read_ca(args):
    """Return the text of the CA that the arguments name, else of the one that this robot has already."""
    from ua_overlay.clock import utc_now
    from ua_overlay.trust.ca import read_ca as read_ca_file
    from ua_overlay.trust.ca import same
    if args.invitation:
        from ua_overlay.trust import ca_pin, invitation
        return ca_pin.ca_of(invitation.read(args.invitation), known_ca())
    if not args.ca and not os.path.exists(defaults.CA_FILE):
        raise UsageError('`robot prepare` needs the site\'s CA the first time.',
                         'sudo ua-overlay robot prepare --invitation FILE --user {}'.format(args.user))
    desired, known = read_ca_file(args.ca or defaults.CA_FILE, utc_now()), known_ca()
    # The site turns its roots round when the new one signs: no reason to start tailscaled again.
    return known if same(known, desired) else desired


def known_ca():
    """Text of the CA that this robot was prepared with, '' for none."""
    try:
        with open(defaults.CA_FILE, encoding='ascii', errors='replace') as stream:
            return stream.read()
    except OSError:
        return ''


def missing_daemon():
    """Path of a tailscaled to make a service of when this machine has no tailscaled.service, else None."""
    from ua_overlay.tailscale.prepare import DAEMON_UNIT
    if not no_daemon_unit() and not ours(DAEMON_UNIT):
        return None
    from ua_overlay.toolchain import locate
    return locate('tailscaled')


def no_daemon_unit():
    """True when no tailscaled.service is installed."""
    return not any(os.path.exists(directory + '/tailscaled.service') for directory in (
        '/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system',
        '/lib/systemd/system'))


def ours(path):
    """True when ``path`` is a unit that `robot prepare` wrote."""
    try:
        with open(path) as stream:
            return 'ua-overlay robot prepare' in stream.readline()
    except OSError:
        return False


def writable_by_others(path):
    """True when someone other than root can change the file or a directory above it."""
    while True:
        status = os.stat(path)
        if status.st_uid != 0 or (status.st_mode & 0o022 and not status.st_mode & 0o1000):
            return True
        if path == '/':
            return False
        path = os.path.dirname(path)
