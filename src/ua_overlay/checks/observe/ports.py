"""Test which TCP ports of the team's robots answer."""
import errno
import socket
from dataclasses import replace
from functools import partial
from typing import Dict, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.checks.facts import DROPPED, EPHEMERAL, NO_ROUTE, NODE, OPEN, REFUSED, TEAM, Attempt, Graph
from ua_overlay.checks.hosts import host_of, port_of
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.rosenv.team import dns_name, ipv4
from ua_overlay.tailscale.api import PingApi
from ua_overlay.tailscale.model import Peer

#: A port of Linux's ephemeral range on which hardly any program listens.
EPHEMERAL_PORT = defaults.EPHEMERAL_PORTS[1] - 1000


def connect(address: str, port: int, timeout: float) -> str:
    """Try a TCP connection; return OPEN, REFUSED, DROPPED or NO_ROUTE."""
    try:
        with socket.create_connection((address, port), timeout):
            return OPEN
    except ConnectionRefusedError:
        return REFUSED
    except OSError as error:
        return NO_ROUTE if error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH) else DROPPED


def listens(port: int) -> bool:
    """Return whether somebody listens on a TCP port of this machine."""
    return connect('127.0.0.1', port, 1.0) == OPEN


def ports_of(mate: Peer, graph: Optional[Graph], master: str, team_port: int) -> Dict[int, str]:
    """Return {port to try: its kind}: an ephemeral one, one of a node of the robot, and on the master the team port.
    Pure.

    :param master: name of the team's master.
    """
    ports = {EPHEMERAL_PORT: EPHEMERAL}
    hosts = {dns_name(mate).lower(), ipv4(mate)}
    nodes = graph.nodes if graph is not None and graph.nodes is not None else ()
    of_nodes = [port_of(uri) for _, uri in nodes if host_of(uri) in hosts and port_of(uri)]
    if of_nodes:
        ports[of_nodes[0]] = NODE
    if mate.name == master:
        ports[team_port] = TEAM
    return ports


def observe_ports(api: PingApi, mates: Sequence[Peer], graph: Optional[Graph], master: str, team_port: int,
                  questions: Questions, patience: float) -> Tuple[Attempt, ...]:
    """Connect to the ports of all ``mates``, and ping those that do not answer.

    :param patience: seconds for each of two steps.
    """
    addresses = {mate.name: ipv4(mate) for mate in mates}
    kinds = {(mate.name, port): kind for mate in mates
             for port, kind in ports_of(mate, graph, master, team_port).items()}
    results = questions.ask({(name, port): partial(connect, addresses[name], port, patience) for name, port in kinds},
                            patience + 0.5)
    attempts = [Attempt(name, port, kinds[name, port], result or DROPPED)
                for (name, port), result in sorted(results.items())]
    silent = {item.peer for item in attempts if item.result == DROPPED}
    pings = questions.ask({name: partial(api.ping, addresses[name], timeout=patience) for name in silent},
                          patience + 0.5)
    answered = {name: answer is not None and not answer.error for name, answer in pings.items()}
    return tuple(replace(item, ping=answered.get(item.peer)) for item in attempts)
