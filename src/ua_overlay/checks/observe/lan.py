"""Observe relayed links between robots that may be on one LAN."""
from dataclasses import replace
from functools import partial
from typing import Optional, Sequence, Tuple

from ua_overlay import link_types
from ua_overlay.checks.facts import Lan
from ua_overlay.checks.links import shared_lan
from ua_overlay.checks.observe.questions import Questions
from ua_overlay.errors import OverlayError
from ua_overlay.rosenv.team import ipv4
from ua_overlay.system.interfaces import InterfaceAddress
from ua_overlay.tailscale.api import ObserverApi
from ua_overlay.tailscale.links import links_of
from ua_overlay.tailscale.model import Link, Peer, parse_status, parse_whois
from ua_overlay.tailscale.ping import ping_peer


def endpoints_of_peer(api: ObserverApi, address: str) -> Tuple[str, ...]:
    """Return the endpoints (ip:port) of the peer with an overlay address.

    :raises OverlayError: tailscaled does not answer, or has no such peer.
    """
    return parse_whois(api.whois(address)).endpoints


def observe_lans(api: ObserverApi, mates: Sequence[Peer], own_endpoints: Sequence[str],
                 interfaces: Sequence[InterfaceAddress], questions: Questions,
                 patience: float) -> Optional[Tuple[Tuple[Link, ...], Tuple[Lan, ...]]]:
    """Check the relayed links: a path needs some seconds to become stable after the first packet.

    :param own_endpoints: of this robot, as ip:port.
    :param patience: seconds for each of two steps.
    :returns: (all links after that, the relayed ones); None if tailscaled does not answer.
    """
    try:
        links = {link.peer: link for link in links_of(parse_status(api.status()))}
    except OverlayError:
        return None
    relayed = [mate for mate in mates if mate.name in links and links[mate.name].type in link_types.RELAYED]
    answers = questions.ask({mate.name: partial(endpoints_of_peer, api, ipv4(mate)) for mate in relayed}, patience)
    endpoints = {name: answer or () for name, answer in answers.items()}
    # A ping keeps the link busy, so ping only peers about which the check would report something.
    doubtful = [mate for mate in relayed if links[mate.name].type == link_types.DERP
                or shared_lan(own_endpoints, endpoints[mate.name], interfaces)]
    pings = questions.ask({mate.name: partial(ping_peer, api, ipv4(mate), patience + 1.0) for mate in doubtful},
                          patience + 2.0)
    for name, ping in pings.items():
        if ping is not None:
            links[name] = replace(links[name], type=ping.type)
    return tuple(links.values()), tuple(Lan(mate.name, endpoints[mate.name], links[mate.name].type) for mate in relayed)
