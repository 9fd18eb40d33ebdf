"""Keys and nodes that are removed, and read back. Nodes: test/unit/site/test_admin.py."""
import datetime

import pytest

from ua_overlay.errors import OverlayError
from ua_overlay.headscale.model import PreAuthKey
from ua_overlay.headscale.removal import revoke
from ua_overlay.headscale.rest import RestError

NOW = datetime.datetime(2026, 11, 30, tzinfo=datetime.timezone.utc)


class Headscale:
    """Keys 1 to 3. ``refuses``: ids of which an expiry fails; ``lies``: ids that stay open all the same."""

    def __init__(self, refuses=(), lies=(), unread=False):
        self.refuses, self.lies, self.unread, self.expired = refuses, lies, unread, []

    def expire_key(self, key_id):
        if key_id in self.refuses:
            raise RestError('The control server said no.')
        self.expired.append(key_id)

    def keys(self):
        if self.unread:
            raise RestError('The control server does not answer.')
        hour = datetime.timedelta(hours=1)
        return [PreAuthKey(number, '', (), False, False, None, NOW - hour if number in self.expired and
                           number not in self.lies else NOW + hour) for number in '123']


def run(headscale, *ids):
    revoked = []
    try:
        revoke(headscale, ids, lambda: NOW, 'ua-overlay {}'.format, revoked.append)
        return revoked, None
    except OverlayError as error:
        return revoked, error


def test_keys_are_revoked_and_read_back():
    assert run(Headscale(), '1', '3') == (['1', '3'], None) and run(Headscale()) == ([], None)


@pytest.mark.parametrize('headscale', [Headscale(refuses=('1',)), Headscale(lies=('1',))])
def test_a_key_that_stays_open_is_named_and_the_others_are_revoked(headscale):
    revoked, error = run(headscale, '1', '2')
    assert revoked == ['2'] and 'The invitations 1 are still open' in error.sentence
    assert error.next_command == 'ua-overlay invite revoke 1'


def test_a_lost_answer_is_no_failure_when_the_key_is_not_usable():
    headscale = Headscale(refuses=('1',))
    headscale.expired.append('1')
    assert run(headscale, '1') == (['1'], None)


def test_what_cannot_be_read_back_is_unknown():
    revoked, error = run(Headscale(unread=True), '1')
    assert revoked == [] and 'is unknown' in error.sentence and error.next_command == 'ua-overlay invite list'
