"""Open Headscale's REST interface on the server, with an API key from the site's directory."""
import re
import subprocess
from typing import Callable, Optional

from ua_overlay.headscale.rest import TIMEOUT, RestClient, RestError
from ua_overlay.headscale.site_directory import SiteDirectory
from ua_overlay.system import file_system, files, foreign_file

#: Lifetime of an API key. Whenever Headscale refuses the key, a new one is created.
API_KEY_LIFETIME = '90d'
#: Prefix of every API key (Headscale 0.28 and later).
API_KEY_PREFIX = 'hskey-api-'
#: Seconds for `headscale apikeys create`, and bytes of the file of a key.
_CREATE_TIMEOUT, _LONGEST_KEY = 30, 4096
#: An API key. Nothing else goes into an HTTP header, and none of it into an error.
_API_KEY = re.compile(re.escape(API_KEY_PREFIX) + r'[A-Za-z0-9_.-]+', re.ASCII)
#: Like subprocess.run.
Run = Callable[..., 'subprocess.CompletedProcess[str]']


def connect(site: SiteDirectory, headscale: Callable[[], str], run: Run = subprocess.run,
            timeout: float = TIMEOUT) -> RestClient:
    """Return a RestClient with the key in the site's directory, or with a new one.

    A stored key is not tried first, since each call costs Headscale 50 ms (it checks the key with bcrypt). The client
    itself gets another one if Headscale refuses it, because it has expired or the database is new.

    :param site: a site whose server runs.
    :param headscale: returns the path of the headscale program; called only to create a key.
    :param timeout: seconds for each call of the client.
    :raises RestError: there is no key, and the server does not answer or creates none.
    """
    def renew_key() -> str:
        return make_api_key(site, headscale(), run)

    key = _read(site.api_key_file)
    if key:
        return _client(site, key, timeout, renew_key)
    # A server that is down would fail below too, but with a worse sentence.
    _client(site, None, timeout).health()
    return _client(site, renew_key(), timeout)


def make_api_key(site: SiteDirectory, headscale: str, run: Run = subprocess.run) -> str:
    """Ask Headscale over its unix socket for an API key, store it (mode 0600) and return it.

    :param headscale: path of the program. `apikeys create` prints only the key, in 0.29 and in 0.30
        (cmd/headscale/cli/api_key.go).
    :raises RestError: Headscale created none. The error does not quote its output, which might contain a key.
    :raises FileSystemError: it cannot be stored.
    """
    argv = [headscale, '--config', site.config_file, 'apikeys', 'create', '--expiration', API_KEY_LIFETIME]
    log = 'less {}'.format(site.path('log', 'headscale.log'))
    try:
        result = run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                     timeout=_CREATE_TIMEOUT, universal_newlines=True)
    except subprocess.TimeoutExpired:
        raise RestError('headscale made no API key within {} s.'.format(_CREATE_TIMEOUT), log) from None
    except (OSError, ValueError) as error:  # the second: its output is no text
        raise RestError('headscale made no API key ({}).'.format(
            getattr(error, 'strerror', None) or type(error).__name__), log) from None
    lines = [line.strip() for line in result.stdout.splitlines() if line.strip()]
    if result.returncode != 0 or not lines or not _API_KEY.fullmatch(lines[-1]):
        raise RestError('headscale made no API key (exit status {}).'.format(result.returncode), log)
    try:
        files.write_secret(site.api_key_file, lines[-1] + '\n')
    except OSError as error:
        raise file_system.as_error(file_system.named(error, site.api_key_file))
    return lines[-1]


def _client(site: SiteDirectory, key: Optional[str], timeout: float,
            renew_key: Optional[Callable[[], str]] = None) -> RestClient:
    return RestClient(site.settings.name, site.settings.port, site.ca_file, key, timeout=timeout,
                      hint=site.start_command(), answered=site.command('server status'),
                      database=site.path('headscale', 'db.sqlite'), renew_key=renew_key)


def _read(path: str) -> str:
    """Return the stored key; '' if there is none, or the file holds something else: a new key then replaces it."""
    try:
        text = foreign_file.read_text(path, longest=_LONGEST_KEY, encoding='ascii').strip()
    except OSError:
        return ''
    return text if _API_KEY.fullmatch(text) else ''
