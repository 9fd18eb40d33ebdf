"""Links that the path keeper must leave alone: lossy, slow, full, one-way, and to a peer that is switched off.

An hour of each in simulated time, by the same simulation as the unit tests; and some minutes of each on real links.
"""
import contextlib
import os
import sys
import time

from figure import Row, verdict
from setup_lab import PYTHON, put

from ua_overlay.defaults import RUN_DIR
from ua_overlay.lab import link, shape
from ua_overlay.lab.relays import ROBOTS
from ua_overlay.lab.wait import wait
from ua_overlay.tailscale import link_log
from ua_overlay.tailscale.path_keeper import REBIND

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'test'))
from link_world import HARMLESS, World  # noqa: E402

#: Simulated seconds of each case.
HOUR = 3600.0
PORT = 9000
#: (name, shape of dev-1's link, packets per second and bytes of a UDP stream or None, whether dev-2 is off). All but
#: the one-way stream have a ping at 10 Hz besides.
CASES = (
    ('1 % loss', {'loss': '1%'}, None, False),
    ('5 % loss', {'loss': '5%'}, None, False),
    ('300 ms with 100 ms of jitter', {'delay': '150ms', 'jitter': '50ms'}, None, False),
    ('a camera that fills a queue of 1 s', {'rate': '5mbit', 'queue': '1s'}, (700, 1000), False),
    ('one-way by UDP', {}, (20, 200), False),
    ('a peer that is switched off', {}, None, True))


def simulate(progress, seeds, values):
    """Add to ``values`` {(SIMULATED, case): rebinds of each seed}."""
    for name, options, stream in HARMLESS:
        with progress('Simulated hours: {}'.format(name)):
            for seed in range(seeds):
                world = World(seed, **options)
                world.add('dev-2', **stream)
                world.run(HOUR)
                values.setdefault(('simulated', name), []).append(len(world.rebinds))


def try_out(progress, pair, minutes, values):
    """Add to ``values`` {('real', case): [rebinds]}, of a lab whose robots run the overlay node on a DIRECT link."""
    sink, flow = put(pair, 'dev-2', 'udp_flow.py'), put(pair, 'dev-1', 'udp_flow.py')
    pair.lab.start_service('dev-2', 'sink', [PYTHON, sink, 'sink', str(PORT)])
    target = pair.address('dev-2')
    for name, words, stream, off in CASES:
        with contextlib.ExitStack() as stack, progress('{}, {:g} minutes'.format(name, minutes)):
            with pair.traffic():
                pair.wait_link('DIRECT')
            link.set_shape(pair.lab, 'dev-1', shape.parse(words))
            stack.callback(link.clear, pair.lab, 'dev-1')
            if stream:
                pair.lab.start_service('dev-1', 'flow', [PYTHON, flow, 'send', target, str(PORT)] +
                                       [str(number) for number in stream])
                stack.callback(pair.lab.stop_service, 'dev-1', 'flow')
            if not stream or words:
                stack.enter_context(pair.traffic())
            begin = time.time()
            if off:
                pair.cut_off('dev-2')
                stack.callback(pair.connect_again, 'dev-2')
            wait('The end of the time', lambda begin=begin: time.time() > begin + 60 * minutes, 120 * minutes, poll=1.0)
            values.setdefault(('real', name), []).append(rebinds(pair, begin))
    pair.lab.stop_service('dev-2', 'sink')


def rebinds(pair, begin):
    """How often both robots had tailscaled rebind since ``begin`` (Unix time)."""
    return sum(record.action == REBIND and record.stamp >= begin for robot in ROBOTS
               for record in link_log.read(pair.lab.host(robot).path(RUN_DIR)))


def rows(values, minutes):
    """(rows, aims) of a figure. Pure."""
    made, aims = [], []
    for kind, what in (('simulated', 'an hour, simulated'), ('real', '{:g} minutes, real'.format(minutes))):
        counts = {name: numbers for (each, name), numbers in values.items() if each == kind}
        made += [Row('rebinds: {}, {}'.format(name, what), numbers, unit='times') for name, numbers in counts.items()]
        if counts:
            aims.append(verdict('unnecessary rebinds in {} cases, of each {}'.format(len(counts), what),
                                sum(map(sum, counts.values())), 0, ''))
    return made, aims
