"""Gathers the facts that the checks judge; everything that may hang has a deadline."""
import os
import time
from dataclasses import replace

from ua_overlay import defaults, link_types
from ua_overlay.checks import facts as fact_types
from ua_overlay.checks import tcp_sockets
from ua_overlay.checks.callback import ask_callback
from ua_overlay.checks.duplicate_identity import strangers
from ua_overlay.checks.egress import observe_egress
from ua_overlay.checks.hosts import host_of
from ua_overlay.checks.links import shared_lan
from ua_overlay.checks.registry import launched_with_master, port_of, registered_nodes
from ua_overlay.checks.routes import ECHO_HEADERS, EXPECTED, connect, echo, overlay_mtu
from ua_overlay.errors import OverlayError, Problem
from ua_overlay.rosenv import envfile
from ua_overlay.rosenv import preferences as preferences_file
from ua_overlay.rosenv.environment import decide_environment
from ua_overlay.rosenv.master import MasterProbe
from ua_overlay.rosenv.names import NameChecker
from ua_overlay.rosenv.preferences import follow_map, preferences_of
from ua_overlay.rosenv.team import dns_name, ipv4, team_mates
from ua_overlay.system.deadline import Calls
from ua_overlay.system.interfaces import ipv4_addresses
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.model import parse_status
from ua_overlay.tailscale.ping import ping_peer
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.probe import check_server
from ua_overlay.trust.servers import RESOLVE_TIMEOUT
from ua_overlay.trust.verify import verify_node_key

#: What can be looked at. Without any of them: tailscaled, the env file, interfaces, names, processes: no network.
SERVER, GRAPH, PORTS, CALLBACK, PACKETS, LAN, EGRESS = (
    'server', 'graph', 'ports', 'callback', 'packets', 'lan', 'egress')
EVERYTHING = frozenset([SERVER, GRAPH, PORTS, CALLBACK, PACKETS, LAN, EGRESS])

#: Peers that are tried at most: more would be a scan.
MOST_PEERS = 16
#: A port of the range that Linux takes ephemeral ports from, on which hardly anybody listens.
EPHEMERAL_PORT = 59999


def problem_of(error):
    return Problem(error.code, error.sentence, error.next_command)


class Observer:
    """Looks at this machine and, as far as asked, at its team.

    :param api: localapi.LocalApi with a short timeout.
    :param settings: what the robot keeps of its invitation (membership.settings), {} for nothing.
    :param environ: environment of the shell that asks; None: there is none to judge.
    :param patience: seconds for each step that waits for the network; there are at most six of them.
    """

    def __init__(self, api=None, settings=None, ca_file=defaults.CA_FILE, environ=None, patience=3.0, now=time.time,
                 locate=envfile.locate):
        self._api = api or LocalApi(timeout=2.0)
        self._preferences = preferences_of(settings or {})
        self._ca_file = ca_file
        self._environ = environ
        self._patience = patience
        self._now = now
        self._locate = locate
        self._calls = Calls()

    def observe(self, parts=EVERYTHING):
        """Return the Facts."""
        facts = self._machine()
        if EGRESS in parts:
            # First, for it holds also where tailscaled does not run.
            found = self._run({'egress': lambda: observe_egress(self._api, self._ca_file)}, 2 * RESOLVE_TIMEOUT)
            facts = replace(facts, egress=found['egress'])
        if not facts.running:
            return facts if SERVER not in parts or facts.status is None else replace(facts, server=self._server())
        steps = {'names': lambda: NameChecker(deadline=self._patience).check(
            facts.status.self_node, team_mates(facts.status, facts.preferences.team), facts.preferences.addressing)}
        if SERVER in parts:
            steps['server'] = self._server
        answers = self._run(steps, self._patience + 1.0)
        facts = replace(facts, names=answers['names'], server=answers.get('server'))
        facts = replace(facts, desired=decide_environment(facts.status, facts.preferences, facts.names, facts.now))
        if GRAPH in parts and facts.desired.usable:
            facts = replace(facts, graph=self._graph(facts.desired.master_uri))
        if PORTS in parts:
            facts = replace(facts, attempts=self._attempts(facts))
        if CALLBACK in parts and facts.graph is not None and facts.graph.alive and not facts.desired.is_master:
            facts = replace(facts, graph=replace(facts.graph, callback=self._callback(facts)))
        facts = replace(facts, inbound=tcp_sockets.inbound(tcp_sockets.read(), ipv4(facts.status.self_node)))
        if PACKETS in parts:
            facts = replace(facts, packets=self._packets(facts))
        return self._lans(facts) if LAN in parts else facts

    # --- this machine ---

    def _machine(self):
        facts = fact_types.Facts(now=self._now(), interfaces=ipv4_addresses(),
                           processes=tcp_sockets.ros_processes(tcp_sockets.read(), own_pid=os.getpid()))
        if self._environ is not None:
            facts = replace(facts, shell={key: self._environ[key] for key in envfile.ROS_KEYS
                                          if self._environ.get(key)})
        facts = replace(facts, preferences=self._preferences)
        actual, of_the_node, env_problem = self._run_directory()
        facts = replace(facts, actual=actual, env_problem=env_problem)
        try:
            raw = self._api.status()
        except OverlayError as error:
            return replace(facts, daemon_problem=problem_of(error))
        status = parse_status(raw)
        facts = replace(facts, status=status, links=links_of(status) if status.state == 'Running' else None,
                        own_endpoints=tuple((raw.get('Self') or {}).get('Addrs') or ()))
        return replace(facts, preferences=of_the_node or follow_map(facts.preferences, status.self_node))

    def _run_directory(self):
        """Return (variables of the env file, preferences of the overlay node, what is wrong with these files)."""
        of_the_node = None
        try:
            location = self._locate()
            of_the_node = preferences_file.read(location)
            return envfile.read(location), of_the_node, ''
        except envfile.EnvironmentMissing:
            return {}, of_the_node, ''
        except OverlayError as error:
            return None, of_the_node, error.sentence

    # --- the site ---

    def _server(self):
        try:
            status = parse_status(self._api.status(peers=False))
            if not status.have_node_key:
                return fact_types.Server()
            url = self._api.prefs().get('ControlURL') or ''
        except OverlayError as error:
            return fact_types.Server(problem=problem_of(error))
        found = probe_server(url, self._ca_file, self._patience, node_key=key_in_use(status))
        if found.problem is not None or not key_in_use(status):
            return found
        others = strangers(*endpoints_of(self._api))
        if others:
            # The server says within a second or two what it was told: this machine may have moved just now.
            time.sleep(self._patience)
            others = strangers(*endpoints_of(self._api))
        return replace(found, strangers=others)

    # --- the team ---

    def _graph(self, uri):
        answer = MasterProbe(deadline=self._patience)(uri)
        if not answer.alive:
            return fact_types.Graph(uri, False, answer.why)
        found = self._run({'nodes': lambda: registered_nodes(uri, self._patience),
                           'launched': lambda: launched_with_master(uri, self._patience / 2)}, self._patience)
        return fact_types.Graph(uri, True, nodes=found['nodes'], launched=found['launched'])

    def _attempts(self, facts):
        targets = {}
        nodes = facts.graph.nodes if facts.graph is not None and facts.graph.nodes else ()
        for mate in mates_online(facts):
            own_hosts = {dns_name(mate).lower(), ipv4(mate)}
            ports = [port_of(uri) for _, uri in nodes if host_of(uri) in own_hosts]
            targets[mate.name, EPHEMERAL_PORT] = (ipv4(mate), fact_types.EPHEMERAL)
            if any(ports):
                targets[mate.name, next(port for port in ports if port)] = (ipv4(mate), fact_types.NODE)
            if mate.name == facts.desired.master:
                targets[mate.name, facts.preferences.team_port] = (ipv4(mate), fact_types.TEAM)
        results = self._run({key: lambda key=key, address=address: connect(address, key[1], self._patience)
                             for key, (address, _) in targets.items()}, self._patience + 0.5)
        attempts = [fact_types.Attempt(peer, port, targets[peer, port][1], result or fact_types.DROPPED)
                    for (peer, port), result in sorted(results.items())]
        addresses = {peer: targets[peer, port][0] for peer, port in targets}
        asked = {item.peer for item in attempts if item.result == fact_types.DROPPED}
        pings = self._run({peer: lambda peer=peer: LocalApi(self._api.socket_path).ping(
            addresses[peer], timeout=self._patience) for peer in asked}, self._patience + 0.5)
        return tuple(replace(item, ping=bool(pings[item.peer]) and not pings[item.peer].error)
                     if item.peer in pings else item for item in attempts)

    def _callback(self, facts):
        own = facts.status.self_node
        name = '' if facts.preferences.addressing == defaults.ADDRESSES else dns_name(own)
        # Six waits at most: registering and waiting twice, and the unregistering in between.
        found = self._run({'callback': lambda: ask_callback(facts.desired.master_uri, ipv4(own), name, self._patience)},
                          4 * self._patience)['callback']
        return found or fact_types.Callback(problem='it took too long')

    def _packets(self, facts):
        mates = mates_online(facts)[:4]
        mtu = overlay_mtu(facts)
        sizes = {(mate.name, size): (ipv4(mate), size) for mate in mates for size in (64, mtu - ECHO_HEADERS)}
        came = self._run({key: lambda pair=pair: echo(*pair) for key, pair in sizes.items()}, self._patience + 2.0)
        if any(value is None for value in came.values()):
            return None
        return tuple(fact_types.Packets(mate.name, came[mate.name, 64], came[mate.name, mtu - ECHO_HEADERS])
                     for mate in mates)

    def _lans(self, facts):
        """Look at links that do not go direct: a path needs some seconds to become stable after the first packet."""
        try:
            links = links_of(parse_status(self._api.status()))
        except OverlayError:
            return facts
        relayed = {link.peer for link in links if link.type in link_types.RELAYED}
        mates = [mate for mate in mates_online(facts) if mate.name in relayed]
        endpoints = self._run({mate.name: lambda mate=mate: tuple(
            (self._api.whois(ipv4(mate)).get('Node') or {}).get('Endpoints') or ()) for mate in mates}, self._patience)
        # A ping keeps the link busy, so only where something would be said about it.
        doubtful = [mate for mate in mates if next(link for link in links if link.peer == mate.name).type
                    == link_types.DERP or shared_lan(facts.own_endpoints, endpoints[mate.name] or (), facts.interfaces)]
        reached = self._run({mate.name: lambda mate=mate: ping_peer(
            LocalApi(self._api.socket_path), ipv4(mate), self._patience + 1.0) for mate in doubtful},
            self._patience + 2.0)
        types = {name: ping.type for name, ping in reached.items() if ping is not None}
        links = tuple(replace(link, type=types.get(link.peer, link.type)) for link in links)
        return replace(facts, links=links, lans=tuple(
            fact_types.Lan(mate.name, endpoints[mate.name] or (),
                           next(link.type for link in links if link.peer == mate.name))
            for mate in mates))

    def _run(self, functions, seconds):
        """Run all side by side; {key: result}, None where the network said no or nothing in time."""
        results = {}
        for key, (result, error) in self._calls.run(functions, seconds).items():
            if error is not None and not isinstance(error, EXPECTED):
                raise error
            results[key] = None if error is not None else result
        return results


def key_in_use(status):
    """The public node key that a server ought to know, '' when this robot has none in use.

    :param status: tailscale Status or Snapshot.
    """
    return status.self_node.public_key if status.state == 'Running' else ''


def endpoints_of(api):
    """(endpoints that tailscaled has found for this machine, endpoints that its network map has of it): tuples of
    ip:port, both () when it cannot be known now.

    :param api: localapi.LocalApi.
    """
    try:
        own = api.status(peers=False).get('Self') or {}
        if not own.get('Online') or not own.get('TailscaleIPs'):
            return (), ()
        on_server = (api.whois(own['TailscaleIPs'][0]).get('Node') or {}).get('Endpoints')
    except OverlayError:
        return (), ()
    return tuple(own.get('Addrs') or ()), tuple(on_server or ())


def probe_server(url, ca_file, timeout, check=check_server, node_key='', verify=verify_node_key):
    """Probe the server at ``url`` with the CA in ``ca_file``; returns facts.Server, raises nothing of the network.

    An empty ``url`` means that this robot is in no network: nobody is asked.

    :param node_key: this robot's, '' not to ask whether the server knows it.
    """
    if not url:
        return fact_types.Server()
    answer = fact_types.Server(url)
    try:
        with open(ca_file, encoding='ascii') as stream:
            ca_pem = stream.read()
        authorities = certificates.load_certificates(ca_pem, ca_file)
        answer = replace(answer, ca_not_after=max(certificates.not_after(item).timestamp() for item in authorities))
        health = check(url, ca_pem, timeout=timeout)
        if node_key:
            answer = replace(answer, key_known=verify(url, ca_pem, node_key, timeout))
    except OverlayError as error:
        return replace(answer, problem=problem_of(error))
    except (OSError, UnicodeDecodeError) as error:
        return replace(answer, problem=Problem(
            'NOT_PREPARED', 'The CA of the site cannot be read from {}: {}.'.format(
                ca_file, getattr(error, 'strerror', None) or 'not a PEM file'), 'sudo ua-overlay robot prepare'))
    return replace(answer, clock_offset=health.clock_offset, not_after=health.not_after.timestamp())


def mates_online(facts):
    mates = team_mates(facts.status, facts.preferences.team)
    return [mate for mate in mates if mate.online and ipv4(mate)][:MOST_PEERS]
