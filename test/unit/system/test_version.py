import pytest

from ua_overlay.system.version import parse_version


@pytest.mark.parametrize('text, version', [
    ('1.98.10', (1, 98, 10)), ('1.98.10-ERR-BuildInfo', (1, 98, 10)), ('1.80', (1, 80, 0)),
    ('v1.100.0-t1234abcd-g5678', (1, 100, 0)), ('headscale version v0.29.3', (0, 29, 3)),
    ('go version go1.26.6 linux/amd64', (1, 26, 6)), ('', None), (None, None), ('devel', None), ('\u0661.2', None),
    ('9' * 5000 + '.' + '9' * 5000, (999999999, 999999999, 0))])
def test_parse_version(text, version):
    assert parse_version(text) == version
