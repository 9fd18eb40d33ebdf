"""Run the admission beside a derper: answer its questions, renew confirmations, and keep them over restarts."""
import threading
import time
from typing import Callable, List, Optional

from ua_overlay.protocols import Say, WallClock
from ua_overlay.relays.admission import Admission, AdmissionServer
from ua_overlay.system import files, foreign_file
from ua_overlay.system.thread import SupervisedThread

#: Seconds between two looks at what is due.
PERIOD = 5.0


class AdmissionKeeper:
    """Keeps an admission up to date and on disk.

    :param path: of the file.
    :param say: prints one line.
    :param disconnect: ends all connections of the derper; those that may come back do.
    """

    def __init__(self, admission: Admission, path: str, say: Say, disconnect: Callable[[], None],
                 wall: WallClock = time.time) -> None:
        self._admission = admission
        self._path = path
        self._say = say
        self._disconnect = disconnect
        self._wall = wall
        self._stopping = threading.Event()
        self._server: Optional[AdmissionServer] = None
        self._threads: List[SupervisedThread] = []
        self._problem = ''

    def start(self) -> str:
        """Start to answer; return the address for derper.

        :raises OSError: there is no port.
        """
        self._load()
        self._server = AdmissionServer(self._admission)
        self._threads = [SupervisedThread('admission', self._server.run, self._say).start(),
                         SupervisedThread('confirmations', self._run, self._say).start()]
        return self._server.url

    def stop(self) -> None:
        """End both threads, and save."""
        self._stopping.set()
        for thread in self._threads:
            thread.stop()
        if self._server is not None:
            self._server.stop()
        for thread in self._threads:
            thread.join(5.0)
        self._save()

    def remembered(self) -> int:
        """Return the number of robots that would be admitted without Headscale."""
        return self._admission.remembered()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD):
            refused = self._admission.confirm(self._stopping.is_set)
            if refused:
                self._say('{} node(s) that were admitted without the server are refused by it now; all clients connect '
                          'again.'.format(len(refused)))
                self._disconnect()
            self._save()

    def _load(self) -> None:
        try:
            self._admission.load(foreign_file.read_text(self._path, follow=False), self._wall())
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            self._say('The memory of admissions, {}, is not used: {}. It is made anew.'.format(
                self._path, getattr(error, 'strerror', None) or error))

    def _save(self) -> None:
        if not self._admission.changed:
            return
        try:
            files.write_atomic(self._path, self._admission.dump(self._wall()), 0o600)
        except OSError as error:
            self._admission.changed = True
            problem = error.strerror or str(error)
            if self._problem != problem:
                self._say('The memory of admissions cannot be written to {}: {}.'.format(self._path, problem))
            self._problem = problem
        else:
            self._problem = ''
