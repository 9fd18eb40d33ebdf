"""The roswtf plugin: quick, silent where there is no overlay, and it raises nothing. With the real roswtf: test/lab."""
import threading

import pytest

from ua_overlay import wtf
from ua_overlay.checks.finding import Finding
from ua_overlay.membership.settings import write_settings

rules = pytest.importorskip('roswtf.rules', reason='roswtf is not installed')


class Context:
    """What roswtf's rules use of roswtf.context.WtfContext."""

    def __init__(self):
        self.warnings, self.errors = [], []

    def as_dictionary(self):
        return {}


def report(observe, choose=list):
    context = Context()
    wtf._report(context, choose, frozenset(), observe)
    return [item.msg for item in context.warnings], [item.msg for item in context.errors]


def test_levels_and_percent_signs():
    warnings, errors = report(lambda parts: (
        Finding('a', 'OK', 'fine'), Finding('b', 'WARN', '100% %s %(x)s', 'Why.', 'date +%F'),
        Finding('c', 'ERROR', 'bad'), Finding('d', 'UNKNOWN', 'perhaps')))
    assert warnings == ['overlay b: 100% %s %(x)s Why. Next: date +%F'] and errors == ['overlay c: bad']


def test_the_plugin_ends_in_time(monkeypatch):
    monkeypatch.setattr(wtf, 'BUDGET', 0.1)
    hang = threading.Event()
    try:
        warnings, errors = report(lambda parts: hang.wait(30))
    finally:
        hang.set()
    assert errors == [] and len(warnings) == 1 and 'did not finish' in warnings[0]


def test_the_plugin_never_raises():
    def broken(parts):
        raise KeyError('50% of it')
    warnings, _ = report(broken)
    assert len(warnings) == 1 and 'KeyError' in warnings[0] and '50% of it' in warnings[0]


def observe(tmp_path, **environ):
    environ['UA_OVERLAY_RUN_DIR'] = str(tmp_path)
    return wtf.observe(frozenset(), environ, str(tmp_path / 'none.sock'), str(tmp_path), str(tmp_path / 'ca.pem'))


def test_no_output_on_a_machine_without_an_overlay(tmp_path):
    assert observe(tmp_path) == ()


def test_output_on_a_robot(tmp_path):
    write_settings(str(tmp_path), {'team': 'iris'})
    assert [item.id for item in observe(tmp_path) if item.level == 'ERROR'] == ['daemon']


def test_the_two_calls_report_different_findings(monkeypatch):
    findings = (Finding('daemon', 'ERROR', 'x'), Finding('node-names', 'ERROR', 'y'))
    monkeypatch.setattr(wtf._report, '__defaults__', (lambda parts: findings,))
    static, online = Context(), Context()
    wtf.roswtf_plugin_static(static)
    wtf.roswtf_plugin_online(online)
    assert [item.msg for item in static.errors] == ['overlay daemon: x']
    assert [item.msg for item in online.errors] == ['overlay node-names: y']
