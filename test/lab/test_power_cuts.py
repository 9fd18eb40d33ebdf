"""A power cut at any moment: what a command has acknowledged is there after the next boot, and every file is whole.

One story on a real file system: the commands of a site and the join of a robot, while copies of the disk are taken as a
power cut at that moment would leave it. Each copy is mounted, which plays its journal back, and read; with some of them
the server starts again.
"""
import base64
import contextlib
import functools
import json
import os
import random
import shutil
import sqlite3
import tempfile
import threading

import pytest
from disk_image import DiskImage
from site_on_loopback import LoopbackSite

from ua_overlay.lab.timeouts import JOIN
from ua_overlay.lab.wait import wait
from ua_overlay.membership.settings import read_settings
from ua_overlay.site import archive
from ua_overlay.site.ca_change import RECORD
from ua_overlay.site.invitation_log import InvitationLog
from ua_overlay.site.site import Site
from ua_overlay.trust import certificate, invitation_file, store

#: Seconds between two copies while a command runs, at random.
PAUSES = (0.1, 0.5)
#: The pauses are the same in each run, so far as the machine is.
SEED = 7


@pytest.fixture
def disk(lab_possible):
    directory = tempfile.mkdtemp(prefix='ua_power.', dir='/tmp')
    image = DiskImage(directory)
    try:
        yield image
    finally:
        image.close()
        shutil.rmtree(directory)


class Story:
    """Commands, what they acknowledged, and copies of the disk.

    :ivar known: {subject: (text, function(Disk) -> whether it holds)}: what was acknowledged last about each subject.
    :ivar cuts: (path of a copy, `known` when it was taken, without the subjects that a command was changing).
    """

    def __init__(self, disk):
        self.disk, self.known, self.changing, self.cuts = disk, {}, set(), []
        self._lock = threading.Lock()

    def cut(self):
        """Take a copy, unless nothing has reached the disk since the last one."""
        with self._lock:
            known = {subject: fact for subject, fact in self.known.items() if subject not in self.changing}
            self.cuts.append((self.disk.cut(), known))

    def disk_now(self):
        """The disk that runs."""
        return Disk(self.disk.mounted)

    def tell(self, command, **facts):
        """Run ``command`` while copies are taken; at its end take one more at once.

        :param facts: subject=(text, function(Disk, result of the command) -> whether it holds).
        :returns: what the command returned.
        """
        ended, pauses, failures = threading.Event(), random.Random(SEED + len(self.cuts)), []

        def photograph():
            try:
                while not ended.wait(pauses.uniform(*PAUSES)):
                    self.cut()
            except BaseException as failure:  # the test fails with it below
                failures.append(failure)

        photographer = threading.Thread(target=photograph)
        self.changing = set(facts)
        photographer.start()
        try:
            result = command()
        finally:
            ended.set()
            photographer.join()
        assert failures == []
        with self._lock:
            self.changing = set()
            self.known.update({subject: (text, functools.partial(holds, result=result))
                               for subject, (text, holds) in facts.items()})
        self.cut()
        return result


class Disk:
    """What is on a mounted copy."""

    def __init__(self, root):
        self.root = root
        self.site = os.path.join(root, 'site')

    def path(self, *parts):
        return os.path.join(self.root, *parts)

    def teams(self):
        return set(Site.load(self.site).teams)

    def rows(self, query, *values):
        # Not in place: SQLite would write to the copy.
        with contextlib.closing(sqlite3.connect(os.path.join(self.site, 'headscale', 'db.sqlite'))) as database:
            return database.execute(query, values).fetchall()

    def keys(self):
        """{prefix of a key: its expiry}"""
        return dict(self.rows('SELECT prefix, expiration FROM pre_auth_keys'))

    def nodes(self):
        """{name: its tags}"""
        return dict(self.rows('SELECT given_name, tags FROM nodes WHERE deleted_at IS NULL'))

    def events(self):
        return [(record['event'], record.get('machine')) for record in InvitationLog(
            os.path.join(self.site, 'invitations.log'), None).records()]

    def restores(self, name):
        """Whether a backup holds a whole site."""
        target = tempfile.mkdtemp(dir=self.root)
        archive.unpack(self.path(name), target)
        return os.path.exists(os.path.join(target, 'headscale', 'db.sqlite'))

    def problems(self):
        """Sentences about files that are not whole: each must be of one version or the other."""
        if not os.path.exists(self.site):
            return
        try:
            Site.load(self.site)
            trust = store.load(self.site)
            certificate.load_private_key(read(self.site, 'ca.key'), 'ca.key')
            assert certificate.is_signed_by(trust.server, trust.ca)
            for name in ('policy.json',):
                json.loads(read(self.site, name))
            if os.path.exists(os.path.join(self.site, 'headscale', 'db.sqlite')):
                assert self.rows('PRAGMA integrity_check') == [('ok',)]
        except Exception as problem:
            yield repr(problem)
        for name in os.listdir(self.root):
            if name.endswith('.invitation.yaml'):
                try:
                    invitation_file.read(self.path(name))
                except Exception as problem:
                    yield repr(problem)


def read(*parts):
    with open(os.path.join(*parts), 'rb') as stream:
        return stream.read()


def prefix_of(invitation):
    # hskey-auth-PREFIX-SECRET, of 12 and 64 characters, which may be hyphens (hscontrol/db/preauth_keys.go, 0.29)
    return invitation.key[len('hskey-auth-'):][:12]


def has_identity(state):
    """Whether tailscaled's state file holds a profile with a node key (tailscale 1.98, ipn/store/filestore: JSON of
    {name: base64}; ipn/prefs.go, Prefs.Persist)."""
    return any(name.startswith('profile-') and b'privkey:' in base64.b64decode(value)
               for name, value in json.loads(state).items())


def site_story(site, story):
    """A site's commands, each of which says in the end what is true now."""
    story.tell(site.init, site=('the site', lambda disk, result: store.load(disk.site)))
    site.start(relay=False)
    story.tell(lambda: site.call('team', 'create', 'iris'),
               iris=('team iris', lambda disk, result: 'iris' in disk.teams()))
    story.tell(lambda: site.invite('iris', 'dev-1')[0], invited=('the invitation of dev-1', lambda disk, result: (
        prefix_of(result) in disk.keys() and ('made', 'dev-1') in disk.events()
        and invitation_file.read(disk.path('dev-1.invitation.yaml')) == result)))
    other = story.tell(lambda: site.invite('iris', 'dev-2')[0])
    expiry = story.disk_now().keys()[prefix_of(other)]
    story.tell(lambda: site.call('invite', 'revoke', 'dev-2'), revoked=('dev-2 revoked', lambda disk, result: (
        disk.keys()[prefix_of(other)] != expiry and 'revoked' in [event for event, _ in disk.events()])))
    robot = site.robot('dev-1')
    with open(robot.ca_file, 'rb') as stream:
        os.fsync(stream.fileno())  # as `robot prepare` does, which has no part in this story
    joined = story.tell(
        lambda: robot.ua('join', site.base + '/dev-1.invitation.yaml', '--json'),
        node=('the server knows dev-1', lambda disk, result: 'tag:iris' in disk.nodes()['dev-1']),
        robot=('dev-1 is joined', lambda disk, result: (
            read_settings(disk.path('dev-1'))['team'] == 'iris'
            and has_identity(read(disk.path('dev-1'), 'tailscaled.state')))))
    assert joined.returncode == 0, joined.stdout
    story.tell(lambda: site.call('team', 'create', 'blue', '--team-port', '11400'),
               blue=('team blue', lambda disk, result: 'blue' in disk.teams()))
    story.tell(lambda: site.call('robot', 'move', 'dev-1', 'blue'),
               node=('dev-1 is in blue', lambda disk, result: 'tag:blue' in disk.nodes()['dev-1']))
    story.tell(lambda: site.call('user', 'set', 'ana', '--teams', 'iris'),
               ana=('user ana', lambda disk, result: 'ana' in Site.load(disk.site).rules.users))
    before = store.load(site.directory).server.serial_number
    story.tell(lambda: site.call('server', 'renew'), certificate=(
        'another certificate', lambda disk, result: store.load(disk.site).server.serial_number != before))
    story.tell(lambda: site.call('server', 'rotate-ca', 'start'), site=('the site', lambda disk, result: True),
               certificate=('a certificate', lambda disk, result: True),
               roots=('two roots', lambda disk, result: len(store.roots(disk.site)) == 2))
    story.tell(lambda: site.call('server', 'backup', '--output', site.base + '/x.backup'),
               backup=('a backup', lambda disk, result: disk.restores('x.backup')))
    story.tell(lambda: site.call('robot', 'remove', 'dev-1'),
               node=('dev-1 is gone', lambda disk, result: 'dev-1' not in disk.nodes()))
    left = story.tell(lambda: robot.ua('leave', '--forget'), robot=('dev-1 has left', lambda disk, result: (
        read_settings(disk.path('dev-1')) == {})))
    assert left.returncode == 0, left.stdout + left.stderr
    story.tell(lambda: site.call('server', 'rotate-ca', 'cancel'),
               roots=('one root', lambda disk, result: len(store.roots(disk.site)) == 1
                      and not os.path.exists(os.path.join(disk.site, RECORD))))
    story.tell(lambda: site.call('team', 'remove', 'blue'),
               blue=('no team blue', lambda disk, result: 'blue' not in disk.teams()))
    robot.kill()
    site.stop()


@pytest.fixture
def site(disk):
    made = LoopbackSite()
    shutil.rmtree(made.base)
    made.base, made.directory = disk.mounted, os.path.join(disk.mounted, 'site')
    try:
        yield made
    finally:
        for robot in made.robots:
            robot.kill()
        if made.server is not None and made.server.poll() is None:
            made.server.kill()
            made.server.wait()


def judge(story):
    """Yield (number of the copy, what it lost or damaged)."""
    for number, (cut, known) in enumerate(story.cuts, 1):
        with story.disk.beside(cut) as root:
            disk = Disk(root)
            for problem in disk.problems():
                yield number, problem
            for text, holds in known.values():
                try:
                    held = holds(disk)
                except Exception as problem:
                    held = None
                    text += ': {!r}'.format(problem)
                if not held:
                    yield number, 'not ' + text


@pytest.mark.fault('new', 'A power cut at any moment of a command of the site, or of a join',
                   behaviour='What was acknowledged is there after the next boot, and every file is whole',
                   reported='-', recovery='with the next start', lost='what was not acknowledged yet')
def test_what_was_acknowledged_is_there_after_a_power_cut(disk, site):
    story = Story(disk)
    site_story(site, story)
    print('{} copies of the disk'.format(len(story.cuts)))
    lost = {}
    for number, text in judge(story):
        lost.setdefault(text, []).append(number)
    assert not lost, '\n'.join('{}: {}'.format(text, numbers) for text, numbers in lost.items())

    # The server and the robot boot from one of them: the robot is back without a key.
    robot = site.robots[0]
    with disk.remounted(next(cut for cut, known in story.cuts if known.get('node', [''])[0] == 'dev-1 is in blue')):
        site.start(relay=False)
        robot.start()
        wait('dev-1 online', lambda: robot.status()['Self']['Online'], JOIN)
        assert robot.status()['Self']['Tags'] == ['tag:blue']
        robot.kill()
        site.stop()
