"""Every command that writes, on a real file system that is full: it says which one, loses nothing, and works again when
there is room."""
import os
import shutil

import pytest
from full_disk import needs_root, small_file_system

from ua_overlay.cli import main
from ua_overlay.clock import utc_now
from ua_overlay.headscale.rules import Rules, Team, User
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import enrolment
from ua_overlay.site import last_good
from ua_overlay.site.admin import Admin
from ua_overlay.site.site import Site
from ua_overlay.trust import store

pytestmark = needs_root
#: Commands on an existing site whose server does not run, {0} is its directory; and what each needs before.
COMMANDS = [
    ('team create blue', ''), ('user set ana --teams iris', ''), ('user remove joe', ''), ('server renew', ''),
    ('server rotate-ca start', ''), ('server rotate-ca switch --force', 'server rotate-ca start'),
    ('server rotate-ca finish', 'server rotate-ca start;server rotate-ca switch --force'),
    ('server rotate-ca cancel', 'server rotate-ca start;server rotate-ca switch --force'),
    ('server backup --output {0}/../out.backup', ''),
    ('derp create lab-b --address 203.0.113.11 --output {0}/../lab-b.yaml', ''),
    ('derp remove lab-a', 'derp create lab-a --address 203.0.113.12 --output {0}/../lab-a.yaml')]


def tree(directory):
    """{path: content} of every file that counts; locks and temporary files are none."""
    found = {}
    for folder, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(folder, name)
            if not name.startswith('.') and not name.endswith('.lock') and os.path.isfile(path):
                with open(path, 'rb') as stream:
                    found[os.path.relpath(path, directory)] = stream.read()
    return found


def leftovers(directory):
    return [name for _, folders, names in os.walk(directory) for name in folders + names
            if name.startswith('.') and name != '.filler']


@pytest.fixture
def small(tmp_path, monkeypatch):
    # What a running server would say: it has no robots.
    monkeypatch.setattr(Admin, 'robots', lambda self, team=None: [])
    with small_file_system(tmp_path / 'small', '256k') as mounted:
        yield mounted


@pytest.fixture
def site(small):
    directory = small.path + '/site'
    created = Site.create(directory, SiteSettings('s.test', ('203.0.113.10',)), lambda path: store.init(
        path, 's.test', ['s.test'], ['203.0.113.10'], utc_now()))
    created.rules = Rules({'iris': Team('iris')}, users={'joe': User('joe', ('iris',))})
    created.write_settings()
    created.write_generated()
    last_good.save(created)
    for name in ('change.lock', 'server.lock'):
        open(created.path('run', name), 'w').close()
    return created


def run(line, directory):
    return main(line.format(directory).split() + ['--dir', directory])


@pytest.mark.fault('K3', 'A command of the administrator meets a full disk', behaviour='it changes nothing, and names '
                   'the file system', reported='at once', recovery='when there is room', lost='nothing')
@pytest.mark.parametrize('line, before', COMMANDS, ids=[line.replace(' ', '_')[:30] for line, _ in COMMANDS])
def test_a_command_of_the_administrator(small, site, line, before, capsys):
    for each in filter(None, before.split(';')):
        assert run(each, site.directory) == 0
    capsys.readouterr()
    kept = tree(small.path)
    small.fill()
    assert run(line, site.directory) == 1
    shown = capsys.readouterr().err
    assert 'the file system {} is full'.format(small.path) in shown
    assert shown.rstrip().endswith('Next: df -h ' + small.path) and 'Traceback' not in shown
    assert {name: content for name, content in tree(small.path).items() if name != '.filler'} == kept
    assert leftovers(small.path) == [] and store.load(site.directory)
    small.free()
    assert run(line, site.directory) == 0, capsys.readouterr().err


def test_a_new_site(small, capsys):
    small.fill()
    argv = ['server', 'init', '--name', 'a.test', '--dir', small.path + '/new']
    assert main(argv) == 1
    shown = capsys.readouterr().err
    assert 'the file system {} is full. Next: df -h {}'.format(small.path, small.path) in shown
    assert small.names() == []
    small.free()
    assert main(argv) == 0


def test_a_restored_site(small, site, tmp_path, monkeypatch, capsys):
    from ua_overlay.cli import server_backup
    monkeypatch.setattr(server_backup, 'installed_headscale', lambda: '0.29.3')
    assert run('server backup --output ' + str(tmp_path / 'x.backup'), site.directory) == 0
    shutil.rmtree(site.directory)
    small.fill()
    argv = ['server', 'restore', str(tmp_path / 'x.backup'), '--dir', site.directory]
    assert main(argv) == 1
    shown = capsys.readouterr().err
    assert 'the file system {} is full. Next: df -h {}'.format(small.path, small.path) in shown
    assert small.names() == [] and leftovers(small.path) == []
    small.free()
    assert main(argv) == 0


@pytest.mark.parametrize('kind', ['relay', 'derp'])
def test_a_new_remote_host(small, site, tmp_path, kind, capsys):
    if kind == 'derp':
        line = 'derp create lab-b --address 203.0.113.11 --output ' + str(tmp_path / 'it.yaml')
        assert run(line, site.directory) == 0
    else:
        enrolment.write(str(tmp_path / 'it.yaml'), enrolment.Enrolment(
            'relay', 'lab-b', 'https://s.test:8080', (tmp_path / 'small' / 'site' / 'ca.pem').read_text(),
            '203.0.113.11', 40000, key='hskey-auth-' + 'k' * 70))
    capsys.readouterr()
    small.fill()
    assert main([kind, 'run', '--enrolment', str(tmp_path / 'it.yaml'), '--dir', small.path + '/host']) == 1
    shown = capsys.readouterr().err
    assert 'the file system {} is full. Next: df -h {}'.format(small.path, small.path) in shown
