"""site.last_good.yaml, used while site.yaml is invalid. With a real server: test/lab/test_policy_real.py."""
import os
import random
import stat

import pytest

from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale.remote_hosts import DerpHost, RelayHost
from ua_overlay.headscale.rules import Rules, Talk, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site import backup, last_good
from ua_overlay.site.site import Site, SiteError, dump_site, parse_site

SETTINGS = SiteSettings('server.ua.test', ('203.0.113.10',), relays=(RelayHost('lab-b', '203.0.113.11'),),
                        derp=(DerpHost('lab-b', 901, '203.0.113.11'),))
RULES = Rules({'iris': Team('iris', inside=('ros', 'ssh', 8765)), 'blue': Team('blue')}, (Talk('blue', 'iris'),),
              {'ana': User('ana', ('iris',))})


@pytest.fixture
def site(tmp_path):
    made = Site.create(str(tmp_path / 'site'), SETTINGS, lambda directory: None)
    made.rules = RULES
    made.write_settings()
    return made


def spoil(site, text='teams: [oops\n'):
    with open(site.path('site.yaml'), 'a', encoding='utf-8') as stream:
        stream.write(text)


def test_a_valid_site_file_is_used(site):
    last_good.save(site)
    site.rules = Rules({'iris': Team('iris')})
    site.write_settings()
    loaded, problem = last_good.load(site.directory)
    assert problem is None and list(loaded.teams) == ['iris']


@pytest.mark.parametrize('damage', ['broken', 'empty', 'missing', 'no text', 'a directory of its own'])
def test_the_last_good_settings_are_used_instead_of_a_damaged_file(site, damage):
    last_good.save(site)
    path = site.path('site.yaml')
    if damage == 'broken':
        spoil(site)
    elif damage == 'empty':
        os.truncate(path, 0)
    elif damage == 'missing':
        os.unlink(path)
    elif damage == 'no text':
        with open(path, 'wb') as stream:
            stream.write(b'\xff\xfe\x00' * 100)
    else:
        os.unlink(path)
        os.mkdir(path)
    loaded, problem = last_good.load(site.directory)
    assert (loaded.settings, loaded.rules, loaded.directory) == (SETTINGS, RULES, site.directory)
    assert 'site.yaml' in problem.sentence or site.directory in problem.sentence
    assert ('cp -p' if damage == 'missing' else 'policy apply') in problem.next_command
    assert last_good.LAST_GOOD_FILE in last_good.sentence(problem)
    # Commands that would rewrite site.yaml refuse.
    with pytest.raises(OverlayError), loaded.changing():
        raise AssertionError('unreachable')


def test_without_last_good_settings_the_error_is_about_site_yaml(site):
    spoil(site)
    with pytest.raises(UsageError, match='twice|YAML'):
        last_good.load(site.directory)
    with open(site.path(last_good.LAST_GOOD_FILE), 'w') as stream:
        stream.write('version: 7\n')
    with pytest.raises(UsageError) as caught:
        last_good.load(site.directory)
    assert last_good.LAST_GOOD_FILE not in caught.value.sentence
    with pytest.raises(SiteError):
        last_good.load(site.directory + '-none')


def test_the_file_is_private_and_written_only_on_change(site):
    last_good.save(site)
    before = os.stat(site.path(last_good.LAST_GOOD_FILE))
    assert stat.S_IMODE(before.st_mode) == 0o600
    last_good.save(site)
    assert os.stat(site.path(last_good.LAST_GOOD_FILE)).st_ino == before.st_ino
    site.rules = Rules()
    last_good.save(site)
    spoil(site)
    assert last_good.load(site.directory)[0].rules == Rules()


def test_a_backup_includes_it(site):
    last_good.save(site)
    assert last_good.LAST_GOOD_FILE in backup.kept(site.directory)


def test_every_damaged_site_file_is_an_error_with_a_next_command():
    """Hundreds of ways to damage it: each is a UsageError, or still a site."""
    text = dump_site(SETTINGS, RULES)
    chance = random.Random(5)
    words = ['{', '}', '[', ']', ':', '- ', '\t', '&a', '*a', '!!map ', '!!int ', '? ', '2026-99-99', '0x', 'null', '"',
             '1e999', '\0', '\n', '~', '<<: ', '.inf', '!!binary x', '!!timestamp 1', ',', '  ', '#', '\x85', '1:70']
    refused = 0
    for _ in range(500):
        begin = chance.randrange(len(text))
        spoiled = text[:begin] + chance.choice(words) + text[begin + chance.choice((0, 1, 5, 40)):]
        try:
            parse_site(spoiled, '/x/site.yaml')
        except UsageError as error:
            refused += 1
            assert error.next_command
    assert refused > 100
