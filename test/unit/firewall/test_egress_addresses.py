"""The rules file of an egress rule, without nft and name servers."""
import pytest

from ua_overlay.firewall import egress
from ua_overlay.firewall.egress_addresses import addresses_of, installed_rules, make_rules

NAMES = ['203.0.113.10', 'server.example.org']


@pytest.fixture
def which(tmp_path):
    """An egress rule whose file is below a directory of the test."""
    return egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft'))


def test_rules_have_the_addresses_of_the_names(which):
    resolve = {'203.0.113.10': ['203.0.113.10'], 'server.example.org': ['203.0.113.10', 'fd00::1']}.__getitem__
    assert egress.parse_addresses(make_rules(which, NAMES, resolve)) == ['203.0.113.10', 'fd00::1']


def test_a_name_that_does_not_resolve_keeps_the_installed_addresses(which):
    def resolve(name):
        if name == 'server.example.org':
            raise OSError('no name server')
        return [name]

    assert addresses_of(NAMES, resolve) == ({'203.0.113.10'}, False)
    assert installed_rules(which) == ''
    assert egress.parse_addresses(make_rules(which, NAMES, resolve)) == ['203.0.113.10']
    with open(which.rules, 'w') as stream:
        stream.write(egress.ruleset(which, ['198.51.100.7']))
    assert egress.parse_addresses(make_rules(which, NAMES, resolve)) == ['198.51.100.7', '203.0.113.10']
