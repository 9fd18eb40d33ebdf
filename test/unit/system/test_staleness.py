"""A thread that hangs."""
from ua_overlay.system.staleness import Staleness


def test_a_silence_that_is_too_long():
    now = [100.0]
    staleness = Staleness(60.0, lambda: now[0])
    now[0] += 60.0
    assert staleness.sentence('It') == ''
    now[0] += 1.0
    assert staleness.sentence('It') == 'It hangs: it did nothing for 61 s.'
    report = {'state': 'up', 'ok': True, 'pid': 7}
    assert staleness.judge(report, 'It') == {'state': 'unknown: It hangs: it did nothing for 61 s.', 'ok': False,
                                             'pid': 7}
    staleness.seen()
    assert staleness.sentence('It') == '' and staleness.judge(report, 'It') == report
