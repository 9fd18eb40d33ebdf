"""The keeper of the egress rule, without nft and name servers. With them: test_server_service.py, test_leaks.py."""
import threading

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress, egress_keeper
from ua_overlay.firewall.backend import NFT, Backend
from ua_overlay.firewall.egress import Settings
from ua_overlay.firewall.egress_keeper import EgressKeeper
from ua_overlay.firewall.egress_table import CHANGED, IN_FORCE, MISSING, TableState

NFTABLES = Backend(NFT, ('nft',))


class Names:
    """Name servers, and nft."""

    def __init__(self, names=('server', '10.0.0.9')):
        self.names = names
        self.known = {'server': ['203.0.113.10']}
        self.state = IN_FORCE
        self.present = ('10.0.0.9', '203.0.113.10')  # as it was written
        self.loaded, self.said, self.fail = [], [], False
        self.settings = Settings(user='daemon')

    def keeper(self, **options):
        return EgressKeeper(egress.SERVER, lambda: self.names, self.resolve,
                            lambda: TableState(self.state, self.present), self.load, self.said.append,
                            lambda: self.settings, lambda: NFTABLES, **options)

    def resolve(self, name):
        if name == '10.0.0.9':
            return [name]
        if name not in self.known:
            raise OSError('no answer')
        return self.known[name]

    def load(self, text):
        if self.fail:
            raise OverlayError('nft refused.')
        self.loaded.append(text)
        if text.startswith('flush'):
            self.present = tuple(sum((found.split(', ') for found in self.addresses()), []))

    def addresses(self):
        """The addresses of the last update."""
        return [line.split('{ ')[1][:-2] for line in self.loaded[-1].split('\n') if line.startswith('add element')]


def test_new_addresses_are_added_and_unresolved_names_keep_theirs():
    names = Names()
    keeper = names.keeper()
    assert keeper.step() == keeper.PERIOD
    del names.known['server']
    assert [keeper.step() for _ in range(6)] == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert len(set(names.loaded)) == 1 and names.addresses() == ['10.0.0.9, 203.0.113.10']
    names.known['server'] = ['203.0.113.77']
    assert keeper.step() == keeper.PERIOD and names.addresses() == ['10.0.0.9, 203.0.113.77']
    assert len(names.said) == 2  # once for each change


def test_the_period_is_an_argument():
    names = Names()
    keeper = names.keeper(period=10.0)
    assert keeper.step() == 10.0
    names.known.clear()
    assert [keeper.step() for _ in range(4)] == [4.0, 8.0, 10.0, 10.0]


def test_a_missing_or_changed_rule_is_loaded_again():
    names = Names()
    keeper = names.keeper()
    keeper.step()
    for state, word in ((MISSING, 'missing'), (CHANGED, 'changed by another program')):
        names.state = state
        keeper.step()
        keeper.step()
        assert names.loaded[-1] == egress.ruleset(
            egress.SERVER, Settings(('10.0.0.9', '203.0.113.10'), 'daemon'), NFTABLES)
        assert [line for line in names.said if word in line] == [names.said[-1]]
        names.state = IN_FORCE
        keeper.step()
        assert names.addresses()


def test_addresses_are_allowed_before_names_resolve():
    names = Names(names=['server'])
    keeper = names.keeper()
    keeper.step()
    assert names.present == ('203.0.113.10',)
    names.names = ['10.0.0.9', 'server', 'second.server']
    seen = []

    def resolve(name):
        seen.append(names.addresses())
        return names.resolve(name)

    keeper._resolve = resolve
    keeper.step()
    assert seen[0] == ['10.0.0.9, 203.0.113.10'] == names.addresses()
    assert len(names.loaded) == 3
    keeper.step()
    assert len(names.loaded) == 4  # this time the rule existed already


def test_a_site_without_servers_differs_from_an_unknown_one():
    names = Names(names=None)
    keeper = names.keeper()
    assert keeper.step() == 4.0 and names.loaded == []
    names.names = []
    assert keeper.step() == keeper.PERIOD and names.addresses() == [] and 'this machine alone' in names.said[-1]
    names.names = ['server']
    names.known.clear()
    keeper.step()
    assert len(names.loaded) == 1  # a name without an address is not an empty list


def test_a_problem_is_reported_once_and_the_keeper_continues():
    names = Names()
    names.fail = True
    keeper = names.keeper()
    for _ in range(3):
        assert keeper.step() == keeper.PERIOD
    assert len(names.said) == 1 and 'nft refused' in names.said[0] and keeper.problem == names.said[0]
    names.fail = False
    keeper.step()
    assert names.loaded and keeper.problem == ''


def test_the_proxy_of_tailscaled_is_allowed_and_followed():
    names = Names(names=['10.0.0.9'])
    names.settings = Settings(proxies=('http://proxy.lan:3128',))
    names.known = {'proxy.lan': ['192.0.2.8']}
    keeper = names.keeper()
    keeper.step()
    assert names.addresses() == ['10.0.0.9, 192.0.2.8']
    names.known['proxy.lan'] = ['192.0.2.9']
    keeper.step()
    assert names.addresses() == ['10.0.0.9, 192.0.2.9']


def test_a_packet_filter_that_is_gone_is_reported(which):
    """`apt remove nftables`: the keeper goes on, and says so once."""
    names = Names()

    def gone():
        raise OverlayError('The programs of nft are missing.')

    keeper = EgressKeeper(which, lambda: names.names, names.resolve, lambda: TableState(MISSING), names.load,
                          names.said.append, Settings, gone)
    for _ in range(2):
        assert keeper.step() == keeper.PERIOD
    assert len(names.said) == 1 and 'missing' in names.said[0]


@pytest.fixture
def which(tmp_path):
    """An egress rule whose file is below a directory of the test."""
    return egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft'))


def keep(which, monkeypatch, names, times, **options):
    """The ``times`` first texts that `keep` gives to nft; the rule is written after the first wait."""
    options.setdefault('period', 0.01)
    loaded, stop = [], threading.Event()
    monkeypatch.setattr(egress_keeper.backends, 'installed', lambda kind: NFTABLES)
    monkeypatch.setattr(egress_keeper.egress_table, 'inspect', lambda _: TableState(IN_FORCE))

    def load(text, _nft, _mend):
        loaded.append(text)
        if len(loaded) == times:
            stop.set()

    monkeypatch.setattr(egress_keeper.nft, 'load', load)
    thread = threading.Thread(target=egress_keeper.keep, daemon=True, args=(
        which, names, lambda name: [name], stop, lambda text: None), kwargs=options)
    thread.start()
    with open(which.rules, 'w') as stream:
        stream.write('')
    assert stop.wait(20)
    thread.join(20)
    return loaded


def test_a_rule_installed_later_is_kept(which, monkeypatch):
    assert '203.0.113.10' in keep(which, monkeypatch, lambda: ['203.0.113.10'], 1)[0]


def test_the_last_names_are_kept_while_none_are_known(which, monkeypatch):
    answers = [['203.0.113.10']]

    def names():
        if answers:
            return answers.pop()
        raise OverlayError('site.yaml is in the middle of an edit.')

    rounds = []
    loaded = keep(which, monkeypatch, names, 3, on_round=rounds.append)
    # One round may load twice, see below.
    assert len(rounds) >= 2 and set(rounds) == {''}
    assert len(set(loaded)) == 1 and '203.0.113.10' in loaded[0]


def test_a_change_is_noticed_before_the_next_step(which, monkeypatch):
    """The rule is there and was reconciled; then the server announces a DERP on a remote host."""
    monkeypatch.setattr(egress_keeper, 'NEWS', 0.01)
    monkeypatch.setattr(egress_keeper, 'installed_kind', lambda _: NFT)
    site, asked = ['203.0.113.10'], []

    def names():
        asked.append(None)
        return list(site)

    def news():
        if asked:
            site[1:] = ['203.0.113.11']
        return tuple(site)

    loaded = keep(which, monkeypatch, names, 4, period=600.0, news=news)
    # Twice for each: plain addresses are allowed first.
    assert ['203.0.113.11' in text for text in loaded] == [False, False, True, True] and len(asked) == 2
