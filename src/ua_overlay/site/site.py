"""A site's directory: its contents, and how to read and write them.

    site.yaml                             settings, teams, who may talk to whom: the one file that people edit
    site.last_good.yaml                   the settings and rules with which the server last ran (last_good)
    ca.pem ca.key server.pem server.key   the site's trust (trust.store)
    headscale.yaml policy.json            written from site.yaml
    invitations.log                       who was invited (invitation_log); lines are only ever added
    api.key                               for the REST interface, made by Headscale
    headscale/ relay/ derp/ run/ log/     data, sockets and logs of the processes
"""
import contextlib
import dataclasses
import errno
import fcntl
import os
from typing import Callable, ContextManager, Dict, Iterator, Optional, Tuple

import yaml

from ua_overlay import defaults
from ua_overlay.advice import command as command_line
from ua_overlay.advice import quoted
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.headscale import config, keys, policy, site_settings
from ua_overlay.headscale.rules import Rules, Team, dump_rules, parse_rules
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.protocols import Environ, JsonObject
from ua_overlay.site.yaml_edit import keep_comments
from ua_overlay.system import control_socket, file_system, files, foreign_file, foreign_json, schema, scratch

SITE_FILE = 'site.yaml'
#: Longest policy.json, in bytes: a thousand robots with their tests have two megabytes.
_LONGEST_POLICY = 64 * 1024 * 1024
#: Prefix of the directories beside a site in which a new one is prepared.
SCRATCH = '.ua_overlay_site.'
_HEADER = ('## A site of ua_overlay: the control server, its teams and who may talk to whom.\n'
           '## After editing teams, talk, users or ephemeral_ports: `ua-overlay policy check` and `policy apply`.\n'
           '## After editing anything else: restart `ua-overlay server run`, and `server relay run` where it runs.\n'
           '## Commands rewrite this file. Your own comments stay if they begin with a single #.\n')
SUBDIRECTORIES = ('headscale', 'relay', 'derp', 'run', 'log')
#: Directory below a site's directory for the backups before upgrades.
BACKUPS = 'backups'


class SiteError(OverlayError):
    """The site's directory is missing, unreadable or in use."""

    code = 'SITE'


class RelayRuns(SiteError):
    """Another process runs the relay of the site."""


def site_directory(argument: Optional[str], environ: Environ) -> str:
    """Return the absolute path of the site's directory: --dir, else $UA_OVERLAY_SITE, else the default."""
    return os.path.abspath(argument or environ.get('UA_OVERLAY_SITE') or defaults.SITE_DIR)


class Site:
    """An existing site; see :meth:`load` and :meth:`create`.

    :param directory: absolute path.
    :ivar rules: teams, users, and the rules between them.
    """

    def __init__(self, directory: str, settings: SiteSettings, rules: Optional[Rules] = None) -> None:
        self.directory = directory
        self.settings = settings
        # The policy tells robots how long they may remember their team.
        self.rules = dataclasses.replace(rules or Rules(), memory=settings.admission_seconds)

    @property
    def teams(self) -> Dict[str, Team]:
        """The teams by name."""
        return self.rules.teams

    @teams.setter
    def teams(self, teams: Dict[str, Team]) -> None:
        self.rules = dataclasses.replace(self.rules, teams=teams)

    def path(self, *parts: str) -> str:
        """Return the path of a file below the directory."""
        return os.path.join(self.directory, *parts)

    @property
    def ca_file(self) -> str:
        """The certificates to trust."""
        return self.path('ca.pem')

    @property
    def config_file(self) -> str:
        """Headscale's configuration."""
        return self.path('headscale.yaml')

    @property
    def policy_file(self) -> str:
        """Headscale's policy."""
        return self.path('policy.json')

    @property
    def api_key_file(self) -> str:
        """The key for Headscale's REST interface."""
        return self.path('api.key')

    @property
    def invitation_log_file(self) -> str:
        """The log of invitations."""
        return self.path('invitations.log')

    @property
    def control_socket(self) -> str:
        """The socket of the running server."""
        return self.path('run', 'control.sock')

    @property
    def relay_control_socket(self) -> str:
        """The socket of the running `server relay run`."""
        return self.path('run', 'relay.sock')

    @property
    def relay_socket(self) -> str:
        """The LocalAPI socket of the relay's tailscaled."""
        return self.path('run', 'tailscaled.sock')

    def command(self, text: str) -> str:
        """Return the full command line for this site: 'ua-overlay server run', with --dir DIR unless the directory is
        the default."""
        if self.directory == defaults.SITE_DIR:
            return 'ua-overlay ' + text
        return 'ua-overlay {} --dir {}'.format(text, quoted(self.directory))

    def start_command(self) -> str:
        """Return the command that starts the server of this site: its service, if it is installed."""
        started = control_socket.start_command(self.directory)
        return started if control_socket.SERVICE in started else self.command('server run')

    @classmethod
    def load(cls, directory: str) -> 'Site':
        """Read the site in ``directory``.

        :raises SiteError: there is no site, or this user may not read it.
        :raises UsageError: site.yaml is invalid.
        """
        source = os.path.join(directory, SITE_FILE)
        try:
            text = foreign_file.read_text(source)
        except (FileNotFoundError, NotADirectoryError):
            raise SiteError('There is no site in {} (no {}).'.format(directory, SITE_FILE),
                            command_line('ua-overlay server init --dir {} --name FQDN', directory))
        except PermissionError:
            raise SiteError('This user may not read the site in {}.'.format(directory),
                            'run the same command with sudo')
        except OSError as error:
            if error.errno == errno.EILSEQ:
                raise UsageError('{} is not text in UTF-8.'.format(source), command_line('edit {}', source))
            raise SiteError('{} cannot be read: {}.'.format(source, error.strerror), command_line('ls -l {}', source))
        settings, rules = parse_site(text, source)
        return cls(directory, settings, rules)

    @classmethod
    def create(cls, directory: str, settings: SiteSettings, make_trust: Callable[[str], object]) -> 'Site':
        """Create a new site, completely or not at all.

        :param directory: absolute path; it must not exist, or be empty.
        :param make_trust: writes ca.pem, ca.key, server.pem and server.key to the given directory.
        :raises SiteError: the directory is in use or cannot be written.
        :raises UsageError: its path is too long for sockets.
        """
        site_settings.check_directory(directory)
        if os.path.exists(os.path.join(directory, SITE_FILE)):
            raise SiteError('{} holds a site already; nothing was changed.'.format(directory),
                            command_line('ua-overlay server status --dir {}', directory))
        if os.path.exists(directory) and not os.path.isdir(directory):
            raise SiteError('{} is not a directory.'.format(directory),
                            'ua-overlay server init --dir OTHER --name FQDN')
        if os.path.isdir(directory) and os.listdir(directory):
            raise SiteError('{} is not empty; a site needs its own directory.'.format(directory),
                            command_line('ua-overlay server init --dir {} --name FQDN',
                                         os.path.join(directory, 'site')))
        parent = os.path.dirname(directory)
        try:
            os.makedirs(parent, exist_ok=True)
            # It keeps its mode 0700, because it contains keys and the server's socket.
            with scratch.directory(parent, SCRATCH) as staging:
                for name in SUBDIRECTORIES:
                    os.mkdir(os.path.join(staging, name), 0o700)
                make_trust(staging)
                site = cls(directory, settings)
                site.write_settings(staging)
                site.write_generated(staging)
                if os.path.isdir(directory):
                    os.rmdir(directory)
                os.rename(staging, directory)
            files.sync_directory(parent)
        except OSError as error:
            file_system.named(error, directory)
            raise SiteError('The site cannot be written to {}: {}.'.format(directory, error.strerror),
                            file_system.next_command(error, 'sudo ua-overlay server init --dir OTHER --name FQDN'))
        return site

    def sweep(self) -> None:
        """Remove what killed commands left in the site and beside it. Its server calls this at each start."""
        scratch.sweep(os.path.dirname(self.directory), SCRATCH)
        for folder in ('', 'relay', 'derp', 'run', BACKUPS):
            files.sweep(self.path(folder))

    def write_settings(self, directory: Optional[str] = None) -> None:
        """Write site.yaml, and keep people's comments.

        :param directory: directory to write to instead of the site's.
        """
        path, text = os.path.join(directory or self.directory, SITE_FILE), dump_site(self.settings, self.rules)
        if os.path.exists(path):
            text = keep_comments(foreign_file.read_text(path), text)
        files.write_atomic(path, text, mode=0o600)

    def write_generated(self, directory: Optional[str] = None) -> JsonObject:
        """Write headscale.yaml and policy.json from the settings and rules, and Headscale's keys where they are
        missing; return the policy."""
        directory = directory or self.directory
        keys.create_missing(directory)
        self.write_config(directory)
        # The policy has no tests yet, because only a running Headscale knows which nodes exist.
        generated = policy.make_policy(self.rules)
        files.write_changed(os.path.join(directory, 'policy.json'), policy.dump_policy(generated), mode=0o600)
        return generated

    def is_generated(self) -> bool:
        """Return whether headscale.yaml and policy.json say what the settings and rules say. The policy may have tests
        for nodes, which :meth:`write_generated` leaves out."""
        try:
            wanted = config.dump_config(config.headscale_config(self.settings, self.directory))
            present = foreign_json.parse_object(foreign_file.read(self.policy_file, _LONGEST_POLICY).data)
            return (foreign_file.read_text(self.config_file) == wanted
                    and policy.marker(present) == policy.marker(policy.make_policy(self.rules)))
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def write_config(self, directory: Optional[str] = None) -> bool:
        """Write headscale.yaml; return whether it changed."""
        path = os.path.join(directory or self.directory, 'headscale.yaml')
        text = config.dump_config(config.headscale_config(self.settings, self.directory))
        return files.write_changed(path, text, mode=0o600)

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Lock the site against other changes; read site.yaml again after taking the lock."""
        with self.unchanged():
            fresh = Site.load(self.directory)
            self.settings, self.rules = fresh.settings, fresh.rules
            yield

    def unchanged(self) -> ContextManager[None]:
        """Lock the site against changes."""
        return _lock(self.path('run', 'change.lock'))

    def held(self) -> ContextManager[None]:
        """Lock the site for its single running server.

        :raises SiteError: another server is running.
        """
        return _lock(self.path('run', 'server.lock'), taken=SiteError(
            'The server of the site {} runs already.'.format(self.directory), self.command('server status')))

    def relay_held(self) -> ContextManager[None]:
        """Lock the site for the single process that runs its relay: the server, or `server relay run`.

        :raises RelayRuns: another process runs it.
        """
        return _lock(self.path('run', 'relay.lock'), taken=RelayRuns(
            'The relay of the site {} runs already.'.format(self.directory), self.command('server status')))


@contextlib.contextmanager
def _lock(path: str, taken: Optional[SiteError] = None) -> Iterator[None]:
    """Hold a lock file; wait for it, or raise ``taken`` if another process holds it."""
    try:
        handle = files.open_or_create(path, os.O_RDWR)
    except OSError as error:
        file_system.named(error, path)
        raise SiteError('The lock {} cannot be opened: {}.'.format(path, error.strerror), file_system.next_command(
            error, command_line('ls -ld {}', path)))
    with os.fdopen(handle, 'rb', buffering=0) as stream:
        if os.geteuid() == 0:
            directory = os.stat(os.path.dirname(path))
            os.fchown(stream.fileno(), directory.st_uid, directory.st_gid)
        if taken is None:
            fcntl.flock(stream, fcntl.LOCK_EX)
        else:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise taken
        yield


def parse_site(text: str, source: str) -> Tuple[SiteSettings, Rules]:
    """Return the settings and rules in the text of site.yaml.

    :param source: name of the file, for errors.
    :raises UsageError: a field is invalid; the sentence names it and ``source``.
    """
    edit = 'edit {}'.format(source)
    with schema.errors_as(UsageError, source, edit):
        values = schema.load(text)
    if not isinstance(values, dict):
        raise UsageError('{} does not describe a site.'.format(source), edit)
    version = values.pop('version', None)
    if version != site_settings.SITE_VERSION:
        raise UsageError('{} has version {}; this ua_overlay reads version {}.'.format(
            source, schema.shown(version), site_settings.SITE_VERSION), edit)
    rules = parse_rules(values, source)
    return site_settings.settings_from_dict(values, source), rules


def dump_site(settings: SiteSettings, rules: Rules) -> str:
    """Return the text of site.yaml."""
    values = dict({'version': site_settings.SITE_VERSION}, **site_settings.settings_to_dict(settings))
    return _HEADER + yaml.safe_dump(values, default_flow_style=False, sort_keys=False) + dump_rules(rules)
