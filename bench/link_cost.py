"""The cost of each link type on links of a stated shape, and the throughput of the relays when no link limits them.

The campaign config/campaigns/links.yaml in the lab config/lab/links.yaml, judged by the aims."""
import os
import subprocess
import sys
import tempfile

from figure import Figure, Row, median, verdict

from ua_overlay.errors import OverlayError
from ua_overlay.lab import team as teams
from ua_overlay.lab.fleet import Fleet
from ua_overlay.lab.lab import Lab, load_topology
from ua_overlay.measure import headers, paths
from ua_overlay.measure.campaign import store
from ua_overlay.measure.tools import iperf_tcp, iperf_udp, ping

NAME = 'losses'
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = os.path.join(ROOT, 'scripts', 'ua-overlay')
TOPOLOGY = os.path.join(ROOT, 'config', 'lab', 'links.yaml')
CAMPAIGN = os.path.join(ROOT, 'config', 'campaigns', 'links.yaml')
#: Scenarios on the shaped link -> link type.
SHAPED = {'direct': 'DIRECT', 'relay': 'PEER_RELAY', 'derp': 'DERP'}
TCP, UDP, PING = iperf_tcp.KIND, iperf_udp.KIND, ping.KIND
#: Tool -> (name, key in a sample's values, factor, unit).
METRICS = {TCP: ('TCP', 'bps', 1e-6, 'Mbit/s'), UDP: ('UDP lost', 'lost_percent', 1.0, '%'),
           PING: ('round trip', 'rtt_ms', 1.0, 'ms')}
LOSS = {'direct': 6.5, 'relay': 8.0}
ADDED = {'direct': 1.0, 'relay': 1.5}
RELAY_OVER_DERP = 8.0


def measure(progress, results=None):
    """Returns the Figure.

    :param results: a results directory of this campaign, to use instead of measuring.
    """
    if results:
        return figure(store.read(results))
    with tempfile.TemporaryDirectory(prefix='ua-bench-', dir='/tmp') as directory:
        with progress('A lab with three pairs of robots, one for each link type'):
            lab = Lab.up(load_topology(TOPOLOGY), 'bench-{}'.format(os.getpid()), bound=True)
        with lab:
            teams.bring_up(teams.Team(Fleet(lab, None, COMMAND), 'iris'), teams.chosen(lab.topology, None), progress)
            # The campaign shows its own progress. The figure lists the excluded samples.
            done = subprocess.run([sys.executable, COMMAND, 'measure', 'run', CAMPAIGN, '--lab', lab.name,
                                   '--results', directory], stdout=sys.stderr)
        samples = store.read(directory)
        if not samples:
            raise OverlayError('The campaign ended with status {} and left no sample.'.format(done.returncode))
        return figure(samples)


def values(samples, scenario, tool, path):
    """One number for each repetition, as METRICS has it; of a list the median."""
    _name, key, factor, _unit = METRICS[tool]
    measured = [each.values[key] for each in samples
                if each.ok and (each.scenario, each.tool, each.path) == (scenario, tool, path)]
    return [factor * (median(value) if isinstance(value, list) else value) for value in measured]


def figure(samples):
    """The Figure of a campaign's samples. Pure."""
    rows = []
    for scenario in dict.fromkeys(each.scenario for each in samples):
        for tool, (name, _key, _factor, unit) in METRICS.items():
            for path in paths.PATHS:
                numbers = values(samples, scenario, tool, path)
                raw = '{}, {}, raw'.format(scenario, name)
                if numbers:
                    compare = raw if path != 'raw' and values(samples, scenario, tool, 'raw') and unit != '%' else ''
                    rows.append(Row('{}, {}, {}'.format(scenario, name, path), numbers, compare, unit))
    left = sorted('{}: {}'.format(each.id, each.problem) for each in samples if not each.ok)
    return Figure(NAME, 'what a link type costs on 100 Mbit/s and 10 ms each way; -cable: no link limits it', '', rows,
                  aims(samples), ['Headers alone cost {:.2f} % of TCP in WireGuard.'.format(headers.header_floor(
                      headers.overlay_efficiency()))] + ['left out: ' + each for each in left],
                  {'samples': [each.id for each in samples]})


def aims(samples):
    """A sentence for each aim whose numbers were measured. Pure."""
    sentences = []
    for scenario, label in SHAPED.items():
        tcp = [values(samples, scenario, TCP, path) for path in paths.PATHS]
        if all(tcp) and scenario in LOSS:
            lost = 100 * (median(tcp[0]) - median(tcp[1])) / median(tcp[0])
            sentences.append(verdict('TCP loss on ' + label, lost, LOSS[scenario], ' %'))
        trips = [values(samples, scenario, PING, path) for path in paths.PATHS]
        if all(trips) and scenario in ADDED:
            added = median(trips[1]) - median(trips[0])
            sentences.append(verdict('round trip added by ' + label, added, ADDED[scenario], ' ms'))
        lost = values(samples, scenario, UDP, paths.OVERLAY)
        if lost and scenario in LOSS:
            sentences.append(verdict('UDP lost at half the capacity on ' + label, median(lost), 0, ' %'))
    relay, derp = (values(samples, scenario + '-cable', TCP, paths.OVERLAY) for scenario in ('relay', 'derp'))
    if relay and derp:
        ratio = median(relay) / median(derp)
        sentences.append('PEER_RELAY carries {:.1f} times what DERP does where no link limits it, aim {:g}: {}'.format(
            ratio, RELAY_OVER_DERP, 'reached' if ratio >= RELAY_OVER_DERP else 'MISSED'))
    return sentences
