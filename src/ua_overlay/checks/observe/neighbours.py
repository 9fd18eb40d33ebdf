"""Compare clocks with the team's robots, and have them connect to this one: both by one datagram to each.

The mirror of a robot's overlay node answers (system.reflector), on the port of its XML-RPC server, which the team's
master knows.
"""
import socket
import time
from functools import partial
from typing import Callable, Dict, NamedTuple, Optional, Sequence, Set, Tuple

from ua_overlay.checks.facts import ClockOffset, Graph
from ua_overlay.checks.hosts import port_of
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.rosenv.master import CALLER_ID, master_proxy, value_of
from ua_overlay.rosenv.mirror_process import ros_name
from ua_overlay.rosenv.team import ipv4
from ua_overlay.system.reflector import Offset, ask
from ua_overlay.tailscale.model import Peer


class Neighbours(NamedTuple):
    """What the robots answered.

    :ivar clocks: of those that answered, sorted by name.
    :ivar reached: (robot that answered, whether its connection reached this one), sorted.
    """

    clocks: Tuple[ClockOffset, ...]
    reached: Tuple[Tuple[str, bool], ...]


def node_of(robot: str) -> str:
    """Return the name of a robot's overlay node in the team graph."""
    return '/{}/overlay'.format(ros_name(robot))


def observe_neighbours(mates: Sequence[Peer], graph: Graph, questions: Questions, patience: float) -> Neighbours:
    """Ask every one of ``mates`` whose overlay node is in the team graph.

    :param patience: seconds for all of it.
    """
    nodes = dict(graph.nodes or ())
    ports = {mate.name: port_of(nodes.get(node_of(mate.name), '')) for mate in mates}
    asked = [mate for mate in mates if ports[mate.name]]
    if not asked:
        return Neighbours((), ())
    deadline = time.monotonic() + patience
    with socket.socket() as listener:
        listener.bind(('', 0))
        listener.listen(len(asked))
        port = listener.getsockname()[1]
        steps: Dict[str, Callable[[], Optional[Offset]]] = {
            mate.name: partial(ask, ipv4(mate), ports[mate.name], patience / 2, port) for mate in asked}
        answers = questions.ask(steps, patience / 2 + 0.2)
        expected = {ipv4(mate): mate.name for mate in asked if answers[mate.name] is not None}
        came = _accept(listener, set(expected), deadline)
    return Neighbours(
        tuple(sorted((ClockOffset(name, answer.offset, answer.error) for name, answer in answers.items()
                      if answer is not None), key=lambda item: item.peer)),
        tuple(sorted((name, address in came) for address, name in expected.items())))


def _accept(listener: socket.socket, expected: Set[str], deadline: float) -> Set[str]:
    """Return the addresses of ``expected`` that connect before ``deadline``."""
    came: Set[str] = set()
    while expected - came:
        listener.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            connection, (address, _) = listener.accept()
        except OSError:
            break  # the time is over
        connection.close()
        came.add(address)
    return came


def clock_of(master_uri: str, peer: Peer, timeout: float) -> Optional[ClockOffset]:
    """Return the offset of one robot's clock, None without an answer.

    :param timeout: seconds for each of several steps.
    :raises OSError, xmlrpc.client.Error, http.client.HTTPException, ValueError: the master does not answer, or does not
        know its overlay node.
    """
    with master_proxy(master_uri, timeout) as master:
        uri = value_of(master.lookupNode(CALLER_ID, node_of(peer.name)), str)
    answer = ask(ipv4(peer), port_of(uri), timeout) if port_of(uri) else None
    return None if answer is None else ClockOffset(peer.name, answer.offset, answer.error)
