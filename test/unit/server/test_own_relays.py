"""The relay and derper as children of a server: played programs on a real site. Real ones: test/lab."""
import os
import shutil
import time

import pytest

from ua_overlay.clock import utc_now
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import derp_process
from ua_overlay.server import own_relays
from ua_overlay.server.own_relays import OwnRelays, ask_headscale, derp_settings, read_trust
from ua_overlay.site.site import Site
from ua_overlay.trust import store

KEY = 'nodekey:' + 64 * 'a'


def make_site(path, **settings):
    return Site.create(str(path), SiteSettings('s.test', ('203.0.113.10',), **settings), lambda directory: store.init(
        directory, 's.test', ['s.test'], [], utc_now()))


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Finds played programs that run for ever; derper answers at once."""
    program = tmp_path / 'program'
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setattr(derp_process, 'probe_derp_page', lambda *_: 0.0)
    return lambda name: str(program)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize('derp_port', [0, 8443])
def test_they_start_report_and_end(tmp_path, programs, derp_port):
    site, said = make_site(tmp_path / 'site', derp_port=derp_port), []
    shutil.rmtree(site.path('derp'))
    relays = OwnRelays(site, programs, None, utc_now, said.append, time.monotonic, 5.0)
    relays.start_derp()
    relays.start_relay()
    report = relays.report()
    assert report['relay']['apart'] is False and report['log_problems'] == []
    pids = [report['relay']['pid']]
    if derp_port:
        assert report['own_derp']['ok'] and os.path.exists(site.path('derp', 's.test.key'))
        assert os.stat(site.path('derp')).st_mode & 0o777 == 0o700
        pids.append(report['own_derp']['pid'])
    else:
        assert report['own_derp'] is None and not os.path.exists(site.path('derp'))
    relays.restart_relay()
    relays.step()
    assert relays.report()['relay']['pid'] != pids[0]
    pids.append(relays.report()['relay']['pid'])
    relays.retire()
    relays.stop()
    assert not any(alive(pid) for pid in pids)


def test_a_missing_program_is_an_error_before_anything_starts(tmp_path):
    def locate(name):
        if name == 'derper':
            raise OverlayError('There is no derper.')
        return '/bin/true'

    with pytest.raises(OverlayError, match='no derper'):
        OwnRelays(make_site(tmp_path / 'site', derp_port=8443), locate, None, utc_now, None, time.monotonic, 5.0)
    OwnRelays(make_site(tmp_path / 'other'), locate, None, utc_now, None, time.monotonic, 5.0)


def test_derper_has_the_server_s_own_certificate(tmp_path):
    """So it is renewed with it, also where the certificate was made elsewhere."""
    site = make_site(tmp_path / 'site', derp_port=8443, admission_memory='2h')
    settings = derp_settings(site)
    assert (settings.host_name, settings.port, settings.stun_port, settings.memory) == ('s.test', 8443, 3478, 7200)
    before = read_trust(site)
    with open(site.path('server.pem')) as chain, open(site.path('server.key')) as key:
        assert (before.chain, before.key) == (chain.read(), key.read())
    store.renew(site.directory, utc_now())
    assert read_trust(site).chain != before.chain and read_trust(site).ca_pem == before.ca_pem
    shutil.copy(site.path('ca.key'), site.path('server.key'))
    with pytest.raises(OverlayError, match='does not belong to'):
        read_trust(site)


def test_headscale_is_asked_on_this_machine(tmp_path, monkeypatch):
    """Not by its name, which leads to another machine behind forwarded ports."""
    site, asked = make_site(tmp_path / 'site'), []

    def verify(*arguments, **options):
        asked.append((arguments, options))
        return True

    monkeypatch.setattr(own_relays, 'verify_node_key', verify)
    assert ask_headscale(site, KEY) is True
    with open(site.ca_file) as ca:
        assert asked == [((site.settings.url, ca.read(), KEY, 2.0), {'address': '127.0.0.1'})]
    os.unlink(site.ca_file)
    assert ask_headscale(site, KEY) is None


def test_a_headscale_that_is_away_has_no_opinion(tmp_path):
    assert ask_headscale(make_site(tmp_path / 'site', port=1), KEY) is None
