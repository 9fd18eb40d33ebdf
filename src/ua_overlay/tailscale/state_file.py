"""Whether tailscaled can keep this robot's identity, and whether it has kept it.

On a full disk a join succeeds: tailscaled runs with the identity in its memory, says in its log alone that it could not
save it, and does not try again when there is room (1.98.10 to 1.102.5, ipn/ipnlocal/local.go: setPrefsLocked, "Failed
to save new controlclient state"). Its next start finds no identity, and the invitation is spent.
"""
import base64
import logging
import os
from typing import Callable, Optional, Sequence

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.protocols import OnRound, Say, Stop
from ua_overlay.system import foreign_file, foreign_json, procnet
from ua_overlay.system.file_system import FileSystemError, mount_point
from ua_overlay.tailscale.api import StateApi
from ua_overlay.tailscale.daemon_proxy import listening_process
from ua_overlay.tailscale.daemon_unit import DaemonArguments, parse_arguments
from ua_overlay.tailscale.model import parse_status

_LOG = logging.getLogger(__name__)

#: Bytes that tailscaled needs for a new state file beside the old one; it has 2 to 10 kB.
NEEDED = 65536
#: Seconds between two looks at the state file.
PERIOD = 30.0
#: The same while tailscaled does not answer.
RETRY = 5.0
#: Keys of the state (ipn/store.go): the profile in use is the value of the first one, as base64, and a key itself.
_CURRENT_PROFILE = '_current-profile'


def path_of(socket_path: str, process: Callable[[str], Optional[int]] = listening_process,
            argv_of: Callable[[int], Sequence[str]] = procnet.command_of) -> str:
    """Return the state file of the tailscaled at ``socket_path``, as its command line says; '' if it keeps none.

    :raises OSError: its process has just ended.
    """
    pid = process(socket_path)
    return DaemonArguments().state if pid is None else parse_arguments(argv_of(pid)[1:]).state


def shortage(path: str) -> Optional[OverlayError]:
    """Return that tailscaled cannot save a state file at ``path``, because its file system is full; None if it can, or
    if that is not visible from here.

    Every user may ask: the directory itself need not be readable. Whether it is read-only cannot be told: under systemd
    this program and tailscaled see different mounts.
    """
    directory = os.path.dirname(path)
    try:
        status = os.statvfs(directory or '/')
    except OSError:
        return None
    # f_bfree, not f_bavail: tailscaled is root's, and may use what is reserved for root.
    if status.f_bfree * status.f_frsize >= NEEDED and not (status.f_files and not status.f_ffree):
        return None
    place = mount_point(directory)
    return FileSystemError('The file system {} is full: tailscaled cannot save this robot\'s identity, and a restart '
                           'would lose it.'.format(place), command('df -h {}', place))


def holds_identity(text: str) -> Optional[bool]:
    """Return whether the text of a state file has the login that tailscaled uses; None if that cannot be told. Pure."""
    try:
        state = foreign_json.parse_object(text)
        profile = base64.b64decode(state.get(_CURRENT_PROFILE) or '', validate=True).decode('ascii')
        prefs = base64.b64decode(state.get(profile) or '', validate=True) if profile else b''
        config = foreign_json.parse_object(prefs).get('Config') if prefs else None
    except (ValueError, TypeError, AttributeError):
        return None  # sealed by the machine's TPM, or of another version
    return isinstance(config, dict) and bool(config.get('PrivateNodeKey'))


class IdentityKeeper:
    """Has tailscaled save an identity that it could not save when it got it, as soon as there is room.

    :param api: LocalAPI of a user with write access: root, who also may read the state file.
    :param path: () -> path of the state file; may raise OSError.
    :param say: called with a sentence once for each thing done, and once for each reason why it failed.
    """

    def __init__(self, api: StateApi, path: Callable[[], str], say: Say = _LOG.info,
                 on_round: OnRound = lambda problem: None) -> None:
        self._api = api
        self._path = path
        self._say = say
        self._on_round = on_round
        self._said = ''

    def run(self, stop: Stop) -> None:
        """Run until ``stop`` is set."""
        pause = PERIOD
        while not stop.wait(pause):
            pause = PERIOD
            try:
                self._on_round(self.step())
            except OverlayError as error:
                pause = RETRY  # it is being restarted
                _LOG.debug('%s', error)
                self._on_round(error.sentence)
            except OSError as error:
                _LOG.debug('%s', error)
                self._on_round('The state file of tailscaled cannot be read: {}.'.format(error))

    def step(self) -> str:
        """Look once, and have the identity saved if it is not; return why it is not saved, as a sentence, or ''.

        :raises OverlayError: tailscaled does not answer.
        :raises OSError: the state file cannot be read.
        """
        status = parse_status(self._api.status(peers=False))
        path = self._path()
        if not status.running or not path or holds_identity(foreign_file.read_text(path)) is not False:
            self._said = ''
            return ''
        # It saves everything when a preference changes, and only then (editPrefsLocked); it does not report a failure.
        # This preference has no effect on Linux (ipn/prefs.go).
        self._api.edit_prefs(NotepadURLs=True)
        self._api.edit_prefs(NotepadURLs=False)
        if holds_identity(foreign_file.read_text(path)) is False:
            lack = shortage(path)
            self._say_once(str(lack) if lack is not None else 'tailscaled has not saved this robot\'s identity in {}: '
                           'a restart would lose it.'.format(path))
            return self._said
        self._say_once('tailscaled has saved this robot\'s identity now; there was no room for it before.')
        return ''

    def _say_once(self, sentence: str) -> None:
        if sentence != self._said:
            self._said = sentence
            self._say(sentence)


def lack_of_room(socket_path: str) -> Optional[OverlayError]:
    """Return :func:`shortage` for the tailscaled at ``socket_path``; None also while it is being restarted."""
    try:
        path = path_of(socket_path)
    except OSError:
        return None
    return shortage(path) if path else None
