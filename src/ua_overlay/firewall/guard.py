"""The guard: ROS answers on loopback and on the overlay only. A table of nftables' own, as text, and its recipe.

A ROS 1 node binds 0.0.0.0 unless it is called localhost (rosgraph.network.get_bind_address), so setting ROS_HOSTNAME to
an overlay name limits nothing: every neighbour on the robot's LAN may subscribe, set parameters and stop nodes. Masters
have known ports; everything else gets a port of the kernel's ephemeral range, which is why that range is guarded whole.

Only the first packet of a TCP connection is looked at (SYN without ACK). Replies to what this robot itself opened never
look like that, so they pass without connection tracking, and nothing that runs already is cut off. It is answered as a
closed port answers, with a reset: a program that tries sees at once that there is nothing, where a dropped packet would
hang it for two minutes.

UDP is left as it is. The range also holds WireGuard's own port, streams of cameras and lidars and answers to multicast
questions, none of which can be told from UDPROS; and a UDPROS port answers nobody, it takes the datagrams of a
subscription that a node made itself.
"""
import json
from dataclasses import asdict, dataclass
from typing import Tuple

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system.recipe import Applier, Command, File, Recipe, uid_of
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.units import UNIT_DIR, daemon_reload

TABLE = 'ua_overlay'
RULES = defaults.CONFIG_DIR + '/guard.nft'
UNIT_NAME = 'ua-overlay-guard.service'
UNIT = UNIT_DIR + '/' + UNIT_NAME
MANIFEST = defaults.CONFIG_DIR + '/guard.json'
PORT_RANGE = '/proc/sys/net/ipv4/ip_local_port_range'
#: Undoes the table, also when there is none.
DELETE = 'add table inet {0}; delete table inet {0}'.format(TABLE)

_SETTINGS = '# settings: '

_RULES = '''\
# Written by `ua-overlay guard on`; `ua-overlay guard off` removes it.
{settings}
# One transaction: whatever was in the table is replaced, nothing outside it is touched.
add table inet {table}
delete table inet {table}
table inet {table} {{
    set trusted {{
        type ifname
        elements = {{ {interfaces} }}
    }}
    set ports {{
        type inet_service
        flags interval
        elements = {{ {ports} }}
    }}
    counter refused {{ }}
    chain input {{
        type filter hook input priority 0; policy accept;
        iifname @trusted return
        tcp flags & (fin | syn | rst | ack) == syn tcp dport @ports counter name "refused" reject with tcp reset
    }}
}}
'''


@dataclass(frozen=True)
class Guard:
    """What is guarded.

    :ivar interfaces: where ROS may answer besides loopback.
    :ivar masters: TCP ports of masters.
    :ivar ephemeral: (first, last) port that the kernel gives to who asks for none.
    :ivar also: further ports to guard, of a rosbridge for example.
    :ivar allow: ports to leave open although they are in the range: of services that are not ROS.
    """

    interfaces: Tuple[str, ...] = (defaults.INTERFACE,)
    masters: Tuple[int, ...] = (defaults.LOCAL_MASTER_PORT, defaults.TEAM_PORT)
    ephemeral: Tuple[int, int] = defaults.EPHEMERAL_PORTS
    also: Tuple[int, ...] = ()
    allow: Tuple[int, ...] = ()


def parse_port_range(text):
    """(first, last) of the text of :data:`PORT_RANGE`."""
    first, last = text.split()
    return int(first), int(last)


def read_port_range(path=PORT_RANGE):
    with open(path) as stream:
        return parse_port_range(stream.read())


def guarded_ranges(guard):
    """The guarded ports as sorted (first, last) pairs that neither overlap nor touch, without the allowed ones."""
    ports = [guard.ephemeral] + [(port, port) for port in guard.masters + guard.also]
    merged = []
    for first, last in sorted(ports):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    for port in guard.allow:
        merged = [piece for first, last in merged
                  for piece in ([(first, port - 1), (port + 1, last)] if first <= port <= last else [(first, last)])
                  if piece[0] <= piece[1]]
    return tuple(merged)


def is_guarded(guard, port):
    return any(first <= port <= last for first, last in guarded_ranges(guard))


def format_ranges(ranges):
    """'11311-11312, 32768-60999'."""
    return ', '.join(str(first) if first == last else '{}-{}'.format(first, last) for first, last in ranges)


def check_guard(guard):
    """:raises UsageError: a port or an interface that cannot be, or a guard with nothing to guard."""
    for port in guard.masters + guard.also + guard.allow:
        if not 1 <= port <= 65535:
            raise UsageError('{} is no TCP port.'.format(port), 'ua-overlay guard on --help')
    for name in guard.interfaces:
        # What the kernel takes for a name (dev_valid_name), and nothing that means something to nft.
        if not 1 <= len(name) <= 15 or not all(char.isalnum() or char in '._-@' for char in name):
            raise UsageError('{!r} is no name of a network interface.'.format(name), 'ip -brief link')
    both = sorted(set(guard.allow) & set(guard.masters + guard.also))
    if both:
        raise UsageError('Port {} cannot be guarded and left open.'.format(both[0]), 'ua-overlay guard on --help')


def ruleset(guard):
    """What `nft -f` loads. Loading it twice is the same as once.

    :raises UsageError: as :func:`check_guard`.
    """
    check_guard(guard)
    interfaces = ['lo'] + [name for name in sorted(set(guard.interfaces)) if name != 'lo']
    return _RULES.format(
        settings=_SETTINGS + json.dumps(asdict(guard), sort_keys=True), table=TABLE,
        interfaces=', '.join('"{}"'.format(name) for name in interfaces),
        ports=format_ranges(guarded_ranges(guard)))


def parse_settings(text):
    """The :class:`Guard` of a text that :func:`ruleset` made; None when it is none of ours."""
    for line in text.split('\n'):
        if line.startswith(_SETTINGS):
            try:
                found = Guard(**{key: tuple(value) for key, value in json.loads(line[len(_SETTINGS):]).items()})
                check_guard(found)
                return found
            except (ValueError, TypeError, AttributeError, UsageError):
                return None
    return None


def make_recipe(guard, nft, service_manager):
    """The recipe of `guard on`.

    :param nft: absolute path of nft.
    :param service_manager: 'systemd' or 'none'.
    """
    rules = File(RULES, ruleset(guard))
    load = Command((nft, '-f', RULES))
    if service_manager == 'none':
        return Recipe((rules,), (), (load,), ('Run `{} -f {}` after each reboot.'.format(nft, RULES),))
    unit = File(UNIT, rules_unit(
        'ROS answers on loopback and on the overlay only', 'ua-overlay guard on', nft, RULES, DELETE,
        undo='ua-overlay guard off'))
    return Recipe((rules, unit), (), (
        load,
        daemon_reload(UNIT),
        Command(('systemctl', 'enable', UNIT_NAME)),
        Command(('systemctl', 'start', UNIT_NAME))), ())


def applier(root='/', run=None, owner_of=uid_of):
    """The applier of this recipe."""
    return Applier(MANIFEST, 'sudo ua-overlay guard on', root, run, owner_of)


def undo_commands(nft, service_manager):
    """argvs that take the guard away, before its files go and afterwards."""
    if service_manager == 'none':
        return [[nft, DELETE]], []
    return [['systemctl', 'disable', UNIT_NAME], ['systemctl', 'stop', UNIT_NAME], [nft, DELETE]], [
        ['systemctl', 'daemon-reload']]


def parse_refused(text):
    """Packets refused, from `nft -j list table inet ua_overlay`.

    :raises OverlayError: the table is there but not ours.
    """
    try:
        objects = json.loads(text)['nftables']
        return next(item['counter']['packets'] for item in objects
                    if 'counter' in item and item['counter']['name'] == 'refused')
    except (ValueError, KeyError, TypeError, StopIteration):
        raise OverlayError('The nftables table inet {} was not made by this version of `guard on`.'.format(TABLE),
                           'sudo ua-overlay guard on')


def find_problems(guard, loaded, ephemeral, team_port):
    """What keeps the guard from doing its work now: a tuple of sentences.

    :param guard: :class:`Guard` of the file, or None when it is not set up.
    :param loaded: the kernel has the table.
    :param ephemeral: (first, last) as the kernel has it now.
    :param team_port: of this robot's team, or None.
    """
    if guard is None:
        return ('The table is loaded, but nothing loads it after a reboot.',) if loaded else ()
    problems = []
    if not loaded:
        problems.append('The rules are set up but not loaded: somebody flushed them.')
    if not all(is_guarded(guard, port) or port in guard.allow for port in ephemeral):
        problems.append('ROS nodes get ports {} now; {} is guarded.'.format(
            format_ranges([ephemeral]), format_ranges([guard.ephemeral])))
    if team_port and not is_guarded(guard, team_port):
        problems.append('Port {} of the team\'s roscore is not guarded.'.format(team_port))
    return tuple(problems)
