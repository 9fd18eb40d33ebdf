"""The rules file of an egress rule, without nft and name servers."""
import pytest

from ua_overlay.firewall import egress
from ua_overlay.firewall.backend import IPTABLES, NFT, Backend
from ua_overlay.firewall.egress import Settings
from ua_overlay.firewall.egress_addresses import (
    addresses_of,
    installed_kind,
    installed_rules,
    installed_settings,
    make_settings,
)

NAMES = ['203.0.113.10', 'server.example.org']


@pytest.fixture
def which(tmp_path):
    """An egress rule whose file is below a directory of the test."""
    return egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft'))


def test_rules_have_the_addresses_of_the_names(which):
    resolve = {'203.0.113.10': ['203.0.113.10'], 'server.example.org': ['203.0.113.10', 'fd00::1']}.__getitem__
    assert make_settings(which, NAMES, resolve).addresses == ('203.0.113.10', 'fd00::1')


def test_a_name_that_does_not_resolve_keeps_the_installed_addresses(which):
    def resolve(name):
        if name == 'server.example.org':
            raise OSError('no name server')
        return [name]

    assert addresses_of(NAMES, resolve) == ({'203.0.113.10'}, False)
    assert installed_rules(which) == ''
    assert make_settings(which, NAMES, resolve).addresses == ('203.0.113.10',)
    with open(which.rules, 'w') as stream:
        stream.write(egress.ruleset(which, Settings(('198.51.100.7',)), Backend(NFT, ('nft',))))
    assert make_settings(which, NAMES, resolve).addresses == ('198.51.100.7', '203.0.113.10')


def test_a_proxy_is_one_of_the_addresses(which):
    desired = Settings(proxies=('http://proxy.lan:3128', 'http://192.0.2.9:80'))
    resolve = {'203.0.113.10': ['203.0.113.10'], 'proxy.lan': ['192.0.2.8'], '192.0.2.9': ['192.0.2.9']}.__getitem__
    made = make_settings(which, ['203.0.113.10'], resolve, desired)
    assert made == desired._replace(addresses=('192.0.2.8', '192.0.2.9', '203.0.113.10'))


def test_the_file_names_the_backend_and_the_settings(which):
    assert (installed_kind(which), installed_settings(which)) == ('', None)
    settings = Settings(('198.51.100.7',), '', 'ts0', ('http://proxy.lan:3128',))
    path = egress.rules_path(which, IPTABLES)
    with open(path, 'w') as stream:
        stream.write(egress.ruleset(which, settings, Backend(IPTABLES, ('/sbin/iptables', '/sbin/ip6tables'))))
    assert (installed_kind(which), installed_settings(which)) == (IPTABLES, settings)
