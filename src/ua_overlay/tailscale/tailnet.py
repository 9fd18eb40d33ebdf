"""Find out which other network this machine's tailscaled belongs to, and what it would lose by leaving it.

A machine that is prepared for a site is cut off from any other tailnet: tailscaled trusts the site's CA alone, and
connects to the site's servers alone.
"""
import base64
import binascii
from typing import Any, Collection, Dict, Iterable, List, NamedTuple, Optional, Tuple
from urllib.parse import urlsplit

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.printable import printable
from ua_overlay.protocols import Json, JsonObject
from ua_overlay.system import foreign_file, foreign_json

#: tailscaled's own default (tailscale: ipn.DefaultControlURL), and its synonym (ipn.IsLoginServerSynonym).
DEFAULT_URL = 'https://controlplane.tailscale.com'
_SYNONYMS = ('', 'https://login.tailscale.com', DEFAULT_URL)
#: Keys of the state file (tailscale: ipn/store.go), base64 of JSON except for the second.
_PROFILES, _CURRENT = '_profiles', '_current-profile'


class OtherTailnet(OverlayError):
    """This machine belongs to a network of another control server."""

    code = 'OTHER_TAILNET'


class Profile(NamedTuple):
    """A login that tailscaled keeps (tailscale: ipn.LoginProfile).

    :ivar id: '' for one that was never saved.
    :ivar control_url: of its control server.
    :ivar current: whether tailscaled uses it.
    """

    id: str
    control_url: str
    name: str = ''
    current: bool = False


def normal_url(url: str) -> str:
    """Return a control server's URL without its synonyms and its final slash."""
    url = url.rstrip('/')
    return DEFAULT_URL if url in _SYNONYMS else url


def is_site(control_url: str, servers: Collection[str]) -> bool:
    """Return whether a control server is one of a site's.

    :param servers: DNS names and addresses of the site's servers.
    """
    try:
        return (urlsplit(control_url).hostname or '') in servers
    except ValueError:
        return False


def parse_profiles(listed: Json, current: Json) -> Tuple[Profile, ...]:
    """Return the profiles in LocalAPI's answers to `profiles/` and `profiles/current`. Pure."""
    profiles = [_profile(each) for each in listed if isinstance(each, dict)] if isinstance(listed, list) else []
    used = _profile(current).id if isinstance(current, dict) else ''
    return tuple(each._replace(current=bool(used) and each.id == used) for each in profiles if each.id)


def parse_state(text: str) -> Tuple[Profile, ...]:
    """Return the profiles in a state file of tailscaled. Pure.

    :raises ValueError: it is damaged, or sealed by the machine's TPM.
    """
    state = foreign_json.parse_object(text)
    if 'key' in state and 'nonce' in state:  # tailscale: feature/tpm, encryptedData
        raise ValueError('sealed')
    known = state.get(_PROFILES)
    profiles = foreign_json.parse_object(_decoded(known)) if known else {}
    current = _decoded(state.get(_CURRENT, '')).decode('utf-8', 'replace')
    return tuple(_profile(each)._replace(current=isinstance(each, dict) and each.get('Key') == current)
                 for each in profiles.values() if isinstance(each, dict))


def read_state(path: str) -> Tuple[Profile, ...]:
    """Return the profiles in the state file at ``path``, () when there is none.

    :raises OverlayError: it cannot be read or understood.
    """
    try:
        text = foreign_file.read_text(path)
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise _unknown(path, error.strerror)
    if not text.strip():
        return ()  # after a power cut
    try:
        return parse_state(text)
    except ValueError as error:
        raise _unknown(path, str(error))


def losses(prefs: JsonObject) -> List[str]:
    """Return what leaving a tailnet ends, from tailscaled's preferences (ipn.Prefs), as phrases. Pure."""
    advertised = prefs.get('AdvertiseRoutes')
    routes = [each for each in advertised if isinstance(each, str)] if isinstance(advertised, list) else []
    exits = [each for each in routes if each in ('0.0.0.0/0', '::/0')]
    found = []
    if exits:
        found.append('its role as an exit node')
    if len(routes) > len(exits):
        others = sorted(set(routes) - set(exits))
        found.append('the routes that it advertises ({})'.format(printable(', '.join(others))))
    if prefs.get('ExitNodeID') or prefs.get('ExitNodeIP'):
        found.append('its exit node')
    if prefs.get('RouteAll'):
        found.append('the routes of other machines')
    if prefs.get('RunSSH'):
        found.append('Tailscale SSH')
    if prefs.get('AdvertiseServices'):
        found.append('the services that it offers')
    connector = prefs.get('AppConnector')
    if isinstance(connector, dict) and connector.get('Advertise'):
        found.append('its role as an app connector')
    return found


def foreign_profiles(profiles: Iterable[Profile], servers: Collection[str]) -> Tuple[Profile, ...]:
    """Return the profiles of other control servers, the current one first. Pure."""
    others = [each for each in profiles if not is_site(each.control_url, servers)]
    return tuple(sorted(others, key=lambda each: not each.current))


def check_tailnet(others: Collection[Profile], name: str, addresses: Collection[str], lost: Collection[str],
                  connections: int, again: str) -> None:
    """Check that preparing this machine cuts it off from no other network. Pure.

    :param others: of :func:`foreign_profiles`.
    :param name: this machine's DNS name there, '' if unknown; ``addresses``: its addresses there.
    :param lost: of :func:`losses`, for the current profile.
    :param connections: TCP connections that came in over that network and are open now.
    :param again: the command to type with --take-over.
    :raises OtherTailnet: it does; the sentence names the control server and what would be lost.
    """
    first = next(iter(others), None)
    if first is None:
        return
    server = printable(normal_url(first.control_url))
    if not first.current:
        sentence = 'tailscaled keeps a login at {} (profile {}), which could not be used any more.'.format(
            server, printable(first.name or first.id))
    else:
        known = ', '.join(printable(each) for each in [name.rstrip('.')] + sorted(addresses)[:1] if each)
        ends = list(lost)
        if connections:
            ends.insert(0, '{} open connection{} to this machine'.format(connections, 's' if connections > 1 else ''))
        sentence = 'This machine is in the network of {}{}, and would be cut off from it{}.'.format(
            server, ' (as {})'.format(known) if known else '',
            '. Lost would be: ' + ', '.join(ends) if ends else '')
    raise OtherTailnet(sentence, '{} --take-over   # keeps that login; `robot prepare --undo` returns to it'.format(
        again))


def _profile(values: Dict[str, Any]) -> Profile:
    texts = [values.get(key) if isinstance(values.get(key), str) else '' for key in ('ID', 'ControlURL', 'Name')]
    return Profile(str(texts[0]), normal_url(str(texts[1])), str(texts[2]))


def _decoded(value: object) -> bytes:
    if not isinstance(value, str):
        raise ValueError('not a text')
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise ValueError(str(error)) from None


def _unknown(path: str, why: Optional[str]) -> OtherTailnet:
    return OtherTailnet(
        'Which network this machine is in cannot be seen in {} ({}).'.format(path, printable(why or 'unreadable')),
        command('sudo systemctl start {}   # then the same command again', 'tailscaled'))
