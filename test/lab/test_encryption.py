"""The proof of encryption by its command, with real daemons over all three link types and past the tunnel.

The run past the tunnel shows that the search can fail: there it finds the canary at each outside place.
"""
import json
import os
import subprocess
import sys

import pytest
from places import COMMAND

from ua_overlay.wire import capture, packets

ROBOTS, ROUTERS = {'dev-1', 'dev-2'}, {'nat1', 'nat2'}


@pytest.fixture(scope='module')
def made(lab_possible, tmp_path_factory):
    """(proof as JSON, directory of --output)."""
    output = str(tmp_path_factory.mktemp('proof') / 'out')
    # The site, and three times the longest time in which tailscaled finds a path.
    done = subprocess.run([sys.executable, COMMAND, 'measure', 'encryption', '--json', '--output', output, '--name',
                           'encryption-{}'.format(os.getpid())], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True, timeout=900)
    assert done.stdout, done.stderr
    proof = json.loads(done.stdout)
    assert done.returncode == 0, [run['why'] for run in proof['runs']]
    return proof, output


def run_of(made, link):
    return next(run for run in made[0]['runs'] if run['link'] == link)


def hosts_with_canary(run, inside):
    return {place['host'] for place in run['places'] if place['inside'] == inside and (
        place['found'] or place['in_streams'])}


def outside(run, host):
    return [place for place in run['places'] if place['host'] == host and not place['inside']]


def test_outside_the_tunnel_every_host_on_the_path_reads_the_canary(made):
    run = run_of(made, 'raw')
    assert hosts_with_canary(run, False) == ROBOTS | ROUTERS and not hosts_with_canary(run, True)


@pytest.mark.parametrize('link, carrier', [
    ('DIRECT', 'WireGuard 4 data'), ('PEER_RELAY', 'WireGuard 4 data in Geneve'), ('DERP', 'TLS')])
def test_the_canary_appears_only_inside_the_tunnel(made, link, carrier):
    run = run_of(made, link)
    assert hosts_with_canary(run, True) == ROBOTS and hosts_with_canary(run, False) == set()
    on_the_path = ROBOTS | ROUTERS | ({'server'} if link != 'DIRECT' else set())
    for host in on_the_path:
        assert any(place['kinds'].get(carrier, {}).get('bytes', 0) > 20000 for place in outside(run, host)), host
    assert outside(run, 'server'), 'the host of the relays is captured too'
    assert run['picture']['kind'] == carrier


@pytest.mark.parametrize('link', ['DIRECT', 'PEER_RELAY', 'DERP'])
def test_inside_looks_like_text_and_outside_like_noise(made, link):
    for place in run_of(made, link)['places']:
        if place['inside']:
            assert place['entropy'] < 6.5
        elif place['host'] in ROBOTS and sum(count['bytes'] for count in place['kinds'].values()) > 20000:
            assert place['entropy'] > 7.95


def test_the_page_and_the_captures_are_kept(made):
    _, output = made
    with open(os.path.join(output, 'encryption.html'), encoding='utf-8') as stream:
        text = stream.read()
    assert text.count('<pre>') == 6 and 'http://' not in text.replace('http://www.w3.org', '')
    kept = [os.path.join(folder, name) for folder, _, names in os.walk(output) for name in names
            if name.endswith('.pcap')]
    for name in kept:
        with open(name, 'rb') as stream:
            assert packets.parse_all(capture.read(stream.read())), name
    assert any('tailscale0' in name for name in kept)


def test_captured_files_are_searched_in_the_same_way(made, tmp_path):
    proof, output = made
    for run in proof['runs'][1:]:
        canary = tmp_path / run['link']
        canary.write_text(run['canary'])
        last = sorted(name for name in os.listdir(output) if name.startswith(run['link'].lower() + '-'))[-1]

        def file(host, interface, last=last):
            return os.path.join(output, last, '{}.{}.pcap'.format(host, interface))

        words = [sys.executable, COMMAND, 'measure', 'encryption', '--canary', str(canary), '--inside',
                 file('dev-2', 'tailscale0'), '--outside']
        assert subprocess.run(words + [file('nat2', 'wan')], stdout=subprocess.DEVNULL).returncode == 0
        assert subprocess.run(words + [file('dev-2', 'tailscale0')], stdout=subprocess.DEVNULL).returncode == 1
