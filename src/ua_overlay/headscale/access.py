"""The key with which commands on the server use its REST interface."""
import os
import subprocess

from ua_overlay.headscale.rest import RestClient, RestError, ServerDenied
from ua_overlay.system import files

#: How long an API key lasts; a new one is made whenever the old one is refused.
API_KEY_LIFETIME = '90d'


def connect(site, headscale, run=subprocess.run, timeout=10.0):
    """A RestClient with a key that works.

    :param site: the Site, whose server runs.
    :param headscale: function() -> path of the headscale program; called only when a key has to be made.
    :raises RestError: the server does not answer, or gives no key.
    """
    key = _read(site.api_key_file)
    if key:
        client = _client(site, key, timeout)
        try:
            client.policy()
            return client
        except ServerDenied:
            # Expired, or the database was set up anew: make another one.
            pass
    else:
        # A server that is down would fail below too, but with a worse sentence.
        _client(site, None, timeout).health()
    key = make_api_key(site, headscale(), run)
    return _client(site, key, timeout)


def make_api_key(site, headscale, run=subprocess.run):
    """Ask Headscale over its unix socket for an API key, store it (0600) and return it.

    :raises RestError: Headscale gave none; its output is not quoted, for it might hold a key.
    """
    argv = [headscale, '--config', site.config_file, 'apikeys', 'create', '--expiration', API_KEY_LIFETIME]
    result = run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                 universal_newlines=True)
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    if result.returncode != 0 or not lines or not lines[-1].startswith('hskey-api-'):
        raise RestError('headscale made no API key (exit status {}).'.format(result.returncode),
                        'less {}'.format(site.path('log', 'headscale.log')))
    files.write_secret(site.api_key_file, lines[-1] + '\n')
    return lines[-1]


def _client(site, key, timeout):
    return RestClient(site.settings.name, site.settings.port, site.ca_file, key, timeout=timeout,
                      hint=site.command('server run'))


def _read(path):
    if not os.path.exists(path):
        return ''
    with open(path, encoding='ascii') as stream:
        return stream.read().strip()
