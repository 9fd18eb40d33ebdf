"""Which remote DERP regions answer, and the map that follows from it."""
import os

import pytest
import yaml

from ua_overlay.defaults import DERP_PORT
from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays.derp_watcher import Answering, DerpWatcher
from ua_overlay.relays.probe import Unreachable
from ua_overlay.site.site import Site

DAY = 86400.0
NOW = 1.8e9


@pytest.fixture
def site(tmp_path):
    return Site.create(str(tmp_path / 'site'), SiteSettings('s.test', derp=(DerpHost('lab-b', 901, '127.0.0.1'),)),
                       lambda directory: None)


def test_a_region_is_down_after_two_failures_and_up_at_once():
    answering = Answering()
    assert answering.step({'a': False}) == set()
    assert answering.step({'a': True}) == {'a'}
    assert answering.step({'a': False}) == {'a'}
    assert answering.step({'a': False}) == set()
    assert answering.step({'a': True}) == {'a'}


def test_an_expiring_certificate_is_reported_once_a_day(site):
    said, clock, end = [], [NOW], NOW + 40 * DAY

    def probe(*_):
        if clock[0] > end:
            raise Unreachable("this site's CA did not sign its certificate: certificate has expired")
        return end

    watcher = DerpWatcher(site, said.append, probe, lambda: clock[0])
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


def test_changed_maps_are_written_and_changed_regions_reported(site):
    said, up = [], [True]

    def probe(*arguments):
        assert arguments == ('127.0.0.1', DERP_PORT, 'lab-b.s.test', {'ca_file': site.ca_file})
        if not up[0]:
            raise Unreachable('connection refused')
        return NOW + 400 * DAY

    watcher = DerpWatcher(site, said.append, probe, lambda: NOW)

    def embedded_is_home():
        with open(site.path('derp.yaml')) as stream:
            return 'nomeasurenohome' not in yaml.safe_load(stream)['regions'][999]

    watcher.prepare()
    assert said == ['DERP region lab-b answers.'] and watcher.report() == {'lab-b': 'up'} and not embedded_is_home()
    written = os.stat(site.path('derp.yaml')).st_ino
    up[0] = False
    watcher.step()
    assert said[1:] == ['DERP region lab-b does not answer: connection refused.']
    assert os.stat(site.path('derp.yaml')).st_ino == written
    watcher.step()
    assert embedded_is_home() and len(said) == 2 and watcher.report() == {'lab-b': 'connection refused'}
