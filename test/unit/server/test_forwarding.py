"""What a machine in front of the server forwards. The rules carry real traffic in test/lab/test_proxy.py."""
import dataclasses
import ipaddress
import os
import shutil
import subprocess

import pytest

from ua_overlay.defaults import DERP_PORT, RELAY_PORT, SERVER_PORT, STUN_PORT
from ua_overlay.errors import UsageError
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import forwarding
from ua_overlay.server.forwarding import Forward

SETTINGS = SiteSettings('s.test', ('203.0.113.10',), private=('192.168.7.10',))
BOTH = SiteSettings('s.test', ('203.0.113.10', '2001:db8::10'), private=('192.168.7.10', 'fd00::10'))


def test_every_port_of_every_public_address_is_forwarded():
    assert forwarding.forwards(SETTINGS) == [
        Forward('tcp', SERVER_PORT, 'control and DERP', '203.0.113.10', '192.168.7.10'),
        Forward('udp', STUN_PORT, 'STUN', '203.0.113.10', '192.168.7.10'),
        Forward('udp', RELAY_PORT, 'peer relay', '203.0.113.10', '192.168.7.10')]
    assert [(each.public, each.private) for each in forwarding.forwards(BOTH)[::3]] == [
        ('203.0.113.10', '192.168.7.10'), ('2001:db8::10', 'fd00::10')]
    assert {each.private for each in forwarding.forwards(SETTINGS, '192.168.8.1')} == {'192.168.8.1'}


def test_a_derper_beside_headscale_needs_its_port():
    assert forwarding.forwards(dataclasses.replace(SETTINGS, derp_port=DERP_PORT))[1] == Forward(
        'tcp', DERP_PORT, 'DERP beside Headscale', '203.0.113.10', '192.168.7.10')


@pytest.mark.parametrize('settings, private, words', [
    (SiteSettings('s.test'), None, 'no public address'),
    (SiteSettings('s.test', ('203.0.113.10',)), None, 'no private address'),
    (SETTINGS, 'fd00::10', 'another IP version')])
def test_a_site_that_cannot_be_forwarded(settings, private, words):
    with pytest.raises(UsageError, match=words) as caught:
        forwarding.forwards(settings, private)
    assert caught.value.next_command


def test_source_addresses_are_kept_except_from_the_inside():
    rules = forwarding.nftables(forwarding.forwards(SETTINGS), [forwarding.check_beside('192.168.7.0/24'),
                                                                forwarding.check_beside('fd00::/64')])
    lines = [line.strip() for line in rules.splitlines()]
    assert 'ip daddr 203.0.113.10 udp dport {0} dnat ip to 192.168.7.10:{0} comment "STUN"'.format(STUN_PORT) in lines
    assert 'ip daddr 192.168.7.10 tcp dport {} ct status dnat accept'.format(SERVER_PORT) in lines
    masquerading = [line for line in lines if 'masquerade' in line]
    assert [line.split()[2] for line in masquerading] == ['192.168.7.10', '192.168.7.0/24']
    # Only what the server sends to itself gets another source when no robots are beside it.
    assert forwarding.nftables(forwarding.forwards(BOTH)).count('masquerade') == 2
    six = forwarding.nftables(forwarding.forwards(BOTH))
    assert 'ip6 daddr 2001:db8::10 tcp dport {0} dnat ip6 to [fd00::10]:{0}'.format(SERVER_PORT) in six


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft checks rules only as root.')
@pytest.mark.parametrize('settings', [SETTINGS, BOTH])
def test_nft_accepts_the_rules(tmp_path, settings):
    path = tmp_path / 'forward.nft'
    path.write_text(forwarding.nftables(forwarding.forwards(settings), [ipaddress.ip_network('192.168.7.0/24')]))
    checked = subprocess.run(['nft', '--check', '--file', str(path)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             universal_newlines=True)
    assert (checked.returncode, checked.stdout) == (0, '')


def test_rules_as_text():
    text = forwarding.as_text(forwarding.forwards(SETTINGS), [ipaddress.ip_network('192.168.7.0/24')])
    assert '  TCP {}   of 203.0.113.10  to  192.168.7.10   (control and DERP)'.format(SERVER_PORT) in text
    for word in ('UDP {}'.format(STUN_PORT), 'UDP {}'.format(RELAY_PORT), 'default gateway', 'hairpin'):
        assert word in text
    assert 'ip address add 203.0.113.10/32 dev lo' in text and 'Let 192.168.7.0/24 reach 203.0.113.10' in text


def test_invalid_network_is_rejected():
    with pytest.raises(UsageError, match='192.168.7.1/24 is not a network'):
        forwarding.check_beside('192.168.7.1/24')
