"""The site's peer relay: a tailscaled of its own beside Headscale that forwards robots' UDP.

It runs with `--tun=userspace-networking`, hence without root and without a network interface: the relay server of
tailscale (feature/relayserver) uses plain UDP sockets and never touches the TUN device.
"""
import datetime
import ipaddress
import json
import os
import subprocess

from ua_overlay import defaults, files
from ua_overlay.errors import OverlayError

#: Host name that the relay asks for; reserved, so that no robot has it (trust.names).
RELAY_NAME = 'relay'
#: Its pre-auth key lives this long; it is used at once.
RELAY_KEY_LIFETIME = 300


class RelayError(OverlayError):
    """The peer relay does not work; robots then fall back to DERP."""

    code = 'RELAY'


def daemon_command(tailscaled, site):
    """argv and extra environment of the relay's tailscaled."""
    argv = [tailscaled, '--tun=userspace-networking', '--port=0', '--no-logs-no-support',
            '--statedir=' + site.path('relay'), '--socket=' + site.relay_socket]
    environment = {'SSL_CERT_FILE': site.ca_file, 'TS_NO_LOGS_NO_SUPPORT': 'true',
                   # The port is opened by whoever runs the site, never asked for from a router.
                   'TS_DISABLE_PORTMAPPER': 'true'}
    return argv, environment


def up_arguments(url, key_file):
    """Arguments of `tailscale` that register the relay; the key stays in its file."""
    return ['up', '--reset', '--login-server=' + url, '--auth-key=file:' + key_file, '--hostname=' + RELAY_NAME,
            '--accept-dns=false', '--accept-routes=false', '--timeout=60s']


def set_arguments(port, addresses):
    """Arguments of `tailscale` that make it a relay server.

    Static endpoints are what robots are told besides what STUN finds: behind forwarded ports nothing else works.
    """
    endpoints = ','.join(('[{}]:{}' if ipaddress.ip_address(address).version == 6 else '{}:{}').format(address, port)
                         for address in addresses)
    return ['set', '--relay-server-port={}'.format(port), '--relay-server-static-endpoints=' + endpoints]


class RelayNode:
    """Brings the relay's tailscaled into the overlay.

    :param tailscale: path of the `tailscale` program.
    :param site: the Site.
    :param client: function() -> RestClient.
    :param now: function() -> aware datetime.
    """

    def __init__(self, tailscale, site, client, now, run=subprocess.run):
        self._tailscale = tailscale
        self._site = site
        self._client = client
        self._now = now
        self._run = run

    def _call(self, arguments, timeout):
        argv = [self._tailscale, '--socket=' + self._site.relay_socket] + arguments
        try:
            return self._run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             timeout=timeout, universal_newlines=True)
        except subprocess.TimeoutExpired:
            raise RelayError('The peer relay did not finish "tailscale {}" within {} s.'.format(arguments[0], timeout))

    def state(self):
        """(BackendState, online) as the relay's tailscaled says it.

        :raises RelayError: it does not answer.
        """
        result = self._call(['status', '--json', '--peers=false'], 10)
        try:
            status = json.loads(result.stdout)
        except ValueError:
            raise RelayError('The tailscaled of the peer relay does not answer: {}'.format(result.stderr.strip()[:200]))
        return status.get('BackendState', ''), bool((status.get('Self') or {}).get('Online'))

    def bring_up(self):
        """Register when it has no identity yet, and set the relay port. Takes 1 to 60 s.

        :raises RelayError: with the reason.
        :raises RestError: the control server did not answer.
        """
        state, _ = self.state()
        if state in ('NeedsLogin', 'NoState'):
            self._register()
        result = self._call(set_arguments(self._site.settings.relay_port, self._site.settings.addresses), 20)
        if result.returncode != 0:
            raise RelayError('The peer relay refused its port: {}'.format(result.stderr.strip()[:300]))

    def _register(self):
        client = self._client()
        for node in client.nodes():
            # A relay whose state was lost: the new one would be called relay-1.
            if node.tags == (defaults.RELAY_TAG,) and node.wanted_name == RELAY_NAME:
                client.delete_node(node.id)
        key = client.create_key([defaults.RELAY_TAG], self._now() + datetime.timedelta(seconds=RELAY_KEY_LIFETIME))
        key_file = self._site.path('relay', 'auth.key')
        files.write_secret(key_file, key.key)
        try:
            result = self._call(up_arguments(self._site.settings.url, key_file), 70)
        finally:
            os.unlink(key_file)
        if result.returncode != 0:
            client.expire_key(key.id)
            raise RelayError('The peer relay cannot join the overlay: {}'.format(
                (result.stderr.strip() or result.stdout.strip())[:300]))
