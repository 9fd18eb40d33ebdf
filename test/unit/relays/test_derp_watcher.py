"""Which DERP regions outside Headscale answer, and the map that follows from it."""
import os
import threading
import time

import pytest
import yaml
from full_disk import needs_root, small_file_system

from ua_overlay.defaults import DERP_PORT
from ua_overlay.headscale.remote_hosts import DerpHost
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import derp_watcher
from ua_overlay.relays.derp_watcher import Answering, DerpWatcher
from ua_overlay.relays.probe import Unreachable
from ua_overlay.site.site import Site
from ua_overlay.system.thread import FIRST_PAUSE

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


@pytest.mark.fault('K1', 'The thread that probes remote DERP regions fails unexpectedly', behaviour='robots keep their '
                   'home; the state of the regions is unknown, and the probe starts again',
                   reported='at once: server status', recovery='within 30 s', lost='nothing')
def test_a_failure_that_nobody_expected_is_reported_and_survived(site, monkeypatch):
    assert derp_watcher.PERIOD + FIRST_PAUSE <= 30.0
    monkeypatch.setattr(derp_watcher, 'PERIOD', 0.01)
    said, answers = [], [lambda: NOW, lambda: {}['x'], lambda: NOW + 1]

    def probe(*_):
        return (answers.pop(0) if len(answers) > 1 else answers[0])()

    watcher = DerpWatcher(site, said.append, probe, lambda: NOW)
    watcher.start()
    deadline = time.monotonic() + 20
    while (watcher.report(), watcher.ends()) != ({'lab-b': 'up'}, {'lab-b': NOW + 1}):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    watcher.stop()
    assert any('DERP probe failed: KeyError' in line for line in said)


@pytest.mark.fault('K1', 'The thread that probes remote DERP regions hangs', behaviour='robots keep their home; the '
                   'state of the regions is unknown', reported='120 s: server status', recovery='with its next probe',
                   lost='nothing')
def test_a_probe_that_hangs_is_not_the_last_result_for_ever(site, monkeypatch):
    monkeypatch.setattr(derp_watcher, 'PERIOD', 0.01)
    now, hangs, goes_on = [0.0], threading.Event(), threading.Event()

    def probe(*_):
        hangs.set()
        assert goes_on.wait(20)
        return NOW

    watcher = DerpWatcher(site, print, lambda *_: NOW, lambda: NOW, lambda: now[0])
    watcher.prepare()
    assert watcher.report() == {'lab-b': 'up'}
    monkeypatch.setattr(watcher, '_probe', probe)
    watcher.start()
    assert hangs.wait(20)
    now[0] = derp_watcher.SILENT_AFTER
    assert watcher.report() == {'lab-b': 'up'}
    now[0] += 1.0
    assert watcher.report() == {'lab-b': 'unknown: The thread DERP probe hangs: it did nothing for 121 s.'}
    goes_on.set()
    deadline = time.monotonic() + 20
    while watcher.report() != {'lab-b': 'up'}:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    watcher.stop()


@pytest.mark.fault('K3', "The server's disk is full when a DERP region fails", behaviour='the server goes on with the '
                   'last map', reported='at once: its log', recovery='within 10 s of room', lost='nothing')
@needs_root
def test_a_full_disk_is_reported_once_and_healed(tmp_path):
    with small_file_system(tmp_path / 'small', '256k') as small:
        site = Site.create(small.path + '/site', SiteSettings('s.test', derp=(DerpHost('lab-b', 901, '127.0.0.1'),)),
                           lambda directory: None)
        said = []
        small.fill()
        watcher = DerpWatcher(site, said.append, lambda *_: NOW, lambda: NOW - 9e7)
        for _ in range(3):
            watcher.prepare()
        assert said[-1] == 'The DERP map cannot be written: the file system {} is full.'.format(small.path)
        assert len(said) == 2
        small.free()
        assert derp_watcher.PERIOD <= 10.0
        watcher.prepare()
        assert len(said) == 2 and os.path.exists(site.path('derp.yaml'))


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


def test_the_derper_beside_headscale_is_probed_on_this_machine(tmp_path):
    """Its certificate is the server's own, which is renewed in time: no warning."""
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test', ('203.0.113.10',), derp_port=8443),
                       lambda directory: None)
    said, up = [], [True]

    def probe(*arguments):
        assert arguments == ('127.0.0.1', 8443, 's.test', {'ca_file': site.ca_file})
        if not up[0]:
            raise Unreachable('connection refused')
        return NOW - DAY

    watcher = DerpWatcher(site, said.append, probe, lambda: NOW)

    def regions():
        with open(site.path('derp.yaml')) as stream:
            return yaml.safe_load(stream)['regions']

    watcher.prepare()
    assert said == ['DERP region server answers.'] and watcher.report() == {'server': 'up'} and watcher.ends() == {}
    assert regions()[999]['nomeasurenohome'] and regions()[900]['nodes'][0] == {
        'name': '900a', 'regionid': 900, 'hostname': 's.test', 'derpport': 8443, 'stunport': 3478,
        'ipv4': '203.0.113.10'}
    up[0] = False
    watcher.step()
    watcher.step()
    assert 'nomeasurenohome' not in regions()[999] and watcher.report() == {'server': 'connection refused'}
