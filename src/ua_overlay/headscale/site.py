"""A site's directory: what is in it, and how it is read and written.

    site.yaml       settings and teams: the one file that people edit
    ca.pem ca.key server.pem server.key             the site's trust (trust.store)
    headscale.yaml policy.json                      written from site.yaml
    api.key         for the REST interface, made by Headscale
    headscale/ relay/ run/ log/                     data, sockets and logs of the processes
"""
import contextlib
import fcntl
import os
import shutil
import tempfile
from dataclasses import dataclass

import yaml

from ua_overlay import defaults, files
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import config, policy
from ua_overlay.trust import names

SITE_FILE = 'site.yaml'
_HEADER = ('# A site of ua_overlay: the control server and its teams. After editing: start `ua-overlay\n'
           '# server run` again, or for teams alone send it SIGHUP.\n')
_SUBDIRECTORIES = ('headscale', 'relay', 'run', 'log')


class SiteError(OverlayError):
    """The site's directory is not there, not readable, or already there."""

    code = 'SITE'


@dataclass(frozen=True)
class Team:
    """What all robots of a team have in common; every invitation carries it.

    :param name: DNS label.
    :param port: TCP port of the team's roscore.
    :param addressing: 'names' or 'addresses': how its robots call each other.
    """

    name: str
    port: int = defaults.TEAM_PORT
    addressing: str = 'names'

    def __post_init__(self):
        names.check_team(self.name)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 < self.port < 65536:
            raise UsageError('The team port {!r} of {} is not a port number (1-65535).'.format(self.port, self.name),
                             'ua-overlay team create --help')
        if self.addressing not in ('names', 'addresses'):
            raise UsageError('The addressing {!r} of team {} is neither names nor addresses.'.format(
                self.addressing, self.name), 'ua-overlay team create --help')


def site_directory(argument, environ):
    """The directory that the command line means: --dir, else $UA_OVERLAY_SITE, else the usual one; absolute."""
    return os.path.abspath(argument or environ.get('UA_OVERLAY_SITE') or defaults.SITE_DIR)


class Site:
    """An existing site; see :meth:`load` and :meth:`create`.

    :ivar settings: SiteSettings.
    :ivar teams: dict name -> Team.
    """

    def __init__(self, directory, settings, teams):
        self.directory = directory
        self.settings = settings
        self.teams = teams

    def path(self, *parts):
        return os.path.join(self.directory, *parts)

    @property
    def ca_file(self):
        return self.path('ca.pem')

    @property
    def config_file(self):
        return self.path('headscale.yaml')

    @property
    def policy_file(self):
        return self.path('policy.json')

    @property
    def api_key_file(self):
        return self.path('api.key')

    @property
    def control_socket(self):
        return self.path('run', 'control.sock')

    @property
    def relay_socket(self):
        return self.path('run', 'tailscaled.sock')

    def command(self, text):
        """A command line for people that means this site: `ua-overlay server run --dir DIR`."""
        return 'ua-overlay {} --dir {}'.format(text, self.directory)

    @classmethod
    def load(cls, directory):
        """Read the site in ``directory``.

        :raises SiteError: there is none, or it may not be read.
        :raises UsageError: site.yaml says something that makes no sense.
        """
        source = os.path.join(directory, SITE_FILE)
        try:
            with open(source, encoding='utf-8') as stream:
                text = stream.read()
        except (FileNotFoundError, NotADirectoryError):
            raise SiteError('There is no site in {} (no {}).'.format(directory, SITE_FILE),
                            'ua-overlay server init --dir {} --name FQDN'.format(directory))
        except PermissionError:
            raise SiteError('This user may not read the site in {}.'.format(directory),
                            'run the same command with sudo')
        settings, teams = parse_site(text, source)
        return cls(directory, settings, teams)

    @classmethod
    def create(cls, directory, settings, make_trust):
        """Write a whole new site, or nothing.

        :param directory: absolute; must not exist or be empty.
        :param make_trust: function(directory) that writes ca.pem, ca.key, server.pem and server.key there.
        :raises SiteError: the directory is in use or cannot be written.
        :raises UsageError: its path is too long for sockets.
        """
        config.check_directory(directory)
        if os.path.exists(os.path.join(directory, SITE_FILE)):
            raise SiteError('{} holds a site already; it was left as it is.'.format(directory),
                            'ua-overlay server status --dir {}'.format(directory))
        if os.path.exists(directory) and not os.path.isdir(directory):
            raise SiteError('{} is not a directory.'.format(directory), 'ua-overlay server init --dir OTHER')
        if os.path.isdir(directory) and os.listdir(directory):
            raise SiteError('{} is not empty; a site wants a directory of its own.'.format(directory),
                            'ua-overlay server init --dir {}'.format(os.path.join(directory, 'site')))
        parent = os.path.dirname(directory)
        staging = None
        try:
            os.makedirs(parent, exist_ok=True)
            # mkdtemp makes it 0700, and so it stays: keys and the server's socket are inside.
            staging = tempfile.mkdtemp(prefix='.ua_overlay_site.', dir=parent)
            for name in _SUBDIRECTORIES:
                os.mkdir(os.path.join(staging, name), 0o700)
            make_trust(staging)
            site = cls(directory, settings, {})
            site.write_settings(staging)
            site.write_generated(staging)
            if os.path.isdir(directory):
                os.rmdir(directory)
            os.rename(staging, directory)
            staging = None
        except OSError as error:
            raise SiteError('The site cannot be written to {}: {}.'.format(directory, error.strerror or error),
                            'ua-overlay server init --dir OTHER, or with sudo')
        finally:
            if staging is not None:
                shutil.rmtree(staging)
        return site

    def write_settings(self, directory=None):
        """Write site.yaml."""
        files.write_atomic(os.path.join(directory or self.directory, SITE_FILE),
                           dump_site(self.settings, self.teams), mode=0o600)

    def write_generated(self, directory=None):
        """Write headscale.yaml and policy.json from the settings and teams."""
        directory = directory or self.directory
        text = config.dump_config(config.headscale_config(self.settings, self.directory))
        files.write_atomic(os.path.join(directory, 'headscale.yaml'), text, mode=0o600)
        files.write_atomic(os.path.join(directory, 'policy.json'), self.policy_text(), mode=0o600)

    def policy_text(self, teams=None):
        """The policy of ``teams`` (default: the site's), as Headscale reads it."""
        return policy.dump_policy(policy.make_policy(self.teams if teams is None else teams))

    @contextlib.contextmanager
    def changing(self):
        """Hold the site against other commands that change it; the teams are read again inside."""
        with _lock(self.path('run', 'change.lock'), wait=True):
            fresh = Site.load(self.directory)
            self.settings, self.teams = fresh.settings, fresh.teams
            yield

    def held(self):
        """Hold the site as its one running server.

        :raises SiteError: another one runs.
        """
        return _lock(self.path('run', 'server.lock'), wait=False, taken=SiteError(
            'The server of the site {} runs already.'.format(self.directory), self.command('server status')))


@contextlib.contextmanager
def _lock(path, wait, taken=None):
    # Not through a link: the directory may be another user's, and root must not be led elsewhere.
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)) as stream:
        if os.geteuid() == 0:
            directory = os.stat(os.path.dirname(path))
            os.fchown(stream.fileno(), directory.st_uid, directory.st_gid)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise taken
        yield


def parse_site(text, source):
    """site.yaml -> (SiteSettings, dict name -> Team).

    :raises UsageError: naming ``source`` and the field.
    """
    edit = 'edit {}'.format(source)
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        raise UsageError('{} is not YAML{}.'.format(source, ' (line {})'.format(mark.line + 1) if mark else ''), edit)
    if not isinstance(values, dict):
        raise UsageError('{} does not describe a site.'.format(source), edit)
    version = values.pop('version', None)
    if version != config.SITE_VERSION:
        raise UsageError('{} has version {!r}; this ua_overlay reads version {}.'.format(
            source, version, config.SITE_VERSION), edit)
    listed = values.pop('teams', None) or {}
    if not isinstance(listed, dict):
        raise UsageError('"teams" in {} is not a mapping of team names.'.format(source), edit)
    teams = {}
    for name, fields in listed.items():
        if not isinstance(fields, dict) or set(fields) - {'port', 'addressing'}:
            raise UsageError('Team {} in {} has other fields than port and addressing.'.format(name, source), edit)
        teams[str(name)] = Team(str(name), **fields)
    return config.settings_from_dict(values, source), teams


def dump_site(settings, teams):
    """The text of site.yaml."""
    values = dict({'version': config.SITE_VERSION}, **config.settings_to_dict(settings))
    values['teams'] = {name: {'port': teams[name].port, 'addressing': teams[name].addressing}
                       for name in sorted(teams)}
    return _HEADER + yaml.safe_dump(values, default_flow_style=False, sort_keys=False)
