"""Limit the size of the overlay's TCP packets, for a robot whose own network carries less than WireGuard needs.

tailscaled's interface has an MTU of 1280 bytes, and WireGuard makes up to 1340 of them. A smaller MTU on that interface
is no way out: below 1280 the kernel takes IPv6 off it, tailscaled's router then reports an error at each start, and
sets up no DNS (tailscale.com v1.98.10, wgengine/userspace.go Reconfig: a router error ends it). So these rules reduce
the segment size that both ends of each new TCP connection announce (RFC 9293, 3.7.1). They hold for every restart of
tailscaled, and while its interface does not exist. UDP stays as it is: ROS 1 sends topics and services by TCP.
"""
import os
from typing import Callable, List, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.digits import is_number
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system import foreign_file, nft
from ua_overlay.system.recipe import Applier, Command, File, Recipe, uid_of
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.units import UNIT_DIR, daemon_reload

TABLE = 'ua_overlay_clamp'
RULES = defaults.CONFIG_DIR + '/clamp.nft'
UNIT_NAME = 'ua-overlay-clamp.service'
UNIT = UNIT_DIR + '/' + UNIT_NAME
MANIFEST = defaults.CONFIG_DIR + '/clamp.json'
COMMAND = 'sudo ua-overlay robot mtu BYTES'

#: Bytes that WireGuard adds to a packet: by IPv4, and by IPv6 (tailscale.com v1.98.10, net/tstun/mtu.go: wgHeaderLen).
WIREGUARD, WIREGUARD_6 = 60, 80
#: WireGuard pads a packet to a multiple of this (its section 5.4.6), at most to the sender's MTU.
_PADDING = 16
#: Bytes of the headers of IPv4 and TCP: the difference between a packet and its segment.
HEADERS = 40
#: Smallest and largest path, in bytes: what every host accepts (RFC 791), and what needs no clamp.
SMALLEST, LARGEST = 576, 1360

_SETTING = '# path: '
_TEXT = '''\
# Written by `ua-overlay robot mtu`; `ua-overlay robot mtu off` removes it.
{setting}{path}
# One transaction: whatever was in the table is replaced, nothing outside it is touched.
add table inet {table}
delete table inet {table}
table inet {table} {{
    chain output {{
        type filter hook output priority -150; policy accept;
        oifname "{interface}" tcp flags syn tcp option maxseg size set {segment}
    }}
    chain input {{
        type filter hook input priority -150; policy accept;
        iifname "{interface}" tcp flags syn tcp option maxseg size set {segment}
    }}
    chain forward {{
        type filter hook forward priority -150; policy accept;
        oifname "{interface}" tcp flags syn tcp option maxseg size set {segment}
        iifname "{interface}" tcp flags syn tcp option maxseg size set {segment}
    }}
}}
'''


def segment_of(path: int) -> int:
    """Return the largest TCP segment for a path of ``path`` bytes by IPv4 or IPv6, in bytes. Pure."""
    return (path - WIREGUARD_6) // _PADDING * _PADDING - HEADERS


def ruleset(path: int) -> str:
    """Return the text for nft. Pure.

    :param path: bytes of the largest packet that the robot's own network carries.
    :raises UsageError: outside of SMALLEST…LARGEST.
    """
    if not SMALLEST <= path <= LARGEST:
        raise UsageError('A path of {} bytes: give {} to {}.'.format(path, SMALLEST, LARGEST), COMMAND)
    return _TEXT.format(setting=_SETTING, path=path, table=TABLE, interface=defaults.INTERFACE,
                        segment=segment_of(path))


def parse_path(text: str) -> Optional[int]:
    """Return the path in a text of :func:`ruleset`, None in any other text. Pure."""
    for line in text.split('\n'):
        digits = line[len(_SETTING):]
        if line.startswith(_SETTING) and is_number(digits, 6) and SMALLEST <= int(digits) <= LARGEST:
            return int(digits)
    return None


def installed_path(rules: str = RULES) -> Optional[int]:
    """Return the path for which this machine's clamp is set up, None without one."""
    try:
        return parse_path(foreign_file.read_text(rules))
    except OSError:
        return None


def path_in_force(installed: Callable[[], Optional[int]] = installed_path) -> Optional[int]:
    """Return the path of the clamp, None without one or if another program has flushed its rules.

    Only root sees the kernel's rules. For another user, and where nft does not list them, it is the installed one.
    """
    path, program = installed(), nft.search()
    if path is None or program is None or os.geteuid() != 0:
        return path
    try:
        return path if nft.list_table(TABLE, program) is not None else None
    except OverlayError:
        return path


def make_recipe(path: int, nft: str, service_manager: str) -> Recipe:
    """Return the recipe of `robot mtu BYTES`.

    :param nft: its absolute path.
    :param service_manager: 'systemd' or 'none'.
    :raises UsageError: as :func:`ruleset`.
    """
    rules, argv = File(RULES, ruleset(path)), (nft, '-f', RULES)
    load = Command(argv)
    if service_manager == 'none':
        return Recipe((rules,), (), (load,), ('Run `{}` after each reboot.'.format(' '.join(argv)),))
    unit = File(UNIT, rules_unit('Limits the size of the overlay\'s TCP packets', 'ua-overlay robot mtu', argv,
                                 delete_argv(nft), undo='ua-overlay robot mtu off'))
    return Recipe((rules, unit), (), (load, daemon_reload(UNIT), Command(('systemctl', 'enable', UNIT_NAME)),
                                      Command(('systemctl', 'start', UNIT_NAME))), ())


def delete_argv(nft: str) -> Tuple[str, ...]:
    """Return the argv that removes the rules from the kernel, if they are there."""
    return nft, 'add table inet {0}; delete table inet {0}'.format(TABLE)


def undo_commands(nft: str, service_manager: str) -> Tuple[List[List[str]], List[List[str]]]:
    """Return the argvs to run before the files are removed, and those to run afterwards."""
    delete = list(delete_argv(nft))
    if service_manager == 'none':
        return [delete], []
    return [['systemctl', 'disable', UNIT_NAME], ['systemctl', 'stop', UNIT_NAME], delete], [
        ['systemctl', 'daemon-reload']]


def applier(root: str = '/', run: Optional[Callable[[List[str]], None]] = None,
            owner_of: Callable[[str], Tuple[int, int]] = uid_of) -> Applier:
    """Return the Applier of this recipe."""
    return Applier(MANIFEST, COMMAND, root, run, owner_of)


def is_installed() -> bool:
    """Return whether the rules' file exists."""
    return os.path.lexists(RULES)
