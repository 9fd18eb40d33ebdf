"""A directory that every user may enter, for commands that a test runs as another user.

pytest's own directories are no such place: each start of pytest closes /tmp/pytest-of-USER to others again, also while
another pytest runs its tests there.
"""
import contextlib
import pathlib
import shutil
import tempfile


@contextlib.contextmanager
def open_directory():
    """Yield the path of a new directory with mode 0755; it is removed with the end of the block."""
    path = pathlib.Path(tempfile.mkdtemp(prefix='ua_overlay_test.'))
    try:
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(str(path))
