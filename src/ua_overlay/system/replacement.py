"""Replace a file so that the old one can come back, also on a file system that has become full since."""
import contextlib
import os
from typing import Union

from ua_overlay.system import files


class Replacement:
    """A file that is being replaced: :meth:`put` (or :meth:`hold` and a write), then :meth:`undo` or :meth:`keep`.

    The old file stays beside it under another name, a second link to the same blocks, so undoing needs no room.

    :param path: an existing file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._old = _kept_name(path)

    def hold(self) -> None:
        """Keep the present file.

        :raises OSError: it is missing, or the file system has no room for a name.
        """
        sweep(self._path)
        os.link(self._path, self._old)

    def put(self, data: Union[str, bytes], mode: int = 0o600) -> None:
        """Write the new content.

        :raises OSError: nothing was changed.
        """
        self.hold()
        try:
            files.write_atomic(self._path, data, mode)
        except BaseException:
            sweep(self._path)
            raise

    def undo(self) -> None:
        """Put the old file back.

        :raises OSError: the new one stays.
        """
        os.replace(self._old, self._path)
        # rename(2) of two links to one file does nothing: the new content was never written.
        sweep(self._path)
        files.sync_directory(os.path.dirname(self._path))

    def keep(self) -> None:
        """Remove the old file."""
        sweep(self._path)


def sweep(path: str) -> None:
    """Remove what a process that was killed between :meth:`Replacement.put` and its end left beside ``path``."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_kept_name(path))


def _kept_name(path: str) -> str:
    # Like the temporary files of files.write_atomic, it begins with a dot, so that a backup leaves it out.
    return os.path.join(os.path.dirname(path), '.{}.before'.format(os.path.basename(path)))
