"""Why a join is refused: every refusal has a code of Join.srv and a next command, and none shows a secret."""
import datetime

import pytest

from ua_overlay.membership import refusals
from ua_overlay.membership.outcome import CODES
from ua_overlay.trust.invitation import Invitation

KEY = 'hskey-auth-AbCdEf123456-' + 'S3cretS3cret-_xy' * 4
THEN = datetime.datetime(2026, 11, 22, tzinfo=datetime.timezone.utc)
INVITATION = Invitation('https://server.ua.test:8080', 'PEM', KEY, 'dev-1', THEN, THEN, team='iris')
LATE = dict(seconds=60.0, health=['Tailscale is stopped.', 'cannot dial ' + KEY])
ALL = [
    refusals.forgotten('dev-1'),
    refusals.other_team('dev-1', 'iris', 'blue'),
    refusals.no_identity(),
    refusals.no_permission('ana', 1000, '/home/ana/dev-1.yaml'),
    refusals.no_permission('ros', 1000, '/home/ros/dev-1.yaml', True),
    refusals.ca_not_trusted('https://server.ua.test', 'ana', '/home/ana/dev-1.yaml'),
    refusals.certificate_not_trusted('', 'ana'),
    refusals.cancelled(),
    refusals.key_refused('SPENT', INVITATION),
    refusals.key_refused('REVOKED', INVITATION),
    refusals.key_refused('UNKNOWN_KEY', INVITATION),
    refusals.too_late(invitation=None, accepted=False, **LATE),
    refusals.too_late(invitation=INVITATION, accepted=True, **LATE),
    refusals.too_late(invitation=INVITATION, accepted=False, **LATE),
]


@pytest.mark.parametrize('error', ALL, ids=lambda error: error.code)
def test_every_refusal(error):
    assert error.code in CODES
    assert error.sentence.endswith('.') and error.next_command
    assert 'S3cret' not in str(error) and 'hskey' not in str(error)


def test_each_refusal_of_a_key_has_its_own_sentence():
    reasons = ('SPENT', 'REVOKED', 'UNKNOWN_KEY')
    assert len({refusals.key_refused(reason, INVITATION).sentence for reason in reasons}) == len(reasons)


def test_tailscaled_warnings_are_included_except_the_obvious_one():
    sentence = refusals.too_late(invitation=None, accepted=False, **LATE).sentence
    assert 'cannot dial [key]' in sentence and 'is stopped' not in sentence and '60 s' in sentence


def test_a_robot_without_a_name_and_a_user_s_machine():
    assert refusals.other_team('', 'iris', 'ana@').sentence == (
        'This robot is in team iris, not in the group of user ana; the invitation was not used.')
