"""Certificates of remote DERP regions that end: test/lab/test_relays_loopback.py has the real ones."""
import pytest

from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import derp_certificate
from ua_overlay.relays.derp_watcher import DerpWatcher
from ua_overlay.relays.probe import Unreachable
from ua_overlay.site.site import Site

DAY = 86400.0
NOW = 1.8e9


@pytest.mark.parametrize('days, words', [
    (31, ''), (30, ''), (29.9, 'ends in 29 days, on 2027-02-'), (1.5, 'ends in 1 day, on'), (0.5, 'ends in 0 days, on'),
    (-0.1, 'ended on 2027-01-1')])
def test_the_last_month_is_said(days, words):
    found = derp_certificate.warning('lab-b', NOW + days * DAY, NOW)
    assert (found is not None) == bool(words)
    if words:
        assert 'DERP lab-b ' + words in found.sentence and 'derp create lab-b --again' in found.next_command


def test_the_watcher_says_it_once_a_day_and_keeps_what_it_saw(tmp_path):
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test', derp=(DerpHost('lab-b', 901, '127.0.0.1'),)),
                       lambda directory: None)
    said, clock, end = [], [NOW], NOW + 40 * DAY

    def look(*_):
        if clock[0] > end:
            raise Unreachable('its certificate is not of this site: certificate has expired')
        return end

    watcher = DerpWatcher(site, said.append, look, lambda: clock[0])
    assert watcher.ends() == {}
    watcher.step()
    assert watcher.ends() == {'lab-b': end} and not [line for line in said if 'certificate' in line]
    clock[0] += 20 * DAY
    for _ in range(3):
        watcher.step()
    assert [line for line in said if 'ends in 20 days' in line] == [said[-1]]
    clock[0] += DAY
    watcher.step()
    assert 'ends in 19 days' in said[-1] and 'Next: ua-overlay derp create' in said[-1]
    clock[0] = end + DAY
    watcher.step()
    assert 'ended on' in said[-1] and watcher.ends() == {'lab-b': end}
