"""A site's directory: what is in it, and how it is read and written.

    site.yaml       settings, teams, who may talk to whom: the one file that people edit
    site.last_good.yaml  the same as the server last ran by it (last_good)
    ca.pem ca.key server.pem server.key             the site's trust (trust.store)
    headscale.yaml policy.json                      written from site.yaml
    invitations.log who was invited (invitation_log); only ever added to
    api.key         for the REST interface, made by Headscale
    headscale/ relay/ run/ log/                     data, sockets and logs of the processes
"""
import contextlib
import dataclasses
import fcntl
import os
import shutil
import tempfile

import yaml

from ua_overlay import defaults
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import config, policy, site_settings
from ua_overlay.headscale.rules import Rules, dump_rules, parse_rules
from ua_overlay.site.yaml_edit import keep_comments
from ua_overlay.system import files, strict_yaml

SITE_FILE = 'site.yaml'
_HEADER = ('## A site of ua_overlay: the control server, its teams and who may talk to whom.\n'
           '## After editing teams, talk, users or ephemeral_ports: `ua-overlay policy check` and `policy apply`.\n'
           '## After editing anything else: start `ua-overlay server run` again.\n'
           '## Commands write this file anew. Your own comments stay, if they begin with a single #.\n')
SUBDIRECTORIES = ('headscale', 'relay', 'run', 'log')


class SiteError(OverlayError):
    """The site's directory is not there, not readable, or already there."""

    code = 'SITE'


def site_directory(argument, environ):
    """The directory that the command line means: --dir, else $UA_OVERLAY_SITE, else the usual one; absolute."""
    return os.path.abspath(argument or environ.get('UA_OVERLAY_SITE') or defaults.SITE_DIR)


class Site:
    """An existing site; see :meth:`load` and :meth:`create`.

    :ivar settings: SiteSettings.
    :ivar rules: Rules: teams, and who may talk to whom.
    """

    def __init__(self, directory, settings, rules=None):
        self.directory = directory
        self.settings = settings
        self.rules = rules or Rules()

    @property
    def teams(self):
        """dict name -> Team."""
        return self.rules.teams

    @teams.setter
    def teams(self, teams):
        self.rules = dataclasses.replace(self.rules, teams=teams)

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
    def invitation_log_file(self):
        return self.path('invitations.log')

    @property
    def control_socket(self):
        return self.path('run', 'control.sock')

    @property
    def relay_socket(self):
        return self.path('run', 'tailscaled.sock')

    def command(self, text):
        """A command line for people that means this site: `ua-overlay server run`, with --dir DIR if it is unusual."""
        if self.directory == defaults.SITE_DIR:
            return 'ua-overlay ' + text
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
        except OSError as error:
            raise SiteError('{} cannot be read: {}.'.format(source, error.strerror), 'ls -l {}'.format(source))
        except UnicodeDecodeError:
            raise UsageError('{} is not text in UTF-8.'.format(source), 'edit {}'.format(source))
        settings, rules = parse_site(text, source)
        return cls(directory, settings, rules)

    @classmethod
    def create(cls, directory, settings, make_trust):
        """Write a whole new site, or nothing.

        :param directory: absolute; must not exist or be empty.
        :param make_trust: function(directory) that writes ca.pem, ca.key, server.pem and server.key there.
        :raises SiteError: the directory is in use or cannot be written.
        :raises UsageError: its path is too long for sockets.
        """
        site_settings.check_directory(directory)
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
            for name in SUBDIRECTORIES:
                os.mkdir(os.path.join(staging, name), 0o700)
            make_trust(staging)
            site = cls(directory, settings)
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
        """Write site.yaml; comments that people put there stay."""
        path, text = os.path.join(directory or self.directory, SITE_FILE), dump_site(self.settings, self.rules)
        if os.path.exists(path):
            with open(path, encoding='utf-8') as stream:
                text = keep_comments(stream.read(), text)
        files.write_atomic(path, text, mode=0o600)

    def write_generated(self, directory=None):
        """Write headscale.yaml and policy.json from the settings and rules; returns the policy (dict)."""
        directory = directory or self.directory
        self.write_config(directory)
        # Without tests: who is there, only a running Headscale knows.
        made = policy.make_policy(self.rules)
        files.write_atomic(os.path.join(directory, 'policy.json'), policy.dump_policy(made), mode=0o600)
        return made

    def write_config(self, directory=None):
        """Write headscale.yaml; returns whether it is another than before."""
        path = os.path.join(directory or self.directory, 'headscale.yaml')
        text = config.dump_config(config.headscale_config(self.settings, self.directory))
        before = None
        if os.path.exists(path):
            with open(path, encoding='utf-8') as stream:
                before = stream.read()
        files.write_atomic(path, text, mode=0o600)
        return text != before

    @contextlib.contextmanager
    def changing(self):
        """Hold the site against other commands that change it; the file is read again inside."""
        with self.unchanged():
            fresh = Site.load(self.directory)
            self.settings, self.rules = fresh.settings, fresh.rules
            yield

    def unchanged(self):
        """Hold the site against commands that change it."""
        return _lock(self.path('run', 'change.lock'), wait=True)

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
    """site.yaml -> (SiteSettings, Rules).

    :raises UsageError: naming ``source`` and the field.
    """
    edit = 'edit {}'.format(source)
    try:
        values = strict_yaml.load(text)
    except strict_yaml.Twice as twice:
        raise UsageError('{} names {} twice, in lines {} and {}.'.format(source, *twice.args), edit)
    except yaml.YAMLError as error:
        mark = getattr(error, 'problem_mark', None)
        raise UsageError('{} is not YAML{}.'.format(source, ' (line {})'.format(mark.line + 1) if mark else ''), edit)
    except (ValueError, TypeError, AttributeError, RecursionError):
        # PyYAML's own errors about values that only look like dates, and the like.
        raise UsageError('{} has a value that makes no sense.'.format(source), edit)
    if not isinstance(values, dict):
        raise UsageError('{} does not describe a site.'.format(source), edit)
    version = values.pop('version', None)
    if version != site_settings.SITE_VERSION:
        raise UsageError('{} has version {!r}; this ua_overlay reads version {}.'.format(
            source, version, site_settings.SITE_VERSION), edit)
    rules = parse_rules(values, source)
    return site_settings.settings_from_dict(values, source), rules


def dump_site(settings, rules):
    """The text of site.yaml."""
    values = dict({'version': site_settings.SITE_VERSION}, **site_settings.settings_to_dict(settings))
    return _HEADER + yaml.safe_dump(values, default_flow_style=False, sort_keys=False) + dump_rules(rules)
