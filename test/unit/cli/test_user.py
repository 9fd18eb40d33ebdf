"""`ua-overlay user`: changes to site.yaml. Connections of a laptop: test/lab/test_policy_real.py."""
import json
import os

import pytest

from ua_overlay.cli import main
from ua_overlay.headscale.rules import Rules, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site.site import Site


@pytest.fixture
def site(tmp_path):
    """A site with the teams iris and blue whose server does not run."""
    directory = str(tmp_path / 'site')
    for name in ('run', 'headscale'):
        os.makedirs(os.path.join(directory, name), 0o700)
    for name in ('ca.pem', 'ca.key', 'server.pem', 'server.key'):
        with open(os.path.join(directory, name), 'w') as stream:
            stream.write(name)
    made = Site(directory, SiteSettings('server.ua.test', ('203.0.113.10',)),
                Rules({'iris': Team('iris'), 'blue': Team('blue')}))
    made.write_settings()
    return made


def users(site):
    return Site.load(site.directory).rules.users


def run(site, *argv):
    return main(['user'] + list(argv) + ['--dir', site.directory])


def test_set_adds_or_changes_a_user_and_is_idempotent(site, capsys):
    assert run(site, 'set', 'ana', '--teams', 'iris, blue') == 0
    assert users(site) == {'ana': User('ana', ('blue', 'iris'))}
    assert 'nothing changed' not in capsys.readouterr().out
    assert run(site, 'set', 'ana', '--teams', 'blue,iris') == 0
    assert 'nothing changed' in capsys.readouterr().out
    assert run(site, 'set', 'ana', '--teams', 'iris', '--what', 'ssh,8765') == 0
    assert users(site) == {'ana': User('ana', ('iris',), ('ssh', 8765))}


def test_the_list_and_its_json(site, capsys):
    assert run(site, 'list') == 0
    assert 'user set NAME --teams TEAM' in capsys.readouterr().out
    run(site, 'set', 'ana', '--teams', 'iris')
    capsys.readouterr()
    assert run(site, 'list') == 0
    assert capsys.readouterr().out.splitlines()[1].split() == ['ana', 'iris', 'everything,', 'ros', '-']
    assert run(site, 'list', '--json') == 0
    assert json.loads(capsys.readouterr().out) == [
        {'user': 'ana', 'teams': ['iris'], 'what': ['everything', 'ros'], 'laptops': None}]


@pytest.mark.parametrize('argv, sentence, status', [
    (['set', 'ana', '--teams', 'rose'], 'There is no team rose', 1),
    (['set', 'a', '--teams', 'iris'], "'a' cannot be the name of a user", 2),
    (['set', 'ana', '--teams', 'iris', '--what', 'http'], "allows 'http' for --what", 2),
    (['set', 'ana', '--teams', 'iris', '--what', '70000'], 'has the port 70000', 2),
    (['remove', 'ben'], 'The site has no user ben (users: none yet)', 1)])
def test_an_invalid_user_changes_nothing(site, capsys, argv, sentence, status):
    before = open(site.path('site.yaml')).read()
    assert run(site, *argv) == status
    assert sentence in capsys.readouterr().err
    assert open(site.path('site.yaml')).read() == before


def test_a_removed_user_has_no_rules(site, capsys):
    run(site, 'set', 'ana', '--teams', 'iris')
    assert run(site, 'remove', 'ana') == 0
    assert users(site) == {} and 'Removed the user ana' in capsys.readouterr().out
