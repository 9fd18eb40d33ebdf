"""The value of an invitation: what may be shown, and when it is valid."""
import dataclasses
import datetime

import pytest

from ua_overlay.trust import invitation as invitations
from ua_overlay.trust.invitation import Invitation, InvitationError

NOW = datetime.datetime(2026, 11, 22, 18, 48, 52, tzinfo=datetime.timezone.utc)
HOUR = datetime.timedelta(hours=1)
KEY = 'hskey-auth-AbCdEf123456-' + 'S3cretS3cret-_xy' * 4
GOOD = Invitation(server_url='https://server.ua.test:8080', ca_pem='PEM', key=KEY, team='iris', robot='dev-1',
                  created=NOW, expires=NOW + HOUR)
PERSONAL = dataclasses.replace(GOOD, team='', user='ana', robot='laptop-1')


def test_the_key_is_not_shown():
    assert KEY not in repr(GOOD) and KEY not in repr(invitations.public_values(GOOD))
    assert set(invitations.public_values(GOOD)) == set(invitations.FIELDS) - {'key'}
    assert invitations.public_values(GOOD)['expires'] == '2026-11-22T19:48:52Z'


def test_the_version_is_the_lowest_with_all_fields():
    assert GOOD.version == 1 and PERSONAL.version == 2
    assert dataclasses.replace(GOOD, ca_pem='', ca_sha256='ab' * 32).version == 2


def test_destination_and_command_for_another_invitation():
    assert PERSONAL.again == 'ua-overlay invite --user ana laptop-1   # on the server'
    assert GOOD.again == 'ua-overlay invite iris dev-1   # on the server'
    assert PERSONAL.destination == 'the group of user ana' and GOOD.destination == 'the team iris'


def test_the_local_clock_decides_whether_it_is_valid():
    invitations.check_usable(GOOD, NOW)
    invitations.check_usable(GOOD, NOW - 20 * HOUR)
    invitations.check_usable(GOOD, NOW + HOUR - datetime.timedelta(seconds=1))
    with pytest.raises(InvitationError, match='expired on 2026-11-22 19:48:52 UTC.*clock says 2026-11-22 20') as caught:
        invitations.check_usable(GOOD, NOW + 2 * HOUR)
    assert caught.value.code == 'INVITATION_EXPIRED'
    assert caught.value.next_command.startswith('ua-overlay invite iris dev-1')
    with pytest.raises(InvitationError, match='clock says 1970-01-01 00:02:00 UTC') as caught:
        invitations.check_usable(GOOD, datetime.datetime.fromtimestamp(120, datetime.timezone.utc))
    assert caught.value.code == 'CLOCK'
