"""Enrolments: small files with which a remote host becomes a relay or a DERP region of a site.

`ua-overlay relay create` and `derp create` write one on the server. Carry it like an invitation, because it has a
secret: the single-use key of the relay's node, or the key of the DERP's certificate.
"""
import os
import stat
from dataclasses import dataclass, field, fields
from typing import Any, Dict, Optional, Tuple

import yaml

from ua_overlay import defaults
from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.headscale import remote_hosts
from ua_overlay.printable import printable
from ua_overlay.system import file_system, files, foreign_file, schema
from ua_overlay.trust import certificate as certificates
from ua_overlay.trust import names

VERSION = 1
RELAY, DERP = 'relay', 'derp'
MAX_BYTES = 65536


class EnrolmentError(OverlayError):
    """An enrolment that cannot be used."""

    code = 'ENROLMENT'


@dataclass(frozen=True)
class Enrolment:
    """The data that a remote host needs.

    :param kind: RELAY or DERP.
    :param name: its name in site.yaml.
    :param server_url: `https://NAME:PORT` of the site.
    :param ca_pem: the site's CA.
    :param address: address at which robots reach this host.
    :param port: UDP of the relay, or TCP of the DERP.
    :param key: single-use pre-auth key of a relay (a secret), '' after its use.
    :param stun_port: UDP port of STUN; this and the following only for a DERP.
    :param host_name: the name in the certificate.
    :param certificate: PEM of the full chain.
    :param certificate_key: PEM (a secret).
    :param memory: seconds for which a DERP remembers whom Headscale confirmed (site.yaml: admission_memory).
    """

    kind: str
    name: str
    server_url: str
    ca_pem: str
    address: str
    port: int
    key: str = field(default='', repr=False)
    stun_port: int = 0
    host_name: str = ''
    certificate: str = ''
    certificate_key: str = field(default='', repr=False)
    memory: int = defaults.ADMISSION_MEMORY


#: The mandatory fields of every enrolment, and the additional ones of a DERP's.
_REQUIRED = ('kind', 'name', 'server_url', 'ca_pem', 'address', 'port')
_REQUIRED_OF_DERP = ('stun_port', 'host_name', 'certificate', 'certificate_key')


def dump(enrolment: Enrolment) -> str:
    """Return the text of the file."""
    values: Dict[str, Any] = {'version': VERSION}
    for each in fields(Enrolment):
        value = getattr(enrolment, each.name)
        if value and not (each.name == 'memory' and enrolment.kind == RELAY):
            values[each.name] = value
    return ('# ua_overlay {0} {1}: makes one host the {0} {1}. It holds a secret: carry it like a password.\n'
            '#   ua-overlay {0} run --dir DIR --enrolment FILE\n'.format(enrolment.kind, enrolment.name)
            + yaml.safe_dump(values, default_flow_style=False, sort_keys=False))


def write(path: str, enrolment: Enrolment, owner: Optional[Tuple[int, int]] = None) -> None:
    """Write the file with mode 0600, completely or not at all.

    :param owner: (uid, gid) of the person who carries it; default: this process's.
    :raises EnrolmentError: the file cannot be written.
    """
    try:
        files.write_secret(path, dump(enrolment), owner or (os.geteuid(), os.getegid()))
    except OSError as error:
        raise EnrolmentError('The enrolment cannot be written to {}: {}.'.format(path, error.strerror or error),
                             file_system.next_command(error, command('ls -ld {}', os.path.dirname(path) or '.')))


def read(path: str, kind: str) -> Enrolment:
    """Read an enrolment of ``kind``.

    :raises EnrolmentError: it is missing, readable by others, damaged, or of the other kind. The error does not quote
        its contents.
    """
    again = 'ua-overlay {} create NAME --address IP   # on the server'.format(kind)
    try:
        data, status = foreign_file.read(path, MAX_BYTES)
        text = data.decode('utf-8')
    except (FileNotFoundError, NotADirectoryError):
        raise EnrolmentError('There is no enrolment {}.'.format(path), again)
    except OSError as error:
        raise EnrolmentError('The enrolment {} cannot be read: {}.'.format(path, error.strerror or error),
                             command('ls -ld {}', path))
    except UnicodeDecodeError:
        raise EnrolmentError('The enrolment {} cannot be read: it is not text.'.format(path), again) from None
    if status.st_mode & (stat.S_IRWXO | stat.S_IWGRP):
        raise EnrolmentError('Other users of this machine may read or change the enrolment {}, which holds a '
                             'secret.'.format(path), command('chmod 600 {}', path))
    return parse(text, path, kind, again)


def parse(text: str, source: str, kind: str, again: str = '') -> Enrolment:
    """Return the Enrolment in ``text``.

    :param source: name of the file, for errors.
    :param again: the next command of its errors.
    :raises EnrolmentError: the text is invalid; the sentence names ``source``.
    """
    try:
        values = schema.load(text)
    except schema.Invalid:
        values = None
    if not isinstance(values, dict) or values.pop('version', None) != VERSION:
        raise EnrolmentError('{} is not an enrolment of version {}.'.format(source, VERSION), again)
    types: Dict[str, Any] = {each.name: each.type for each in fields(Enrolment)}
    wrong = [name for name, value in values.items()
             if name not in types or isinstance(value, bool) or not isinstance(value, types[name])]
    if wrong:
        raise EnrolmentError('The enrolment {} has an invalid field {}.'.format(
            source, min(printable(name, 30) for name in wrong)), again)
    required = _REQUIRED + (_REQUIRED_OF_DERP if values.get('kind') == DERP else ())
    missing = [name for name in required if not values.get(name)]
    if missing:
        raise EnrolmentError('The enrolment {} is damaged: it has no {}.'.format(source, missing[0]), again)
    if values['kind'] not in (RELAY, DERP):
        raise EnrolmentError('The enrolment {} has an invalid field kind.'.format(source), again)
    if values['kind'] != kind:
        raise EnrolmentError('{} is the enrolment of a {}, not of a {}.'.format(source, values['kind'], kind),
                             command('ua-overlay {} run --enrolment {} --dir DIR', values['kind'], source))
    enrolment = Enrolment(**values)
    try:
        names.parse_server_url(enrolment.server_url)
        certificates.load_certificates(enrolment.ca_pem.encode('ascii', 'replace'), 'the CA in ' + source)
        remote_hosts.check_name(kind, enrolment.name)
        remote_hosts.check_port('port', enrolment.port)
        remote_hosts.check_reachable(enrolment.address)
        if kind == DERP:
            remote_hosts.check_port('STUN port', enrolment.stun_port)
            if enrolment.memory <= 0:
                raise ValueError('its memory is not a time.')
            # It becomes the name of files, so it must be the name itself and not something that makes one.
            if names.check_server_name(enrolment.host_name) != enrolment.host_name:
                raise ValueError('{!r} is not a host name.'.format(enrolment.host_name))
            certificates.load_certificates(enrolment.certificate, 'the certificate in ' + source)
            certificates.load_private_key(enrolment.certificate_key, 'the key in ' + source)
    except (ValueError, OverlayError) as error:
        raise EnrolmentError('The enrolment {} is damaged: {}'.format(
            source, getattr(error, 'sentence', error)), again) from None
    return enrolment
