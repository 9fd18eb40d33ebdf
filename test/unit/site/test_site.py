"""A site's directory: made, loaded, written, and held by one process at a time."""
import os
import stat
import threading

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.rules import Rules, Talk, Team
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site.site import Site, SiteError, dump_site, parse_site, site_directory
from ua_overlay.system import control_socket

SETTINGS = SiteSettings('server.ua.test', ('203.0.113.10',))


def make_trust(directory):
    for name in ('ca.pem', 'ca.key', 'server.pem', 'server.key'):
        with open(os.path.join(directory, name), 'w', encoding='ascii') as stream:
            stream.write(name)


@pytest.fixture
def site(tmp_path):
    return Site.create(str(tmp_path / 'site'), SETTINGS, make_trust)


def test_a_new_site_is_private_and_can_be_loaded(site):
    assert stat.S_IMODE(os.stat(site.directory).st_mode) == 0o700
    loaded = Site.load(site.directory)
    assert loaded.settings == SETTINGS and loaded.teams == {}
    assert stat.S_IMODE(os.stat(site.config_file).st_mode) == 0o600
    with open(site.config_file, encoding='ascii') as stream:
        assert site.path('headscale', 'db.sqlite') in stream.read()


def test_how_long_robots_remember_their_team_is_in_the_policy(tmp_path):
    settings = SiteSettings('server.ua.test', admission_memory='12h')
    site = Site.create(str(tmp_path / 'site'), settings, make_trust)
    site = Site(site.directory, settings, Rules({'iris': Team('iris')}))
    site.write_settings()
    site = Site.load(site.directory)
    assert site.rules.memory == 43200
    site.write_generated()
    with open(site.policy_file, encoding='ascii') as stream:
        assert 'ua-overlay:memory=43200' in stream.read()
    with open(site.path('site.yaml'), encoding='utf-8') as stream:
        text = stream.read()
    assert parse_site(text, 'site.yaml')[0].admission_memory == '12h' and text.count('memory') == 1
    with open(site.path('site.yaml'), 'w', encoding='utf-8') as stream:
        stream.write(text.replace('12h', '30m'))
    assert not Site.load(site.directory).is_generated()


def test_a_failed_init_leaves_nothing(tmp_path):
    def broken(directory):
        make_trust(directory)
        raise OverlayError('no trust today')

    with pytest.raises(OverlayError, match='no trust today'):
        Site.create(str(tmp_path / 'site'), SETTINGS, broken)
    assert os.listdir(str(tmp_path)) == []


def test_a_second_init_changes_nothing(site):
    with open(site.path('site.yaml'), 'rb') as stream:
        before = stream.read()
    with pytest.raises(SiteError, match='holds a site already'):
        Site.create(site.directory, SiteSettings('other.test'), make_trust)
    with open(site.path('site.yaml'), 'rb') as stream:
        assert stream.read() == before


def test_a_new_site_requires_an_empty_directory(tmp_path):
    empty, full, plain = tmp_path / 'empty', tmp_path / 'full', tmp_path / 'plain'
    empty.mkdir()
    full.mkdir()
    (full / 'photo.jpg').write_text('x')
    plain.write_text('x')
    assert Site.create(str(empty), SETTINGS, make_trust).settings == SETTINGS
    with pytest.raises(SiteError, match='not empty'):
        Site.create(str(full), SETTINGS, make_trust)
    with pytest.raises(SiteError, match='not a directory'):
        Site.create(str(plain), SETTINGS, make_trust)
    with pytest.raises(SiteError, match='cannot be written'):
        Site.create(str(plain / 'site'), SETTINGS, make_trust)


def test_a_missing_and_an_unreadable_site_are_distinguished(tmp_path, monkeypatch):
    with pytest.raises(SiteError, match='There is no site') as caught:
        Site.load(str(tmp_path))
    assert 'server init' in caught.value.next_command

    def refuse(*_args, **_kwargs):
        # Tests may run as root, who may read everything.
        raise PermissionError(13, 'Permission denied')

    monkeypatch.setattr(os, 'open', refuse)
    with pytest.raises(SiteError, match='may not read') as caught:
        Site.load(str(tmp_path))
    assert 'sudo' in caught.value.next_command


def test_teams_survive_a_round_trip():
    rules = Rules({'iris': Team('iris', 11311, 'addresses'), 'blue': Team('blue')}, (Talk('iris', 'blue'),))
    assert parse_site(dump_site(SETTINGS, rules), 'site.yaml') == (SETTINGS, rules)


@pytest.mark.parametrize('text, word', [
    ('version: [1', 'YAML'),
    ('- 1', 'does not describe a site'),
    ('', 'does not describe a site'),
    ('version: 2\nname: s.test\n', 'version 2'),
    ('name: s.test\n', 'version None'),
    ('version: 1\nname: s.test\nteams: [iris]\n', 'mapping'),
    ('version: 1\nname: s.test\nteams: {iris: {colour: red}}\n', 'iris'),
    ('version: 1\nname: s.test\nteams: {iris: 5}\n', 'iris'),
    ('version: 1\nname: s.test\nteams: {iris: {port: 0}}\n', 'port'),
    ('version: 1\nname: s.test\nteams: {iris: {addressing: numbers}}\n', 'addressing'),
    ('version: 1\nname: s.test\nteams: {relay: {}}\n', 'reserved'),
    ('version: 1\nname: s.test\nteams: {"": {}}\n', 'team'),
    ('version: 1\nname: s.test\nteams: {1: {}}\n', '1'),
    ('version: 1\nname: s.test\nteams:\n  iris: {}\n  blue: {}\n  iris: {port: 1}\n',
     'iris is there twice, in lines 4 and 6'),
    ('version: 1\nname: s.test\nname: t.test\n', 'name is there twice, in lines 2 and 3'),
    ('version: 1\nname: s.test\ncolour: red\n', 'unknown field colour'),
    ('version: 1\nname: s.test\ntalk: [{from: iris, to: blue}]\n', 'team iris'),
])
def test_an_invalid_site_file_is_refused(text, word):
    with pytest.raises(UsageError) as caught:
        parse_site(text, '/x/site.yaml')
    assert word in caught.value.sentence and caught.value.next_command


def test_suggested_commands_name_an_unusual_directory():
    assert Site('/srv/site', SETTINGS).command('robot list') == 'ua-overlay robot list --dir /srv/site'
    assert Site('/var/lib/ua_overlay/site', SETTINGS).command('robot list') == 'ua-overlay robot list'


def test_the_server_of_a_service_is_started_as_one(site, monkeypatch):
    assert site.start_command() == 'ua-overlay server run --dir ' + site.directory
    monkeypatch.setattr(control_socket, 'start_command', lambda directory: 'sudo systemctl start ua-overlay-server')
    assert site.start_command() == 'sudo systemctl start ua-overlay-server'


def test_the_directory_on_the_command_line_wins():
    assert site_directory('/a', {'UA_OVERLAY_SITE': '/b'}) == '/a'
    assert site_directory(None, {'UA_OVERLAY_SITE': '/b'}) == '/b'
    assert site_directory(None, {}) == '/var/lib/ua_overlay/site'
    assert site_directory('here', {}) == os.path.abspath('here')


def test_concurrent_changes_are_serialized(site):
    other, order = Site.load(site.directory), []

    def second():
        with other.changing():
            order.append(sorted(other.teams))

    with site.changing():
        thread = threading.Thread(target=second)
        thread.start()
        site.teams = {'iris': Team('iris')}
        site.write_settings()
        order.append('first')
    thread.join(10)
    assert order == ['first', ['iris']]


def test_a_site_runs_only_one_server(site):
    with site.held():
        with pytest.raises(SiteError, match='runs already'):
            with Site.load(site.directory).held():
                raise AssertionError('the lock was given twice')
    with site.held():
        assert os.path.exists(site.path('run', 'server.lock'))
