"""The state of each invitation."""
import datetime
from types import SimpleNamespace

import pytest

from ua_overlay.headscale.model import Node, PreAuthKey
from ua_overlay.site.invitation_list import list_invitations
from ua_overlay.site.invitation_log import InvitationLog

NOW = datetime.datetime(2026, 11, 24, 12, 0, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)


def invitation(robot, team='iris', user='', master=False):
    return SimpleNamespace(robot=robot, team=team, user=user, master=master, expires=NOW + HOUR,
                           key='hskey-auth-secret')


def node(name, key_id, tags=('tag:iris',), user='', created=NOW + HOUR / 2):
    return Node(name, name, name, (), tags, True, None, None, created, user, key_id)


def key(key_id, tags=('tag:iris',), used=False, expires=NOW + HOUR, user=''):
    return PreAuthKey(key_id, '', tags, False, used, NOW, expires, user)


@pytest.fixture
def log(tmp_path):
    return InvitationLog(str(tmp_path / 'invitations.log'), lambda: NOW, 'root (sudo by ana)')


def states(keys, nodes, records, now=NOW):
    return {entry.key: (entry.state, entry.machine, entry.team or entry.user, entry.used_by)
            for entry in list_invitations(keys, nodes, records, now)}


def test_states_of_invitations(log):
    for key_id, name in (('1', 'dev-1'), ('2', 'dev-2'), ('3', 'dev-3'), ('4', 'dev-4'), ('10', 'dev-10')):
        log.made(key_id, invitation(name))
    log.made('6', invitation('laptop', '', 'ana'))
    log.revoked('3')
    keys = [key('10'), key('1', used=True), key('2'), key('3', expires=NOW), key('4', expires=NOW + HOUR / 2),
            key('5', ('tag:blue', 'tag:ros-master')), key('6', (), True, user='ana'), key('9', ('tag:relay',), True)]
    found = states(keys, [node('dev-1-1', '1'), node('laptop', '6', (), 'ana')], log.records())
    assert found == {'1': ('used', 'dev-1', 'iris', 'dev-1-1'), '2': ('open', 'dev-2', 'iris', ''),
                     '3': ('revoked', 'dev-3', 'iris', ''), '4': ('open', 'dev-4', 'iris', ''),
                     '5': ('open', '', 'blue', ''), '6': ('used', 'laptop', 'ana', 'laptop'),
                     '10': ('open', 'dev-10', 'iris', '')}
    assert list(found) == ['1', '2', '3', '4', '5', '6', '10']
    later = states(keys, [], log.records(), NOW + 2 * HOUR)
    assert later['2'][0] == 'expired' and later['4'][0] == 'revoked'      # its time was cut short in Headscale
    assert later['5'][0] == 'expired' and later['3'][0] == 'revoked'


def test_the_log_remembers_a_removed_node(log):
    log.made('1', invitation('dev-1'))
    log.note_used([node('dev-1', '1')])
    found = list_invitations([key('1', used=True)], [], log.records(), NOW)[0]
    assert (found.state, found.used_by, found.used_at) == ('used', 'dev-1', NOW)
    assert list_invitations([], [], log.records(), NOW)[0].state == 'used'


def test_a_key_that_headscale_no_longer_has(log):
    log.made('1', invitation('dev-1'))
    assert states([], [], log.records()) == {'1': ('gone', 'dev-1', 'iris', '')}


def test_the_time_of_an_older_join_is_not_reused(log):
    old = node('dev-1', '1', created=NOW - HOUR)
    found = list_invitations([key('1', used=True)], [old], [], NOW)[0]
    assert found.used_by == 'dev-1' and found.used_at is None
    log.note_used([old])
    assert list_invitations([key('1', used=True)], [old], log.records(), NOW)[0].used_at == NOW
    assert [record['event'] for record in log.records()] == ['used']
