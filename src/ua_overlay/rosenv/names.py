"""Does this machine resolve the overlay's names? ROS nodes hand out names, so one that fails here is a deaf robot."""
import socket
from dataclasses import dataclass

from ua_overlay import defaults
from ua_overlay.rosenv.environment import dns_name, ipv4
from ua_overlay.system import interfaces
from ua_overlay.system.deadline import Calls

#: Seconds for all names together: they are asked side by side.
DEADLINE = 2.0


@dataclass(frozen=True)
class NameReport:
    """What the resolver of this machine said.

    :ivar own_ok: this robot can be reached under its own name (or address) from itself.
    :ivar unresolved: DNS names of team mates that do not resolve to their overlay addresses, sorted.
    :ivar why: the first thing that is wrong as a sentence, '' when nothing is.
    """

    own_ok: bool
    unresolved: tuple = ()
    why: str = ''

    @property
    def ok(self):
        return self.own_ok and not self.unresolved


def resolve_ipv4(name):
    """IPv4 addresses of ``name`` as ROS would get them, sorted. Blocks as long as the resolver likes.

    :raises OSError: when the name does not resolve.
    """
    found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    return tuple(sorted({entry[4][0] for entry in found}))


def report_names(me, mates, answers, local_addresses, addressing=defaults.NAMES):
    """Judge what the resolver said.

    :param me: this robot: name, dns_name, addresses.
    :param mates: the peers of its team, alike.
    :param answers: {DNS name: (tuple of IPv4 addresses or None, exception or None)}; not used with addresses.
    :param local_addresses: IPv4 addresses of this machine's interfaces.
    """
    own_address = ipv4(me)
    if own_address not in local_addresses:
        return NameReport(False, why='The overlay address {} of {} is on no interface of this machine.'.format(
            own_address, me.name))
    if addressing == defaults.ADDRESSES:
        return NameReport(True)
    own_problem = _problem(me, answers)
    wrong = [(dns_name(mate), _problem(mate, answers)) for mate in mates]
    wrong = sorted((name, problem) for name, problem in wrong if problem)
    if wrong:
        why = 'This robot cannot receive from {}: the name {}{}'.format(
            wrong[0][0].split('.', 1)[0] if len(wrong) == 1 else '{} of its team mates'.format(len(wrong)), wrong[0][1],
            ' Nor does its own name work here.' if own_problem else '')
    elif own_problem:
        why = "This robot's own name {}".format(own_problem)
    else:
        why = ''
    return NameReport(not own_problem, tuple(name for name, _ in wrong), why)


class NameChecker:
    """Asks this machine's resolver, the one that ROS nodes ask, within a deadline.

    :param resolve: name -> IPv4 addresses, may block and raise OSError.
    :param local_addresses: () -> IPv4 addresses of the interfaces.
    """

    def __init__(self, resolve=resolve_ipv4, local_addresses=interfaces.local_addresses, deadline=DEADLINE):
        self._resolve = resolve
        self._local_addresses = local_addresses
        self._deadline = deadline
        self._calls = Calls()

    def check(self, me, mates, addressing=defaults.NAMES):
        """Ask for this robot and all its team mates at once; takes at most the deadline. Returns a NameReport."""
        answers = {}
        if addressing == defaults.NAMES:
            names = {dns_name(node) for node in (me,) + tuple(mates)}
            answers = self._calls.run({name: lambda name=name: self._resolve(name) for name in names}, self._deadline)
        return report_names(me, mates, answers, self._local_addresses(), addressing)


def _problem(node, answers):
    """End of the sentence that begins with 'the name', or ''."""
    name = dns_name(node)
    addresses, error = answers.get(name, (None, None))
    if error is not None or not addresses:
        slow = isinstance(error, TimeoutError)
        return '{} {}.'.format(name, 'gets no answer from the resolver of this machine' if slow
                               else 'does not resolve on this machine')
    if not set(addresses) & set(node.addresses or ()):
        return '{} resolves to {} here, not to its overlay address {}.'.format(name, ', '.join(addresses), ipv4(node))
    return ''
