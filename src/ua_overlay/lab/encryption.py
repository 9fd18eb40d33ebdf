"""The lab for the proof of encryption (wire.encryption_run.Stage): a site and two robots behind two routers."""
import contextlib
from typing import Dict, Iterator, List, Optional

from ua_overlay import defaults, link_types
from ua_overlay.lab import timeouts
from ua_overlay.lab.host import Host
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.nat import EASY, HARD, UDP_BLOCKED, WAN
from ua_overlay.lab.relays import ROBOTS, Pair
from ua_overlay.lab.wait import wait
from ua_overlay.wire.encryption import PORT, RAW

#: Link type, or RAW -> kind of both routers that leads to it.
KINDS: Dict[str, str] = {RAW: EASY, link_types.DIRECT: EASY, link_types.PEER_RELAY: HARD, link_types.DERP: UDP_BLOCKED}
#: Seconds within which tailscaled finds a relay or a direct path: see timeouts.PATH.
PATIENCE = timeouts.PATH
_FORWARD = '''
table ip proof
delete table ip proof
table ip proof {{
    chain prerouting {{
        type nat hook prerouting priority dstnat; policy accept;
        iifname "{wan}" tcp dport {port} dnat to {address}
    }}
}}
'''


class Stage:
    """dev-1 is the client, dev-2 the web server; the host `server` is relay and DERP server.

    :param lab: a lab of two_nats.yaml that is up.
    :param command: path of ua-overlay.
    """

    ends = ROBOTS
    between = ('nat1', 'nat2')
    relays = ('server',)
    tunnel = defaults.INTERFACE

    def __init__(self, lab: Lab, command: str) -> None:
        self.lab = lab
        self.pair = Pair(lab, workspace=None, command=command)

    @property
    def hosts(self) -> List[Host]:
        """The hosts that capture: the robots, their routers, the host of the relays."""
        return [self.lab.host(name) for name in self.ends + self.between + self.relays]

    def prepare(self) -> None:
        """Set up site, team and robots, and forward a port of dev-2's router, as a user without an overlay would."""
        self.pair.start_site()
        self.pair.join_robots()
        self.lab.host('nat2').run(['nft', '-f', '-'],
                                  input=_FORWARD.format(wan=WAN, port=PORT, address=self.bind(RAW)))

    def address(self, link: str) -> str:
        """Return the address of the web server for dev-1: in the overlay, or for RAW that of dev-2's router."""
        return self.lab.topology.nat('nat2').address if link == RAW else self.pair.address('dev-2')

    def bind(self, link: str) -> str:
        """Return the address on which the web server of dev-2 listens."""
        if link == RAW:
            return next(robot.address for robot in self.lab.topology.robots if robot.name == 'dev-2')
        return self.address(link)

    def link(self) -> Optional[str]:
        """Return the link type from dev-1 to dev-2 now, None without such a peer."""
        link = self.pair.link()
        return link[0] if link else None

    @contextlib.contextmanager
    def turn(self, link: str) -> Iterator[None]:
        """Switch to a link type, and hold it with a little traffic."""
        for router in self.between:
            if self.lab.nat_kind(router) != KINDS[link]:
                self.lab.nat(router, KINDS[link])
        if link == RAW:
            yield
            return
        with self.pair.traffic():
            wait('A link {}'.format(link), lambda: self.link() == link, PATIENCE, poll=0.3)
            yield
