"""Two robots with the path keeper's decision, and a path between them that dies in one direction or in both.

A model of what tailscaled does (tailscale.com v1.102.5, wgengine/magicsock/endpoint.go): it trusts a path for 6.5 s
after its last pong, asks for one every 3 s, sends by DERP besides or instead when it trusts none, and looks for a
direct path every 5 s then. A rebind makes it forget the path to every peer.
"""
import heapq
import random

from ua_overlay import link_types
from ua_overlay.tailscale import watcher
from ua_overlay.tailscale.dead_paths import PING_PERIOD, AskDerp, DeadPaths, LinkSample, Ping, Rebind

TRUST, HEARTBEAT, DISCOVERY = 6.5, 3.0, 5.0
#: Seconds one way by DERP, and on the path.
BY_DERP, BY_PATH = 0.03, 0.01
#: WireGuard answers a stream that it does not answer otherwise (its passive keepalive).
KEEPALIVE = 10.0


class Robot:
    """One end: its tailscaled, its path keeper's judge, its stream to the other end.

    :param rate: packets per second that it sends; 0: none.
    """

    def __init__(self, world, name, rate):
        self.world, self.name, self.rate = world, name, rate
        self.judge = DeadPaths()
        self.tx = self.rx = self.by_derp = self.seen_by_derp = 0
        self.trusted_until = float('-inf')
        self.discovered = self.beaten = self.answered = float('-inf')
        self.rebinds, self.pings, self.asked = [], 0, 0
        #: Of what the other one sent: times sent and received.
        self.longest, self.last = 0.0, None

    @property
    def direct(self):
        return self.world.now <= self.trusted_until

    def send(self, size, then=None):
        """Send a packet; ``then`` happens at the other end."""
        self.tx += size
        if not self.direct:
            if self.world.now - self.discovered >= DISCOVERY:
                self.discovered = self.world.now
                self.disco()
            self.world.at(BY_DERP, self.other.receive, size, True, then)
        else:
            self.world.carry(self, self.other.receive, size, False, then)

    def disco(self):
        """Ask for a pong on the path."""
        self.world.carry(self, self.world.carry, self.other, self.trust)

    def trust(self):
        self.trusted_until = self.world.now + TRUST

    def receive(self, size, derp, then):
        self.rx += size
        self.by_derp += size if derp else 0
        if then is not None:
            then()
        elif size > 32:
            if self.last is not None:
                self.longest = max(self.longest, self.world.now - self.last)
            self.last = self.world.now
            if self.world.now - self.answered >= KEEPALIVE:
                self.answered = self.world.now
                self.send(32)

    def stream(self):
        self.send(200)
        self.world.at(1.0 / self.rate, self.stream)

    def beat(self):
        if self.direct:
            self.disco()
        self.world.at(HEARTBEAT, self.beat)

    def count(self):
        """The counters, as the watcher reads them while a link is active."""
        if self.by_derp != self.seen_by_derp and self.direct:
            self.judge.note_other_way(self.world.now)
        self.seen_by_derp = self.by_derp
        self.world.at(watcher.SLOW_TICK, self.count)

    def ping(self, began):
        """Ping through the tunnel."""
        self.send(60, lambda: self.other.send(60, lambda: self.judge.note_round_trip(
            'other', self.world.now - began)))

    def step(self):
        sample = LinkSample(link_types.DIRECT if self.direct else link_types.DERP, self.tx, self.rx)
        for action in self.judge.step(self.world.now, {'other': sample}):
            if isinstance(action, Ping):
                self.pings += 1
                self.ping(self.world.now)
            elif isinstance(action, AskDerp):
                self.asked += 1
                self.world.at(2 * BY_DERP, lambda: self.judge.note_derp_answer('other', self.world.now))
            elif isinstance(action, Rebind):
                self.rebinds.append(self.world.now)
                self.trusted_until, self.discovered = float('-inf'), float('-inf')
        self.world.at(PING_PERIOD if self.judge.is_busy() else watcher.TICK, self.step)


class TwoRobots:
    """
    :param rates: packets per second of each robot.
    :param loss: share of packets that the path loses.
    """

    def __init__(self, rates, loss=0.0, seed=1):
        self.chance, self.loss = random.Random(seed), loss
        self.now, self.events, self.number = 0.0, [], 0
        self.dead = set()
        self.a, self.b = Robot(self, 'a', rates[0]), Robot(self, 'b', rates[1])
        self.a.other, self.b.other = self.b, self.a
        for robot in (self.a, self.b):
            robot.trust()
            for what in (robot.beat, robot.count, robot.step) + ((robot.stream,) if robot.rate else ()):
                self.at(self.chance.random() * 0.5, what)

    def at(self, after, what, *values):
        self.number += 1
        heapq.heappush(self.events, (self.now + after, self.number, what, values))

    def carry(self, sender, then, *values):
        """Carry a packet of ``sender`` on the path, unless that direction is dead."""
        if sender.name not in self.dead and self.chance.random() >= self.loss:
            self.at(BY_PATH, then, *values)

    def run(self, seconds):
        until = self.now + seconds
        while self.events[0][0] <= until:
            self.now, _, what, values = heapq.heappop(self.events)
            what(*values)
        self.now = until
        return self

    def forget_gaps(self):
        for robot in (self.a, self.b):
            robot.longest, robot.last = 0.0, self.now
