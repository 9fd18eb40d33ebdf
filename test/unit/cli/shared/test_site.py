"""Who typed a command on the server, and which settings of the site it uses."""
import os
from types import SimpleNamespace

import pytest

from ua_overlay.cli.shared import site
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.rules import Rules, Team
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.site import last_good
from ua_overlay.site.site import Site


@pytest.mark.parametrize('environ, uid, gid, owner', [
    ({}, 0, 0, (0, 0)), ({'SUDO_UID': '1000', 'SUDO_GID': '1001'}, 0, 0, (1000, 1001)),
    # A user other than root cannot give files away, whatever the environment says.
    ({'SUDO_UID': '1000', 'SUDO_GID': '1001'}, 1002, 1002, (1002, 1002)),
    ({'SUDO_UID': '-1', 'SUDO_GID': '1001'}, 0, 0, (0, 0)), ({'SUDO_UID': '1000'}, 0, 0, (0, 0))])
def test_the_ids_of_the_caller(environ, uid, gid, owner):
    assert site.caller_ids(environ, uid, gid) == owner


@pytest.mark.parametrize('environ, name', [({}, 'root'), ({'SUDO_USER': 'ana'}, 'root (sudo by ana)'),
                                           ({'SUDO_USER': 'root'}, 'root')])
def test_the_name_of_the_caller(environ, name):
    assert site.caller_name(environ, 0) == name
    assert site.caller_name({}, 4321987) == '4321987'


@pytest.fixture
def args(tmp_path):
    """The arguments of a command on a site with the team iris."""
    def make_trust(directory):
        for name in ('ca.pem', 'ca.key', 'server.pem', 'server.key'):
            with open(os.path.join(directory, name), 'w') as stream:
                stream.write(name)

    made = Site.create(str(tmp_path / 'site'), SiteSettings('s.test'), make_trust)
    made.rules = Rules({'iris': Team('iris')})
    made.write_settings()
    return SimpleNamespace(dir=made.directory)


def test_a_valid_site(args, capsys):
    assert list(site.load_site(args).teams) == list(site.load_site_file(args).teams) == ['iris']
    assert site.load_site_and_problem(args)[1] is None and capsys.readouterr().err == ''


def test_an_invalid_site_file_without_last_good_settings(args):
    with open(os.path.join(args.dir, 'site.yaml'), 'a') as stream:
        stream.write('colour: red\n')
    with pytest.raises(OverlayError, match='unknown field colour'):
        site.load_site(args)


def test_an_invalid_site_file_with_last_good_settings(args, capsys):
    last_good.save(site.load_site(args))
    with open(os.path.join(args.dir, 'site.yaml'), 'a') as stream:
        stream.write('colour: red\n')
    assert list(site.load_site(args).teams) == ['iris']
    assert 'unknown field colour' in capsys.readouterr().err
    with pytest.raises(OverlayError, match='unknown field colour'):
        site.load_site_file(args)


def test_the_headscale_version_comes_from_the_program(monkeypatch):
    monkeypatch.setattr(site, 'locate', lambda program: '/opt/' + program)
    monkeypatch.setattr(site, 'ask_version', lambda path: path + ' 0.29')
    assert site.installed_headscale() == '/opt/headscale 0.29'
