"""The relay in a process of its own, as the server and commands see it."""
import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.server import apart_relays, service
from ua_overlay.server.apart_relays import ApartRelays
from ua_overlay.site.site import Site
from ua_overlay.system.control_socket import ControlServer, NotRunning

SITE = Site('/site', SiteSettings('s.test'))
REPORT = {'relay': {'state': 'up', 'ok': True, 'apart': True}, 'own_derp': None, 'log_problems': ['x']}


def test_its_report_is_that_of_its_process():
    asked = []

    def ask(*question):
        asked.append(question)
        return REPORT

    relays = ApartRelays(SITE, ask)
    assert relays.report() == REPORT
    relays.restart_relay()
    assert asked == [('/site/run/relay.sock', 'status', 5.0), ('/site/run/relay.sock', 'restart relay', 5.0)]
    for nothing in (relays.start_derp, relays.start_relay, relays.step, relays.retire, relays.stop):
        assert nothing() is None
    assert len(asked) == 2


@pytest.mark.parametrize('answers, slept', [
    ([{'ok': True}], 0), ([None, {'ok': False}, {'ok': True}], 2), ([None], 30)])
def test_a_server_waits_for_derper_but_not_for_ever(answers, slept):
    """At a boot both start at once."""
    now, left = [0.0], list(answers)

    def ask(*_):
        return dict(REPORT, own_derp=left.pop(0) if len(left) > 1 else left[0])

    site = Site('/site', SiteSettings('s.test', derp_port=8443))
    ApartRelays(site, ask, lambda seconds: now.__setitem__(0, round(now[0] + seconds, 3)), lambda: now[0]).start_derp()
    assert now == [pytest.approx(slept * 0.1)]


@pytest.mark.fault('new', "The relay's unit does not run", behaviour='the server goes on; robots use another '
                   'relay or DERP', reported='at once: server status', recovery='with its start', lost='nothing')
def test_a_process_that_does_not_run_is_a_state_and_no_error(tmp_path):
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), lambda directory: None)
    relays = ApartRelays(site)
    report = relays.report()
    assert report['relay'] == {'state': "The relay's process does not run", 'ok': False, 'apart': True, 'pid': None,
                               'restarts': 0}
    assert report['log_problems'] == []
    # Whatever it should read anew, it will read when it starts.
    relays.restart_relay()
    with pytest.raises(NotRunning) as caught:
        apart_relays.status(site)
    assert caught.value.next_command == 'ua-overlay server relay run --dir ' + site.directory


def test_where_its_unit_is_installed_that_is_started(tmp_path, monkeypatch):
    unit = tmp_path / service.SERVER_RELAY.unit
    monkeypatch.setattr(service, 'RELAY_UNIT', str(unit))
    assert apart_relays.start_command(SITE) == 'ua-overlay server relay run --dir /site'
    unit.write_text(service.unit_text('daemon', SITE.directory, '/x/ua-overlay', (), served=service.SERVER_RELAY))
    assert apart_relays.start_command(SITE) == 'sudo systemctl start ua-overlay-server-relay'
    # The unit is that of another site.
    assert apart_relays.start_command(Site('/other', SiteSettings('s.test'))) == (
        'ua-overlay server relay run --dir /other')


def test_a_real_socket_answers(tmp_path):
    site = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), lambda directory: None)
    done = []
    server = ControlServer(site.relay_control_socket, lambda operation: done.append(operation) or REPORT)
    try:
        assert ApartRelays(site).report() == REPORT
        ApartRelays(site).restart_relay()
    finally:
        server.close()
    assert done == ['status', 'restart relay']


def test_an_error_of_the_process_is_the_state_of_the_relay():
    def ask(*_):
        raise OverlayError('It did not answer within 5 s.')

    assert ApartRelays(SITE, ask).report()['relay']['state'] == 'It did not answer within 5 s'
    with pytest.raises(OverlayError):
        ApartRelays(SITE, ask).restart_relay()
