"""Write, read and check the file of an invitation.

It is YAML, so that a person can read it, but a strict subset: one mapping of plain scalars that ends with YAML's end
mark, so that a truncated copy is detected. Errors quote nothing from the file except names and times.
"""
import datetime
import errno
import os
import re
import stat
from dataclasses import replace
from typing import Dict, Iterator, Optional, Tuple, Union

import yaml

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.clock import parse_rfc3339
from ua_overlay.errors import UsageError
from ua_overlay.system import file_system, files, foreign_file, schema
from ua_overlay.trust import ca, names
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust.certificate import CertificateError
from ua_overlay.trust.invitation import FIELDS, NEW, Invitation, InvitationError, public_values

#: A new version has fields that a robot of an older release could not use: 2 has `ca_sha256` instead of `ca_pem`, or
#: `user` instead of the team. An invitation is written in the lowest version that has its fields.
VERSIONS = (1, 2)
#: Longest invitation, in bytes; a longer file was chosen by mistake.
MAX_BYTES = 65536
#: YAML's document end mark: the last line.
END = '...'
#: Beginning of the first line.
TITLE = '# ua_overlay invitation'
#: SHA-256 of the site's CA certificates (DER), see ca_pin.
PINS = re.compile(r'[0-9a-f]{64}(?: [0-9a-f]{64})*')
#: Headscale 0.28 and later: hskey-auth-{12 characters}-{64}; older keys have 48 hexadecimal digits.
KEY = re.compile(r'[A-Za-z0-9_-]{16,256}')
AGAIN = 'copy it from the server again'

#: Fields that only the invitation of a user has, and those that only the invitation of a team has.
_OF_USER, _OF_TEAM = ('user',), ('team', 'team_port', 'addressing', 'master')

#: The text and the line of each field.
_Scalars = Dict[str, Tuple[str, int]]


def fields_of(invitation: Invitation) -> Tuple[str, ...]:
    """Return the names of the fields in its file, in order."""
    return (('version',) + (_OF_USER if invitation.user else ('team',))
            + ('robot', 'server_url', 'created', 'expires')
            + (() if invitation.user else ('master', 'team_port', 'addressing'))
            + ('key', 'ca_sha256' if invitation.ca_sha256 else 'ca_pem'))


def dump(invitation: Invitation) -> str:
    """Return the text of the file: comments that describe it, the fields, the end mark."""
    values = public_values(invitation)
    lines = [
        TITLE + ': lets {} join {}, once, until {}.'.format(
            invitation.robot, invitation.destination, values['expires']),
        '# It has a secret key. Keep it private (chmod 600), copy it to the machine over ssh or on a USB stick, and',
        '# delete it when the machine has joined. On the machine:',
        '#   sudo ua-overlay robot prepare --invitation FILE --user "$USER"     once',
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
            # Quoted like a JSON string, because YAML gives some bare names another meaning (no, on, 1e3).
            lines.append('{}: {}'.format(name, {True: 'true', False: 'false'}[value] if isinstance(value, bool)
                                         else value if isinstance(value, int) else '"{}"'.format(value)))
    lines.append(END)
    return '\n'.join(lines) + '\n'


def write(path: Union[str, 'os.PathLike[str]'], invitation: Invitation,
          owner: Optional[Tuple[int, int]] = None) -> None:
    """Write the file with mode 0600, completely or not at all.

    :param owner: (uid, gid) of the person who carries it; default: this process's, regardless of the directory's owner.
    :raises InvitationError: the file cannot be written.
    """
    try:
        files.write_secret(path, dump(invitation), owner or (os.geteuid(), os.getegid()))
    except OSError as error:
        raise InvitationError('The invitation cannot be written to {}: {}.'.format(path, certificates.reason(error)),
                              file_system.next_command(error, command('ls -ld {}',
                                  os.path.dirname(os.fspath(path)) or '.')))


def read(path: Union[str, 'os.PathLike[str]']) -> Invitation:
    """Read and check an invitation file; `invitation.check_usable` checks its dates.

    Refuse a file that other users may read or write, as ssh does with keys: they may know its key.

    :raises InvitationError: it is missing, unreadable, open to others, or invalid.
    """
    path = os.fspath(path)
    another = NEW.format('TEAM ROBOT')
    try:
        data, status = foreign_file.read(path, MAX_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        if os.path.isabs(path):
            raise InvitationError('There is no invitation file {}.'.format(path), another, 'INVITATION_MISSING')
        # Of the join service, which runs in the directory of roslaunch.
        raise InvitationError('There is no invitation file {} in {}, where this program runs.'.format(
            path, os.getcwd()), command('realpath {}   # where the file is; then give that path', path),
            'INVITATION_MISSING')
    except PermissionError:
        raise InvitationError('This user may not read the invitation {}.'.format(path),
                              command('sudo chown "$USER" {}', path))
    except OSError as error:
        if error.errno == errno.EFBIG:
            raise InvitationError('{} is too long to be an invitation.'.format(path), another)
        raise InvitationError('The invitation {} cannot be read: {}.'.format(
            path, certificates.reason(error)), command('ls -ld {}', path))
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise InvitationError(
            'The invitation {} is open to other users (mode {:04o}), and it has a secret key.'.format(
                path, stat.S_IMODE(status.st_mode)),
            file_system.closing_command(path, status.st_uid, file_system.kind_of(path), os.geteuid()))
    try:
        return parse(data.decode('utf-8'), path)
    except UnicodeDecodeError:
        raise InvitationError('{} is not an invitation: it is not text.'.format(path), another) from None


def parse(text: str, source: str) -> Invitation:
    """Return the invitation in the text of a file.

    :param text: from :func:`dump`.
    :param source: what to call it in an error: its path.
    :raises InvitationError: the text is invalid; the sentence names the field or line.
    """
    try:
        return _convert(_scalars(text))
    except _Refused as refused:
        raise InvitationError('The invitation {} {}.'.format(source, refused.reason), refused.next_command,
                              refused.code) from None


class _Refused(Exception):
    """A text is not an invitation; str() is the end of a sentence about it."""

    def __init__(self, reason: str, next_command: Optional[str] = None, code: str = 'INVITATION_INVALID') -> None:
        super().__init__(reason)
        self.reason = reason
        self.next_command = next_command or NEW.format('TEAM ROBOT')
        self.code = code


def _scalars(text: str) -> _Scalars:
    """Return the fields of the single mapping in a YAML text as text, without YAML's conversions.

    :raises _Refused: the text is not such a mapping, has another version, or is truncated.
    """
    if not text.strip():
        raise _Refused('is empty', AGAIN)
    whole = text.rstrip().splitlines()[-1] == END
    cut = _Refused('is cut short: its last line, `{}`, is missing'.format(END), AGAIN)
    try:
        scalars = _pairs(schema.events(text))
    except schema.Invalid as error:
        if text.startswith(TITLE) and not whole:
            raise cut from None
        raise _Refused('is not YAML{}'.format(' (line {})'.format(error.line) if error.line else '')) from None
    if scalars is None:
        raise cut if text.startswith(TITLE) and not whole else _Refused('is not a list of fields (`name: value`)')
    version = scalars.get('version', ('', 0))[0]
    if version not in map(str, VERSIONS) and re.fullmatch(r'[0-9]{1,6}', version):
        raise _Refused('is of version {}, and this machine\'s ua_overlay reads version {}'.format(
            version, ' and '.join(map(str, VERSIONS))),
                       'install the same release of ua_overlay here as on the server', 'INVITATION_VERSION')
    if 'version' not in scalars:
        raise _Refused('is not an invitation: it has no field `version`')
    if not whole:
        raise cut
    return scalars


def _pairs(events: Iterator[yaml.Event]) -> Optional[_Scalars]:
    """Return the scalars of the mapping in a stream of YAML events; None when the stream does not begin with one.

    It reads events instead of nodes, so that unexpected content is never constructed, however deeply it is nested.

    :raises _Refused: the mapping has a value that is not a scalar, or a duplicate name.
    """
    for event in events:
        if isinstance(event, (yaml.StreamStartEvent, yaml.DocumentStartEvent)):
            continue
        if not isinstance(event, yaml.MappingStartEvent):
            return None
        break
    scalars: _Scalars = {}
    for event in events:
        if isinstance(event, yaml.MappingEndEvent):
            break
        line = event.start_mark.line + 1
        value = next(events)
        if not isinstance(event, yaml.ScalarEvent) or not isinstance(value, yaml.ScalarEvent):
            raise _Refused('has something other than `name: value` in line {}'.format(line))
        if event.value in scalars:
            raise _Refused('has two fields with the same name, in lines {} and {}'.format(
                scalars[event.value][1], line))
        scalars[event.value] = (value.value, line)
    return scalars


def _expected_fields(scalars: _Scalars) -> Tuple[str, ...]:
    """Return the names of the mandatory fields of an invitation of this version.

    :raises _Refused: the version is invalid.
    """
    values = {name: value for name, (value, _) in scalars.items()}
    _valid('version', values['version'] in map(str, VERSIONS), 'the number 1 or 2')
    pinned, personal = ((name in scalars and values['version'] != '1') for name in ('ca_sha256', 'user'))
    return (('version', 'robot', 'server_url', 'created', 'expires', 'key')
            + (('ca_sha256',) if pinned else ('ca_pem',)) + (_OF_USER if personal else _OF_TEAM))


def _convert(scalars: _Scalars) -> Invitation:
    expected = _expected_fields(scalars)
    for name, (_, line) in scalars.items():
        if name not in expected:
            # A name that does not look like a field name may be a misplaced secret.
            shown = name + ' ' if re.fullmatch('[a-z_0-9]{1,24}', name) else ''
            version = scalars['version'][0]
            raise _Refused('has a field {}(line {}) that {}'.format(
                shown, line, 'does not go with the others' if name in FIELDS and version != '1'
                else 'version {} does not have'.format(version)))
    missing = [name for name in expected if name not in scalars]
    if missing:
        raise _Refused('lacks the field{} {}'.format('s' if len(missing) > 1 else '', ', '.join(missing)))
    values = {name: value for name, (value, _) in scalars.items()}
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
        _valid('ca_sha256', PINS.fullmatch(values['ca_sha256']), 'a SHA-256 (64 hexadecimal digits)')
    for name, check in (('team', names.check_team), ('robot', names.check_robot), ('user', names.check_user)):
        try:
            check(values.get(name, 'none'))
        except UsageError:
            _valid(name, False, 'a valid name of a ' + name)
    _valid('key', KEY.fullmatch(values['key']), 'a pre-auth key')
    created, expires = _time('created', values), _time('expires', values)
    _valid('expires', created < expires, 'after created')
    invitation = Invitation(
        server_url=values['server_url'], ca_pem=values.get('ca_pem', ''), key=values['key'], robot=values['robot'],
        created=created, expires=expires, ca_sha256=values.get('ca_sha256', ''), user=values.get('user', ''))
    return invitation if invitation.user else _with_team(invitation, values)


def _with_team(invitation: Invitation, values: Dict[str, str]) -> Invitation:
    _valid('addressing', values['addressing'] in defaults.ADDRESSING, 'names or addresses')
    _valid('master', values['master'] in ('true', 'false'), 'true or false')
    port = values['team_port']
    _valid('team_port', re.fullmatch(r'[0-9]{1,5}', port) and 1 <= int(port) <= 65535, 'a TCP port')
    return replace(invitation, team=values['team'], team_port=int(port), addressing=values['addressing'],
                   master=values['master'] == 'true')


def _valid(name: str, good: object, expected: str) -> None:
    """Refuse the field ``name`` unless ``good``."""
    if not good:
        raise _Refused('has a field {} that is not {}'.format(name, expected))


def _time(name: str, values: Dict[str, str]) -> datetime.datetime:
    try:
        moment = parse_rfc3339(values[name])
        if moment.year in certificates.YEARS:
            return moment
        raise ValueError('outside the calendar')
    except ValueError:
        raise _Refused('has a field {} that is not a time like 2026-11-22T18:48:52Z'.format(name))
