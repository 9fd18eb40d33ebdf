"""The answers of join and leave."""
import os
import re

import pytest
from paths import ROOT

from ua_overlay.errors import OverlayError
from ua_overlay.membership.outcome import _SERVICE_CODES, CODES, Outcome, Refused, outcome_of

SRV = os.path.join(ROOT, 'srv')


def constants(service):
    with open(os.path.join(SRV, service + '.srv')) as stream:
        return set(re.findall(r'^uint8 ([A-Z_]+)=', stream.read(), re.MULTILINE))


def test_the_codes_are_the_constants_of_the_services():
    # Only the mirror answers REFUSED, before it asks anything here.
    assert CODES | {'REFUSED'} == constants('Join') | constants('Leave') | {'REFUSED'}
    assert set(_SERVICE_CODES.values()) <= constants('Join')


@pytest.mark.parametrize('code, expected', [
    ('WRONG_CA', 'SERVER_UNTRUSTED'), ('WRONG_NAME', 'SERVER_UNTRUSTED'), ('CERT_EXPIRED', 'SERVER_UNTRUSTED'),
    ('CLOCK', 'CLOCK_WRONG'), ('INVITATION_VERSION', 'INVITATION_INVALID'), ('CERTIFICATE', 'INVITATION_INVALID'),
    ('DAEMON_ERROR', 'FAILED'), ('NO_DAEMON', 'NO_DAEMON'), ('SOMETHING_NEW', 'FAILED'), (None, 'FAILED')])
def test_outcome_of(code, expected):
    outcome = outcome_of(OverlayError('It is so.', 'do this', code=code))
    assert outcome == Outcome(expected, 'It is so. Next: do this')


def test_ok():
    assert Outcome('OK', '').ok and Outcome('ALREADY_JOINED', '').ok
    assert not Outcome('OTHER_TEAM', '').ok


def test_with_message():
    outcome = Outcome('OK', 'One.', 'dev-1.x', ('1.2.3.4',))
    assert outcome.with_message('Two.') == Outcome('OK', 'One. Two.', 'dev-1.x', ('1.2.3.4',))
    assert Refused('a', code='BUSY').code == 'BUSY'
