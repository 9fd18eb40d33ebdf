"""Links in simulated time, for what decides about dead paths (ua_overlay.tailscale.dead_paths): an hour takes seconds.

The unit tests and `make bench ARGS="--only heal"` play the same hours.
"""
import heapq
import random

from ua_overlay import link_types
from ua_overlay.tailscale import dead_paths
from ua_overlay.tailscale.dead_paths import AskDerp, DeadPaths, Healed, LinkSample, Passed, Ping, Rebind, Unanswered

#: Seconds between two statuses of an active link (tailscale.watcher.TICK).
TICK = 0.2


class World:
    """A robot's links: packets that are lost or late, tailscaled's counters, and what is asked for.

    :param seed: of the losses.
    :param round_trip: (random, time, seconds of queue) -> seconds.
    """

    def __init__(self, seed=1, loss=0.0, round_trip=lambda chance, now: 0.02, derp=True):
        self.chance = random.Random(seed)
        self.loss, self.round_trip, self.derp = loss, round_trip, derp
        self.judge = DeadPaths()
        self.now = 0.0
        self.counts, self.kinds, self.streams, self.dead, self.off = {}, {}, {}, {}, set()
        self.events, self.number = [], 0
        self.rebinds, self.healed, self.ended, self.pings, self.asked = [], [], [], 0, 0
        self.longest, self.last = {}, {}

    def add(self, peer, kind=link_types.DIRECT, rate=10.0, size=200, answers=True):
        """A stream to a peer: ``rate`` packets a second of ``size`` bytes, which the peer answers or not."""
        self.counts[peer], self.kinds[peer] = [0, 0], kind
        self.streams[peer] = (rate, size, answers)
        if rate:
            self.at(self.now + self.chance.random() / rate, self.send, peer)
            if not answers:
                self.at(self.now + 10.0, self.keep_alive, peer)

    def at(self, when, function, *values):
        self.number += 1
        heapq.heappush(self.events, (when, self.number, function, values))

    def send(self, peer):
        rate, size, answers = self.streams[peer]
        if not rate:
            return
        self.carry(peer, size, answers and 50)
        self.at(self.now + 1.0 / rate, self.send, peer)

    def keep_alive(self, peer):
        """WireGuard's passive keepalive: who only receives answers after 10 s (WireGuard paper, 6.5)."""
        self.carry(peer, 0, 32)
        self.at(self.now + 10.0, self.keep_alive, peer)

    def carry(self, peer, size, answer, then=None):
        """A packet goes to a peer, and its answer comes back, unless one of them is lost."""
        self.counts[peer][0] += size
        alive = peer not in self.off and (peer not in self.dead or self.dead[peer] > self.now)
        if alive and answer and self.chance.random() >= self.loss and self.chance.random() >= self.loss:
            trip = self.round_trip(self.chance, self.now)
            self.at(self.now + trip, self.receive, peer, answer, trip, then)

    def receive(self, peer, size, trip, then):
        self.counts[peer][1] += size
        self.longest[peer] = max(self.longest.get(peer, 0.0), self.now - self.last.get(peer, self.now))
        self.last[peer] = self.now
        if then:
            then(peer, trip)

    def step(self):
        samples = {peer: LinkSample(self.kinds[peer], *counts) for peer, counts in self.counts.items()}
        for action in self.judge.step(self.now, samples):
            if isinstance(action, Ping):
                self.pings += 1
                self.carry(action.peer, 60, 60, self.judge.note_round_trip)
            elif isinstance(action, AskDerp):
                self.asked += 1
                if self.derp and action.peer not in self.off:
                    self.at(self.now + 0.05, lambda peer: self.judge.note_derp_answer(peer, self.now), action.peer)
            elif isinstance(action, Rebind):
                self.rebinds.append((self.now, dict(action.silent)))
                # Every link goes by DERP now, at once.
                self.dead = {peer: when for peer, when in self.dead.items() if when > self.now}
            elif isinstance(action, Healed):
                self.healed.append((self.now, action.peer, action.silent))
            else:
                assert isinstance(action, (Passed, Unanswered))
                self.ended.append(action)

    def run(self, until):
        next_step = self.now
        while self.now < until:
            if self.events and self.events[0][0] <= next_step:
                self.now, _, function, values = heapq.heappop(self.events)
                function(*values)
            else:
                self.now = next_step
                self.step()
                next_step = self.now + (dead_paths.PING_PERIOD if self.judge.is_busy() else TICK)
        return self


#: What must not cause a rebind: (name, options of World, options of World.add).
HARMLESS = [
    ('1 % loss', {'loss': 0.01}, {}),
    ('5 % loss', {'loss': 0.05}, {}),
    ('5 % loss, one-way', {'loss': 0.05}, {'answers': False}),
    ('300 ms with 100 ms of jitter', {'round_trip': lambda chance, now: 0.3 + chance.uniform(-0.1, 0.1)}, {}),
    ('300 ms with jitter, one-way', {'round_trip': lambda chance, now: 0.3 + chance.uniform(-0.1, 0.1)},
     {'answers': False}),
    ('a camera whose queue fills in a second, and empties', {
        'round_trip': lambda chance, now: 0.02 + max(0.0, min(1.0, now % 20.0 - 5.0, 15.0 - now % 20.0))},
     {'rate': 30.0, 'size': 20000, 'answers': False}),
    ('one-way by UDP', {}, {'answers': False, 'rate': 20.0}),
    ('a packet now and then', {'loss': 0.05}, {'rate': 0.15}),
    ('nothing', {}, {'rate': 0.0})]
