"""`ua-overlay policy cgnat-lans`: robots on networks that use the overlay's own address range."""
import argparse

from ua_overlay import defaults
from ua_overlay.cli.shared.args import add_dir
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.cli.shared.site import load_site, make_admin

DESCRIPTION = '''\
Let robots accept packets of {} from their own networks too, or not. Carriers (LTE) and other VPNs use this range:
without the switch tailscaled drops the answers of their name servers and gateways. The switch reaches running robots
within seconds. With it, a machine on a robot's own network can pose as a robot there.'''.format(defaults.OVERLAY_V4)


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, 'example:\n  sudo ua-overlay policy cgnat-lans on')
    parser.add_argument('switch', choices=('on', 'off'), help='default of a site: off')
    add_dir(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    site = load_site(args)
    on = args.switch == 'on'
    changed = make_admin(site).set_cgnat_lans(on)
    print('Robots {} {} from their own networks{}.'.format(
        'accept' if on else 'drop', defaults.OVERLAY_V4, '' if changed else '; nothing changed'))
    return 0
