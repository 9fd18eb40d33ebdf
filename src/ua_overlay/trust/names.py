"""Names that people choose: teams, robots, servers and their URLs. Checked here before anything is made of them."""
import ipaddress
import re
from collections import namedtuple
from urllib.parse import urlsplit

from ua_overlay import defaults
from ua_overlay.errors import UsageError

#: A DNS label (RFC 1035 2.3.1) in lower case. It starts with a letter: a tag has to (tailcfg.CheckTag), and so does a
#: ROS name (http://wiki.ros.org/Names), and both are made of these names.
LABEL = re.compile(r'[a-z](?:[a-z0-9-]{0,61}[a-z0-9])?')
#: A label of a server's name may start with a digit (RFC 1123 2.1).
HOST_LABEL = re.compile(r'[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?')
#: Robots that would be mistaken for something else: the loopback, the site's relay, its server.
RESERVED_ROBOTS = frozenset(['localhost', 'relay', 'server'])

#: Where a server is: its DNS name and TCP port.
ServerUrl = namedtuple('ServerUrl', 'host port')


def check_team(name):
    """Return ``name`` when a team can be called that.

    :raises UsageError: with a name that would do.
    """
    if not LABEL.fullmatch(name):
        raise UsageError(_label_sentence('team', name), _suggest('ua-overlay team create', name, 'iris'))
    if name in defaults.RESERVED_TEAMS or name.startswith(defaults.MARKER_TEAM):
        raise UsageError('The team name {0!r} is reserved: the overlay uses tag:{0} for itself.'.format(name),
                         'ua-overlay team create {}-team'.format(name))
    return name


def check_robot(name):
    """Return ``name`` when a robot can be called that.

    :raises UsageError: with a name that would do.
    """
    if not LABEL.fullmatch(name):
        raise UsageError(_label_sentence('robot', name), _suggest('ua-overlay invite TEAM', name, 'dev-1'))
    if name in RESERVED_ROBOTS:
        raise UsageError('The robot name {!r} is reserved: the overlay uses it for itself.'.format(name),
                         'ua-overlay invite TEAM {}-1'.format(name))
    return name


def check_user(name):
    """Return ``name`` when a user (a person with a laptop, and a user of Headscale) can be called that.

    :raises UsageError: with a name that would do.
    """
    # Headscale takes no user of one letter.
    if not LABEL.fullmatch(name) or len(name) < 2:
        raise UsageError('{!r} cannot be the name of a user: it takes lower-case letters, digits and hyphens, at '
                         'least two, starts with a letter and does not end with a hyphen.'.format(name),
                         'another name, such as ana')
    return name


def check_server_name(name):
    """Return the lower-case form of ``name`` when it is a DNS name that a server can have.

    :raises UsageError: for an address, a URL, or labels that DNS does not take.
    """
    lower = name.strip().lower()
    if is_address(lower):
        raise UsageError('{!r} is an address, and a server needs a DNS name: tailscaled does not check the name in the '
                         'certificate of a server that it reaches by address.'.format(name),
                         'ua-overlay server init --name server.example.org --address {}'.format(lower))
    labels = lower.split('.')
    # A last label of digits alone would be read as an address by some resolvers (RFC 3696 2).
    if len(lower) > 253 or not all(HOST_LABEL.fullmatch(label) for label in labels) or labels[-1].isdigit():
        raise UsageError('{!r} is not the DNS name of a server: labels of letters, digits and hyphens with dots '
                         'between them, without port or https://.'.format(name),
                         'ua-overlay server init --name server.example.org')
    return lower


def check_address(text):
    """Return the canonical text of an IPv4 or IPv6 address.

    :raises UsageError: when it is none.
    """
    try:
        return str(ipaddress.ip_address(text.strip()))
    except ValueError:
        raise UsageError('{!r} is not an IP address: give it alone, without port or prefix length.'.format(text),
                         'ua-overlay server init --name server.example.org --address 203.0.113.10')


def is_address(host):
    """Say whether ``host`` is an IPv4 or IPv6 address, also in brackets."""
    try:
        ipaddress.ip_address(host.strip('[]'))
    except ValueError:
        return False
    return True


def parse_server_url(url):
    """Split ``https://name[:port]`` into its :class:`ServerUrl`.

    An address instead of a name is refused. Go's TLS client leaves ServerName empty for an address, tailscaled hands
    that to the verifier, and the host check is then skipped (tailscale 1.98 net/tlsdial): anyone with any certificate
    of the CA could pose as the server.

    :raises ValueError: with the reason as the end of a sentence about the URL ('has no host name'); it never repeats a
        user or password.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError('is not a URL') from None      # urlsplit's own words quote it, perhaps with a password
    if parts.scheme != 'https':
        raise ValueError('does not start with https://')
    if parts.username is not None or parts.password is not None:
        raise ValueError('carries a user name or password, which it must not')
    if not parts.hostname:
        raise ValueError('has no host name')
    if is_address(parts.hostname):
        raise ValueError('has the address {} where it needs a DNS name, because tailscaled does not check the '
                         'certificate of an address'.format(parts.hostname))
    try:
        host = check_server_name(parts.hostname)
    except UsageError:
        raise ValueError('has a host name that DNS does not take')
    if parts.path not in ('', '/') or parts.query or parts.fragment:
        raise ValueError('has something after the host and port')
    if port == 0:
        raise ValueError('has the port 0')
    return ServerUrl(host, port or 443)


def _label_sentence(kind, name):
    if not name:
        return 'The {} has no name.'.format(kind)
    if len(name) > 63:
        return 'The {} name {!r} is {} characters long; DNS takes 63.'.format(kind, name, len(name))
    return ('{!r} cannot be the name of a {}: it becomes a DNS name or a tag, so it takes lower-case letters, digits '
            'and hyphens, starts with a letter and does not end with a hyphen.'.format(name, kind))


def _suggest(command, name, other):
    """Return ``command`` with the nearest name that is allowed, or ``other``."""
    near = re.sub(r'[^a-z0-9-]+', '-', name.lower())[:63].strip('-')
    near = re.sub(r'^[0-9-]+', '', near)
    return '{} {}'.format(command, near if LABEL.fullmatch(near) else other)
