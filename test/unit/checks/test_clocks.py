"""Clocks of the team, in milliseconds."""
import pytest

from ua_overlay.checks import clocks
from ua_overlay.checks.facts import ClockOffset, Facts
from unit.checks.healthy import changed


@pytest.mark.parametrize('offset, error, level', [
    (0.0, 0.001, 'OK'), (0.049, 0.0, 'OK'), (0.06, 0.02, 'OK'), (0.06, 0.005, 'WARN'), (-0.3, 0.01, 'WARN'),
    (1.5, 0.01, 'ERROR'), (-86400.0, 0.01, 'ERROR')])
def test_team_clocks(offset, error, level):
    verdict = clocks.team_clocks(changed(clocks=(ClockOffset('dev-1', offset, error), ClockOffset('dev-3', 0, 0.001))))
    assert verdict.level == level and 'dev-1 ({:+.0f} ms'.format(1000 * offset) in verdict.what
    if level != 'OK':
        assert 'dev-3' not in verdict.what and 'server server.ua.test iburst' in verdict.next_command
        # A robot of Ubuntu has timesyncd, and neither chrony nor its directory.
        assert verdict.next_command.startswith('sudo apt install -y chrony; ')


def test_without_facts_there_is_no_verdict():
    assert clocks.team_clocks(Facts()) is clocks.team_clocks(changed(clocks=())) is None
