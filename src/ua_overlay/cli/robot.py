"""`ua-overlay robot`: prepare this robot; the agent. The commands on the server are in cli/robot_server.py."""
import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Collection, Dict, List, Optional, Tuple

import ua_overlay
from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.cli.shared.args import add_socket
from ua_overlay.cli.shared.loop import say, until_sigterm
from ua_overlay.cli.shared.needs import need_root
from ua_overlay.cli.shared.parser import CommandParser, from_module
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system.units import systemd_runs

if TYPE_CHECKING:
    from ua_overlay.firewall.backend import Backend
    from ua_overlay.tailscale.daemon_unit import DaemonArguments

DESCRIPTION = '''\
On a robot: prepare, image, agent, mtu. On the server: list, move, remove, prune.'''

EPILOG = '''\
examples:
  sudo ua-overlay robot prepare --invitation dev-1.invitation.yaml \\
      --user "$USER"
  ua-overlay robot list'''

PREPARE = '''\
Do once, as root, what a robot needs before it can join an overlay:

  - install the site's CA for tailscaled, and for no other program
    ({ca})
  - turn off tailscaled's telemetry, and let it connect to the site's servers
    and to other robots only
  - drop every privilege that tailscaled does not need
  - let USER join and leave without root; a small root service maintains this,
    and puts the team's names into the hosts file where MagicDNS does not work
  - create {state} and {run} for USER

You can repeat it and undo it. It sends nothing and joins no overlay.'''

PREPARE_EPILOG = '''\
examples:
  sudo ua-overlay robot prepare --invitation dev-1.invitation.yaml \\
      --user "$USER"
  sudo ua-overlay robot prepare --ca ca.pem --user robot --dry-run
  sudo ua-overlay robot prepare --undo'''

AGENT = '''\
Run until stopped, and maintain seven things:

  - USER is the operator of tailscaled, even after `tailscale up` or a logout
    resets it
  - the names of the team are in a marked block of /etc/hosts where they do not
    resolve otherwise, until the robot leaves
  - the egress rule of tailscaled has the site's current addresses
  - the server knows the home DERP of this robot
  - tailscaled has saved the identity of this robot, as soon as there is room
  - tailscaled takes no old paths to other robots into the next network: after
    a logout it restarts (under systemd)
  - tailscaled trusts the team that it remembers while the server is away no
    longer than the site allows: then it restarts (under systemd)

`robot prepare` installs a service that runs this.'''


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, EPILOG)
    parser.add_command('prepare', configure_prepare)
    parser.add_command('image', from_module('ua_overlay.cli.robot_image'))
    parser.add_command('agent', configure_agent)
    parser.add_command('mtu', from_module('ua_overlay.cli.robot_mtu'))
    # Imported on use: a robot does not need the server's code.
    for name in ('list', 'move', 'remove', 'prune'):
        parser.add_command(name, from_module('ua_overlay.cli.robot_server', 'configure_' + name))


def configure_prepare(parser: CommandParser) -> None:
    parser.describe(PREPARE.format(ca=defaults.CA_FILE, state=defaults.STATE_DIR, run=defaults.RUN_DIR), PREPARE_EPILOG)
    source = parser.add_mutually_exclusive_group()
    source.add_argument('--invitation', metavar='FILE', help='take the CA from this invitation; its key is not used')
    source.add_argument('--ca', metavar='FILE', help='take the CA from this PEM file')
    parser.add_argument('--user', metavar='USER', help='the user that may join and leave, and runs overlay.launch')
    parser.add_argument('--undo', action='store_true', help='restore everything as it was')
    parser.add_argument('--dry-run', action='store_true', help='print what would be done; change nothing')
    parser.add_argument('--no-egress', action='store_true',
                        help='omit the egress rule of tailscaled, and remove one of an earlier run (for a kernel with '
                             'neither nftables nor iptables)')
    parser.add_argument('--take-over', action='store_true',
                        help='prepare a machine that is in another tailnet; tailscaled keeps that login, and --undo '
                             'returns to it')
    parser.add_argument('--service-manager', choices=('systemd', 'none'),
                        help='none: write files only, and print what to start by hand (default: systemd where it runs)')
    parser.set_defaults(run=run_prepare)


def configure_agent(parser: CommandParser) -> None:
    parser.describe(AGENT, 'example:\n  sudo ua-overlay robot agent --user robot')
    parser.add_argument('--user', metavar='USER', required=True, help='the user that may join and leave')
    add_socket(parser)
    parser.set_defaults(run=run_agent)


def run_prepare(args: argparse.Namespace) -> int:
    from ua_overlay.system.recipe import describe, uid_of
    from ua_overlay.tailscale.daemon_proxy import proxies_of, running_environment, unchanged_exceptions
    from ua_overlay.tailscale.daemon_unit import DaemonArguments, check_arguments, read_unit
    from ua_overlay.tailscale.prepare import VENDOR_DOMAINS, applier, check_in_force, make_recipe
    from ua_overlay.trust.servers import servers_of
    manager = args.service_manager or ('systemd' if systemd_runs() else 'none')
    if manager == 'systemd' and not systemd_runs() and not args.dry_run:
        raise UsageError('systemd does not run on this machine.',
                         'sudo ua-overlay robot prepare --service-manager none --user "$USER"')
    if args.undo:
        if not args.dry_run:
            need_root('robot prepare', '--undo')
        return undo(manager, args.dry_run)
    if not args.user:
        raise UsageError('No user given: who may join and leave?', 'sudo ua-overlay robot prepare --user "$USER"')
    uid_of(args.user)
    ca_pem = read_ca(args)
    unit = read_unit() if manager == 'systemd' else None
    arguments = unit.arguments if unit else DaemonArguments()
    check_arguments(arguments)
    if not args.dry_run:
        need_root('robot prepare', '--user ' + args.user)
    machine = applier()
    taken = look_for_tailnet(args, arguments, servers_of(ca_pem), machine.remembered('tailnet'))
    environ = (unit.environ if unit else {}) or running_environment(arguments.socket)
    proxies = proxies_of(environ)
    backend, rules = (None, '') if args.no_egress else egress_rule(
        servers_of(ca_pem), arguments.interface, proxies, args.dry_run)
    command = os.path.realpath(sys.argv[0])
    recipe = make_recipe(args.user, ca_pem, command,
                         os.path.dirname(os.path.dirname(os.path.realpath(ua_overlay.__file__))), manager,
                         missing_daemon() if manager == 'systemd' else None, rules, backend, arguments,
                         unchanged_exceptions(environ, VENDOR_DOMAINS) if proxies else None)
    if args.dry_run:
        print('\n'.join(describe(recipe)))
        return 0
    machine.remember('operator', present_operator(arguments.socket))
    if taken is not None:
        machine.remember('tailnet', taken)
        leave_tailnet(arguments.socket)
    changed = machine.apply(recipe)
    if manager == 'systemd':
        check_in_force(environment_of('tailscaled.service'))
        if taken is not None:
            leave_tailnet(arguments.socket)  # a restarted tailscaled returns to a login that it has saved
    for path in sorted(changed):
        print('{} {}'.format('wrote' if os.path.lexists(path) else 'removed', path))
    for note in machine.notes:
        print(note)
    if not changed:
        print('This robot was already prepared for {}; nothing changed.'.format(args.user))
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    for url in proxies:
        print_proxy(url)
    unused = [] if proxies else proxies_of(machine_environment())
    if unused:
        print('Note: this machine has the proxy {0} in /etc/environment, which no service reads. If tailscaled needs '
              'it, add HTTPS_PROXY={0} to /etc/default/tailscaled and repeat this command.'.format(unused[0]))
    note = program_note(command)
    if note:
        print(note)
    print('Next: ua-overlay join FILE.invitation.yaml   (as {}; not as root)'.format(args.user))
    return 0


def egress_rule(servers: List[str], interface: str, proxies: List[str], dry_run: bool) -> 'Tuple[Backend, str]':
    """The packet filter that takes the egress rule, and the rule as its text.

    :param servers: names and addresses of the site's servers.
    :param interface: tailscaled's.
    :param proxies: URLs of tailscaled's proxies.
    :param dry_run: do not ask the kernel, which answers only root.
    :raises OverlayError: no packet filter of this machine takes it.
    """
    from ua_overlay.firewall import backend as backends
    from ua_overlay.firewall import egress
    from ua_overlay.firewall.egress_addresses import make_settings
    from ua_overlay.trust.servers import resolve_soon
    settings = make_settings(egress.ROBOT, servers, resolve_soon, egress.Settings(
        interface=interface, proxies=tuple(proxies)))
    found = backends.choose(
        backends.candidates(),
        (lambda _: None) if dry_run else (lambda each: egress.try_rules(egress.ROBOT, settings, each)),
        'The egress rule', 'the same command with --no-egress')
    return found, egress.ruleset(egress.ROBOT, settings, found)


def machine_environment() -> Dict[str, str]:
    """The variables that sessions of users get (pam_env)."""
    from ua_overlay.system import foreign_file
    from ua_overlay.tailscale.daemon_unit import parse_environment_file
    try:
        return parse_environment_file(foreign_file.read_text('/etc/environment'))
    except OSError:
        return {}


def print_proxy(url: str) -> None:
    from ua_overlay.system.http_proxy import parse_proxy
    proxy = parse_proxy(url)
    print('tailscaled uses the proxy {}: the egress rule lets it connect there.'.format(url))
    if proxy is not None and proxy.scheme != 'http':
        print('Note: tailscaled reaches no DERP through a {} proxy, and `ua-overlay join` no server; set HTTPS_PROXY '
              'to an http:// one.'.format(proxy.scheme.upper()))


def look_for_tailnet(args: argparse.Namespace, arguments: 'DaemonArguments', servers: List[str],
                     known: Optional[Dict[str, Any]]) -> Optional[Dict[str, Any]]:
    """Check that this machine is in no other network, or that --take-over says so.

    :param servers: names and addresses of the site's servers.
    :param known: what an earlier --take-over kept, None for none.
    :returns: what to keep for `--undo` ({'profile': ID}), None if there is nothing to leave.
    :raises OverlayError: it is in another one, or another tailscaled runs.
    """
    from ua_overlay.tailscale import tailnet
    from ua_overlay.tailscale.daemon_proxy import listening_process
    from ua_overlay.tailscale.localapi import DaemonDenied, LocalApi
    from ua_overlay.tailscale.model import parse_status
    from ua_overlay.tailscale.other_daemons import check_competing, running_daemons
    check_competing(running_daemons(), listening_process(arguments.socket))
    again = command_line(args)
    api = LocalApi(arguments.socket)
    try:
        status = parse_status(api.status(peers=False))
        prefs = api.prefs()
        profiles = tailnet.parse_profiles(*api.profiles())
    except DaemonDenied:
        return None  # a dry run of an unprivileged user
    except OverlayError:
        # It does not run, or does not answer: what it would use when it starts again.
        others = tailnet.foreign_profiles(tailnet.read_state(arguments.state), servers)
        others = tuple(each for each in others if not known or each.current or each.id not in known.get('others', ()))
        if not args.take_over:
            tailnet.check_tailnet(others, '', (), (), 0, again)
    else:
        if status.have_node_key and not any(each.current for each in profiles):
            profiles += (tailnet.Profile('', tailnet.normal_url(str(prefs.get('ControlURL') or '')), current=True),)
        others = tailnet.foreign_profiles(profiles, servers)
        others = tuple(each for each in others if not known or each.current or each.id not in known.get('others', ()))
        own = status.self_node
        if not args.take_over:
            tailnet.check_tailnet(others, own.dns_name, own.addresses, tailnet.losses(prefs),
                                  count_connections(own.addresses), again)
    if not others:
        return None
    return {'profile': next((each.id for each in others if each.current), ''), 'others': [each.id for each in others]}


def command_line(args: argparse.Namespace) -> str:
    """The command that was typed, for a next command."""
    from ua_overlay.advice import command
    words = 'sudo ua-overlay robot prepare'
    for option, value in (('--invitation', args.invitation), ('--ca', args.ca), ('--user', args.user),
                          ('--service-manager', args.service_manager)):
        if value:
            words += command(' {} {}', option, value)
    return words + (' --no-egress' if args.no_egress else '')


def count_connections(addresses: Collection[str]) -> int:
    """The established TCP connections to these addresses of this machine, which other machines opened."""
    from ua_overlay.system import procnet
    sockets = procnet.read_sockets('tcp')
    listening = {each.local_port for each in sockets if each.state == procnet.LISTEN}
    return sum(each.state == procnet.ESTABLISHED and each.local in addresses and each.local_port in listening
               for each in sockets)


def leave_tailnet(socket: str) -> None:
    """Give tailscaled a new, empty login beside the one of another network, which it keeps."""
    from ua_overlay.tailscale.localapi import DaemonMissing, LocalApi
    try:
        LocalApi(socket).new_profile()
    except DaemonMissing:
        return  # it does not run yet


def undo(manager: str, dry_run: bool) -> int:
    """Restore what `robot prepare` changed. :param manager: 'systemd' or 'none'."""
    from ua_overlay.rosenv import hosts
    from ua_overlay.system.recipe import run_command
    from ua_overlay.tailscale.localapi import LocalApi
    from ua_overlay.tailscale.prepare import AGENT_NAME, AGENT_UNIT, DAEMON_UNIT, MANIFEST, applier
    machine = applier()
    if not dry_run and not machine.applied():
        print("Removed the team's names from {}.".format(hosts.HOSTS) if hosts.remove_block()
              else 'Nothing was prepared here.')
        return 0
    after = []
    if manager == 'systemd':
        after = [['systemctl', 'daemon-reload']]
        if not is_ours(DAEMON_UNIT):
            after.append(['systemctl', 'try-restart', 'tailscaled.service'])
    if dry_run:
        print('\n'.join(['restore what {} lists'.format(MANIFEST)] + ['run ' + ' '.join(argv) for argv in after]))
        return 0
    if manager == 'systemd' and os.path.exists(AGENT_UNIT):
        # First: the agent would set the operator and write the names again.
        run_command(['systemctl', 'stop', AGENT_NAME])
    before = machine.remembered('operator') or ''
    profile = (machine.remembered('tailnet') or {}).get('profile') or ''
    try:
        if profile:
            # That login has its own operator.
            LocalApi().switch_profile(profile)
        else:
            LocalApi().edit_prefs(OperatorUser=before)
    except OverlayError as error:
        print('Note: tailscaled did not return to its former {}: {}'.format(
            'network' if profile else 'operator', error.sentence))
    hosts.remove_block()
    for note in machine.undo((), after) or ():
        print(note)
    if before and not profile and manager == 'systemd' and not is_ours(DAEMON_UNIT) and present_operator() != before:
        # A tailscaled that never logged in loses its preferences when it restarts.
        LocalApi().edit_prefs(OperatorUser=before)
    if manager == 'none':
        print('By hand: stop `ua-overlay robot agent`, and restart tailscaled without SSL_CERT_FILE.')
    return 0


def present_operator(socket: str = defaults.DAEMON_SOCKET) -> str:
    """tailscaled's current operator; '' when there is none, or no tailscaled runs."""
    from ua_overlay.tailscale.localapi import LocalApi
    from ua_overlay.tailscale.model import parse_prefs
    try:
        return parse_prefs(LocalApi(socket).prefs()).operator
    except OverlayError:
        return ''


def environment_of(unit: str) -> Dict[str, str]:
    """The environment of a unit's main process.

    :raises OverlayError: the unit is not running.
    """
    from ua_overlay.tailscale import daemon_proxy
    done = subprocess.run(['systemctl', 'show', '--property=MainPID', '--value', unit], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True, timeout=30)
    try:
        return daemon_proxy.environment_of(int(done.stdout))
    except (OSError, ValueError):
        raise OverlayError('{} stopped right after it was started.'.format(unit),
                           command('journalctl -u {}', unit))


def run_agent(args: argparse.Namespace) -> int:
    from ua_overlay.agent import agent
    from ua_overlay.system import instance, ownership
    from ua_overlay.system.recipe import uid_of
    uid_of(args.user)
    # What it does as root follows from these files.
    ownership.check(defaults.CONFIG_DIR, 'The directory {}'.format(defaults.CONFIG_DIR))
    note = program_note(os.path.realpath(sys.argv[0]))
    if note:
        say(note)
    # A second one, for another user perhaps, would set tailscaled's operator in turns with the first.
    kept = instance.claim_name(defaults.AGENT, 'The agent')
    stop = until_sigterm()
    try:
        agent.run(agent.duties(args.user, args.socket, stop, say), say, kept)
    except KeyboardInterrupt:
        return 0
    finally:
        if kept is not None:
            kept.close()
    return 0


def read_ca(args: argparse.Namespace) -> str:
    """The CA (PEM) that the arguments name, else the one installed on this robot.

    :raises OverlayError: there is none, or it is invalid.
    """
    from ua_overlay.clock import utc_now
    from ua_overlay.trust.ca import read_ca as read_ca_file
    from ua_overlay.trust.ca import same
    if args.invitation:
        from ua_overlay.trust import ca_pin, invitation_file
        return ca_pin.ca_of(invitation_file.read(args.invitation), installed_ca())
    if not args.ca and not os.path.exists(defaults.CA_FILE):
        raise UsageError("`robot prepare` needs the site's CA the first time.",
                         command('sudo ua-overlay robot prepare --invitation FILE --user {}', args.user))
    desired, installed = read_ca_file(args.ca or defaults.CA_FILE, utc_now()), installed_ca()
    # The site reorders its roots when the new one begins to sign; tailscaled need not restart for that.
    return installed if same(installed, desired) else desired


def installed_ca() -> str:
    """The CA (PEM) with which this robot was prepared, '' for none."""
    from ua_overlay.system import foreign_file
    try:
        # A bundle may have comments in any encoding.
        return foreign_file.read_text(defaults.CA_FILE, encoding='latin-1')
    except OSError:
        return ''


def missing_daemon() -> Optional[str]:
    """Path of a tailscaled for a new tailscaled.service; None if this machine already has that service."""
    from ua_overlay.tailscale.prepare import DAEMON_UNIT
    if has_daemon_unit() and not is_ours(DAEMON_UNIT):
        return None
    from ua_overlay.toolchain import locate
    return locate('tailscaled')


def has_daemon_unit() -> bool:
    """Whether a tailscaled.service is installed."""
    return any(os.path.exists(directory + '/tailscaled.service') for directory in (
        '/etc/systemd/system', '/run/systemd/system', '/usr/local/lib/systemd/system', '/usr/lib/systemd/system',
        '/lib/systemd/system'))


def is_ours(path: str) -> bool:
    """Whether `robot prepare` wrote the unit ``path``."""
    from ua_overlay.system import foreign_file
    try:
        return 'ua-overlay robot prepare' in foreign_file.read_text(path, encoding='latin-1').split('\n', 1)[0]
    except OSError:
        return False


def program_note(program: str) -> str:
    """A sentence about a program of root's that another user could replace, or its modules; '' if nobody could.

    Not an error: many robots have this package in the workspace of the user who builds it.
    """
    from ua_overlay.system import ownership
    if os.geteuid() != 0:
        return ''
    for path in (program, os.path.dirname(os.path.realpath(ua_overlay.__file__))):
        found = ownership.first_unsafe(ownership.steps_to(path), (0,))
        if found is not None:
            return ('Note: the root service ua-overlay-agent runs {}, which users other than root can modify by {}, '
                    'and so become root.'.format(path, found.path))
    return ''
