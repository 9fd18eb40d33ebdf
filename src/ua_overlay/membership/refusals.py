"""The errors of a refused join, each with its code of Join.srv and the next command. Pure."""
from typing import Iterable, Optional

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.membership.identity import REVOKED, SPENT
from ua_overlay.membership.outcome import Refused
from ua_overlay.printable import printable
from ua_overlay.tags import describe_belonging
from ua_overlay.tailscale.localapi import redact
from ua_overlay.trust.invitation import Invitation


class Forgotten(Refused):
    """The server no longer knows this machine's node key."""

    code = 'FORGOTTEN'


def forgotten(name: str) -> Forgotten:
    return Forgotten('The server does not know {} any more.'.format(name),
                     'a new invitation, and: ua-overlay join INVITATION')


def other_team(name: str, present: str, destination: str) -> Refused:
    """
    :param present: where the robot belongs now (tags.belonging).
    :param destination: where the invitation leads.
    """
    return Refused('{} is in {}, not in {}; the invitation was not used.'.format(
        name or 'This robot', describe_belonging(present), describe_belonging(destination)),
        'ua-overlay robot list   # on the server', code='OTHER_TEAM')


def other_server(control_url: str, user: str, path: str) -> Refused:
    """
    :param control_url: of the control server to which tailscaled belongs.
    :param user: local user that wants to join.
    :param path: of the invitation file, '' without one.
    """
    return Refused('tailscaled is in the network of another control server, {}; the invitation was not used.'.format(
        printable(control_url)), command('sudo ua-overlay robot prepare --invitation {} --user {} --take-over',
                                         path or 'INVITATION', user), code='NOT_PREPARED')


def no_identity() -> Refused:
    return Refused('This robot has no identity to come back to.', 'ua-overlay join INVITATION',
                   code='INVITATION_MISSING')


def no_permission(user: str, uid: int, path: str, container: bool = False) -> Refused:
    """
    :param user: local user that wants to join; ``uid``: its number, by which tailscaled decides.
    :param path: of the invitation file.
    :param container: it is a user of a container; tailscaled and `robot prepare` run on the host.
    """
    if container:
        return Refused('tailscaled on the host refuses changes by user id {} ({} in this container).'.format(uid, user),
                       command('sudo ua-overlay robot prepare --invitation FILE --user "$(id -un {})"   # on the host',
                               uid),
                       code='NOT_PREPARED')
    return Refused('tailscaled refuses changes by user {} (id {}).'.format(user, uid),
                   command('sudo ua-overlay robot prepare --invitation {} --user {}',
                           path, user), code='NOT_PREPARED')


def ca_not_trusted(server_url: str, user: str, path: str) -> Refused:
    return Refused('tailscaled does not trust the CA of {} yet.'.format(server_url),
                   command('sudo ua-overlay robot prepare --invitation {} --user {}',
                           path, user), code='NOT_PREPARED')


def certificate_not_trusted(server_url: str, user: str) -> Refused:
    """
    :param server_url: '' when only tailscaled knows which server it is.
    """
    return Refused('tailscaled does not trust the server\'s certificate: it runs without the CA of {}.'.format(
        server_url or 'the site'), command('sudo ua-overlay robot prepare --user {}', user), code='NOT_PREPARED')


def no_room(lack: OverlayError) -> Refused:
    """
    :param lack: which file system is full.
    """
    return Refused(lack.sentence + ' The invitation was not used.', lack.next_command, code='FAILED')


def cancelled() -> Refused:
    return Refused('The join was given up because the program that asked for it ended.', 'ua-overlay status',
                   code='FAILED')


def key_refused(reason: str, invitation: Invitation) -> Refused:
    """
    :param reason: of identity.key_refusal.
    """
    command = invitation.again
    name = invitation.robot
    if reason == SPENT:
        return Refused('The server reports that the invitation of {} is spent: it was used already.'.format(name),
                       command, code='INVITATION_SPENT')
    if reason == REVOKED:
        return Refused('The server reports that the invitation of {} was revoked; it was not used.'.format(name),
                       command, code='INVITATION_REFUSED')
    return Refused('The server does not know the key of the invitation of {}: it was deleted there, or the invitation '
                   'belongs to another site; it was not used.'.format(name), command, code='INVITATION_REFUSED')


def too_late(seconds: float, health: Iterable[str], invitation: Optional[Invitation], accepted: bool) -> Refused:
    """
    :param seconds: how long the join waited.
    :param health: tailscaled's warnings.
    :param invitation: None when the robot resumed its kept identity.
    :param accepted: the server has accepted the key.
    """
    warnings = '; '.join(redact(text) for text in health if 'stopped' not in text)
    within = 'within {:.0f} s{}'.format(seconds, ' (tailscaled reports: {})'.format(warnings) if warnings else '')
    if invitation is None:
        return Refused('The server did not take this robot back {}; tailscaled goes on trying.'.format(within),
                       'ua-overlay status', code='TIMEOUT')
    if accepted:
        return Refused('The server accepted the invitation (it is spent now), but the overlay did not come up {}; '
                       'tailscaled goes on trying.'.format(within), 'ua-overlay status', code='TIMEOUT')
    return Refused('The server did not answer the registration {}; only the server knows whether the invitation is '
                   'spent.'.format(within), 'ua-overlay robot list   # on the server', code='TIMEOUT')
