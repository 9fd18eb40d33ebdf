"""`ua-overlay server service`: the server at boot, as a user of its own."""
import argparse
import os
import shutil

from ua_overlay.cli.robot_egress import find_nft
from ua_overlay.cli.service import need_systemd
from ua_overlay.cli.site_args import add_dir, load_site
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import control, service
from ua_overlay.recipe import describe
from ua_overlay.resources import share_dir
from ua_overlay.tailscale import egress
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import cache_dir

DESCRIPTION = '''\
A systemd unit that runs the site's server at boot, as a user of its own to whom the site's directory belongs, in a
sandbox that can write nothing else and connects to the site's own addresses only. The server renews its certificate
by itself. Settings of your own:
sudo systemctl edit {}'''.format(service.UNIT_NAME)

EXAMPLES = '''\
examples:
  sudo ua-overlay server service install
  sudo ua-overlay server service install --dry-run
  journalctl -u ua-overlay-server -f
  sudo ua-overlay server service remove       # the site itself stays'''


def add_parser(commands):
    """Add `service` to the subcommands of `server`."""
    raw = {'formatter_class': argparse.RawDescriptionHelpFormatter, 'epilog': EXAMPLES}
    parser = commands.add_parser('service', help='the server at boot, as a user of its own', description=DESCRIPTION,
                                 **raw)
    actions = parser.add_subparsers(dest='action', metavar='ACTION', required=True)
    install = actions.add_parser('install', help='start it now and at every boot', description=DESCRIPTION, **raw)
    install.add_argument('--user', metavar='USER', default=service.USER,
                         help='who runs it and owns the site; made when missing (default: %(default)s)')
    add_dir(install)
    install.add_argument('--no-egress', action='store_true',
                         help='without the rule for what the server connects to (for a kernel without nftables)')
    install.add_argument('--service-manager', choices=('systemd', 'none'), default='systemd',
                         help='none: the user and the rule only, and what to start by hand (default: %(default)s)')
    install.add_argument('--dry-run', action='store_true', help='print the unit and what would be done, and do nothing')
    install.set_defaults(run=run_install)
    remove = actions.add_parser(
        'remove', help='stop it and never start it again', **raw,
        description='Stops the server, removes the unit and the user that was made for it, and gives the site back to\n'
                    'who owned it. The site itself stays as it is.')
    add_dir(remove)
    remove.add_argument('--dry-run', action='store_true', help='say what would be done, and do nothing')
    remove.set_defaults(run=run_remove)


def run_install(args):
    if not args.dry_run:
        need_root('install')
    if not args.dry_run and args.service_manager == 'systemd':
        need_systemd()
    site = load_site(args)
    place = service.applier()
    owner = os.stat(site.directory)
    if not args.dry_run and not place.applied():
        refuse_running(site)
        place.remember('owner', [owner.st_uid, owner.st_gid])
    recipe = make_recipe(site, args.user, place.remembered('owner') or [owner.st_uid, owner.st_gid],
                         '' if args.no_egress else find_nft(), args.service_manager)
    if args.dry_run:
        if args.service_manager == 'systemd':
            print(recipe.files[0].text, end='')
        print('\n'.join(describe(recipe)))
        return 0
    changed = place.apply(recipe)
    for sentence in recipe.by_hand:
        print('By hand: ' + sentence)
    if args.service_manager == 'none':
        return 0
    print('The server of {} runs as {}, now and after every boot{}.'.format(
        site.settings.name, args.user, '' if changed else '; nothing changed'))
    print('Look: journalctl -u {} -f, or {}'.format(service.UNIT_NAME, site.command('server status')))
    return 0


def make_recipe(site, user, owner, nft, manager):
    """The recipe for a site, with the programs that this command would run."""
    command, root = service.find_program(share_dir())
    settings = site.settings
    programs = [root, cache_dir()] + [
        os.path.dirname(os.path.realpath(locate(name))) for name in ('headscale', 'tailscaled', 'tailscale')]
    text = service.unit_text(
        user, site.directory, command, sorted(set(programs)), ['UA_OVERLAY_CACHE=' + cache_dir()],
        min(settings.port, settings.stun_port, settings.relay_port) < 1024)
    rules = egress.ruleset(egress.SERVER, server_addresses(settings), user) if nft else ''
    by_hand = 'UA_OVERLAY_CACHE={} {} server run --dir {}'.format(cache_dir(), command, site.directory)
    return service.make_recipe(user, owner, site.directory, text, rules, nft, manager, by_hand)


def server_addresses(settings):
    """What the server connects to besides itself: its public addresses, which may be another machine's, and the DERPs
    of further hosts. After one was added: `server service install` again."""
    return settings.addresses + tuple(host.address for host in settings.derp)


def refuse_running(site):
    """:raises OverlayError: the server runs already, in somebody's terminal."""
    try:
        control.ask(site.control_socket, 'ping', timeout=5)
    except control.NotRunning:
        return
    raise OverlayError('The server of this site runs already, and not as a service.',
                       'end that one (Ctrl-C, SIGTERM), then sudo ua-overlay server service install', code='SITE')


def run_remove(args):
    if args.dry_run:
        print('put back what {} lists\nrun systemctl daemon-reload'.format(service.MANIFEST))
        return 0
    need_root('remove')
    notes = service.applier().undo((), [['systemctl', 'daemon-reload']])
    for note in notes or ():
        print(note)
    print('There was no service.' if notes is None else
          'The server is stopped and does not start at boot; the site is still there.')
    return 0


def need_root(action):
    if os.geteuid() != 0:
        raise OverlayError('`server service {}` needs root.'.format(action), '{}ua-overlay server service {}'.format(
            'sudo ' if shutil.which('sudo') else 'as root: ', action), code='NOT_ROOT')
