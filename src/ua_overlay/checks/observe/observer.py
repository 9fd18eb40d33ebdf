"""Gather the requested facts, in the order of their dependencies."""
import os
import time
from dataclasses import replace
from functools import partial
from typing import AbstractSet, Any, Callable, Dict, List, Mapping, Optional, Tuple

from ua_overlay import defaults
from ua_overlay.checks.facts import Callback, Facts, Server
from ua_overlay.checks.observe.callback import ask_callback
from ua_overlay.checks.observe.egress import observe_egress
from ua_overlay.checks.observe.lan import observe_lans
from ua_overlay.checks.observe.master import observe_graph
from ua_overlay.checks.observe.packets import observe_packets, overlay_mtu
from ua_overlay.checks.observe.ports import observe_ports
from ua_overlay.checks.observe.processes import inbound, read, ros_processes
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.checks.observe.server import observe_server
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import Environ, WallClock
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.envfile import ROS_KEYS, Location, Variables
from ua_overlay.rosenv.environment import RosEnvironment, decide_environment
from ua_overlay.rosenv.names import NameChecker
from ua_overlay.rosenv.preferences import Preferences, follow_map, preferences_of
from ua_overlay.rosenv.team import dns_name, ipv4, team_mates
from ua_overlay.system.interfaces import ipv4_addresses
from ua_overlay.tailscale.api import ObserverApi
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import Peer, SelfNode, Status, parse_status
from ua_overlay.trust.servers import RESOLVE_TIMEOUT

#: Optional parts, in addition to tailscaled, the env file, interfaces, processes and names, which need no network but
#: the resolver.
SERVER, GRAPH, PORTS, CALLBACK, PACKETS, LAN, EGRESS = (
    'server', 'graph', 'ports', 'callback', 'packets', 'lan', 'egress')
EVERYTHING = frozenset([SERVER, GRAPH, PORTS, CALLBACK, PACKETS, LAN, EGRESS])

#: Maximum number of peers to connect to; more would be a scan.
MOST_PEERS = 16


class Observer:
    """Observes this machine and, if requested, its team.

    :param api: LocalAPI with a short timeout.
    :param settings: the kept settings of the invitation (membership.settings), {} without any.
    :param environ: environment of the calling shell; None if there is none to judge.
    :param patience: seconds for each step that waits for the network; there are at most six of them.
    """

    def __init__(self, api: Optional[ObserverApi] = None, settings: Optional[Mapping[str, Any]] = None,
                 ca_file: str = defaults.CA_FILE, environ: Optional[Environ] = None, patience: float = 3.0,
                 now: WallClock = time.time, locate: Callable[[], Location] = envfile.locate) -> None:
        self._api: ObserverApi = LocalApi(timeout=2.0) if api is None else api
        self._preferences = preferences_of(settings or {})
        self._ca_file = ca_file
        self._environ = environ
        self._patience = patience
        self._now = now
        self._locate = locate
        self._questions = Questions()

    def observe(self, parts: AbstractSet[str] = EVERYTHING) -> Facts:
        """Return the Facts."""
        facts = self._machine()
        if EGRESS in parts:
            # Observe this first: it does not depend on tailscaled.
            facts = replace(facts, egress=self._questions.ask_one(
                'egress', partial(observe_egress, self._api, self._ca_file), 2 * RESOLVE_TIMEOUT))
        status = facts.network
        if status is None:
            return facts if SERVER not in parts or facts.status is None else replace(facts, server=self._server())
        facts, desired = self._decide(facts, status, SERVER in parts)
        mates = self._mates_online(status, facts.preferences)
        if GRAPH in parts and desired.usable:
            facts = replace(facts, graph=observe_graph(desired.master_uri, self._questions, self._patience))
        if PORTS in parts:
            facts = replace(facts, attempts=observe_ports(
                self._api, mates, facts.graph, desired.master, facts.preferences.team_port, self._questions,
                self._patience))
        if CALLBACK in parts and facts.graph is not None and facts.graph.alive and not desired.is_master:
            facts = replace(facts, graph=replace(facts.graph, callback=self._callback(
                desired, status.self_node, facts.preferences)))
        facts = replace(facts, inbound=inbound(read(), ipv4(status.self_node)))
        interfaces = facts.interfaces or ()
        if PACKETS in parts:
            facts = replace(facts, packets=observe_packets(
                mates, overlay_mtu(status.self_node, interfaces), self._questions, self._patience))
        if LAN in parts:
            relayed = observe_lans(self._api, mates, facts.own_endpoints, interfaces, self._questions, self._patience)
            if relayed is not None:
                facts = replace(facts, links=relayed[0], lans=relayed[1])
        return facts

    def _machine(self) -> Facts:
        """Return the facts that need no network: interfaces, processes, files and tailscaled."""
        actual, of_the_node, env_problem = self._run_directory()
        facts = Facts(now=self._now(), interfaces=ipv4_addresses(), preferences=self._preferences, actual=actual,
                      env_problem=env_problem, processes=ros_processes(read(), own_pid=os.getpid()))
        if self._environ is not None:
            facts = replace(facts, shell={key: self._environ[key] for key in ROS_KEYS if self._environ.get(key)})
        try:
            status = parse_status(self._api.status())
        except OverlayError as error:
            return replace(facts, daemon_problem=error.problem())
        return replace(facts, status=status, links=links_of(status) if status.running else None,
                       own_endpoints=status.self_node.endpoints,
                       preferences=of_the_node or follow_map(self._preferences, status.self_node))

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

    def _decide(self, facts: Facts, status: Status, with_server: bool) -> Tuple[Facts, RosEnvironment]:
        """Query the resolver and, in parallel, the server; then decide the desired environment."""
        preferences = facts.preferences
        steps: Dict[str, Callable[[], Any]] = {'names': lambda: NameChecker(deadline=self._patience).check(
            status.self_node, team_mates(status, preferences.team), preferences.addressing)}
        if with_server:
            steps['server'] = self._server
        answers = self._questions.ask(steps, self._patience + 1.0)
        desired = decide_environment(status, preferences, answers['names'], facts.now)
        return replace(facts, names=answers['names'], server=answers.get('server'), desired=desired), desired

    def _server(self) -> Server:
        return observe_server(self._api, self._ca_file, self._patience)

    def _callback(self, desired: RosEnvironment, own: SelfNode, preferences: Preferences) -> Callback:
        name = '' if preferences.addressing == defaults.ADDRESSES else dns_name(own)
        # Twice: register, wait for the call, unregister.
        answer = self._questions.ask_one('callback', partial(
            ask_callback, desired.master_uri, ipv4(own), name, self._patience), 4 * self._patience)
        return answer or Callback(problem='it took too long')

    @staticmethod
    def _mates_online(status: Status, preferences: Preferences) -> List[Peer]:
        mates = team_mates(status, preferences.team)
        return [mate for mate in mates if mate.online and ipv4(mate)][:MOST_PEERS]
