"""The campus at two of its places: site behind the proxy, team, campaign and report, by the commands of `make campus`;
and the measured numbers against the emulated links."""
import os
import statistics
import subprocess
import sys

import pytest
import yaml
from places import COMMAND, ROOT
from topologies import from_config

from ua_overlay.lab import shape
from ua_overlay.measure import headers
from ua_overlay.measure.campaign import store

CAMPUS = from_config('campus')
PLACES = ('lab', 'economics')
ROBOTS = ('lab-1', 'lab-2', 'economics')
SHORT = {'tcp': {'seconds': 3, 'omit': 1}, 'udp': {'seconds': 2}, 'ping': {'count': 10, 'interval': 0.05}}


def shortened():
    """The campaign of the campus, at two places and with shorter measurements."""
    with open(os.path.join(ROOT, 'config', 'campaigns', 'campus.yaml')) as stream:
        campaign = yaml.safe_load(stream)
    for name, settings in SHORT.items():
        campaign['tools'][name].update(settings)
    campaign['places'] = {name: campaign['places'][name] for name in PLACES}
    campaign['scenarios'] = [each for each in campaign['scenarios'] if each['place'] in PLACES]
    return campaign


def own(*argv, timeout=300):
    done = subprocess.run([sys.executable, COMMAND] + list(argv), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=timeout)
    assert 'Traceback' not in done.stderr, done.stderr
    return done


@pytest.fixture(scope='module')
def results(new_lab, tmp_path_factory):
    directory = tmp_path_factory.mktemp('campus')
    path = directory / 'campus.yaml'
    path.write_text(yaml.safe_dump(shortened(), sort_keys=False))
    lab = new_lab(CAMPUS, 'campus', typed=True)
    options = [word for robot in ROBOTS for word in ('--robot', robot)]
    done = own('lab', 'team', '--name', lab.name, *options)
    assert done.returncode == 0, done.stderr
    # The second time there is nothing to do, and nothing is undone.
    again = own('lab', 'team', '--name', lab.name, '--json', *options)
    assert again.returncode == 0, again.stderr
    assert [robot['online'] for robot in yaml.safe_load(again.stdout)] == [True] * len(ROBOTS)
    done = own('measure', 'run', str(path), '--lab', lab.name, '--results', str(directory / 'results'))
    assert done.returncode == 0, done.stdout + done.stderr
    return directory / 'results'


def of(samples, tool, path, place='economics'):
    return next(each for each in samples if (each.tool, each.path, each.place) == (tool, path, place))


def test_the_numbers_match_the_emulated_links(results):
    samples = store.read(str(results))
    assert len(samples) == len(PLACES) * 2 * len(SHORT) and {each.status for each in samples} == {'ok'}
    emulated = CAMPUS.links['economics']
    assert of(samples, 'ping', 'raw').link['economics'] == shape.to_words(emulated)
    for path, efficiency in (('raw', headers.raw_efficiency()), ('overlay', headers.overlay_efficiency())):
        found = of(samples, 'iperf3-tcp', path).values['bps']
        # The headers leave this much of the rate; a busy machine reaches less.
        assert 0.5 * emulated.rate * efficiency < found < 1.05 * emulated.rate * efficiency, (path, found)
        trip = statistics.median(of(samples, 'ping', path).values['rtt_ms'])
        assert 2e3 * emulated.delay <= trip < 2e3 * emulated.delay + 25.0, (path, trip)
        udp = of(samples, 'iperf3-udp', path)
        assert 0.9 < udp.values['bps'] / udp.settings['offered_bps'] < 1.05 and udp.values['lost_percent'] < 5


def test_each_place_used_the_path_of_its_label(results):
    for each in store.read(str(results)):
        counted, kind = each.proof.counted, {'lab': 'DIRECT', 'economics': 'PEER_RELAY'}[each.place]
        assert each.proof.verdict == 'proven'
        if each.path == 'overlay':
            assert max(counted, key=counted.get) == kind


def test_the_report_names_both_places(results):
    done = own('measure', 'report', str(results))
    assert done.returncode == 0, done.stderr
    report = results / 'report'
    page = (report / 'report.html').read_text()
    for word in ('IRIS-Lab (building 19)', 'Economics and Management (10)', 'EMULATED', '39.30'):
        assert word in page
    assert (report / 'report.pdf').read_bytes().startswith(b'%PDF')
    assert len((report / 'summary.csv').read_text().splitlines()) > 2 * len(SHORT)
