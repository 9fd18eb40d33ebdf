"""`server check`: every way by which robots reach a site, looked at one by one."""
from dataclasses import dataclass

from ua_overlay.relays.probe import Unreachable, look_at_derp, look_at_relay, look_at_server, look_at_stun


@dataclass(frozen=True)
class Look:
    """One thing to look at.

    :param what: for people, and with ``place`` the name of the line.
    :param place: 'ADDRESS PROTOCOL PORT'.
    :param see: function() -> text; raises Unreachable.
    :param mend: the next command when it fails.
    """

    what: str
    place: str
    see: object
    mend: str


@dataclass(frozen=True)
class Seen:
    """What came of a Look: whether all is well (None: it cannot be told by this user), and a short text."""

    what: str
    place: str
    ok: bool
    text: str
    next_command: str


def looks_at_server(address, name, ports, trust, mend):
    """Looks at a site's server at one address.

    :param ports: (TCP of control and DERP, UDP of STUN, UDP of the relay).
    :param trust: {'ca_file': path} or {'ca_pem': text}.
    :param mend: function(protocol, port) -> next command.
    """
    tcp, stun_port, relay = ports

    def look(what, protocol, port, see):
        return Look(what, '{} {} {}'.format(address, protocol.upper(), port), see, mend(protocol, port))

    return [look('control', 'tcp', tcp, lambda: look_at_server(address, tcp, name, trust)),
            look('DERP', 'tcp', tcp, lambda: look_at_derp(address, tcp, name, trust)),
            look('STUN', 'udp', stun_port, lambda: look_at_stun(address, stun_port)),
            look('relay', 'udp', relay, lambda: look_at_relay(address, relay))]


def looks_at_hosts(settings, trust):
    """Looks at the further relays and DERP regions of a site."""
    found = []
    for host in settings.derp:
        name, mend = host.host_name(settings.name), 'on that host: ua-overlay derp status --dir DIR'
        found.append(Look('DERP ' + host.name, '{} TCP {}'.format(host.address, host.port), _derp(host, name, trust),
                          mend))
        found.append(Look('STUN ' + host.name, '{} UDP {}'.format(host.address, host.stun_port), _stun(host), mend))
    for host in settings.relays:
        found.append(Look('relay ' + host.name, '{} UDP {}'.format(host.address, host.port), _relay(host),
                          'on that host: ua-overlay relay status --dir DIR'))
    return found


def _derp(host, name, trust):
    return lambda: look_at_derp(host.address, host.port, name, trust)


def _stun(host):
    return lambda: look_at_stun(host.address, host.stun_port)


def _relay(host):
    return lambda: look_at_relay(host.address, host.port)


def run_looks(looks):
    """Do them one after the other. Returns a list of Seen."""
    found = []
    for look in looks:
        try:
            found.append(Seen(look.what, look.place, True, look.see(), ''))
        except Unreachable as error:
            found.append(Seen(look.what, look.place, False, str(error), look.mend))
    return found


def relay_states(report, settings, nodes, tag):
    """How each relay of a site is, as rows of plain values.

    :param report: the running server's word on its own relay (RelayKeeper.report).
    :param nodes: list of Node.
    :param tag: of relays.
    """
    rows = [dict(report, name='site', port=settings.relay_port)]
    online = {node.wanted_name: node.online for node in nodes if node.tags == (tag,)}
    for host in settings.relays:
        there = online.get(host.host_name)
        rows.append({'name': host.name, 'address': host.address, 'port': host.port, 'ok': bool(there),
                     'state': 'never joined' if there is None else 'up' if there else 'offline'})
    return rows
