"""A site with a self-signed certificate that openssl made, and robots with the stock client that trust only it."""
import os
import shutil
import subprocess

import pytest
from site_on_loopback import LoopbackSite

from ua_overlay.lab.wait import wait
from ua_overlay.trust.probe import check_server

pytestmark = pytest.mark.skipif(shutil.which('openssl') is None, reason='openssl is not installed')


def make_certificate(directory, name):
    """Make a certificate as many manuals do; returns the paths (certificate, key)."""
    paths = [os.path.join(directory, name + end) for end in ('.pem', '.key')]
    done = subprocess.run(
        ['openssl', 'req', '-x509', '-newkey', 'rsa:2048', '-sha256', '-days', '365', '-nodes', '-keyout', paths[1],
         '-out', paths[0], '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
    assert done.returncode == 0, done.stdout
    return paths


@pytest.fixture
def site():
    made = LoopbackSite()
    try:
        yield made
    finally:
        made.close()


def test_stock_clients_join_and_trust_only_that_certificate(site):
    certificate, key = make_certificate(site.base, 'openssl')
    site.call('server', 'init', '--name', 'localhost', '--address', '127.0.0.1', '--port', str(site.port),
              '--stun-port', str(site.stun_port), '--relay-port', str(site.relay_port),
              '--certificate', certificate, '--key', key)
    site.start()
    site.call('team', 'create', 'iris')
    invitations = {name: site.invite('iris', name)[0] for name in ('dev-1', 'dev-2', 'dev-3')}
    with open(certificate) as stream:
        assert invitations['dev-1'].ca_pem.strip() == stream.read().strip()
    # The check of `join` before it sends its key.
    assert check_server(invitations['dev-1'].server_url, invitations['dev-1'].ca_pem).ok

    robots = [site.robot(name, relayed=True) for name in ('dev-1', 'dev-2')]
    for robot in robots:
        joined = robot.join(invitations[robot.name])
        assert joined.returncode == 0, joined.stderr
    wait('each other', lambda: all('dev-' in ' '.join(robot.peers()) for robot in robots))
    # DERP is another TLS connection, with a strict check.
    wait('a packet through DERP', lambda: 'pong' in robots[0].tailscale(
        'ping', '--c=3', '--timeout=3s', 'dev-2').stdout, 120)

    # Another certificate for the same name is refused.
    other, _ = make_certificate(site.base, 'other')
    with open(other) as stream:
        text = stream.read()
    stranger = site.robot('dev-3', trust=text)
    refused = stranger.join(invitations['dev-3'], timeout='10s')
    assert refused.returncode != 0
    assert any('certificate' in line for line in stranger.status()['Health'] or ()), stranger.status()['Health']
    # Its key was not used up.
    assert site.json('team', 'list')[0]['open_invitations'] == 1
