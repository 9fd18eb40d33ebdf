"""Invitations that nobody has are revoked by the server, and no others."""
import datetime

import pytest

from ua_overlay.headscale.model import PreAuthKey
from ua_overlay.headscale.rest import RestError, ServerDown
from ua_overlay.server.process import POLICY_PERIOD
from ua_overlay.site.invitation_log import LOST, MADE, InvitationLog
from ua_overlay.site.lost_invitations import SETTLED, LostInvitations, lost_keys

NOW = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.timezone.utc)
SECOND = datetime.timedelta(seconds=1)
HOUR = 3600 * SECOND


def key(number, created, tags=('tag:iris',), user='', open_until=HOUR):
    return PreAuthKey(number, '', tags, False, False, created, NOW + open_until, user)


def made(number):
    return {'event': MADE, 'key': number, 'time': '2026-11-30T11:00:00Z'}


def lost(number='0', since='2026-11-30T11:00:00Z', time='2026-11-30T11:00:05Z'):
    return {'event': LOST, 'key': number, 'since': since, 'time': time}


IN_WINDOW = NOW - HOUR + 3 * SECOND


@pytest.mark.parametrize('keys, records, found', [
    ([key('1', IN_WINDOW)], [], []),
    ([key('1', IN_WINDOW)], [lost()], ['1']),
    # A command has it, or had it and said so.
    ([key('1', IN_WINDOW)], [made('1'), lost()], []), ([key('1', IN_WINDOW)], [made('1'), lost('1')], ['1']),
    # Made before, long after, or just now by a command that has not logged it yet.
    ([key('1', NOW - HOUR - SECOND)], [lost()], []), ([key('1', IN_WINDOW + 2 * SETTLED)], [lost()], []),
    ([key('1', NOW - SECOND)], [lost(since='2026-11-30T11:59:50Z', time='2026-11-30T11:59:55Z')], []),
    # A relay's key, a laptop's, one that is revoked already.
    ([key('1', IN_WINDOW, ('tag:relay',))], [lost()], []), ([key('1', IN_WINDOW, (), 'ana')], [lost()], ['1']),
    ([key('1', IN_WINDOW, open_until=-SECOND)], [lost('1')], [])])
def test_which_keys_are_lost(keys, records, found):
    assert lost_keys(keys, records, NOW) == found


class Headscale:
    def __init__(self):
        self.here, self.down, self.calls = [key('7', NOW)], False, 0

    def keys(self):
        self.calls += 1
        if self.down:
            raise ServerDown('It is down.')
        return self.here

    def expire_key(self, key_id):
        if self.down:
            raise ServerDown('It is down.')
        self.here = [key(each.id, each.created, each.tags, open_until=-SECOND) if each.id == key_id else each
                     for each in self.here]


@pytest.mark.fault('new', 'The server is killed while invitations are made', behaviour='the command says so; the '
                   'server revokes what nobody has', reported='at once', recovery='10 s after its start; '
                   '130 s for a key whose answer was lost', lost='those invitations')
def test_the_server_revokes_what_a_command_could_not(tmp_path):
    moment = [NOW]
    log, headscale = InvitationLog(str(tmp_path / 'log'), lambda: moment[0], 'root'), Headscale()
    keeper = LostInvitations(log, lambda: headscale, lambda: moment[0], 'ua-overlay {}'.format)
    assert keeper.step() == [] and headscale.calls == 0
    log.lost(['7'], NOW - SECOND)
    headscale.down = True
    with pytest.raises(RestError):
        keeper.step()
    headscale.down = False
    # The one that is known at once; the one whose answer was lost when no command can log it any more.
    assert POLICY_PERIOD <= 10.0 and (2 * SETTLED).total_seconds() + POLICY_PERIOD <= 130.0
    headscale.here.append(key('8', NOW + SECOND))
    assert keeper.step() == ['7'] and keeper.step() == []
    moment[0] = NOW + SETTLED + 2 * SECOND
    assert keeper.step() == ['8']
    assert [record['key'] for record in log.records() if record['event'] == 'revoked'] == ['7', '8']
    moment[0] = NOW + 4 * SETTLED
    keeper.step()
    calls = headscale.calls
    assert keeper.step() == [] and headscale.calls == calls
