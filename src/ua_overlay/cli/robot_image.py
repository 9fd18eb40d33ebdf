"""`ua-overlay robot image`: remove what must not be copied with a robot's disk."""
import argparse
import os
import shutil

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.cli.shared.needs import need_root, need_systemd
from ua_overlay.cli.shared.parser import CommandParser
from ua_overlay.errors import OverlayError

DESCRIPTION = '''\
Make this robot ready to be copied as a disk image: stop tailscaled, and remove
its keys and the settings of the invitation. What `robot prepare` installed
stays. Then power the robot off and copy its disk: every copy makes keys of its
own when it boots, and joins with an invitation of its own.'''


def configure(parser: CommandParser) -> None:
    parser.describe(DESCRIPTION, 'example:\n  sudo ua-overlay robot image && sudo poweroff')
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from ua_overlay.membership.settings import forget_settings
    from ua_overlay.rosenv import hosts
    from ua_overlay.system.recipe import run_command
    from ua_overlay.tailscale.daemon_unit import check_arguments, read_unit
    from ua_overlay.tailscale.localapi import LocalApi
    from ua_overlay.tailscale.model import parse_status
    need_root('robot image')
    need_systemd('sudo kill $(pgrep -x tailscaled); sudo rm /var/lib/tailscale/tailscaled.state   # and power off')
    unit = read_unit()
    if unit is None:
        raise OverlayError('This machine has no tailscaled.service, so it has no keys to remove.',
                           'sudo ua-overlay robot prepare --user "$USER"')
    check_arguments(unit.arguments)
    try:
        name = parse_status(LocalApi(unit.arguments.socket).status(peers=False)).self_node.name
    except OverlayError:
        name = ''
    run_command(['systemctl', 'stop', 'tailscaled.service'])
    try:
        for path in (unit.arguments.state,) + tuple(
                each + '/profile-data' for each in unit.arguments.directories):
            remove(path)
        forget_settings(defaults.STATE_DIR)
    except OSError as error:
        raise OverlayError('{} cannot be removed: {}.'.format(error.filename, error.strerror),
                           command('ls -l {}', error.filename))
    hosts.remove_block()
    print('The keys of this robot are removed, and tailscaled is stopped.')
    if name:
        print('The server still has {0}. To free the name: ua-overlay robot remove {0}   # on the server'.format(name))
    print('Next: sudo poweroff   (before anything starts tailscaled, which would make new keys)')
    return 0


def remove(path: str) -> None:
    """Remove a file or a directory, if it exists. :raises OSError: it stays."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
