"""`server check`: every way by which robots reach a site, looked at one by one."""
from dataclasses import dataclass

from ua_overlay.relays.probe import Unreachable, probe_derp, probe_relay, probe_server, probe_stun


@dataclass(frozen=True)
class Probe:
    """One thing to look at.

    :param what: for people, and with ``endpoint`` the name of the line.
    :param endpoint: 'ADDRESS PROTOCOL PORT'.
    :param run: function() -> text; raises Unreachable.
    :param mend: the next command when it fails.
    """

    what: str
    endpoint: str
    run: object
    mend: str


@dataclass(frozen=True)
class ProbeResult:
    """What came of a Probe: whether all is well (None: it cannot be told by this user), and a short text."""

    what: str
    endpoint: str
    ok: bool
    text: str
    next_command: str


def probes_of_server(address, name, ports, trust, mend):
    """Looks at a site's server at one address.

    :param ports: (TCP of control and DERP, UDP of STUN, UDP of the relay).
    :param trust: {'ca_file': path} or {'ca_pem': text}.
    :param mend: function(protocol, port) -> next command.
    """
    tcp, stun_port, relay = ports

    def probe(what, protocol, port, run):
        return Probe(what, '{} {} {}'.format(address, protocol.upper(), port), run, mend(protocol, port))

    return [probe('control', 'tcp', tcp, lambda: probe_server(address, tcp, name, trust)),
            probe('DERP', 'tcp', tcp, lambda: probe_derp(address, tcp, name, trust)),
            probe('STUN', 'udp', stun_port, lambda: probe_stun(address, stun_port)),
            probe('relay', 'udp', relay, lambda: probe_relay(address, relay))]


def probes_of_hosts(settings, trust):
    """Looks at the remote relays and DERP regions of a site."""
    found = []
    for host in settings.derp:
        name, mend = host.host_name(settings.name), 'on that host: ua-overlay derp status --dir DIR'
        found.append(Probe('DERP ' + host.name, '{} TCP {}'.format(host.address, host.port), _derp(host, name, trust),
                           mend))
        found.append(Probe('STUN ' + host.name, '{} UDP {}'.format(host.address, host.stun_port), _stun(host), mend))
    for host in settings.relays:
        found.append(Probe('relay ' + host.name, '{} UDP {}'.format(host.address, host.port), _relay(host),
                           'on that host: ua-overlay relay status --dir DIR'))
    return found


def _derp(host, name, trust):
    return lambda: probe_derp(host.address, host.port, name, trust)


def _stun(host):
    return lambda: probe_stun(host.address, host.stun_port)


def _relay(host):
    return lambda: probe_relay(host.address, host.port)


def run_probes(probes):
    """Do them one after the other. Returns a list of ProbeResult."""
    found = []
    for probe in probes:
        try:
            found.append(ProbeResult(probe.what, probe.endpoint, True, probe.run(), ''))
        except Unreachable as error:
            found.append(ProbeResult(probe.what, probe.endpoint, False, str(error), probe.mend))
    return found


def relay_states(report, settings, nodes, tag):
    """How each relay of a site is, as rows of plain values.

    :param report: the running server's word on its own relay (RelayKeeper.report).
    :param nodes: list of Node.
    :param tag: of relays.
    """
    rows = [dict(report, name='site', port=settings.relay_port)]
    online = {node.requested_name: node.online for node in nodes if node.tags == (tag,)}
    for host in settings.relays:
        there = online.get(host.host_name)
        rows.append({'name': host.name, 'address': host.address, 'port': host.port, 'ok': bool(there),
                     'state': 'never joined' if there is None else 'up' if there else 'offline'})
    return rows
