"""`ua-overlay server service`, `relay service`, `derp service`: run a part of a site at boot, as a dedicated user."""
import argparse
import os
from typing import Iterable, List, Mapping, Sequence, Tuple, Union

from ua_overlay.advice import command as command_line
from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.loop import say, until_sigterm
from ua_overlay.cli.shared.needs import need_root, need_systemd
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.remote_host import CALLED, add_service_dir
from ua_overlay.cli.shared.site import load_site
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import backend, egress
from ua_overlay.firewall.egress_addresses import make_settings
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.resources import share_dir
from ua_overlay.server import service, service_egress
from ua_overlay.server.ports import Port, control_ports, relay_ports
from ua_overlay.server.service import Service
from ua_overlay.site.site import Site, site_directory
from ua_overlay.system import foreign_file, ownership
from ua_overlay.system.control_socket import NotRunning, ask
from ua_overlay.system.recipe import Recipe, describe, run_command
from ua_overlay.system.units import UNIT_DIR
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.bundle import sha256_of
from ua_overlay.toolchain.find import cache_dir
from ua_overlay.trust.servers import resolve_soon, servers_of

DESCRIPTION = '''\
Run the {} at boot as a systemd unit. It runs as its own user, in a sandbox with write access to {} only,
and connects only to the addresses of the site.{} To change its settings: sudo systemctl edit {}'''

BESIDE = '''

Its relay (and derper, with derp_port in site.yaml) is a unit of its own, {}, so that links over it do not notice when
the server restarts. `install` restarts that unit only if its own programs or settings changed.'''

EPILOG = '''\
examples:
  sudo ua-overlay {0} service install{1}
  sudo ua-overlay {0} service install --dry-run
  journalctl -u ua-overlay-{0} -f
  sudo ua-overlay {0} service remove       # keeps its directory'''

KEEP = '''\
Keep the egress rule of the {} up to date: follow the addresses of the site, and load the rule again when another
program flushes or changes it. `service install` makes a unit of this. Needs root or CAP_NET_ADMIN.'''

#: What the relay beside the server runs, without derper.
RELAY_PROGRAMS = ('tailscaled', 'tailscale')
PROGRAMS = {'server': ('headscale',), 'relay': RELAY_PROGRAMS, 'derp': ('derper',)}
#: Settings of a site on which the unit of its relay depends.
RELAY_SETTINGS = ('name', 'addresses', 'port', 'relay_port', 'derp_port', 'stun_port', 'admission_memory')


def configure_service(parser: CommandParser) -> None:
    """`server service`."""
    _configure(parser, service.SERVER)


def configure_relay(parser: CommandParser) -> None:
    """`relay service`."""
    _configure(parser, service.RELAY)


def configure_derp(parser: CommandParser) -> None:
    """`derp service`."""
    _configure(parser, service.DERP)


def _configure(parser: CommandParser, served: Service) -> None:
    kind, called, remote = served.kind, CALLED[served.kind], served is not service.SERVER
    renewal = '' if remote else ' The server renews its certificate itself.'
    directory = 'its own directory' if remote else "the site's directory"
    description = DESCRIPTION.format(called, directory, renewal, served.unit) + (
        '' if remote else BESIDE.format(service.SERVER_RELAY.unit))
    epilog = EPILOG.format(kind, ' --enrolment lab-b.{}.yaml'.format(kind) if remote else '')

    def configure_install(install: CommandParser) -> None:
        install.describe(description, epilog)
        install.add_argument('--user', metavar='USER', default=served.user,
                             help='the user that runs it and owns its directory; created if missing (default: '
                                  '%(default)s)')
        if remote:
            install.add_argument('--enrolment', metavar='FILE',
                                 help='the first time: the file that `{} create` made on the server'.format(kind))
        _add_dir(install, served)
        install.add_argument('--no-egress', action='store_true',
                             help='omit the egress rule (for a kernel without nftables)')
        install.add_argument('--service-manager', choices=('systemd', 'none'), default='systemd',
                             help='none: only create the user and load the rule, and print what to start by hand '
                                  '(default: %(default)s)')
        install.add_argument('--dry-run', action='store_true',
                             help='print the unit and what would be done; change nothing')
        install.set_defaults(run=lambda args: run_install(args, served))

    def configure_remove(remove: CommandParser) -> None:
        remove.describe('Stop {}, remove {} and the user that was created for it, and give its directory back to its '
                        'former owner. The files in the directory stay.'.format(
                            'the {}'.format(called) if remote else 'the server and its relay',
                            'its unit' if remote else 'their units'), epilog)
        _add_dir(remove, served)
        remove.add_argument('--dry-run', action='store_true', help='print what would be done; change nothing')
        remove.set_defaults(run=lambda args: run_remove(args, served))

    def configure_keep(keep: CommandParser) -> None:
        keep.describe(KEEP.format(called))
        keep.add_argument('--user', metavar='USER', default=served.user,
                          help='the user that runs the {} (default: %(default)s)'.format(called))
        _add_dir(keep, served)
        keep.set_defaults(run=lambda args: run_keep(args, served))

    parser.describe(description, epilog)
    parser.add_command('install', configure_install)
    parser.add_command('remove', configure_remove)
    parser.add_command('keep', configure_keep)


def _add_dir(parser: argparse.ArgumentParser, served: Service) -> None:
    if served is service.SERVER:
        add_dir(parser)
    else:
        add_service_dir(parser, served.kind)


def _directory(args: argparse.Namespace, served: Service) -> str:
    return site_directory(args.dir, os.environ) if served is service.SERVER else os.path.abspath(args.dir)


def run_keep(args: argparse.Namespace, served: Service) -> int:
    stop = until_sigterm()
    try:
        service_egress.keep(served, _directory(args, served), args.user, stop, say)
    except KeyboardInterrupt:
        return 0
    return 0


def run_install(args: argparse.Namespace, served: Service) -> int:
    if not args.dry_run:
        need_root(served.kind + ' service install')
        if args.service_manager == 'systemd':
            need_systemd('ua-overlay {} service install --service-manager none'.format(served.kind))
        directory = _directory(args, served)
        # The directory itself becomes the service's; whoever owns one above it could put another in its place.
        ownership.check(os.path.dirname(directory), 'The place of {}'.format(directory))
    what = SiteService(args, served) if served is service.SERVER else RemoteService(args, served)
    machine = service.applier(served=served)
    owner = os.stat(what.directory if os.path.isdir(what.directory) else '/')
    if not args.dry_run and not machine.applied():
        for control_socket in what.control_sockets:
            refuse_running(control_socket, served)
        machine.remember('owner', [owner.st_uid, owner.st_gid])
    uid, gid = machine.remembered('owner') or (owner.st_uid, owner.st_gid)
    recipe = make_recipe(what, args, (uid, gid))
    if args.dry_run:
        if args.service_manager == 'systemd':
            units = [item for item in recipe.files if item.path in (
                UNIT_DIR + '/' + served.unit, service.RELAY_UNIT)]
            print('\n'.join(item.text for item in units), end='')
        print('\n'.join(describe(recipe)))
        return 0
    changed = machine.apply(recipe)
    if what.renewed and args.service_manager == 'systemd' and recipe.files[0].path not in changed:
        run_command(['systemctl', 'restart', served.unit])
        changed = changed | {what.directory}
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    if args.service_manager == 'none':
        return 0
    print('The {} of {} runs as {}, now and after every boot{}.'.format(
        CALLED[served.kind], what.name, args.user, '' if changed else '; nothing changed'))
    print('Log: journalctl -u {} -f; state: {}'.format(served.unit, what.status_command))
    return 0


class SiteService:
    """The server of a site as a service.

    :ivar control_sockets: of the programs that may run already.
    :ivar ports: ports that the service opens.
    :ivar servers: names and addresses that the service may connect to.
    :ivar renewed: whether its settings changed, so that a running service must restart.
    """

    def __init__(self, args: argparse.Namespace, served: Service) -> None:
        self.served = served
        site = load_site(args)
        self.site, self.directory = site, site.directory
        self.control_sockets = site.control_socket, site.relay_control_socket
        self.name, self.status_command = site.settings.name, site.command('server status')
        self.ports = control_ports(site.settings)
        self.servers = service_egress.servers(served, self.directory)
        self.questions = service_egress.questions(served, self.directory)
        self.renewed = False


class RemoteService:
    """A relay or a DERP on a remote host as a service; its fields are those of SiteService."""

    def __init__(self, args: argparse.Namespace, served: Service) -> None:
        self.served = served
        remote_host = RemoteHost(os.path.abspath(args.dir), served.kind)
        if args.enrolment:
            enrolment = enrolments.read(args.enrolment, served.kind)
            self.renewed = not args.dry_run and remote_host.install(enrolment)
        else:
            enrolment, self.renewed = remote_host.load(), False
        self.directory, self.control_sockets = remote_host.directory, (remote_host.control_socket,)
        self.name, self.status_command = enrolment.name, remote_host.command('status')
        self.ports = [Port('UDP', enrolment.port, '')] if served is service.RELAY else [
            Port('TCP', enrolment.port, ''), Port('UDP', enrolment.stun_port, '')]
        self.servers = servers_of(enrolment.ca_pem)
        self.questions = service_egress.names_among(self.servers, enrolment.server_url)


def make_recipe(what: Union[SiteService, RemoteService], args: argparse.Namespace, owner: Tuple[int, int]) -> Recipe:
    """The recipe, with the programs that this command would run.

    :param owner: (uid, gid) to which `service remove` gives the directory back.
    """
    served = what.served
    command, root = service.find_program(share_dir())

    def visible(names: Iterable[str]) -> List[str]:
        return sorted({root, cache_dir()} | {os.path.dirname(_program(name)) for name in names})

    environment = ['UA_OVERLAY_CACHE=' + cache_dir()]
    arguments = args.user, what.directory, command, visible(PROGRAMS[served.kind]), environment
    text = service.unit_text(*arguments, low_port=_has_low(what.ports), served=served, opens=_opens(what.ports))
    relay = ('', '')
    if isinstance(what, SiteService):
        names = RELAY_PROGRAMS + (('derper',) if what.site.settings.derp_port else ())
        # To join, the relay may have to ask Headscale's own program for a key of its REST interface.
        relay = relay_unit(what.site, args.user, command, visible(names + PROGRAMS['server']), environment,
                           {_program(name): '' if args.dry_run else sha256(_program(name)) for name in names})
    keeper = service.keeper_text(*arguments, served=served)
    # One program by hand: `server run` has the relay in itself then.
    by_hand = 'UA_OVERLAY_CACHE={} {} {} run --dir {}'.format(cache_dir(), command, served.kind, what.directory)
    if args.service_manager == 'none':
        keeper = '{} {} service keep --dir {} --user {}'.format(command, served.kind, what.directory, args.user)
    filter_, rules = (None, '') if args.no_egress else egress_rules(what, args.user, args.dry_run)
    return service.make_recipe(args.user, owner, what.directory, text, rules, filter_, args.service_manager, by_hand,
                               served, keeper, relay)


def _program(name: str) -> str:
    return os.path.realpath(locate(name))


def sha256(path: str) -> str:
    """The SHA-256 of a program, in hexadecimal."""
    with foreign_file.opened(path) as stream:
        return sha256_of(stream)


def _has_low(ports: Iterable[Port]) -> bool:
    return min(port.number for port in ports) < 1024


def _opens(ports: Iterable[Port]) -> str:
    return ', '.join('{} {}'.format(port.protocol, port.number) for port in ports)


def relay_unit(site: Site, user: str, command: str, programs: Sequence[str], environment: Sequence[str],
               digests: Mapping[str, str]) -> Tuple[str, str]:
    """The unit of the relay beside the server, and its stamp: see service.relay_stamp."""
    settings = site.settings
    ports = relay_ports(settings)
    values = [(name, getattr(settings, name)) for name in RELAY_SETTINGS]

    def text(command: str, programs: Sequence[str], environment: Sequence[str]) -> str:
        return service.unit_text(user, site.directory, command, programs, environment, _has_low(ports),
                                 service.SERVER_RELAY, _opens(ports))

    return text(command, programs, environment), service.relay_stamp(
        text('/ua-overlay', (), ()),
        [(name, ', '.join(value) if isinstance(value, tuple) else value) for name, value in values], digests)


def egress_rules(what: Union[SiteService, RemoteService], user: str, dry_run: bool) -> Tuple[backend.Backend, str]:
    """The packet filter, and the egress rule as its text.

    :param dry_run: do not ask the kernel, which answers only root.
    :raises OverlayError: the kernel does not take the rule.
    """
    settings = make_settings(what.served.egress, what.servers, resolve_soon, egress.Settings(
        user=user, names=tuple(sorted(set(what.questions)))))

    def attempt(candidate: backend.Backend) -> None:
        # The user may not exist yet, and nft checks names.
        egress.try_rules(what.served.egress, settings._replace(user='root'), candidate)

    found = backend.choose(
        backend.candidates((backend.NFT,)), (lambda _: None) if dry_run else attempt,
        'The egress rule', 'the same command with --no-egress')
    return found, egress.ruleset(what.served.egress, settings, found)


def refuse_running(control_socket: str, served: Service) -> None:
    """Check that no such program runs outside the service.

    :param control_socket: of the program.
    :raises OverlayError: one runs, for example in a terminal.
    """
    try:
        ask(control_socket, 'status', timeout=5)
    except NotRunning:
        return
    raise OverlayError('The {} in {} is running already, and not as a service.'.format(
        CALLED[served.kind], os.path.dirname(os.path.dirname(control_socket))),
        command_line('stop it (Ctrl-C, SIGTERM), then sudo ua-overlay {} service install', served.kind), code='SITE')


def run_remove(args: argparse.Namespace, served: Service) -> int:
    if args.dry_run:
        print('restore what {} lists\nrun systemctl daemon-reload'.format(service.manifest(served)))
        return 0
    need_root(served.kind + ' service remove')
    notes = service.applier(served=served).undo((), [['systemctl', 'daemon-reload']])
    for note in notes or ():
        print(note)
    print('There was no service.' if notes is None else
          'The {} is stopped and no longer starts at boot; its directory stays.'.format(
              'server with its relay' if served is service.SERVER else CALLED[served.kind]))
    return 0
