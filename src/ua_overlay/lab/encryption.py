"""The stage of the proof of encryption (measure.encryption): a site, two robots behind two routers, and their links."""
import contextlib

from ua_overlay import defaults, link_types
from ua_overlay.lab.nat import EASY, HARD, UDP_BLOCKED, WAN
from ua_overlay.lab.relays import ROBOTS, Pair
from ua_overlay.lab.wait import wait
from ua_overlay.wire.encryption import PORT, RAW

KINDS = {RAW: EASY, link_types.DIRECT: EASY, link_types.PEER_RELAY: HARD, link_types.DERP: UDP_BLOCKED}
#: Seconds within which tailscaled finds a relay or a direct path: it looks every 30 and 60.
PATIENCE = 180
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
    """dev-1 asks, dev-2 answers; the server host is relay and DERP server.

    :param lab: a lab.Lab of two_nats.yaml that is up.
    :param command: path of ua-overlay.
    """

    ends = ROBOTS
    between = ('nat1', 'nat2')
    relays = ('server',)
    tunnel = defaults.INTERFACE

    def __init__(self, lab, command):
        self.lab = lab
        self.pair = Pair(lab, workspace=None, command=command)

    @property
    def hosts(self):
        """All that capture: the robots, their routers, the host of the relays."""
        return [self.lab.host(name) for name in self.ends + self.between + self.relays]

    def prepare(self):
        """Site, team and robots; and what a person does who has no overlay: a port of dev-2's router forwarded."""
        self.pair.start_site()
        self.pair.join_robots()
        self.lab.host('nat2').run(['nft', '-f', '-'],
                                  input=_FORWARD.format(wan=WAN, port=PORT, address=self.bind(RAW)))

    def address(self, link):
        """Where dev-1 asks; past the tunnel: the router of dev-2."""
        return self.lab.topology.nat('nat2').address if link == RAW else self.pair.address('dev-2')

    def bind(self, link):
        """Where the web server of dev-2 listens."""
        if link == RAW:
            return next(robot.address for robot in self.lab.topology.robots if robot.name == 'dev-2')
        return self.address(link)

    def link(self):
        """The link type from dev-1 to dev-2 now, None without such a peer."""
        found = self.pair.link()
        return found[0] if found else None

    @contextlib.contextmanager
    def turn(self, link):
        """Bring about a link type and hold it by a little traffic."""
        for router in self.between:
            if self.lab.nat_kind(router) != KINDS[link]:
                self.lab.nat(router, KINDS[link])
        if link == RAW:
            yield
            return
        with self.pair.traffic():
            wait('A link {}'.format(link), lambda: self.link() == link, PATIENCE, poll=0.3)
            yield
