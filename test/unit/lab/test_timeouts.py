"""The limits of a lab, and the one number that scales them."""
import subprocess
import sys

import pytest
from paths import SOURCE

from ua_overlay.lab import timeouts


@pytest.mark.parametrize('environment, expected', [({}, 10.0), ({'UA_OVERLAY_TIME_SCALE': '2.5'}, 25.0)])
def test_one_number_scales_every_limit(environment, expected):
    code = 'from ua_overlay.lab import timeouts; print(timeouts.scaled(timeouts.ANSWER))'
    said = subprocess.run([sys.executable, '-c', code], env=dict(environment, PYTHONPATH=SOURCE),
                          stdout=subprocess.PIPE, check=True)
    assert float(said.stdout) == expected


def test_an_outer_limit_exceeds_its_inner_limits():
    assert timeouts.ANSWER < timeouts.START < timeouts.JOIN < timeouts.GRAPH < timeouts.PATH < timeouts.PLAYBOOK
