"""The choice of a packet filter: by trying the rules, before anything is written."""
import os
import shutil

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import backend as backends
from ua_overlay.firewall import egress, guard
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend, Unusable

NFTABLES, OLD = Backend(NFT, ('/usr/sbin/nft',)), Backend(IPTABLES, ('/usr/sbin/iptables',))
#: What nft says on the kernel of a Jetson board, which has no nf_tables.
JETSON = 'netlink: Error: cache initialization failed: Protocol not supported'


def refusing(*kinds):
    def attempt(each):
        if each.kind in kinds:
            raise OverlayError('{} refused.'.format(each.kind))
    return attempt


@pytest.mark.parametrize('kinds, chosen', [((), NFTABLES), ((NFT,), OLD)])
def test_the_first_that_takes_the_rules(kinds, chosen):
    assert backends.choose([NFTABLES, OLD], refusing(*kinds), 'The rule') == chosen


def test_none_takes_the_rules():
    with pytest.raises(Unusable) as caught:
        backends.choose([NFTABLES, OLD], refusing(NFT, IPTABLES), 'The rule', 'sudo do without')
    assert caught.value.sentence == 'The rule cannot be loaded on this machine (nft refused).'
    assert caught.value.next_command == 'sudo do without'
    with pytest.raises(Unusable) as caught:
        backends.choose([], refusing(), 'The rule', 'sudo do without')
    assert 'neither' in caught.value.sentence
    assert caught.value.next_command == 'sudo apt install nftables, or sudo do without'


def test_installed_programs(monkeypatch):
    monkeypatch.setattr(backends.nft, 'search', lambda: '/usr/sbin/nft')
    monkeypatch.setattr(backends.iptables, 'find_iptables', lambda: [('/usr/sbin/iptables',)])
    assert backends.candidates() == [NFTABLES, OLD] and backends.candidates((NFT,)) == [NFTABLES]
    assert backends.installed(IPTABLES) == OLD
    monkeypatch.setattr(backends.nft, 'search', lambda: None)
    with pytest.raises(Unusable, match='programs of nft'):
        backends.installed(NFT)


@pytest.mark.skipif(shutil.which('nft') is None or os.geteuid() != 0, reason='nft checks rules as root alone.')
@pytest.mark.fault('case 13', 'A kernel without nf_tables, such as a Jetson board has',
                   behaviour='the egress rule and the guard use iptables; without it nothing is written',
                   reported='at once: robot prepare, guard on', recovery='none needed', lost='nothing')
def test_the_rules_are_tried_with_the_real_nft_and_with_one_that_refuses(tmp_path):
    real = Backend(NFT, (shutil.which('nft'),))
    program = tmp_path / 'nft'
    program.write_text('#!/bin/sh\necho "{}" >&2\nexit 1\n'.format(JETSON))
    program.chmod(0o755)
    jetson = Backend(NFT, (str(program),))
    settings = egress.Settings(('203.0.113.10', 'fd00::1'))
    for attempt in (lambda each: egress.try_rules(egress.ROBOT, settings, each),
                    lambda each: guard.try_rules(guard.Guard(), each)):
        assert backends.choose([real], attempt, 'The rule') == real
        with pytest.raises(Unusable, match='Protocol not supported'):
            backends.choose([jetson], attempt, 'The rule')
    # Nothing was loaded by the trial.
    assert not backends.nft.list_table(egress.ROBOT.table, real.programs[0])


def test_rules_of_iptables():
    chain = egress.chain(egress.ROBOT, egress.Settings(('203.0.113.10', 'fd00::1'), interface='ts0'))
    assert chain.rules4[:3] == ('-m mark ! --mark 0x80000/0xff0000 -j RETURN', '-o lo -j RETURN', '-o ts0 -j RETURN')
    assert '-d 203.0.113.10/32 -j RETURN' in chain.rules4 and '-d fd00::1/128 -j RETURN' in chain.rules6
    assert '-d fd00::1/128 -j RETURN' not in chain.rules4 and chain.rules4[-1].startswith('-j REJECT')
    rules = guard.chain(guard.Guard(interfaces=('tailscale0', 'docker0'), allow=(50000,)))
    assert rules.hook == 'INPUT' and rules.rules4[:3] == (
        '-i lo -j RETURN', '-i docker0 -j RETURN', '-i tailscale0 -j RETURN')
    assert any('--dport 50001:60999 ' in rule for rule in rules.rules4)
    assert all('--tcp-flags FIN,SYN,RST,ACK SYN' in rule for rule in rules.rules4[3:])
