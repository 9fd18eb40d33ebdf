"""The unit of an nftables table. test_sandbox.py has its sandbox; the tests of the guard have systemd's word on it."""
from ua_overlay.system.rules_unit import rules_unit


def test_the_unit_loads_reloads_and_deletes():
    text = rules_unit('Egress rule', 'ua-overlay x on', ('/usr/sbin/nft', '-f', '/etc/x.nft'),
                      ('/usr/sbin/nft', 'delete table inet x'), before='tailscaled.service', undo='ua-overlay x off')
    lines = text.split('\n')
    assert lines[0] == '# Written by `ua-overlay x on`; `ua-overlay x off` removes it.'
    for line in ('Description=Egress rule', 'Before=network-pre.target tailscaled.service',
                 'ExecStart=/usr/sbin/nft -f /etc/x.nft', 'ExecReload=/usr/sbin/nft -f /etc/x.nft',
                 'ExecStop=/usr/sbin/nft "delete table inet x"', 'CapabilityBoundingSet=CAP_NET_ADMIN'):
        assert line in lines


def test_optional_lines_are_omitted():
    lines = rules_unit('x', 'ua-overlay x on', ('nft', '-f', '/x'), ('nft', 'y')).split('\n')
    assert lines[0] == '# Written by `ua-overlay x on`.' and 'Before=network-pre.target' in lines
