"""Invitations, each of which lets one robot join one team, once: the value, and the check of its dates. Pure.

Its file: invitation_file.py.
"""
import datetime
from dataclasses import dataclass, field, fields
from typing import Any, Dict

from ua_overlay import defaults
from ua_overlay.clock import format_rfc3339, format_utc
from ua_overlay.errors import OverlayError
from ua_overlay.trust import certificate as certificates

#: The command that makes a new invitation.
NEW = 'ua-overlay invite {}   # on the server'


class InvitationError(OverlayError):
    """An invitation that cannot be used.

    Codes: INVITATION_MISSING, INVITATION_INVALID, INVITATION_VERSION, INVITATION_EXPIRED, or CLOCK when this machine's
    clock is the cause.
    """

    code = 'INVITATION_INVALID'


@dataclass(frozen=True)
class Invitation:
    """The data with which one robot joins one team, or one laptop joins as a machine of its user.

    :param server_url: https://NAME[:PORT], with a DNS name.
    :param ca_pem: the site's CA; '' if ``ca_sha256`` is set.
    :param key: single-use pre-auth key (a secret).
    :param robot: name of the robot or laptop.
    :param created: when the key was made, aware UTC.
    :param expires: when the key expires, aware UTC.
    :param team: the team to join; '' in the invitation of a user.
    :param team_port: TCP port of the team's roscore.
    :param addressing: 'names' or 'addresses': how the team's ROS nodes call each other.
    :param master: whether this robot shall run the team's roscore.
    :param ca_sha256: see ca_pin.pins_of; '' if ``ca_pem`` is set.
    :param user: who will own the machine; '' in the invitation of a team.
    """

    server_url: str
    ca_pem: str
    key: str = field(repr=False)
    robot: str
    created: datetime.datetime
    expires: datetime.datetime
    team: str = ''
    team_port: int = defaults.TEAM_PORT
    addressing: str = defaults.NAMES
    master: bool = False
    ca_sha256: str = ''
    user: str = ''

    @property
    def version(self) -> int:
        """The lowest version of the file that has all its fields."""
        return 2 if self.ca_sha256 or self.user else 1

    @property
    def destination(self) -> str:
        """What the machine joins, for people: 'the team iris'."""
        return 'the group of user {}'.format(self.user) if self.user else 'the team {}'.format(self.team)

    @property
    def again(self) -> str:
        """The command that makes a new invitation for the same machine."""
        return NEW.format('--user {} {}'.format(self.user, self.robot) if self.user
                          else '{} {}'.format(self.team, self.robot))


#: All fields of an invitation.
FIELDS = ('version',) + tuple(each.name for each in fields(Invitation))


def public_values(invitation: Invitation) -> Dict[str, Any]:
    """Return all fields except the key, as plain values (times as text), which a robot may keep and show."""
    values = {name: getattr(invitation, name) for name in FIELDS if name != 'key'}
    for name in ('created', 'expires'):
        values[name] = format_rfc3339(values[name])
    return values


def check_usable(invitation: Invitation, now: datetime.datetime) -> None:
    """Check that the invitation is valid now, by this machine's clock.

    A clock that is slightly behind does no harm, because the server decides when the key expires. If it is behind by
    more than the backdating of certificates, every TLS connection fails, so this function reports it before the first
    one.

    :param now: aware UTC datetime.
    :raises InvitationError: with code INVITATION_EXPIRED or CLOCK.
    """
    if now < invitation.created - certificates.BACKDATE:
        raise InvitationError(
            'This machine\'s clock says {}, and the invitation was made on {}: with a clock that is so far behind no '
            'certificate is valid yet.'.format(format_utc(now), format_utc(invitation.created)),
            certificates.SET_CLOCK, 'CLOCK')
    if now >= invitation.expires:
        raise InvitationError(
            'The invitation of {} to {} expired on {}; this machine\'s clock says {}.'.format(
                invitation.robot, invitation.destination, format_utc(invitation.expires), format_utc(now)),
            invitation.again, 'INVITATION_EXPIRED')
