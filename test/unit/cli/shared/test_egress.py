"""The egress rules that commands write, and their keeper, without nft and name servers."""
import datetime
import threading

import pytest

from ua_overlay.cli.shared import egress as robot_egress
from ua_overlay.errors import OverlayError
from ua_overlay.firewall import egress
from ua_overlay.firewall.egress_table import IN_FORCE, TableState

NAMES = ['203.0.113.10', 'server.example.org']
NOW = datetime.datetime(2026, 11, 24, tzinfo=datetime.timezone.utc)


@pytest.fixture
def place(tmp_path):
    """A rule below a directory of the test."""
    return egress.ROBOT._replace(rules=str(tmp_path / 'egress.nft'))


def test_rules_have_what_names_resolve_to(place):
    def find(name):
        return {'203.0.113.10': ['203.0.113.10'], 'server.example.org': ['203.0.113.10', 'fd00::1']}[name]

    text = robot_egress.make_rules(place, NAMES, find=find)
    assert egress.parse_addresses(text) == ['203.0.113.10', 'fd00::1']


def test_what_does_not_resolve_now_stays_as_it_was(place):
    def find(name):
        if name == 'server.example.org':
            raise OSError('no name server')
        return [name]

    assert egress.parse_addresses(robot_egress.make_rules(place, NAMES, find=find)) == ['203.0.113.10']
    with open(place.rules, 'w') as stream:
        stream.write(egress.ruleset(place, ['198.51.100.7']))
    assert egress.parse_addresses(robot_egress.make_rules(place, NAMES, find=find)) == [
        '198.51.100.7', '203.0.113.10']


def keep(place, monkeypatch, names, times, **options):
    """What `keep` gives to nft in ``times`` looks; the rule is written after the first wait."""
    options.setdefault('period', 0.01)
    loaded, stop = [], threading.Event()
    monkeypatch.setattr(robot_egress, 'find_nft', lambda: 'nft')
    monkeypatch.setattr(robot_egress.egress_table, 'inspect', lambda which: TableState(IN_FORCE))

    def load(text, _nft, _mend):
        loaded.append(text)
        if len(loaded) == times:
            stop.set()

    monkeypatch.setattr(robot_egress, 'load', load)
    thread = threading.Thread(target=robot_egress.keep, daemon=True, args=(
        place, names, stop, lambda text: None), kwargs=options)
    thread.start()
    with open(place.rules, 'w') as stream:
        stream.write('')
    assert stop.wait(20)
    thread.join(20)
    return loaded


def test_a_rule_that_comes_later_is_kept_too(place, monkeypatch):
    assert '203.0.113.10' in keep(place, monkeypatch, lambda: ['203.0.113.10'], 1)[0]


def test_what_was_known_holds_while_nobody_can_tell(place, monkeypatch):
    answers = [['203.0.113.10']]

    def names():
        if answers:
            return answers.pop()
        raise OverlayError('site.yaml is in the middle of an edit.')

    loaded = keep(place, monkeypatch, names, 3)
    assert len(set(loaded)) == 1 and '203.0.113.10' in loaded[0]


def test_news_are_heard_long_before_the_next_look(place, monkeypatch):
    """The rule is there and looked at; then the server tells of a DERP on a remote host."""
    monkeypatch.setattr(robot_egress, 'NEWS', 0.01)
    monkeypatch.setattr(robot_egress.os.path, 'exists', lambda path: True)
    site, looked = ['203.0.113.10'], []

    def names():
        looked.append(None)
        return list(site)

    def news():
        if looked:
            site[1:] = ['203.0.113.11']
        return tuple(site)

    loaded = keep(place, monkeypatch, names, 4, period=600.0, news=news)
    # Twice for each: what is an address already is let through first.
    assert ['203.0.113.11' in text for text in loaded] == [False, False, True, True] and len(looked) == 2
