"""For tests of the monitor: its campaign, a clock, and samples that take no time."""
import dataclasses

from ua_overlay.measure.campaign import campaign, sample
from ua_overlay.measure.campaign.proof import Proof
from ua_overlay.measure.monitor import monitor, rotating_store
from unit.measure.campaigns import of_step

TEXT = '''
version: 1
name: days
hosts: {b: {overlay: b, ssh: none}}
tools:
  ping: {count: 10, interval: 0.5}
  tcp: {tool: iperf3-tcp, seconds: 3, omit: 1, rate: 5mbit}
scenarios:
  - {name: pair, from: a, to: b}
monitor: {capacity: 20mbit, interval: 300}
'''
#: 2026-01-01, in unix seconds.
START = 1767225600.0


def plan_of(text=TEXT):
    return monitor.checked(monitor.prepared(campaign.parse(text)))


class Clock:
    def __init__(self):
        self.now = START
        self.slept = []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds


class Measurement:
    """A mock: the order and the times are tested here, which real tools take."""

    def __init__(self, clock, seconds=20.0):
        self.clock, self.seconds = clock, seconds

    def take(self, step):
        taken = dataclasses.replace(of_step(step), started=sample.moment(self.clock()),
                                    proof=Proof({'DIRECT': 5, 'DERP': 0}))
        self.clock.now += self.seconds
        return taken


def store_in(path, clock, keep_bytes=1e9, keep_seconds=1e9):
    made = rotating_store.RotatingStore(str(path), keep_bytes, keep_seconds, clock)
    made.open()
    return made
