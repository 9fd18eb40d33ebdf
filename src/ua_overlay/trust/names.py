"""Check the names that people choose (of teams, robots, users and servers) and server URLs. Pure."""
import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

from ua_overlay import defaults
from ua_overlay.advice import command as command_line
from ua_overlay.errors import UsageError

#: A DNS label (RFC 1035 2.3.1) in lower case. It starts with a letter, as tags (tailcfg.CheckTag) and ROS names
#: (http://wiki.ros.org/Names) must, which are derived from it.
LABEL = re.compile(r'[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?')
#: A label of a server's name may start with a digit (RFC 1123 2.1).
HOST_LABEL = re.compile(r'[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?')
#: Names that are taken: the loopback, the site's relay, its server.
RESERVED_ROBOTS = frozenset(['localhost', 'relay', 'server'])


class ServerUrl(NamedTuple):
    """Name and port of a server."""

    #: DNS name.
    host: str
    #: TCP port.
    port: int


def check_team(name: str) -> str:
    """Return ``name`` if it is a valid name of a team.

    :raises UsageError: it is invalid; the next command has a valid name.
    """
    if not LABEL.fullmatch(name):
        raise UsageError(_label_sentence('team', name), _suggest('ua-overlay team create', name, 'iris'))
    if name in defaults.RESERVED_TEAMS or name.startswith(defaults.MARKER_TEAM):
        raise UsageError('The team name {0!r} is reserved: the overlay uses tag:{0} for itself.'.format(name),
                         command_line('ua-overlay team create {}-team', name))
    return name


def check_robot(name: str) -> str:
    """Return ``name`` if it is a valid name of a robot.

    :raises UsageError: it is invalid; the next command has a valid name.
    """
    if not LABEL.fullmatch(name):
        raise UsageError(_label_sentence('robot', name), _suggest('ua-overlay invite TEAM', name, 'dev-1'))
    if name in RESERVED_ROBOTS:
        raise UsageError('The robot name {!r} is reserved: the overlay uses it for itself.'.format(name),
                         command_line('ua-overlay invite TEAM {}-1', name))
    return name


def check_user(name: str) -> str:
    """Return ``name`` if it is a valid name of a user (a person with a laptop, and a user of Headscale).

    :raises UsageError: it is invalid; the next command has a valid name.
    """
    # Headscale refuses users with one letter.
    if not LABEL.fullmatch(name) or len(name) < 2:
        raise UsageError('{!r} cannot be the name of a user: it takes lower-case letters, digits and hyphens, at '
                         'least two, starts with a letter and does not end with a hyphen.'.format(name),
                         'another name, such as ana')
    return name


def check_server_name(name: str) -> str:
    """Return ``name`` in lower case if it is a valid DNS name of a server.

    :raises UsageError: it is an address, a URL, or has labels that DNS does not allow.
    """
    lower = name.strip().lower()
    if is_address(lower):
        raise UsageError('{!r} is an address, and a server needs a DNS name: tailscaled does not check the name in the '
                         'certificate of a server that it reaches by address.'.format(name),
                         command_line('ua-overlay server init --name server.example.org --address {}', lower))
    labels = lower.split('.')
    # Some resolvers mistake a name for an address if its last label has only digits (RFC 3696 2).
    if len(lower) > 253 or not all(HOST_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise UsageError('{!r} is not a valid DNS name of a server. It has labels of letters, digits and hyphens, '
                         'with dots between them, and neither a port nor https://.'.format(name),
                         'ua-overlay server init --name server.example.org')
    return lower


def check_address(text: str) -> str:
    """Return the canonical text of an IPv4 or IPv6 address.

    :raises UsageError: it is not an address.
    """
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise UsageError('{!r} is not an IP address. Give it without port and prefix length.'.format(text),
                         'ua-overlay server init --name server.example.org --address 203.0.113.10')


def is_address(host: str) -> bool:
    """Return whether ``host`` is an IPv4 or IPv6 address, with or without brackets."""
    try:
        ipaddress.ip_address(host.strip('[]'))
    except ValueError:
        return False
    return True


def parse_server_url(url: str) -> ServerUrl:
    """Split ``https://name[:port]``.

    An address is invalid. Go's TLS client leaves ServerName empty for an address, tailscaled passes
    that to the verifier, and the verifier then skips the host name (tailscale 1.98 net/tlsdial): anyone with any
    certificate of the CA could impersonate the server.

    :raises ValueError: the URL is invalid; str() is the end of a sentence about the URL ('has no host name') and never
        quotes a user or password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        # Drop the error of urlsplit, which quotes the URL, perhaps with a password.
        raise ValueError('is not a URL') from None
    if parts.scheme != 'https':
        raise ValueError('does not start with https://')
    if parts.username is not None or parts.password is not None:
        raise ValueError('must not have a user name or password')
    if not parts.hostname:
        raise ValueError('has no host name')
    if is_address(parts.hostname):
        raise ValueError('has the address {} where it needs a DNS name, because tailscaled does not check the '
                         'certificate of an address'.format(parts.hostname))
    try:
        host = check_server_name(parts.hostname)
    except UsageError:
        raise ValueError('has a host name that DNS does not allow')
    if parts.path not in ('', '/') or parts.query or parts.fragment:
        raise ValueError('has something after the host and port')
    if port == 0:
        raise ValueError('has the port 0')
    return ServerUrl(host, port or 443)


def _label_sentence(kind: str, name: str) -> str:
    if not name:
        return 'The {} has no name.'.format(kind)
    if len(name) > 63:
        return 'The {} name {!r} has {} characters; DNS allows 63.'.format(kind, name, len(name))
    return ('{!r} cannot be the name of a {}: it becomes a DNS name or a tag, so it takes lower-case letters, digits '
            'and hyphens, starts with a letter and does not end with a hyphen.'.format(name, kind))


def _suggest(command: str, name: str, other: str) -> str:
    """Return ``command`` with the nearest valid name, or with ``other``."""
    near = re.sub(r'[^a-z0-9-]+', '-', name.lower())[:63].strip('-')
    near = re.sub(r'^[0-9-]+', '', near)
    return '{} {}'.format(command, near if LABEL.fullmatch(near) else other)
