import pytest

from ua_overlay.tailscale.version import is_supported, parse_version


@pytest.mark.parametrize('text, version', [
    ('1.98.10', (1, 98, 10)), ('1.98.10-ERR-BuildInfo', (1, 98, 10)), ('1.80', (1, 80, 0)),
    ('v1.100.0-t1234abcd-g5678', (1, 100, 0)), ('', None), (None, None), ('devel', None),
])
def test_parse(text, version):
    assert parse_version(text) == version


@pytest.mark.parametrize('text, good', [
    ('1.79.9', False), ('1.58.2-t0', False), ('1.80.0', True), ('1.100.0', True), ('2.0', True), ('devel', True)])
def test_supported(text, good):
    assert is_supported(text) is good
