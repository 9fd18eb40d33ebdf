"""Bad links on real hosts: what the emulator was told is what ping and TCP see; it is put in and taken out live."""
import json
import os
import signal
import subprocess
import sys

import pytest
from places import ROOT

from ua_overlay.errors import OverlayError
from ua_overlay.lab import link, link_meter, shape
from ua_overlay.lab.topology import parse

TOPOLOGY = '''
version: 1
inet: {subnet: 198.51.100.0/24, dns: 198.51.100.2}
hosts:
  server: {address: 198.51.100.10, link: {delay: 5ms}}
nats:
  nat1: {address: 198.51.100.21, inside: 10.0.2.2/24, link: {rate: 20mbit, delay: 1ms}}
robots:
  dev-1: {behind: nat1, address: 10.0.2.15, hostname: robot}
'''


@pytest.fixture(scope='module')
def bad(new_lab):
    lab = new_lab(parse(TOPOLOGY), 'links')
    yield lab


def figures(lab, host, seconds=2.0):
    return {figure.key: figure for figure in link_meter.measure(lab, host, seconds)}


def trip(lab, host='dev-1', to='198.51.100.10', count=20):
    """Median round trip in ms from a host to an address, which may take several links."""
    text = lab.host(host).run(['ping', '-n', '-i', '0.01', '-c', str(count), '-W', '2', to]).stdout
    trips = sorted(link_meter.parse_ping(text))
    return trips[len(trips) // 2]


def test_link_shapes_come_from_the_topology(bad):
    assert {host: shape.describe(each) for host, each in link.shapes(bad).items()} == {
        'server': 'delay 5ms', 'nat1': 'delay 1ms, rate 20mbit, queue 50ms'}
    # Two links on the way, each of them twice. A busy machine adds to that; it takes nothing off.
    assert 12.0 <= trip(bad) < 25.0


def test_nothing_but_the_link_answers_for_the_router(bad):
    """Linux answers ARP for any address of its own on every interface: the bridge in front of the emulator did so for
    the router's, a robot that believed it sent past the link, and the router dropped that as it came from no LAN."""
    link.set_shape(bad, 'dev-1', shape.parse({'delay': '10ms'}))
    try:
        for _ in range(10):
            bad.host('dev-1').run(['ip', 'neigh', 'flush', 'dev', 'eth0'])
            assert trip(bad, to='10.0.2.2', count=3) >= 20.0
    finally:
        link.clear(bad, 'dev-1')


def test_delay_and_rate_match_the_settings(bad):
    seen = figures(bad, 'nat1')
    assert 2.0 <= seen['rtt'].measured < 8.0
    assert seen['tcp'].expected == pytest.approx(18.83, abs=0.01)
    assert abs(seen['tcp'].error) < 0.10
    assert seen['loss'].measured < 1.0


def test_loss_jitter_and_a_change_while_running(bad):
    link.set_shape(bad, 'dev-1', shape.parse({'loss': '20%'}), seed=3)
    assert 20.0 < figures(bad, 'dev-1')['loss'].measured < 52.0  # 36 % of the round trips, of 400
    counts = link.counts(bad, 'dev-1')
    assert counts['out']['lost'] > 20 and counts['in']['lost'] > 20
    service = link.Attachment(bad.topology, 'dev-1').service
    before = bad.service('nat1', service).pid
    link.set_shape(bad, 'dev-1', shape.parse({'delay': '20ms', 'jitter': '10ms'}))
    assert bad.service('nat1', service).pid == before
    seen = figures(bad, 'dev-1')
    assert 35.0 < seen['rtt'].measured < 60.0 and seen['loss'].measured < 1.0
    assert seen['rtt'].expected == 40.0
    assert link.clear(bad, 'dev-1') and not link.clear(bad, 'dev-1')
    assert trip(bad, to='10.0.2.2') < 15.0 and link.shape_of(bad, 'dev-1').plain


def test_a_connection_survives_starts_and_stops_of_the_emulator(bad):
    """Five seconds of pings at 20 Hz over both changes: the host keeps its interface and its neighbours."""
    process = bad.host('dev-1').popen(['ping', '-n', '-i', '0.05', '-c', '100', '-W', '2', '198.51.100.10'],
                                      stdout=subprocess.PIPE, universal_newlines=True)
    process.stdout.readline()
    process.stdout.readline()  # the first answer
    link.set_shape(bad, 'dev-1', shape.parse({'delay': '3ms'}))
    link.clear(bad, 'dev-1')
    answers = link_meter.parse_ping(process.communicate(timeout=60)[0])
    assert process.returncode == 0 and len(answers) >= 90


@pytest.mark.fault('new', "The emulator of a lab's link is killed", behaviour='The link is cut; `lab link` says so',
                   reported='at once: lab link', recovery='with lab link set or clear', lost='nothing')
def test_a_dead_emulator_is_a_cut_cable_and_is_reported(bad):
    link.set_shape(bad, 'dev-1', shape.parse({'delay': '1ms'}))
    place = link.Attachment(bad.topology, 'dev-1')
    process = bad.service(place.owner, place.service)
    bad.kill_service(place.owner, place.service, signal.SIGKILL)
    assert process.wait(30)
    with pytest.raises(OverlayError) as caught:
        link.shape_of(bad, 'dev-1')
    assert 'is cut' in caught.value.sentence and 'lab link clear dev-1' in caught.value.next_command
    assert bad.host('dev-1').run(['ping', '-c', '1', '-W', '1', '10.0.2.2'], check=False).returncode != 0
    link.set_shape(bad, 'dev-1', shape.parse({'delay': '2ms'}))
    assert trip(bad, to='10.0.2.2') >= 4.0
    assert link.clear(bad, 'dev-1')
    assert trip(bad, to='10.0.2.2') < 15.0


def test_command_line(lab_possible):
    name = 'link-cli-{}'.format(os.getpid())

    def lab(*words, check=True):
        done = subprocess.run([sys.executable, os.path.join(ROOT, 'scripts', 'ua-overlay'), 'lab'] + list(words),
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True, timeout=120)
        assert not check or done.returncode == 0, done.stderr
        return done

    lab('up', '--name', name)
    try:
        said = lab('link', 'set', 'dev-1', '--delay', '5ms', '--loss', '1%', '--name', name).stdout
        assert said == 'The link of dev-1: delay 5ms, loss 1%.\n'
        assert lab('link', 'set', 'dev-1', '--loss', '0', '--name', name).stdout == 'The link of dev-1: delay 5ms.\n'
        shown = json.loads(lab('link', 'show', '--json', '--name', name).stdout)
        assert [(item['host'], item['link']) for item in shown] == [('dev-1', {'delay': '5ms'})]
        assert 'delay 5ms' in lab('status').stdout
        rows = json.loads(lab('link', 'measure', 'dev-1', '--seconds', '1', '--json', '--name', name).stdout)
        assert rows[0]['expected'] == 10.0 and 10.0 <= rows[0]['measured'] < 30.0
        assert lab('link', 'clear', 'dev-1', '--name', name).stdout == 'The link of dev-1 is now a plain cable.\n'
        for words, part in ((['set', 'dev-1'], 'Nothing to change'), (['clear', 'inet'], 'no host inet'),
                            (['set', 'dev-9', '--delay', '1ms'], 'no host dev-9'),
                            (['set', 'dev-1', '--delay', '10'], 'link.delay')):
            done = lab('link', *(words + ['--name', name]), check=False)
            assert done.returncode == 2 and part in done.stderr, done
    finally:
        lab('down', '--name', name)
