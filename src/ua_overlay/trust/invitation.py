"""Invitations: the small file with which one robot joins one team, once.

YAML, so that a person can read it, but a narrow kind: one mapping of plain scalars that ends with YAML's own end mark,
so a copy that was cut short shows. Nothing from the file is repeated in an error except names and times.
"""
import datetime
import os
import re
import stat
from dataclasses import dataclass, field, fields, replace

import yaml

from ua_overlay import defaults
from ua_overlay.clock import format_rfc3339, format_utc, parse_rfc3339
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.system import files
from ua_overlay.trust import ca, names
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError

#: A new version is for what a robot of an older release could not use: 2 has `ca_sha256` in place of `ca_pem`, or
#: `user` in place of the team. An invitation is written in the lowest version that can say it.
VERSIONS = (1, 2)
#: No invitation is longer; a file that is was picked by mistake.
MAX_BYTES = 65536
#: YAML's document end mark: the last line.
END = '...'
#: How the first line begins.
TITLE = '# ua_overlay invitation'
#: SHA-256 of the site's CA certificates (DER), see `pinned`.
PINS = re.compile(r'[0-9a-f]{64}(?: [0-9a-f]{64})*')
#: Headscale 0.28 and later: hskey-auth-{12 characters}-{64}; older keys are 48 hexadecimal digits.
KEY = re.compile(r'[A-Za-z0-9_-]{16,256}')
AGAIN = 'copy it from the server again'
NEW = 'ua-overlay invite {}, on the server'


class InvitationError(OverlayError):
    """An invitation that cannot be used: INVITATION_MISSING, INVITATION_INVALID, INVITATION_VERSION,
    INVITATION_EXPIRED, or CLOCK when it is this machine's clock that is in the way."""

    code = 'INVITATION_INVALID'


@dataclass(frozen=True)
class Invitation:
    """What one robot needs to join one team, or one laptop to join as a machine of its user.

    server_url: https://<DNS name>[:port]; ca_pem: the site's CA, or '' when ca_sha256 has its SHA-256 (pinned.pins_of);
    key: single-use pre-auth key (a secret); team, robot: names (see names.py); team_port: TCP port of the team's
    roscore; addressing: 'names' or 'addresses', how the team's ROS nodes call each other; master: whether this robot is
    to run the team's roscore; created, expires: aware UTC, of the key; user: whose machine it will be, with no
    team then.
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
    def version(self):
        return 2 if self.ca_sha256 or self.user else 1

    @property
    def destination(self):
        """What it lets join, for people: 'the team iris'."""
        return 'the group of user {}'.format(self.user) if self.user else 'the team {}'.format(self.team)

    @property
    def again(self):
        """The command that makes another one."""
        return NEW.format('--user {} {}'.format(self.user, self.robot) if self.user
                          else '{} {}'.format(self.team, self.robot))


#: Of a user's invitation, and of a team's.
_OF_USER, _OF_TEAM = ('user',), ('team', 'team_port', 'addressing', 'master')
FIELDS = ('version',) + tuple(each.name for each in fields(Invitation))


def fields_of(invitation):
    """Names of the fields that its file has, in the order of the file."""
    return (('version',) + (_OF_USER if invitation.user else ('team',))
            + ('robot', 'server_url', 'created', 'expires')
            + (() if invitation.user else ('master', 'team_port', 'addressing'))
            + ('key', 'ca_sha256' if invitation.ca_sha256 else 'ca_pem'))


def settings(invitation):
    """Return everything but the key, as plain values (times as text): what a robot may keep and show."""
    values = {name: getattr(invitation, name) for name in FIELDS if name != 'key'}
    for name in ('created', 'expires'):
        values[name] = format_rfc3339(values[name])
    return values


def dump(invitation):
    """Return the text of the file: comments that say what it is, the fields, the end mark."""
    values = settings(invitation)
    lines = [
        TITLE + ': lets the robot {} join {}, once, until {}.'.format(
            invitation.robot, invitation.destination, values['expires']),
        '# It holds a secret key. Carry it to the robot over ssh or on a stick, keep it readable by its owner alone',
        '# (chmod 600), and delete it when the robot has joined. On the robot:',
        '#   sudo ua-overlay robot prepare --invitation FILE --user "$USER"     once per robot',
        '#   ua-overlay join FILE      or      rosservice call /ua_overlay/join "invitation: /absolute/path/of/FILE"',
        '',
    ]
    for name in fields_of(invitation):
        if name == 'key':
            lines.append('key: "{}"'.format(invitation.key))
        elif name == 'ca_pem':
            lines.append('ca_pem: |')
            lines.extend('  ' + line for line in invitation.ca_pem.strip().splitlines())
        else:
            value = values[name]
            # A JSON string is a YAML string, whatever the name would mean to YAML when bare (no, on, 1e3).
            lines.append('{}: {}'.format(name, {True: 'true', False: 'false'}[value] if isinstance(value, bool)
                                         else value if isinstance(value, int) else '"{}"'.format(value)))
    lines.append(END)
    return '\n'.join(lines) + '\n'


def write(path, invitation, owner=None):
    """Write the file 0600, whole or not at all.

    :param owner: (uid, gid) of who is to carry it; default: this process's, whoever owns the directory.
    :raises InvitationError: when it cannot be written there.
    """
    try:
        files.write_secret(path, dump(invitation), owner or (os.geteuid(), os.getegid()))
    except OSError as error:
        raise InvitationError('The invitation cannot be written to {}: {}.'.format(path, _lower(error.strerror)),
                              'ls -ld {}'.format(os.path.dirname(os.fspath(path)) or '.'))


def read(path):
    """Read and check an invitation file. The date is not checked: see `check_usable`.

    Refused, like ssh does, is a file that others may read or write: its key may be known to them.

    :returns: :class:`Invitation`.
    :raises InvitationError:
    """
    path = os.fspath(path)
    another = NEW.format('TEAM ROBOT')
    try:
        # Not to wait for a writer if it is a pipe.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        raise InvitationError('There is no invitation file {}.'.format(path), another, 'INVITATION_MISSING')
    except PermissionError:
        raise InvitationError('The invitation {} may not be read by this user.'.format(path),
                              'sudo chown "$USER" {}'.format(path))
    except (OSError, ValueError) as error:
        raise InvitationError('The invitation {} cannot be opened: {}.'.format(
            path, _lower(getattr(error, 'strerror', None) or str(error))), 'ls -l {}'.format(path))
    status = os.fstat(handle)
    if not stat.S_ISREG(status.st_mode):
        os.close(handle)
        raise InvitationError('{} is not a file, so it is no invitation.'.format(path), 'ls -ld {}'.format(path))
    with os.fdopen(handle, 'rb') as stream:
        if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
            raise InvitationError(
                'The invitation {} is open to other users (mode {:04o}), and it holds a secret key.'.format(
                    path, stat.S_IMODE(status.st_mode)), 'chmod 600 {}'.format(path))
        try:
            data = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise InvitationError('The invitation {} cannot be read: {}.'.format(path, _lower(error.strerror)),
                                  'ls -l {}'.format(path))
    if len(data) > MAX_BYTES:
        raise InvitationError('{} is too long to be an invitation.'.format(path), another)
    try:
        return parse(data.decode('utf-8'), path)
    except UnicodeDecodeError:
        raise InvitationError('{} is not an invitation: it is not even text.'.format(path), another) from None


def parse(text, source):
    """Make an :class:`Invitation` of the text of a file.

    :param text: what `dump` wrote.
    :param source: what to call it in an error: its path.
    :raises InvitationError:
    """
    try:
        return _convert(_scalars(text))
    except _Refused as refused:
        raise InvitationError('The invitation {} {}.'.format(source, refused.reason), refused.next_command,
                              refused.code) from None


def check_usable(invitation, now):
    """Check that its time is now, by this machine's clock.

    A clock that is a little behind does no harm (the server decides when the key expires); one that is behind by more
    than the certificates are backdated makes every TLS connection fail, so it is named here, before anything is tried.

    :param now: aware UTC datetime.
    :raises InvitationError: INVITATION_EXPIRED, or CLOCK.
    """
    if now < invitation.created - certificates.BACKDATE:
        raise InvitationError(
            'This machine\'s clock says {}, and the invitation was made on {}: with a clock that far behind no '
            'certificate is valid yet.'.format(format_utc(now), format_utc(invitation.created)),
            certificates.SET_CLOCK, 'CLOCK')
    if now >= invitation.expires:
        raise InvitationError(
            'The invitation of {} to {} expired on {}; this machine\'s clock says {}.'.format(
                invitation.robot, invitation.destination, format_utc(invitation.expires), format_utc(now)),
            invitation.again, 'INVITATION_EXPIRED')


class _Refused(Exception):
    """Why a text is no invitation: the end of a sentence about it."""

    def __init__(self, reason, next_command=None, code='INVITATION_INVALID'):
        super().__init__(reason)
        self.reason = reason
        self.next_command = next_command or NEW.format('TEAM ROBOT')
        self.code = code


def _scalars(text):
    """Return {name: (text, line)} of the one mapping in a YAML text; nothing is converted, so no type surprises."""
    if not text.strip():
        raise _Refused('is empty', AGAIN)
    whole = text.rstrip().splitlines()[-1] == END
    cut = _Refused('is cut short: its last line, `{}`, is missing'.format(END), AGAIN)
    try:
        found = _pairs(yaml.parse(text, Loader=yaml.BaseLoader))
    except yaml.YAMLError as error:
        if text.startswith(TITLE) and not whole:
            raise cut from None
        # The error's own text quotes the file, and with it perhaps the key: it must not even be the cause of ours.
        mark = getattr(error, 'problem_mark', None)
        raise _Refused('is not YAML{}'.format(' (line {})'.format(mark.line + 1) if mark else '')) from None
    if found is None:
        raise cut if text.startswith(TITLE) and not whole else _Refused('is not a list of fields (`name: value`)')
    version = found.get('version', ('', 0))[0]
    if version not in map(str, VERSIONS) and re.fullmatch(r'[0-9]{1,6}', version):
        raise _Refused('is of version {}, and this machine\'s ua_overlay reads version {}'.format(
            version, ' and '.join(map(str, VERSIONS))),
                       'install the same release of ua_overlay here as on the server', 'INVITATION_VERSION')
    if 'version' not in found:
        raise _Refused('has no field `version`, so it is none')
    if not whole:
        raise cut
    return found


def _pairs(events):
    """Return {name: (value, line)} of a stream of YAML events, or None when it does not begin with a mapping.

    Events, not nodes: nothing is built of what does not belong here, however deep it is nested.

    :raises _Refused: for anything but scalars in the mapping, and for a name that comes twice.
    """
    for event in events:
        if isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            continue
        if not isinstance(event, yaml.MappingStartEvent):
            return None
        break
    found = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        line = event.start_mark.line + 1
        value = next(events)
        if not isinstance(event, yaml.ScalarEvent) or not isinstance(value, yaml.ScalarEvent):
            raise _Refused('has something else than `name: value` in line {}'.format(line))
        if event.value in found:
            raise _Refused('has two fields of one name, in lines {} and {}'.format(found[event.value][1], line))
        found[event.value] = (value.value, line)
    return found


def _expected_fields(found):
    """Names of the fields that an invitation of this version has to have.

    :raises _Refused: for a version that is none.
    """
    values = {name: value for name, (value, _) in found.items()}
    _valid('version', values, values['version'] in map(str, VERSIONS), 'the number 1 or 2')
    pinned, personal = ((name in found and values['version'] != '1') for name in ('ca_sha256', 'user'))
    return (('version', 'robot', 'server_url', 'created', 'expires', 'key')
            + (('ca_sha256',) if pinned else ('ca_pem',)) + (_OF_USER if personal else _OF_TEAM))


def _convert(found):
    expected = _expected_fields(found)
    for name, (_, line) in found.items():
        if name not in expected:
            # Whatever does not look like a field's name may be a secret in the wrong place.
            shown = name + ' ' if re.fullmatch('[a-z_0-9]{1,24}', name) else ''
            version = found['version'][0]
            raise _Refused('has a field {}(line {}) that {}'.format(
                shown, line, 'does not go with the others' if name in FIELDS and version != '1'
                else 'version {} does not know'.format(version)))
    missing = [name for name in expected if name not in found]
    if missing:
        raise _Refused('lacks the field{} {}'.format('s' if len(missing) > 1 else '', ', '.join(missing)))
    values = {name: value for name, (value, _) in found.items()}
    try:
        names.parse_server_url(values['server_url'])
    except ValueError as error:
        raise _Refused('has a server_url that {}'.format(error)) from None
    if 'ca_pem' in values:
        try:
            ca.load_ca_certificates(values['ca_pem'], 'ca_pem')
        except CertificateError as error:
            raise _Refused('has no usable CA: ' + error.sentence.rstrip('.'))
    else:
        _valid('ca_sha256', values, PINS.fullmatch(values['ca_sha256']), 'a SHA-256 (64 hexadecimal digits)')
    for name, check in (('team', names.check_team), ('robot', names.check_robot), ('user', names.check_user)):
        try:
            check(values.get(name, 'none'))
        except UsageError:
            _valid(name, values, False, 'a name that {} can have'.format('a user' if name == 'user'
                                                                         else 'a ' + name))
    _valid('key', values, KEY.fullmatch(values['key']), 'a pre-auth key')
    created, expires = _time('created', values), _time('expires', values)
    _valid('expires', values, created < expires, 'after created')
    made = Invitation(server_url=values['server_url'], ca_pem=values.get('ca_pem', ''), key=values['key'],
                      robot=values['robot'], created=created, expires=expires, ca_sha256=values.get('ca_sha256', ''),
                      user=values.get('user', ''))
    return made if made.user else _with_team(made, values)


def _with_team(made, values):
    _valid('addressing', values, values['addressing'] in defaults.ADDRESSING, 'names or addresses')
    _valid('master', values, values['master'] in ('true', 'false'), 'true or false')
    port = values['team_port']
    _valid('team_port', values, re.fullmatch(r'[0-9]{1,5}', port) and 1 <= int(port) <= 65535, 'a TCP port')
    return replace(made, team=values['team'], team_port=int(port), addressing=values['addressing'],
                   master=values['master'] == 'true')


def _valid(name, values, good, expected):
    if not good:
        raise _Refused('has a field {} that is not {}'.format(name, expected))


def _time(name, values):
    try:
        return parse_rfc3339(values[name])
    except ValueError:
        raise _Refused('has a field {} that is not a time like 2026-11-22T18:48:52Z'.format(name))


def _lower(text):
    return text[:1].lower() + text[1:]
