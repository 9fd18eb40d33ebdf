"""The directory of a remote host: its enrolment, and the files of its process."""
import contextlib
import dataclasses
import fcntl
import os
from typing import Iterator

from ua_overlay.advice import command as command_line
from ua_overlay.advice import quoted
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.site_settings import check_directory
from ua_overlay.relays import enrolment as enrolments
from ua_overlay.relays.enrolment import Enrolment
from ua_overlay.system import file_system, files

ENROLMENT_FILE = 'enrolment.yaml'


class RemoteHostError(OverlayError):
    """A remote host cannot run."""

    code = 'REMOTE_HOST'


class RemoteHost:
    """A directory (mode 0700) with an enrolment and the files of its process.

    :param directory: absolute path.
    :param kind: enrolment.RELAY or enrolment.DERP.
    """

    def __init__(self, directory: str, kind: str) -> None:
        self.directory = directory
        self.kind = kind

    def path(self, *parts: str) -> str:
        """Return the path of a file below the directory."""
        return os.path.join(self.directory, *parts)

    @property
    def control_socket(self) -> str:
        """The path of the socket of the running process."""
        return self.path('run', 'control.sock')

    def command(self, text: str) -> str:
        """Return the full command line for this host: 'ua-overlay relay status --dir DIR'."""
        return 'ua-overlay {} {} --dir {}'.format(self.kind, text, quoted(self.directory))

    def install(self, enrolment: Enrolment) -> bool:
        """Write ``enrolment`` to the directory, which is created if missing; replace an existing enrolment.

        :returns: whether it replaces a different enrolment. A different key of a relay does not count, because the key
            is read only when needed.
        :raises RemoteHostError: the directory belongs to another remote host, or has another purpose.
        """
        check_directory(self.directory)
        old = None
        try:
            if os.path.isdir(self.directory) and os.listdir(self.directory) and not os.path.exists(
                    self.path(ENROLMENT_FILE)):
                raise RemoteHostError('{} is not empty; a {} needs its own directory.'.format(
                    self.directory, self.kind),
                    command_line('ua-overlay {} run --enrolment FILE --dir OTHER', self.kind))
            os.makedirs(self.directory, mode=0o700, exist_ok=True)
            os.chmod(self.directory, 0o700)
            if os.path.exists(self.path(ENROLMENT_FILE)):
                old = self.load()
                if (old.name, old.server_url) != (enrolment.name, enrolment.server_url):
                    raise RemoteHostError('{} already belongs to the {} {} of {}.'.format(
                        self.directory, self.kind, old.name, old.server_url), 'another directory: --dir OTHER')
            for name in ('run', 'log', 'state'):
                os.makedirs(self.path(name), mode=0o700, exist_ok=True)
            files.write_secret(self.path(ENROLMENT_FILE), enrolments.dump(enrolment))
        except OSError as error:
            file_system.named(error, self.directory)
            raise RemoteHostError('{} cannot be written: {}.'.format(self.directory, error.strerror),
                                  file_system.next_command(error, 'another --dir, or sudo'))
        return old is not None and dataclasses.replace(old, key='') != dataclasses.replace(enrolment, key='')

    def load(self) -> Enrolment:
        """Return the enrolment in the directory.

        :raises EnrolmentError: it is missing or damaged.
        """
        return enrolments.read(self.path(ENROLMENT_FILE), self.kind)

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Lock the directory for its single running process.

        :raises RemoteHostError: another process is running from it.
        """
        lock = self.path('run', 'server.lock')
        try:
            handle = files.open_or_create(lock, os.O_RDWR)
        except OSError as error:
            file_system.named(error, lock)
            raise RemoteHostError('The lock {} cannot be opened: {}.'.format(lock, error.strerror),
                                  file_system.next_command(error, 'ls -ld {}'.format(quoted(lock))))
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise RemoteHostError('The {} in {} is running already.'.format(self.kind, self.directory),
                                  self.command('status'))
        finally:
            os.close(handle)

    def sweep(self) -> None:
        """Remove what killed processes left in the directory: temporary files, the file of a key that was being
        used."""
        for folder in ('', 'run', 'state'):
            files.sweep(self.path(folder))


class EnrolmentKeySource:
    """Takes the relay's key from its enrolment, once (see relay.KeySource)."""

    def __init__(self, remote_host: RemoteHost) -> None:
        self._remote_host = remote_host

    def key(self) -> str:
        """Return the key (a secret).

        :raises RemoteHostError: the key was used already.
        """
        key = self._remote_host.load().key
        if not key:
            raise RemoteHostError('The relay in {} is not in the overlay and its key is used up.'.format(
                self._remote_host.directory), 'ua-overlay relay create NAME --address IP --again   # on the server')
        return key

    def done(self) -> None:
        """Remove the key, because a used key is invalid."""
        enrolment = self._remote_host.load()
        files.write_secret(self._remote_host.path(ENROLMENT_FILE),
                           enrolments.dump(dataclasses.replace(enrolment, key='')))

    def failed(self) -> None:
        """Keep the key, because the control server may have been unreachable."""
