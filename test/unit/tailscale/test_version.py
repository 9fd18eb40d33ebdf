import pytest

from ua_overlay.tailscale.version import is_supported


@pytest.mark.parametrize('text, good', [
    ('1.79.9', False), ('1.58.2-t0', False), ('1.80.0', True), ('1.100.0', True), ('2.0', True), ('devel', True)])
def test_supported(text, good):
    assert is_supported(text) is good
