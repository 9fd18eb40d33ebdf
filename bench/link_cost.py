"""What each link type costs on links of a stated shape, and what the relays carry when no link limits them.

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
from ua_overlay.measure.campaign import sample
from ua_overlay.measure.report import stats

NAME = 'losses'
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
COMMAND = os.path.join(ROOT, 'scripts', 'ua-overlay')
TOPOLOGY = os.path.join(ROOT, 'config', 'lab', 'links.yaml')
CAMPAIGN = os.path.join(ROOT, 'config', 'campaigns', 'links.yaml')
#: Where everything is measured on the shaped link: scenario -> how the table calls it.
SHAPED = {'direct': 'DIRECT', 'relay': 'PEER_RELAY', 'derp': 'DERP'}
#: tool -> (key of the metric in a sample's values, factor, unit).
METRICS = {sample.TCP: ('TCP', 'bps', 1e-6, 'Mbit/s'), sample.UDP: ('UDP lost', 'lost_percent', 1.0, '%'),
           sample.PING: ('round trip', 'rtt_ms', 1.0, 'ms')}
LOSS = {'direct': 6.5, 'relay': 8.0}
ADDED = {'direct': 1.0, 'relay': 1.5}
RELAY_OVER_DERP = 8.0


def measure(progress, results=None):
    """Returns the Figure.

    :param results: a results directory of this campaign that is there already: nothing is measured then.
    """
    if results:
        return figure(sample.read(results))
    with tempfile.TemporaryDirectory(prefix='ua-bench-', dir='/tmp') as directory:
        with progress('A lab with three pairs of robots, one for each link type'):
            lab = Lab.up(load_topology(TOPOLOGY), 'bench-{}'.format(os.getpid()), bound=True)
        with lab:
            teams.bring_up(teams.Team(Fleet(lab, None, COMMAND), 'iris'), teams.chosen(lab.topology, None), progress)
            # It tells by itself how far it is. What was left out of the figure stands in its output.
            done = subprocess.run([sys.executable, COMMAND, 'measure', 'run', CAMPAIGN, '--lab', lab.name,
                                   '--results', directory], stdout=sys.stderr)
        samples = sample.read(directory)
        if not samples:
            raise OverlayError('The campaign ended with status {} and left no sample.'.format(done.returncode))
        return figure(samples)


def values(samples, scenario, tool, path):
    """One number a repetition: what METRICS says, of a list its median."""
    _name, key, factor, _unit = METRICS[tool]
    found = [each['values'][key] for each in samples
             if (each['status'], each['scenario'], each['tool'], each['path']) == ('ok', scenario, tool, path)]
    return [factor * (median(value) if isinstance(value, list) else value) for value in found]


def figure(samples):
    """The Figure of a campaign's samples. Pure."""
    rows = []
    for scenario in dict.fromkeys(each['scenario'] for each in samples):
        for tool, (name, _key, _factor, unit) in METRICS.items():
            for path in sample.PATHS:
                found = values(samples, scenario, tool, path)
                raw = '{}, {}, raw'.format(scenario, name)
                if found:
                    compare = raw if path != 'raw' and values(samples, scenario, tool, 'raw') and unit != '%' else ''
                    rows.append(Row('{}, {}, {}'.format(scenario, name, path), found, compare, unit))
    left = sorted('{}: {}'.format(each['id'], each['problem']) for each in samples if each['status'] != 'ok')
    return Figure(NAME, 'what a link type costs on 100 Mbit/s and 10 ms each way; -cable: no link limits it', '', rows,
                  aims(samples), ['Headers alone cost {:.2f} % of TCP in WireGuard.'.format(stats.header_floor(
                      stats.overlay_efficiency()))] + ['left out: ' + each for each in left],
                  {'samples': [each['id'] for each in samples]})


def aims(samples):
    """Sentences. An aim of what was not measured has none. Pure."""
    found = []
    for scenario, label in SHAPED.items():
        tcp = [values(samples, scenario, sample.TCP, path) for path in sample.PATHS]
        if all(tcp) and scenario in LOSS:
            lost = 100 * (median(tcp[0]) - median(tcp[1])) / median(tcp[0])
            found.append(verdict('TCP loss on ' + label, lost, LOSS[scenario], ' %'))
        trips = [values(samples, scenario, sample.PING, path) for path in sample.PATHS]
        if all(trips) and scenario in ADDED:
            found.append(verdict('round trip added by ' + label, median(trips[1]) - median(trips[0]), ADDED[scenario],
                                 ' ms'))
        lost = values(samples, scenario, sample.UDP, sample.OVERLAY)
        if lost and scenario in LOSS:
            found.append(verdict('UDP lost at half the capacity on ' + label, median(lost), 0, ' %'))
    relay, derp = (values(samples, scenario + '-cable', sample.TCP, sample.OVERLAY) for scenario in ('relay', 'derp'))
    if relay and derp:
        ratio = median(relay) / median(derp)
        found.append('PEER_RELAY carries {:.1f} times what DERP does where no link limits it, aim {:g}: {}'.format(
            ratio, RELAY_OVER_DERP, 'reached' if ratio >= RELAY_OVER_DERP else 'MISSED'))
    return found
