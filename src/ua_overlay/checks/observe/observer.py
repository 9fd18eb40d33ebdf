"""Gather the requested facts, in the order of their dependencies."""
import os
import time
from dataclasses import replace
from functools import partial
from typing import AbstractSet, Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple

from ua_overlay import defaults
from ua_overlay.checks.facts import Callback, Facts, Graph, Server
from ua_overlay.checks.hosts import host_of, port_of
from ua_overlay.checks.observe.agent import observe_agent
from ua_overlay.checks.observe.callback import ask_callback
from ua_overlay.checks.observe.disks import observe_disks
from ua_overlay.checks.observe.egress import observe_egress
from ua_overlay.checks.observe.lan import observe_lans
from ua_overlay.checks.observe.master import observe_graph, registered_nodes
from ua_overlay.checks.observe.neighbours import observe_neighbours
from ua_overlay.checks.observe.packets import observe_packets, observe_routes, overlay_mtu
from ua_overlay.checks.observe.ports import listens, observe_ports
from ua_overlay.checks.observe.processes import daemon_state, holder_of, read, ros_processes
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.checks.observe.server import observe_server
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import clamp
from ua_overlay.protocols import Environ, WallClock
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.envfile import ROS_KEYS, Location, Variables
from ua_overlay.rosenv.environment import RosEnvironment, decide_environment
from ua_overlay.rosenv.names import NameChecker
from ua_overlay.rosenv.preferences import Preferences, follow_map, preferences_of
from ua_overlay.rosenv.team import dns_name, ipv4, team_mates, visible_nodes
from ua_overlay.system.interfaces import ipv4_addresses
from ua_overlay.tailscale.api import ObserverApi
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Peer, SelfNode, Status, parse_prefs, parse_status
from ua_overlay.toolchain.pins import newest_tested
from ua_overlay.trust.servers import resolve_soon

#: Optional parts, in addition to tailscaled, the env file, interfaces, processes and names, which need no network but
#: the resolver.
SERVER, GRAPH, PORTS, CALLBACK, NEIGHBOURS, PACKETS, LAN, EGRESS = (
    'server', 'graph', 'ports', 'callback', 'neighbours', 'packets', 'lan', 'egress')
EVERYTHING = frozenset([SERVER, GRAPH, PORTS, CALLBACK, NEIGHBOURS, PACKETS, LAN, EGRESS])

#: Nodes that every graph has.
_IN_BOTH = ('/rosout',)

#: Maximum number of peers to connect to; more would be a scan.
MOST_PEERS = 16


class Observer:
    """Observes this machine and, if requested, its team.

    :param api: LocalAPI with a short timeout.
    :param settings: the kept settings of the invitation (membership.settings), {} without any.
    :param environ: environment of the calling shell; None if there is none to judge.
    :param patience: seconds for a step that waits for the network, give or take one; there are two of them, after at
        most the time-out of ``api`` for tailscaled.
    """

    def __init__(self, api: Optional[ObserverApi] = None, settings: Optional[Mapping[str, Any]] = None,
                 ca_file: str = defaults.CA_FILE, environ: Optional[Environ] = None, patience: float = 3.0,
                 now: WallClock = time.time, locate: Callable[[], Location] = envfile.locate,
                 stamp: Optional[Stamp] = None) -> None:
        self._api: ObserverApi = LocalApi(timeout=2.0) if api is None else api
        self._preferences = preferences_of(settings or {})
        self._former_name = str((settings or {}).get('robot') or '')
        self._ca_file = ca_file
        self._environ = environ
        self._patience = patience
        self._now = now
        self._locate = locate
        self._stamp = stamp
        self._questions = Questions()

    def observe(self, parts: AbstractSet[str] = EVERYTHING) -> Facts:
        """Return the Facts, after at most three steps: tailscaled; what needs only its status; what needs the team's
        master. Everything within a step runs in parallel."""
        facts = self._machine()
        status = facts.network
        if status is None:
            steps = self._lone_steps(parts) if facts.status is not None else self._lone_steps(parts - {SERVER})
            answers = self._ask(steps, self._patience + 1.0)
            return replace(facts, egress=answers.get('egress'), server=answers.get('server'))
        mates = self._mates_online(status, facts.preferences)
        facts, desired = self._first_step(facts, status, mates, parts)
        return self._second_step(facts, desired, status, mates, parts)

    def _ask(self, steps: Mapping[str, Callable[[], Any]], seconds: float) -> Dict[str, Any]:
        return self._questions.ask(steps, seconds) if steps else {}

    def _lone_steps(self, parts: AbstractSet[str]) -> Dict[str, Callable[[], Any]]:
        """Return the questions that need no network map."""
        steps: Dict[str, Callable[[], Any]] = {}
        if EGRESS in parts:
            steps['egress'] = partial(observe_egress, self._api, self._ca_file,
                                      resolve=partial(resolve_soon, timeout=self._patience / 2))
        if SERVER in parts:
            steps['server'] = self._server
        return steps

    def _first_step(self, facts: Facts, status: Status, mates: Sequence[Peer],
                    parts: AbstractSet[str]) -> Tuple[Facts, RosEnvironment]:
        """Observe what needs only tailscaled's status, and decide the desired environment."""
        preferences, interfaces = facts.preferences, facts.interfaces or ()
        # All that this robot may hear: its team, teams with a rule, operators' laptops.
        peers = visible_nodes(status)
        mtu = overlay_mtu(status.self_node, interfaces, path=clamp.path_in_force())
        steps = self._lone_steps(parts)
        steps['names'] = lambda: NameChecker(deadline=self._patience).check(
            status.self_node, peers, preferences.addressing)
        # Whether the master's name resolves is known later; without it, the master does not answer.
        likely = decide_environment(status, preferences, None, facts.now)
        if GRAPH in parts and likely.master_uri:
            steps['graph'] = partial(observe_graph, likely.master_uri, Questions(), self._patience / 1.5)
            if facts.local_holder is not None:
                steps['local'] = partial(registered_nodes, defaults.LOCAL_MASTER_URI, self._patience / 2)
        if PACKETS in parts:
            steps['packets'] = partial(observe_packets, mates, mtu, Questions(), self._patience / 1.5)
        if LAN in parts:
            steps['lans'] = partial(observe_lans, self._api, mates, facts.own_endpoints, interfaces, Questions(),
                                    self._patience / 2)
        if PORTS in parts or CALLBACK in parts:
            steps['prefs'] = lambda: parse_prefs(self._api.prefs())
        answers = self._ask(steps, self._patience + 1.0)
        prefs = answers.get('prefs')
        facts = replace(facts, shields_up=prefs is not None and prefs.shields_up)
        desired = decide_environment(status, preferences, answers['names'], facts.now)
        links, lans = answers.get('lans') or (facts.links, None)
        graph, local = answers.get('graph') if desired.usable else None, answers.get('local')
        if graph is not None and local is not None:
            graph = replace(graph, moved=moved_nodes(graph, local, status.self_node))
        if facts.local_holder is not None:
            facts = replace(facts, local_holder=replace(facts.local_holder, ros=local is not None))
        if facts.team_holder is not None:
            facts = replace(facts, team_holder=replace(facts.team_holder, ros=graph is not None and graph.alive))
        return replace(
            facts, egress=answers.get('egress'), server=answers.get('server'), names=answers['names'], desired=desired,
            graph=graph, links=links, lans=lans, packets=answers.get('packets'),
            overlay_mtu=mtu, routes=observe_routes(links or ()) if PACKETS in parts else None), desired

    def _second_step(self, facts: Facts, desired: RosEnvironment, status: Status, mates: Sequence[Peer],
                     parts: AbstractSet[str]) -> Facts:
        """Observe what needs the team's master and the ports of its nodes."""
        steps: Dict[str, Callable[[], Any]] = {}
        graph = facts.graph
        if PORTS in parts:
            steps['ports'] = partial(observe_ports, self._api, mates, graph, desired.master,
                                     facts.preferences.team_port, Questions(), self._patience / 2)
        if graph is not None and graph.alive:
            if CALLBACK in parts and not desired.is_master:
                name = '' if facts.preferences.addressing == defaults.ADDRESSES else dns_name(status.self_node)
                steps['callback'] = partial(ask_callback, desired.master_uri, ipv4(status.self_node), name,
                                            self._patience / 2)
            if NEIGHBOURS in parts:
                steps['neighbours'] = partial(observe_neighbours, mates, graph, Questions(), self._patience / 1.2)
        answers = self._ask(steps, self._patience + 1.0)
        if graph is not None and 'callback' in steps:
            graph = replace(graph, callback=answers['callback'] or Callback(problem='it took too long'))
        neighbours = answers.get('neighbours')
        return replace(facts, graph=graph, attempts=answers.get('ports'),
                       clocks=neighbours.clocks if neighbours else None,
                       reached=neighbours.reached if neighbours else None)

    def _machine(self) -> Facts:
        """Return the facts that need no network: interfaces, processes, files and tailscaled."""
        actual, of_the_node, env_problem = self._run_directory()
        sockets = read()
        preferences = of_the_node or self._preferences
        facts = Facts(now=self._now(), newest_tested=newest_tested(),
                      interfaces=ipv4_addresses(), preferences=preferences, actual=actual,
                      env_problem=env_problem, processes=ros_processes(sockets, own_pid=os.getpid()),
                      former_name=self._former_name, map_stamp=self._stamp, disks=observe_disks(),
                      agent=observe_agent(),
                      daemon_state=daemon_state(),
                      local_holder=holder_of(defaults.LOCAL_MASTER_PORT, sockets))
        if self._environ is not None:
            facts = replace(facts, shell={key: self._environ[key] for key in ROS_KEYS if self._environ.get(key)})
        try:
            status = parse_status(self._api.status())
        except OverlayError as error:
            return replace(facts, daemon_problem=error.problem())
        preferences = of_the_node or follow_map(self._preferences, status.self_node)
        return replace(facts, status=status, links=links_of(status) if status.running else None,
                       own_endpoints=status.self_node.endpoints, preferences=preferences,
                       team_holder=holder_of(preferences.team_port, sockets))

    def _run_directory(self) -> Tuple[Optional[Variables], Optional[Preferences], str]:
        """Return (variables of the env file, preferences of the overlay node, the problem with these files)."""
        of_the_node = None
        try:
            location = self._locate()
            of_the_node = preferences_file.read(location)
            return envfile.read(location), of_the_node, ''
        except envfile.EnvironmentMissing:
            return {}, of_the_node, ''
        except OverlayError as error:
            return None, of_the_node, error.sentence

    def _server(self) -> Server:
        return observe_server(self._api, self._ca_file, self._patience)

    @staticmethod
    def _mates_online(status: Status, preferences: Preferences) -> List[Peer]:
        mates = team_mates(status, preferences.team)
        return [mate for mate in mates if mate.online and ipv4(mate)][:MOST_PEERS]


def moved_nodes(graph: Graph, local: Sequence[Tuple[str, str]], own: SelfNode,
                answers: Callable[[int], bool] = listens) -> Tuple[str, ...]:
    """Return the nodes of this robot in the team graph that are registered in the local graph as well, and no longer
    answer there.

    :param local: (node, its URI) of the local graph.
    :param answers: whether somebody listens on a TCP port of this machine.
    """
    ours = {node for node, uri in graph.nodes or () if host_of(uri) in (dns_name(own).lower(), ipv4(own))}
    return tuple(node for node, uri in local if node in ours and node not in _IN_BOTH and port_of(uri)
                 and not answers(port_of(uri)))
