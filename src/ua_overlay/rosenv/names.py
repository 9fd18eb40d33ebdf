"""Check that this machine resolves the overlay's names. ROS nodes advertise names: a robot that cannot resolve
another's name receives nothing from it."""
import socket
from dataclasses import dataclass
from functools import partial
from typing import AbstractSet, Callable, FrozenSet, Mapping, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.rosenv.team import Node, dns_name, ipv4
from ua_overlay.system.deadline import Calls
from ua_overlay.system.interfaces import local_addresses

#: Seconds for all names together: they are resolved in parallel.
DEADLINE = 2.0

#: DNS name -> (IPv4 addresses or None, exception or None).
Answers = Mapping[str, Tuple[Optional[Sequence[str]], Optional[BaseException]]]
#: DNS name -> IPv4 addresses; may block and raise OSError.
Resolve = Callable[[str], Sequence[str]]


@dataclass(frozen=True)
class NameReport:
    """The answers of this machine's resolver.

    :ivar own_ok: this robot can be reached under its own name (or address) from itself.
    :ivar unresolved: DNS names of robots and laptops that do not resolve to their overlay addresses, sorted.
    :ivar why: the first problem as a sentence, '' when there is none.
    """

    own_ok: bool
    unresolved: Tuple[str, ...] = ()
    why: str = ''

    @property
    def ok(self) -> bool:
        return self.own_ok and not self.unresolved


def resolve_ipv4(name: str) -> Tuple[str, ...]:
    """Return the IPv4 addresses of ``name`` as ROS would get them, sorted. Blocks as long as the resolver does.

    :raises OSError: when the name does not resolve.
    """
    entries = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return tuple(sorted({str(entry[4][0]) for entry in entries}))


def report_names(me: Node, mates: Sequence[Node], answers: Answers, local: AbstractSet[str],
                 addressing: str = defaults.NAMES) -> NameReport:
    """Judge the answers of the resolver.

    :param me: this robot.
    :param mates: the peers that it sees (team.visible_nodes): each of them may publish for it.
    :param answers: ignored when ``addressing`` is 'addresses'.
    :param local: IPv4 addresses of this machine's interfaces.
    """
    own_address = ipv4(me)
    if own_address not in local:
        return NameReport(False, why='The overlay address {} of {} is on no interface of this machine.'.format(
            own_address, me.name))
    if addressing == defaults.ADDRESSES:
        return NameReport(True)
    own_problem = _problem(me, answers)
    problems = sorted((dns_name(mate), _problem(mate, answers)) for mate in mates)
    wrong = [(name, problem) for name, problem in problems if problem]
    if wrong:
        why = 'This robot cannot receive from {}: the name {}{}'.format(
            wrong[0][0].split('.', 1)[0] if len(wrong) == 1
            else '{} of the robots and laptops that it sees'.format(len(wrong)), wrong[0][1],
            ' Its own name does not work here either.' if own_problem else '')
    elif own_problem:
        why = "This robot's own name {}".format(own_problem)
    else:
        why = ''
    return NameReport(not own_problem, tuple(name for name, _ in wrong), why)


class NameChecker:
    """Queries this machine's resolver, as ROS nodes do, within a deadline.

    :param addresses: () -> IPv4 addresses of the interfaces.
    :param deadline: seconds.
    """

    def __init__(self, resolve: Resolve = resolve_ipv4, addresses: Callable[[], FrozenSet[str]] = local_addresses,
                 deadline: float = DEADLINE) -> None:
        self._resolve = resolve
        self._addresses = addresses
        self._deadline = deadline
        self._calls = Calls()

    def check(self, me: Node, mates: Sequence[Node], addressing: str = defaults.NAMES) -> NameReport:
        """Resolve the names of this robot and of all ``mates`` at once, within the deadline."""
        answers: Answers = {}
        if addressing == defaults.NAMES:
            names = {dns_name(node) for node in (me,) + tuple(mates)}
            answers = self._calls.run({name: partial(self._resolve, name) for name in names}, self._deadline)
        return report_names(me, mates, answers, self._addresses(), addressing)


def _problem(node: Node, answers: Answers) -> str:
    """Return the end of a sentence that begins with 'the name', or ''."""
    name = dns_name(node)
    addresses, error = answers.get(name, (None, None))
    if error is not None or not addresses:
        slow = isinstance(error, TimeoutError)
        return '{} {}.'.format(name, 'gets no answer from the resolver of this machine' if slow
                               else 'does not resolve on this machine')
    if not set(addresses) & set(node.addresses):
        return '{} resolves to {} here, not to its overlay address {}.'.format(name, ', '.join(addresses), ipv4(node))
    return ''
