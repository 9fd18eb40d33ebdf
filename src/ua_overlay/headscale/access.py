"""Open Headscale's REST interface on the server, with an API key from the site's directory."""
import os
import subprocess
from typing import Callable, Optional

from ua_overlay.headscale.rest import RestClient, RestError, ServerDenied
from ua_overlay.headscale.site_directory import SiteDirectory
from ua_overlay.system import files

#: Lifetime of an API key. Whenever Headscale refuses the key, a new one is created.
API_KEY_LIFETIME = '90d'
#: Prefix of every API key (Headscale 0.28 and later).
API_KEY_PREFIX = 'hskey-api-'
#: Like subprocess.run.
Run = Callable[..., 'subprocess.CompletedProcess[str]']


def connect(site: SiteDirectory, headscale: Callable[[], str], run: Run = subprocess.run,
            timeout: float = 10.0) -> RestClient:
    """Return a RestClient whose key works.

    :param site: a site whose server runs.
    :param headscale: returns the path of the headscale program; called only to create a key.
    :param timeout: seconds for each call of the client.
    :raises RestError: the server does not answer, or creates no key.
    """
    key = _read(site.api_key_file)
    if key:
        client = _client(site, key, timeout)
        try:
            client.policy()
            return client
        except ServerDenied:
            # The key has expired, or the database is new: create another key.
            pass
    else:
        # A server that is down would fail below too, but with a worse sentence.
        _client(site, None, timeout).health()
    key = make_api_key(site, headscale(), run)
    return _client(site, key, timeout)


def make_api_key(site: SiteDirectory, headscale: str, run: Run = subprocess.run) -> str:
    """Ask Headscale over its unix socket for an API key, store it (mode 0600) and return it.

    :param headscale: path of the program.
    :raises RestError: Headscale created none. The error does not quote its output, which might contain a key.
    """
    argv = [headscale, '--config', site.config_file, 'apikeys', 'create', '--expiration', API_KEY_LIFETIME]
    result = run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30,
                 universal_newlines=True)
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    if result.returncode != 0 or not lines or not lines[-1].startswith(API_KEY_PREFIX):
        raise RestError('headscale made no API key (exit status {}).'.format(result.returncode),
                        'less {}'.format(site.path('log', 'headscale.log')))
    files.write_secret(site.api_key_file, lines[-1] + '\n')
    return lines[-1]


def _client(site: SiteDirectory, key: Optional[str], timeout: float) -> RestClient:
    return RestClient(site.settings.name, site.settings.port, site.ca_file, key, timeout=timeout,
                      hint=site.command('server run'))


def _read(path: str) -> str:
    if not os.path.exists(path):
        return ''
    with open(path, encoding='ascii') as stream:
        return stream.read().strip()
