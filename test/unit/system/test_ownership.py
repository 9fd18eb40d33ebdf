"""Who could replace a path."""
import os
import stat
import subprocess
import sys

import pytest

from ua_overlay import defaults
from ua_overlay.system import ownership
from ua_overlay.system.ownership import Step, first_unsafe, steps_to
from ua_overlay.system.recipe import Applier, Directory, Recipe

NOBODY = 65534
needs_users = pytest.mark.skipif(os.geteuid() != 0, reason='Only root can give directories to others.')
DIRECTORY, LINK, FILE = stat.S_IFDIR | 0o755, stat.S_IFLNK | 0o777, stat.S_IFREG | 0o644


def step(path, uid=0, mode=DIRECTORY, gid=0):
    return Step(path, uid, gid, mode)


@pytest.mark.parametrize('steps, unsafe', [
    ([step('/'), step('/srv'), step('/srv/x')], None),
    ([step('/'), step('/srv', 1000), step('/srv/x')], '/srv'),
    ([step('/'), step('/srv'), step('/srv/x', 1000)], '/srv/x'),
    ([step('/'), step('/srv', 7), step('/srv/x', 7)], None),
    ([step('/'), step('/srv', mode=stat.S_IFDIR | 0o777), step('/srv/x')], '/srv'),
    ([step('/'), step('/tmp', mode=stat.S_IFDIR | 0o1777), step('/tmp/x')], None),
    ([step('/'), step('/tmp', mode=stat.S_IFDIR | 0o1777), step('/tmp/x', 1000)], '/tmp/x'),
    ([step('/'), step('/srv', mode=stat.S_IFDIR | 0o775, gid=4), step('/srv/x')], '/srv'),
    ([step('/'), step('/srv', mode=stat.S_IFDIR | 0o775, gid=7), step('/srv/x')], None),
    ([step('/'), step('/l', 1000, LINK), step('/x')], '/l'), ([step('/'), step('/l', 0, LINK), step('/x')], None),
    ([step('/'), step('/x', mode=stat.S_IFREG | 0o666)], '/x'), ([step('/'), step('/x', mode=FILE)], None)])
def test_the_first_unsafe_entry(steps, unsafe):
    found = first_unsafe(steps, {0, 7}, {0, 7})
    assert (found and found.path) == unsafe


def test_the_way_to_a_path_goes_through_its_links(tmp_path):
    (tmp_path / 'a' / 'b').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('a/../a')
    (tmp_path / 'a' / 'far').symlink_to(tmp_path / 'a' / 'b')
    (tmp_path / 'loop').symlink_to('loop')
    paths = [each.path for each in steps_to(str(tmp_path / 'link' / 'far' / 'none' / 'x'))]
    assert paths[0] == '/' and [os.path.relpath(path, str(tmp_path)) for path in paths
                                if path.startswith(str(tmp_path))] == ['.', 'link', 'a', 'a/far', 'a/b']
    assert [each.path for each in steps_to('/')] == ['/']
    with pytest.raises(OSError):
        steps_to(str(tmp_path / 'loop'))


def test_my_own_directory_is_safe(tmp_path):
    ownership.check(str(tmp_path), 'The directory')


@needs_users
def test_the_sentence_names_the_directory_and_the_user(tmp_path):
    (tmp_path / 'theirs' / 'site').mkdir(parents=True)
    os.chown(str(tmp_path / 'theirs'), NOBODY, NOBODY)
    with pytest.raises(ownership.Unsafe) as caught:
        ownership.check(str(tmp_path / 'theirs' / 'site'), 'The site')
    assert str(caught.value) == (
        'The site is not safe: {0}/theirs belongs to the user nobody, who could put something else there, and root '
        'would run by it. Next: sudo chown root {0}/theirs'.format(tmp_path))
    os.chown(str(tmp_path / 'theirs'), 0, 0)
    os.chmod(str(tmp_path / 'theirs'), 0o777)
    with pytest.raises(ownership.Unsafe, match=r'other users may write to .*theirs \(mode 0777\)') as caught:
        ownership.check(str(tmp_path / 'theirs' / 'site'), 'The site')
    assert subprocess.run(caught.value.next_command.replace('sudo ', ''), shell=True).returncode == 0
    ownership.check(str(tmp_path / 'theirs' / 'site'), 'The site')


@pytest.mark.fault('K5', 'A robot and a server on one machine', behaviour="the robot's user cannot move the site away",
                   reported='never', recovery='none needed', lost='nothing')
@needs_users
def test_the_robots_user_cannot_swap_the_site(tmp_path):
    """What `robot prepare` gives away, and what `server init` makes, below one directory; a real second user tries."""
    def owner_of(user):
        return NOBODY, NOBODY

    for path in (tmp_path, *tmp_path.parents):
        if not path.stat().st_mode & stat.S_IXOTH:  # pytest's own directories, one more of them in a worker of xdist
            path.chmod(0o755)
    recipe = Recipe((), (Directory(defaults.STATE_DIR, 'robot'),), (), ())
    Applier(defaults.CONFIG_DIR + '/x.json', 'again', str(tmp_path), owner_of=owner_of).apply(recipe)
    site, state = (str(tmp_path) + path for path in (defaults.SITE_DIR, defaults.STATE_DIR))
    os.makedirs(site)
    assert os.stat(state).st_uid == NOBODY
    script = ('import os, sys\nos.setgid(65534)\nos.setuid(65534)\nsite, state = sys.argv[1:]\n'
              'open(state + "/mine", "w").close()\n'
              'for what in (lambda: os.rename(site, site + ".old"), lambda: os.rename(state, state + ".old"),\n'
              '             lambda: os.mkdir(os.path.dirname(site) + "/x"), lambda: os.rmdir(site)):\n'
              '    try:\n        what()\n        sys.exit("it worked")\n    except PermissionError:\n        pass\n')
    done = subprocess.run([sys.executable, '-c', script, site, state], stderr=subprocess.PIPE, universal_newlines=True)
    assert (done.returncode, done.stderr) == (0, '')
    ownership.check(site, 'The site')
    with pytest.raises(ownership.Unsafe):
        ownership.check(state, 'The state')
