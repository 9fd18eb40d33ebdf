"""`server backup|restore|upgrade`: their output. The contents of a backup: test/unit/site/test_backup.py."""
import contextlib
import json
import os
import sqlite3

import pytest

from ua_overlay.cli import main, server_backup
from ua_overlay.errors import UsageError
from ua_overlay.headscale import versions


@pytest.fixture
def headscale(monkeypatch):
    """Plays the installed Headscale; returns a setter of its version."""
    installed = ['v0.29.3']
    monkeypatch.setattr(server_backup, 'installed_headscale', lambda: installed[0])
    return lambda version: installed.__setitem__(0, version)


@pytest.fixture
def saved(site, headscale, tmp_path, capsys):
    """The path of a backup of the site."""
    versions.record(site, '0.29.3')
    path = str(tmp_path / 'x.backup')
    assert main(['server', 'backup', '--output', path]) == 0
    capsys.readouterr()
    return path


def test_a_backup_is_named_after_site_and_time(site, tmp_path, capsys):
    assert main(['server', 'backup', '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    name = os.path.basename(answer['file'])
    assert name.startswith('server.ua.test-20') and name.endswith('Z.backup') and os.path.exists(answer['file'])
    assert answer['site'] == 'server.ua.test' and 'ca.key' in answer['members']


def test_an_existing_file_is_kept_without_overwrite(saved, capsys):
    assert main(['server', 'backup', '--output', saved]) == 1
    assert 'exists already' in capsys.readouterr().err
    assert main(['server', 'backup', '--output', saved, '--overwrite']) == 0
    assert 'private keys' in capsys.readouterr().out


def test_a_site_is_restored_in_another_directory(site, saved, tmp_path, capsys):
    other = str(tmp_path / 'other')
    assert main(['server', 'restore', saved, '--dir', other]) == 0
    output = capsys.readouterr().out
    assert 'The site server.ua.test is in {}, as it was on '.format(other) in output
    assert 'Robots return when https://server.ua.test:8080 leads to this machine' in output
    assert output.endswith('Next: ua-overlay server run --dir {}\n'.format(other))


def test_a_site_is_replaced_only_on_request(site, saved, capsys):
    assert main(['server', 'restore', saved]) == 1
    assert '--replace' in capsys.readouterr().err
    assert main(['server', 'restore', saved, '--replace']) == 0
    aside = next(line for line in capsys.readouterr().out.splitlines() if line.startswith('The previous site is in '))
    assert os.path.isdir(aside[len('The previous site is in '):-1])


def test_the_owner_of_a_restored_site(monkeypatch):
    assert server_backup.owner(None) is None
    with pytest.raises(UsageError, match='no-such-user'):
        server_backup.owner('no-such-user')
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    with pytest.raises(UsageError, match='Only root can restore a site for the user daemon'):
        server_backup.owner('daemon')
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    assert server_backup.owner('daemon') == (1, 1)


def test_an_upgrade_by_a_minor_version_makes_a_backup(site, headscale, capsys):
    with contextlib.closing(sqlite3.connect(site.path('headscale', 'db.sqlite'))) as database:
        database.execute('CREATE TABLE nodes (name TEXT)')
        database.commit()
    versions.record(site, '0.29.3')
    headscale('v0.30.0')
    assert main(['server', 'upgrade', '--check', '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer['database'], answer['installed'], answer['backup']) == ('0.29.3', '0.30.0', '')
    assert main(['server', 'upgrade']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == 'step       the next minor version: allowed'
    assert os.path.exists(lines[3][len('backup     '):]) and lines[4].startswith('Next: restart')


@pytest.mark.parametrize('version', ['v0.31.0', 'v0.28.0'])
def test_skipping_a_minor_version_or_downgrading_is_refused(site, headscale, capsys, version):
    versions.record(site, '0.29.3')
    headscale(version)
    assert main(['server', 'upgrade', '--check']) == 1
    assert version[1:] in capsys.readouterr().err


def test_the_same_version_needs_no_upgrade(site, headscale, capsys):
    versions.record(site, '0.29.3')
    assert main(['server', 'upgrade']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2] == 'step       the same version: nothing to do' and len(lines) == 3
