"""The answer of join and leave: a code of Join.srv or Leave.srv, and a sentence. Pure."""
from dataclasses import dataclass, replace
from typing import Tuple

from ua_overlay.errors import OverlayError

#: Codes of errors raised below -> codes of the .srv files, where the names differ.
_SERVICE_CODES = {
    'WRONG_CA': 'SERVER_UNTRUSTED',
    'WRONG_NAME': 'SERVER_UNTRUSTED',
    'CERT_EXPIRED': 'SERVER_UNTRUSTED',
    'BAD_ANSWER': 'SERVER_UNREACHABLE',
    'CLOCK': 'CLOCK_WRONG',
    'INVITATION_VERSION': 'INVITATION_INVALID',
    'CERTIFICATE': 'INVITATION_INVALID',
    'DAEMON_ERROR': 'FAILED',
    'NO_ANSWER': 'FAILED',
    'ERROR': 'FAILED',
}
#: Constants of Join.srv and Leave.srv.
CODES = frozenset([
    'OK', 'ALREADY_JOINED', 'NOT_JOINED', 'OTHER_TEAM', 'NOT_PREPARED', 'NO_DAEMON', 'DAEMON_TOO_OLD',
    'INVITATION_MISSING', 'INVITATION_INVALID', 'INVITATION_EXPIRED', 'INVITATION_SPENT', 'INVITATION_REFUSED',
    'SERVER_UNREACHABLE', 'SERVER_UNTRUSTED', 'CLOCK_WRONG', 'TIMEOUT', 'BUSY', 'FAILED', 'FORGOTTEN'])


@dataclass(frozen=True)
class Outcome:
    """The answer of join or leave.

    code: name of a constant of the .srv; message: one sentence and the next command; the other fields are set after a
    join.
    """

    code: str
    message: str
    dns_name: str = ''
    addresses: Tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        return self.code in ('OK', 'ALREADY_JOINED')

    def with_message(self, addition: str) -> 'Outcome':
        """Return the same outcome with one more sentence."""
        return replace(self, message='{} {}'.format(self.message, addition))


class Refused(OverlayError):
    """A join or leave that is refused; ``code`` is a constant of the .srv."""


def outcome_of(error: OverlayError) -> Outcome:
    """Return the :class:`Outcome` of an :class:`OverlayError`; FAILED for a code that the .srv files do not have."""
    code = _SERVICE_CODES.get(error.code, error.code)
    return Outcome(code if code in CODES else 'FAILED', str(error))
