"""`ua-overlay server service`, `relay service`, `derp service`: what a site runs, at boot, as a user of its own."""
import argparse
import os

from ua_overlay.cli.shared.args import add_dir, load_site
from ua_overlay.cli.shared.loop import say, until_sigterm
from ua_overlay.cli.shared.needs import need_root, need_systemd
from ua_overlay.cli.shared.remote_host import add_service_dir
from ua_overlay.errors import OverlayError
from ua_overlay.firewall.egress_rules import make_rules
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.remote_host import RemoteHost
from ua_overlay.resources import share_dir
from ua_overlay.server import service, service_egress
from ua_overlay.site.site import site_directory
from ua_overlay.system.control_socket import NotRunning, ask
from ua_overlay.system.nft import find_nft
from ua_overlay.system.recipe import describe, run_command
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import cache_dir
from ua_overlay.trust.servers import resolve_soon, servers_of

DESCRIPTION = '''\
A systemd unit that runs the {} at boot, as a user of its own to whom its directory belongs, in a sandbox that
can write nothing else and connects to the site's own addresses only.{}
Settings of your own: sudo systemctl edit {}'''

EXAMPLES = '''\
examples:
  sudo ua-overlay {0} service install{1}
  sudo ua-overlay {0} service install --dry-run
  journalctl -u ua-overlay-{0} -f
  sudo ua-overlay {0} service remove       # its directory stays'''

PROGRAMS = {'server': ('headscale', 'tailscaled', 'tailscale'), 'relay': ('tailscaled', 'tailscale'),
            'derp': ('derper',)}


def add_parser(commands, served=service.SERVER):
    """Add `service` to the subcommands of `server`, `relay` or `derp`."""
    kind, remote = served.kind, served is not service.SERVER
    renewal = '' if remote else '\nThe server renews its certificate by itself.'
    description = DESCRIPTION.format(kind, renewal, served.unit)
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter,
           'epilog': EXAMPLES.format(kind, ' --enrolment lab-b.{}.yaml'.format(kind) if remote else '')}
    parser = commands.add_parser('service', help='the {} at boot, as a user of its own'.format(kind),
                                 description=description, **raw)
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    install = actions.add_parser('install', help='start it now and at every boot', description=description, **raw)
    install.add_argument('--user', metavar='USER', default=served.user,
                         help='who runs it and owns its directory; made when missing (default: %(default)s)')
    if remote:
        install.add_argument('--enrolment', metavar='FILE', help='what `{} create` made on the server; the first time'
                             .format(kind))
    _add_dir(install, served)
    install.add_argument('--no-egress', action='store_true',
                         help='without the rule for what it connects to (for a kernel without nftables)')
    install.add_argument('--service-manager', choices=('systemd', 'none'), default='systemd',
                         help='none: the user and the rule only, and what to start by hand (default: %(default)s)')
    install.add_argument('--dry-run', action='store_true', help='print the unit and what would be done, and do nothing')
    install.set_defaults(run=lambda args: run_install(args, served))
    remove = actions.add_parser(
        'remove', help='stop it and never start it again', **raw,
        description='Stops it, removes the unit and the user that was made for it, and gives its directory back to\n'
                    'who owned it. The directory itself stays as it is.')
    _add_dir(remove, served)
    remove.add_argument('--dry-run', action='store_true', help='say what would be done, and do nothing')
    remove.set_defaults(run=lambda args: run_remove(args, served))
    keep = actions.add_parser(
        'keep', help='keep the site\'s addresses in the rule of whom it connects to (what `install` starts)',
        description='Looks again and again at the addresses that the site has, and at the rule that nothing leaves the '
                    'site: follows a change, and loads the rule again when somebody flushed or changed it. Needs root '
                    'or CAP_NET_ADMIN. `service install` makes a unit of it.')
    keep.add_argument('--user', metavar='USER', default=served.user,
                      help='who runs the {} (default: %(default)s)'.format(kind))
    _add_dir(keep, served)
    keep.set_defaults(run=lambda args: run_keep(args, served))


def _add_dir(parser, served):
    if served is service.SERVER:
        add_dir(parser)
    else:
        add_service_dir(parser, served.kind)


def _directory(args, served):
    return site_directory(args.dir, os.environ) if served is service.SERVER else os.path.abspath(args.dir)


def run_keep(args, served):
    """Until SIGTERM or Ctrl-C."""
    stop = until_sigterm()
    try:
        service_egress.keep(served, _directory(args, served), args.user, stop, say)
    except KeyboardInterrupt:
        return 0
    return 0


def run_install(args, served):
    if not args.dry_run:
        need_root('{} service install'.format(served.kind))
    if not args.dry_run and args.service_manager == 'systemd':
        need_systemd('ua-overlay {} service install --service-manager none'.format(served.kind))
    what = (SiteService if served is service.SERVER else RemoteService)(args, served)
    machine = service.applier(served=served)
    owner = os.stat(what.directory if os.path.isdir(what.directory) else '/')
    if not args.dry_run and not machine.applied():
        refuse_running(what.control_socket, served)
        machine.remember('owner', [owner.st_uid, owner.st_gid])
    recipe = make_recipe(what, args, machine.remembered('owner') or [owner.st_uid, owner.st_gid])
    if args.dry_run:
        if args.service_manager == 'systemd':
            print(recipe.files[0].text, end='')
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
        served.kind, what.name, args.user, '' if changed else '; nothing changed'))
    print('Look: journalctl -u {} -f, or {}'.format(served.unit, what.status_command))
    return 0


class SiteService:
    """A site's server as a service: where it is, which ports."""

    def __init__(self, args, served):
        self.served = served
        site = load_site(args)
        self.directory, self.control_socket = site.directory, site.control_socket
        self.name, self.status_command = site.settings.name, site.command('server status')
        self.ports = (site.settings.port, site.settings.stun_port, site.settings.relay_port)
        self.servers = service_egress.servers(served, self.directory)
        self.renewed = False


class RemoteService:
    """A relay or a DERP of a remote host as a service; ``renewed``: what it runs by is another than before."""

    def __init__(self, args, served):
        self.served = served
        remote_host = RemoteHost(os.path.abspath(args.dir), served.kind)
        if args.enrolment:
            enrolment = enrolments.read(args.enrolment, served.kind)
            self.renewed = not args.dry_run and remote_host.install(enrolment)
        else:
            enrolment, self.renewed = remote_host.load(), False
        self.directory, self.control_socket = remote_host.directory, remote_host.control_socket
        self.name, self.status_command = enrolment.name, remote_host.command('status')
        self.ports = (enrolment.port, enrolment.stun_port or enrolment.port)
        self.servers = servers_of(enrolment.ca_pem)


def make_recipe(what, args, owner):
    """The recipe, with the programs that this command would run.

    :param what: SiteService or RemoteService.
    """
    served = what.served
    command, root = service.find_program(share_dir())
    programs = [root, cache_dir()] + [os.path.dirname(os.path.realpath(locate(name)))
                                      for name in PROGRAMS[served.kind]]
    arguments = (args.user, what.directory, command, sorted(set(programs)), ['UA_OVERLAY_CACHE=' + cache_dir()])
    text = service.unit_text(*arguments, low_port=min(what.ports) < 1024, served=served)
    keeper = service.keeper_text(*arguments, served=served)
    nft = '' if args.no_egress else find_nft()
    by_hand = 'UA_OVERLAY_CACHE={} {} {} run --dir {}'.format(cache_dir(), command, served.kind, what.directory)
    if args.service_manager == 'none':
        keeper = '{} {} service keep --dir {} --user {}'.format(command, served.kind, what.directory, args.user)
    rules = make_rules(served.egress, what.servers, resolve_soon, args.user) if nft else ''
    return service.make_recipe(args.user, owner, what.directory, text, rules, nft, args.service_manager, by_hand,
                               served, keeper)


def refuse_running(control_socket, served):
    """:raises OverlayError: it runs already, in somebody's terminal."""
    try:
        ask(control_socket, 'status', timeout=5)
    except NotRunning:
        return
    raise OverlayError('The {} in {} runs already, and not as a service.'.format(
        served.kind, os.path.dirname(os.path.dirname(control_socket))),
        'end that one (Ctrl-C, SIGTERM), then sudo ua-overlay {} service install'.format(served.kind), code='SITE')


def run_remove(args, served):
    if args.dry_run:
        print('put back what {} lists\nrun systemctl daemon-reload'.format(service.manifest(served)))
        return 0
    need_root('{} service remove'.format(served.kind))
    notes = service.applier(served=served).undo((), [['systemctl', 'daemon-reload']])
    for note in notes or ():
        print(note)
    print('There was no service.' if notes is None else
          'The {} is stopped and does not start at boot; its directory is still there.'.format(served.kind))
    return 0
