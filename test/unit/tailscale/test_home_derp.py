"""A home DERP that the server does not know is reported again, and nothing else is touched."""
import pytest

from ua_overlay.tailscale import home_derp
from ua_overlay.tailscale.home_derp import HomeReporter, is_unreported, netchecks
from ua_overlay.tailscale.localapi import DaemonError, DaemonMissing
from ua_overlay.tailscale.model import parse_status, parse_whois

STATUS = {'BackendState': 'Running', 'Self': {'Online': True, 'Relay': 'site', 'TailscaleIPs': ['100.64.0.2']}}


@pytest.mark.parametrize('status, node, expected', [
    (STATUS, {}, True),
    (STATUS, {'HomeDERP': 999}, False),
    (dict(STATUS, BackendState='Stopped'), {}, False),
    (dict(STATUS, Self=dict(STATUS['Self'], Relay='')), {}, False),
    (dict(STATUS, Self=dict(STATUS['Self'], Online=False)), {}, False),
    ({}, {}, False),
])
def test_unreported_home_derp(status, node, expected):
    assert is_unreported(parse_status(status), parse_whois({'Node': node})) == expected


def test_netchecks_are_counted():
    assert netchecks(b'# TYPE netcheck_report counter\nnetcheck_report 12\nnetcheck_report_full 3\n') == 12
    assert netchecks(b'') == 0


class Daemon:
    """A tailscaled that forgot to report; a netcheck in the homeless state and one after it make up for it."""

    def __init__(self):
        self.node, self.calls, self.count, self.homeless, self.told = {}, [], 7, False, None
        self.missing = False

    def status(self, peers=True):
        assert not peers
        if self.missing:
            raise DaemonMissing('none')
        return dict(STATUS, Self=dict(STATUS['Self'], Relay='' if self.homeless else 'site'))

    def whois(self, address):
        assert address == '100.64.0.2'
        return {'Node': self.node}

    def client_metrics(self):
        return 'netcheck_report {}\n'.format(self.count).encode()

    def debug(self, action):
        self.calls.append(action)
        if action == 'restun':
            self.count += 1
            # The first was under way before.
            self.told = 'homeless' if self.count >= 9 else None
        if action == 'derp-set-homeless':
            self.homeless = True
        if action == 'derp-unset-homeless':
            self.homeless = False
            if self.told == 'homeless':
                self.node = {'HomeDERP': 999}


class Stop:
    def __init__(self, rounds=100):
        self.rounds = rounds

    def is_set(self):
        return self.rounds <= 0

    def wait(self, timeout=None):
        self.rounds -= 1
        return self.is_set()


@pytest.fixture
def world():
    now, said, daemon = [0.0], [], Daemon()
    return now, said, daemon, HomeReporter(daemon, said.append, lambda: now[0])


def test_an_unreported_home_is_cleared_for_one_netcheck(world):
    now, said, daemon, reporter = world
    for second in (0.0, 5.0, 14.0):
        now[0] = second
        reporter.step(Stop())
        assert daemon.calls == []
    now[0] = 15.0
    reporter.step(Stop())
    assert daemon.calls == ['derp-set-homeless', 'restun', 'restun', 'derp-unset-homeless']
    assert len(said) == 1 and daemon.node == {'HomeDERP': 999}
    now[0] = 60.0
    reporter.step(Stop())
    assert len(daemon.calls) == 4 and len(said) == 1


def test_a_home_reported_in_time_is_unchanged(world):
    now, said, daemon, reporter = world
    reporter.step(Stop())
    daemon.node = {'HomeDERP': 999}
    now[0] = 10.0
    reporter.step(Stop())
    daemon.node = {}
    now[0] = 20.0
    reporter.step(Stop())
    assert daemon.calls == [] and said == []


def test_the_home_is_always_restored(world):
    now, _, daemon, reporter = world
    reporter.step(Stop())
    now[0] = home_derp.PATIENCE
    reporter.step(Stop(rounds=1))
    assert daemon.calls[-1] == 'derp-unset-homeless' and not daemon.homeless
    # Nor by an agent that was killed meanwhile.
    daemon.homeless = True
    reporter.run(Stop(rounds=1))
    assert not daemon.homeless


def test_no_action_without_a_daemon_or_after_leaving(world):
    now, said, daemon, reporter = world
    daemon.missing = True
    rounds = []
    HomeReporter(daemon, said.append, lambda: now[0], rounds.append).run(Stop(rounds=3))
    assert rounds and set(rounds) == {'none'}
    with pytest.raises(DaemonMissing):
        reporter.step(Stop())
    daemon.missing = False

    def gone(address):
        raise DaemonError('no match', status=404)

    daemon.whois = gone
    now[0] = 100.0
    reporter.step(Stop())
    assert said == []
