"""The guard: ROS answers only on loopback and the overlay. A text for nft or for sh, and its recipe.

A ROS 1 node binds 0.0.0.0 unless it is called localhost (rosgraph.network.get_bind_address), so an overlay name in
ROS_HOSTNAME limits nothing: every neighbour on the robot's LAN may subscribe, set parameters and stop nodes. Masters
have known ports; all other sockets of ROS get ports of the kernel's ephemeral range, so the guard covers that whole
range.

The rule matches only the first packet of a TCP connection (SYN without ACK). So replies to connections that this robot
opened pass without connection tracking, and no existing connection breaks. The answer is a reset, as from a closed
port: the client fails at once, while a dropped packet would block it for two minutes.

The guard does not filter UDP. The range also contains WireGuard's port, streams of cameras and lidars and answers to
multicast queries, which cannot be distinguished from UDPROS. A UDPROS port never answers: it only receives the
datagrams of a subscription that its node made.
"""
import json
import os
from dataclasses import asdict, dataclass
from typing import Callable, Iterable, List, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.errors import UsageError
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.protocols import JsonObject
from ua_overlay.system import foreign_file, foreign_json, iptables, nft
from ua_overlay.system.iptables import Chain
from ua_overlay.system.recipe import Applier, Command, File, Recipe, uid_of
from ua_overlay.system.rules_unit import rules_unit
from ua_overlay.system.units import UNIT_DIR, daemon_reload

TABLE = 'ua_overlay'
#: Paths of the rules. Each backend has its own file, so that the other's is removed when the choice changes.
RULES = {NFT: defaults.CONFIG_DIR + '/guard.nft', IPTABLES: defaults.CONFIG_DIR + '/guard.iptables'}
#: Name of the chain of iptables.
CHAIN = TABLE + '_guard'
UNIT_NAME = 'ua-overlay-guard.service'
UNIT = UNIT_DIR + '/' + UNIT_NAME
MANIFEST = defaults.CONFIG_DIR + '/guard.json'
PORT_RANGE = '/proc/sys/net/ipv4/ip_local_port_range'

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


#: (first, last) port of a range.
Range = Tuple[int, int]


@dataclass(frozen=True)
class Guard:
    """The settings of the guard.

    :ivar interfaces: where ROS may answer besides loopback.
    :ivar masters: TCP ports of masters.
    :ivar ephemeral: the ports that the kernel gives to sockets that request no port.
    :ivar also: further ports to guard, for example of a rosbridge.
    :ivar allow: ports in the range to leave open, for services other than ROS.
    """

    interfaces: Tuple[str, ...] = (defaults.INTERFACE,)
    masters: Tuple[int, ...] = (defaults.LOCAL_MASTER_PORT, defaults.TEAM_PORT)
    ephemeral: Range = defaults.EPHEMERAL_PORTS
    also: Tuple[int, ...] = ()
    allow: Tuple[int, ...] = ()


def parse_port_range(text: str) -> Range:
    """Parse the text of :data:`PORT_RANGE`."""
    first, last = text.split()
    return int(first), int(last)


def read_port_range(path: str = PORT_RANGE) -> Range:
    """Return the ephemeral ports of this machine's kernel."""
    # The kernel's own file.
    with open(path) as stream:
        return parse_port_range(stream.read())


def guarded_ranges(guard: Guard) -> Tuple[Range, ...]:
    """Return the guarded ports, sorted and merged into ranges, without the allowed ones."""
    ports = [guard.ephemeral] + [(port, port) for port in guard.masters + guard.also]
    merged: List[Range] = []
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


def is_guarded(guard: Guard, port: int) -> bool:
    return any(first <= port <= last for first, last in guarded_ranges(guard))


def format_ranges(ranges: Iterable[Range]) -> str:
    """Format for people and for nft: '9090, 32768-60999'."""
    return ', '.join(str(first) if first == last else '{}-{}'.format(first, last) for first, last in ranges)


def check_guard(guard: Guard) -> None:
    """Check that nft can load a guard.

    :raises UsageError: a port or interface name is invalid, or a port is both guarded and allowed.
    """
    for port in guard.masters + guard.also + guard.allow:
        if not 1 <= port <= 65535:
            raise UsageError('{} is not a TCP port.'.format(port), 'ua-overlay guard on --help')
    for name in guard.interfaces:
        # The names that the kernel accepts (dev_valid_name), without the characters that are special to nft.
        if not 1 <= len(name) <= 15 or not all(char.isalnum() or char in '._-@' for char in name):
            raise UsageError('{!r} is not the name of a network interface.'.format(name), 'ip -brief link')
    both = sorted(set(guard.allow) & set(guard.masters + guard.also))
    if both:
        raise UsageError('Port {} cannot be guarded and left open.'.format(both[0]), 'ua-overlay guard on --help')


def ruleset(guard: Guard, backend: Backend) -> str:
    """Return the rules as a text for :func:`load_argv`. Loading it twice has the same effect as once.

    :raises UsageError: as :func:`check_guard`.
    """
    check_guard(guard)
    settings = _SETTINGS + json.dumps(asdict(guard), sort_keys=True)
    if backend.kind == IPTABLES:
        return iptables.script(chain(guard), backend.programs, '# Written by `ua-overlay guard on`; `ua-overlay guard '
                               'off` removes it.\n' + settings)
    return _RULES.format(
        settings=settings, table=TABLE, interfaces=', '.join('"{}"'.format(name) for name in _trusted(guard)),
        ports=format_ranges(guarded_ranges(guard)))


def chain(guard: Guard) -> Chain:
    """Return the rules as chains of iptables."""
    rules = tuple('-i {} -j RETURN'.format(name) for name in _trusted(guard)) + tuple(
        '-p tcp -m tcp --dport {} --tcp-flags FIN,SYN,RST,ACK SYN -j REJECT --reject-with tcp-reset'.format(
            str(first) if first == last else '{}:{}'.format(first, last)) for first, last in guarded_ranges(guard))
    return Chain(CHAIN, 'INPUT', rules, rules)


def try_rules(guard: Guard, backend: Backend) -> None:
    """Let the kernel check the rules, without putting them in force. Needs root.

    :raises OverlayError: the kernel or a program refuses one of them.
    """
    if backend.kind == IPTABLES:
        iptables.try_rules(chain(guard), backend.programs)
    else:
        nft.check(ruleset(guard, backend), backend.programs[0])


def _trusted(guard: Guard) -> List[str]:
    return ['lo'] + [name for name in sorted(set(guard.interfaces)) if name != 'lo']


def load_argv(backend: Backend) -> Tuple[str, ...]:
    """Return the argv that loads the installed rules."""
    path = RULES[backend.kind]
    return ('/bin/sh', path) if backend.kind == IPTABLES else (backend.programs[0], '-f', path)


def delete_argv(backend: Backend) -> Tuple[str, ...]:
    """Return the argv that removes the rules from the kernel, if they are there."""
    if backend.kind == IPTABLES:
        return iptables.removal(CHAIN, 'INPUT', backend.programs)
    return backend.programs[0], 'add table inet {0}; delete table inet {0}'.format(TABLE)


def parse_settings(text: str) -> Optional[Guard]:
    """Return the guard in a text of :func:`ruleset`, None for any other text."""
    for line in text.split('\n'):
        if line.startswith(_SETTINGS):
            try:
                guard = _guard(foreign_json.parse_object(line[len(_SETTINGS):]))
                check_guard(guard)
                return guard
            except (ValueError, TypeError, UsageError):
                return None
    return None


def _guard(values: JsonObject) -> Guard:
    """Return the guard of the settings in a file.

    :raises ValueError: a value is not a list of texts, or of numbers; TypeError: a key is unknown.
    """
    for key, value in values.items():
        kind = str if key == 'interfaces' else int
        if not isinstance(value, list) or not all(type(each) is kind for each in value):
            raise ValueError(key)
    guard = Guard(**{key: tuple(value) for key, value in values.items()})
    if len(guard.ephemeral) != 2 or not 0 < guard.ephemeral[0] <= guard.ephemeral[1] < 65536:
        raise ValueError('ephemeral')
    return guard


def installed_kind() -> str:
    """Return the kind of backend of the installed rules, '' if none are installed."""
    return next((kind for kind in (NFT, IPTABLES) if os.path.lexists(RULES[kind])), '')


def installed_guard() -> Optional[Guard]:
    """Return the guard that is set up on this machine, None without one or if its file is damaged."""
    try:
        return parse_settings(foreign_file.read_text(RULES[installed_kind() or NFT]))
    except OSError:
        return None


def make_recipe(guard: Guard, backend: Backend, service_manager: str) -> Recipe:
    """Return the recipe of `guard on`.

    :param service_manager: 'systemd' or 'none'.
    :raises UsageError: as :func:`check_guard`.
    """
    path = RULES[backend.kind]
    rules, argv = File(path, ruleset(guard, backend)), load_argv(backend)
    load = Command(argv, undo=delete_argv(backend))
    if service_manager == 'none':
        return Recipe((rules,), (), (load,), ('Run `{}` after each reboot.'.format(' '.join(argv)),))
    unit = File(UNIT, rules_unit(
        'ROS answers on loopback and on the overlay only', 'ua-overlay guard on', argv, delete_argv(backend),
        undo='ua-overlay guard off', legacy=backend.kind == IPTABLES))
    return Recipe((rules, unit), (), (
        load,
        daemon_reload(UNIT),
        Command(('systemctl', 'enable', UNIT_NAME)),
        Command(('systemctl', 'start', UNIT_NAME))), ())


def applier(root: str = '/', run: Optional[Callable[[List[str]], None]] = None,
            owner_of: Callable[[str], Tuple[int, int]] = uid_of) -> Applier:
    """Return the Applier of this recipe."""
    return Applier(MANIFEST, 'sudo ua-overlay guard on', root, run, owner_of)


def undo_commands(service_manager: str) -> Tuple[List[List[str]], List[List[str]]]:
    """Return the argvs that turn the guard off: those to run before its files are removed, and those to run
    afterwards. The recipe's own undo removes the rules from the kernel."""
    if service_manager == 'none':
        return [], []
    return [['systemctl', 'disable', UNIT_NAME], ['systemctl', 'stop', UNIT_NAME]], [['systemctl', 'daemon-reload']]


def find_problems(guard: Optional[Guard], loaded: bool, ephemeral: Range, team_port: Optional[int]) -> Tuple[str, ...]:
    """Return the problems that make the guard ineffective now, as sentences.

    :param guard: the one in the rules file, None when it is not set up.
    :param loaded: whether the kernel has the table.
    :param ephemeral: the kernel's current range.
    :param team_port: of this robot's team, None without a team.
    """
    if guard is None:
        return ('The table is loaded, but nothing loads it after a reboot.',) if loaded else ()
    problems = []
    if not loaded:
        problems.append('The rules are set up but not loaded: another program flushed them.')
    if not all(is_guarded(guard, port) or port in guard.allow for port in ephemeral):
        problems.append('ROS nodes get ports {} now; {} is guarded.'.format(
            format_ranges([ephemeral]), format_ranges([guard.ephemeral])))
    if team_port and not is_guarded(guard, team_port):
        problems.append('Port {} of the team\'s roscore is not guarded.'.format(team_port))
    return tuple(problems)
