"""`server check`: one probe for each path by which robots reach a site."""
from dataclasses import dataclass
from functools import partial
from typing import Callable, Iterable, List, Optional, Tuple

from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays.probe import Trust, Unreachable, probe_derp, probe_relay, probe_server, probe_stun


@dataclass(frozen=True)
class Probe:
    """One thing to probe.

    :param what: for people; with ``endpoint`` it identifies the line of output.
    :param endpoint: 'ADDRESS PROTOCOL PORT'.
    :param run: returns a short text; raises Unreachable.
    :param fix: the next command when it fails.
    """

    what: str
    endpoint: str
    run: Callable[[], str]
    fix: str


@dataclass(frozen=True)
class ProbeResult:
    """The result of a Probe.

    :param ok: None if this user cannot determine it.
    :param text: for people.
    :param next_command: '' if there is no problem.
    """

    what: str
    endpoint: str
    ok: Optional[bool]
    text: str
    next_command: str


def probes_of_server(address: str, name: str, ports: Tuple[int, int, int], trust: Trust,
                     fix: Callable[[str, int], str], derp_port: int = 0) -> List[Probe]:
    """Return the probes of a site's server at one address.

    :param name: DNS name of the server.
    :param ports: (TCP of control and DERP, UDP of STUN, UDP of the relay).
    :param fix: (protocol, port) -> next command.
    :param derp_port: TCP of a derper beside Headscale; 0 for none.
    """
    tcp, stun_port, relay = ports

    def probe(what: str, protocol: str, port: int, run: Callable[[], str]) -> Probe:
        return Probe(what, '{} {} {}'.format(address, protocol.upper(), port), run, fix(protocol, port))

    own = [probe('DERP beside Headscale', 'tcp', derp_port, partial(
        probe_derp, address, derp_port, name, trust))] if derp_port else []
    return [probe('control', 'tcp', tcp, partial(probe_server, address, tcp, name, trust)),
            probe('DERP', 'tcp', tcp, partial(probe_derp, address, tcp, name, trust))] + own + [
            probe('STUN', 'udp', stun_port, partial(probe_stun, address, stun_port)),
            probe('relay', 'udp', relay, partial(probe_relay, address, relay))]


def probes_of_hosts(settings: SiteSettings, trust: Trust) -> List[Probe]:
    """Return the probes of the remote relays and DERP regions of a site."""
    probes: List[Probe] = []
    for region in settings.derp:
        name, fix = region.host_name(settings.name), 'on that host: ua-overlay derp status --dir DIR'
        probes.append(Probe('DERP ' + region.name, '{} TCP {}'.format(region.address, region.port),
                            partial(probe_derp, region.address, region.port, name, trust), fix))
        probes.append(Probe('STUN ' + region.name, '{} UDP {}'.format(region.address, region.stun_port),
                            partial(probe_stun, region.address, region.stun_port), fix))
    for relay in settings.relays:
        probes.append(Probe('relay ' + relay.name, '{} UDP {}'.format(relay.address, relay.port),
                            partial(probe_relay, relay.address, relay.port),
                            'on that host: ua-overlay relay status --dir DIR'))
    return probes


def run_probes(probes: Iterable[Probe]) -> List[ProbeResult]:
    """Run the probes sequentially."""
    results: List[ProbeResult] = []
    for probe in probes:
        try:
            results.append(ProbeResult(probe.what, probe.endpoint, True, probe.run(), ''))
        except Unreachable as error:
            results.append(ProbeResult(probe.what, probe.endpoint, False, str(error), probe.fix))
    return results
