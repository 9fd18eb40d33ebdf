"""Facts: when there is a network to judge."""
from dataclasses import replace

import pytest

from ua_overlay.checks.facts import Facts
from ua_overlay.errors import Problem
from unit.checks.healthy import FACTS, STATUS, changed


def test_a_robot_in_the_overlay():
    assert FACTS.network == STATUS


@pytest.mark.parametrize('facts', [
    Facts(), changed(daemon_problem=Problem('NO_DAEMON', '')), changed(status=replace(STATUS, state='Stopped'))])
def test_no_network(facts):
    assert facts.network is None
