"""An observer that hangs is noticed once, and a process that was stopped finds nobody guilty."""
from ua_overlay.nodes.watchdog import HELD_UP, Watchdog


def names(silences):
    return [each.name for each in silences]


def test_an_observer_that_hangs_is_reported_once_until_it_reports_again():
    dog = Watchdog({'tailscale-status': 5.0, 'environment': 100.0}, 0.0)
    assert dog.check(2.0) == []
    dog.hear('tailscale-status', 3.0)
    assert names(dog.check(8.0)) == []
    silence, = dog.check(8.5)
    assert silence.sentence() == 'The thread tailscale-status has reported nothing for 6 s.'
    assert dog.check(10.0) == dog.check(18.0) == []
    dog.hear('tailscale-status', 20.0)
    assert names(dog.check(24.0)) == []
    assert names(dog.check(26.0)) == ['tailscale-status']


def test_one_that_never_reports_is_noticed_too():
    dog = Watchdog({'environment': 5.0}, 0.0)
    assert names(dog.check(6.0)) == ['environment']


def test_a_process_that_was_stopped_blames_no_observer():
    """SIGSTOP for an hour: the observers had no chance to report either."""
    dog = Watchdog({'environment': 15.0}, 0.0)
    dog.hear('environment', 1.0)
    assert dog.check(2.0) == []
    assert dog.check(3600.0) == dog.check(3602.0) == []
    for second in range(3603, 3616, 1):
        silent = dog.check(float(second))
    assert names(silent) == ['environment']
    assert HELD_UP < 15.0
