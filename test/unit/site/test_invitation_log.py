"""The log of invitations: one line an event, and no key."""
import datetime
import os
import stat
from types import SimpleNamespace

import pytest

from ua_overlay.headscale.model import Node
from ua_overlay.site.invitation_log import InvitationLog

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)


def invitation(robot, team='iris', user='', master=False):
    return SimpleNamespace(robot=robot, team=team, user=user, master=master, expires=NOW + HOUR,
                           key='hskey-auth-secret')


def node(name, key_id, tags=('tag:iris',), user='', created=NOW + HOUR / 2):
    return Node(name, name, name, (), tags, True, None, None, created, user, key_id)


@pytest.fixture
def log(tmp_path):
    return InvitationLog(str(tmp_path / 'invitations.log'), lambda: NOW, 'root (sudo by ana)')


def test_records_are_read_back_and_have_no_key(log, tmp_path):
    assert log.records() == []
    log.made('7', invitation('dev-1', master=True))
    log.revoked('7')
    path = tmp_path / 'invitations.log'
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert 'secret' not in path.read_text()
    first, second = log.records()
    assert first == {'event': 'made', 'key': '7', 'machine': 'dev-1', 'team': 'iris', 'user': '', 'master': True,
                     'expires': '2026-11-24T13:00:00.000000Z', 'by': 'root (sudo by ana)',
                     'time': '2026-11-24T12:00:00.000000Z'}
    assert (second['event'], second['key']) == ('revoked', '7')


def test_an_incomplete_line_is_skipped(log, tmp_path):
    log.made('1', invitation('dev-1'))
    path = tmp_path / 'invitations.log'
    path.write_text(path.read_text() + '{"event": "ma')
    log.made('2', invitation('dev-2'))
    assert [record['key'] for record in log.records()] == ['1', '2']
    path.write_text(path.read_text() + '[]\nnull\n{"event": "made"}\n')
    assert len(log.records()) == 2


def test_a_link_is_not_followed(log, tmp_path):
    (tmp_path / 'invitations.log').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(OSError):
        log.revoked('1')
    assert not (tmp_path / 'elsewhere').exists()


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
def test_a_log_created_by_root_belongs_to_the_site_owner(tmp_path):
    os.chown(str(tmp_path), 4321, 4321)
    InvitationLog(str(tmp_path / 'log'), lambda: NOW).revoked('1')
    assert (tmp_path / 'log').stat().st_uid == 4321


def test_a_use_is_logged_once_even_after_a_restart(log, tmp_path):
    nodes = [node('dev-1', '7'), node('relay', '1', ('tag:relay',)), node('old', ''), node('laptop', '8', (), 'ana')]
    for _ in range(2):
        log.note_used(nodes)
    InvitationLog(str(tmp_path / 'invitations.log'), lambda: NOW).note_used(nodes)
    assert [(record['key'], record['node']) for record in log.records()] == [('7', 'dev-1'), ('8', 'laptop')]
