"""The egress rule of `robot prepare` and what `robot operator` does to keep it: files, nft and name servers."""
import ipaddress
import os
import shutil
import socket
import subprocess
import threading

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.tailscale import egress
from ua_overlay.trust.servers import servers_of

#: Seconds for a name server to answer while a person waits.
RESOLVE_TIMEOUT = 5.0


def find_nft():
    """Absolute path of nft.

    :raises OverlayError: there is none.
    """
    path = shutil.which('nft', path=os.environ.get('PATH', '') + ':/usr/sbin:/sbin')
    if path is None:
        raise OverlayError('The rule that nothing leaves the site needs nftables; there is no nft on this machine.',
                           'sudo apt install nftables, or the same command with --no-egress', code='NO_NFT')
    return path


def make_rules(which, ca_pem, more=(), user=None, resolve=None):
    """The rules for all addresses that a site's servers have, as far as they can be told now; those of before stay
    where a name does not resolve at the moment.

    :param which: egress.ROBOT, or another; ``user``: see egress.ruleset.
    :param more: further names or addresses (text).
    """
    resolve = resolve_soon if resolve is None else resolve
    addresses = set()
    complete = True
    for name in servers_of(ca_pem) + list(more):
        try:
            addresses.update(resolve(name))
        except OSError:
            complete = False
    if not complete:
        addresses.update(present_addresses(which))
    return egress.ruleset(which, addresses, user)


def present_addresses(which):
    """Those of the rules that are installed, [] when there are none."""
    try:
        with open(which.rules) as stream:
            return egress.parse_addresses(stream.read())
    except OSError:
        return []


def resolve(name):
    """Addresses (text) of a DNS name or of an address.

    :raises OSError: it has none, or no name server answers.
    """
    try:
        return [str(ipaddress.ip_address(name))]
    except ValueError:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [each[4][0].split('%')[0] for each in found]


def resolve_soon(name, timeout=RESOLVE_TIMEOUT):
    """:func:`resolve` within a time: the resolver itself can take 30 s and cannot be interrupted."""
    answer = []

    def ask():
        try:
            answer.append(resolve(name))
        except OSError as error:
            answer.append(error)

    thread = threading.Thread(target=ask, name='resolve ' + name, daemon=True)
    thread.start()
    thread.join(timeout)
    if not answer or isinstance(answer[0], OSError):
        raise answer[0] if answer else OSError('no name server answers')
    return answer[0]


def load(text, nft):
    """Give ``text`` to nft.

    :raises OverlayError: it refused.
    """
    try:
        done = subprocess.run([nft, '-f', '-'], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OverlayError('nft cannot be run: {}.'.format(error), 'sudo apt install nftables')
    if done.returncode != 0:
        raise OverlayError('nft refused: {}.'.format(done.stdout.strip().split('\n')[0]),
                           'sudo systemctl restart ' + egress.ROBOT.unit)


def servers_now(api, ca_file=defaults.CA_FILE):
    """Names and addresses of the site's servers: those of the CA, and those of the relays that the server names."""
    found = []
    try:
        with open(ca_file, encoding='ascii') as stream:
            found += servers_of(stream.read())
    except (OSError, ValueError, OverlayError):
        pass  # the daemon's own map is left, and the rules of the file
    try:
        found += derp_servers(api.derp_map())
    except OverlayError:
        pass  # it is down, or has no map yet
    return found


def derp_servers(derp_map):
    """Names and addresses in a tailcfg.DERPMap (dict, or None)."""
    nodes = [node for region in ((derp_map or {}).get('Regions') or {}).values() for node in region.get('Nodes') or ()]
    return [node[field] for node in nodes for field in ('HostName', 'IPv4', 'IPv6') if node.get(field) not in (
        None, '', 'none')]


def keep(api, stop, say):
    """Keep the addresses in the table until ``stop`` (threading.Event). A rule may come later than this process."""
    keeper = egress.EgressKeeper(lambda: servers_now(api), resolve, lambda text: load(text, find_nft()), say)
    wait = 0.0
    while not stop.wait(wait):
        wait = keeper.step() if os.path.exists(egress.ROBOT.rules) else keeper.PERIOD
