"""A host that cannot be created: its two processes report one line each, in either order."""
import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.lab import host
from ua_overlay.lab.host import HostMaker

#: A process that is gone by the time its number is read.
GONE = 'true & gone=$!; wait $gone; echo "{\\"pid\\": $gone}"; '


@pytest.mark.parametrize('script, why', [
    (GONE + 'echo \'{"error": "mount: No such file"}\'', 'mount: No such file'),
    ('echo \'{"error": "mount: No such file"}\'; ' + GONE, 'mount: No such file'),
    (GONE, 'it ended, see its log'),
    (GONE + 'echo \'{"ready": true}\'', 'it ended, see its log'),
    ('exit 1', 'it ended, see its log'),
])
def test_the_cause_of_a_failure_is_reported_in_either_order(tmp_path, monkeypatch, script, why):
    (tmp_path / 'logs').mkdir()
    monkeypatch.setattr(host, 'program', lambda *argv: ['sh', '-c', 'read spec; ' + script])
    maker = HostMaker({'name': 'dev-1'}, str(tmp_path))
    with pytest.raises(OverlayError) as caught:
        maker.wait_ready()
    assert (caught.value.code, caught.value.sentence) == (
        'LAB_HOST', 'Host dev-1 could not be made: {}.'.format(why))
    maker.drop()
