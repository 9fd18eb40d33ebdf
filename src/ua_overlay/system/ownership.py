"""Find out who could replace a path: whatever root runs by must not lie where another user may move it away.

The owner of a directory can rename and replace everything in it, whoever owns that; so can everybody who may write to
it, unless it is sticky (inode(7), S_ISVTX). The same holds for each directory above it, and for the places of links.
"""
import errno
import os
import stat
from typing import Collection, List, NamedTuple, Optional, Set

from ua_overlay.errors import OverlayError
from ua_overlay.system.users import user_name

#: Links that are followed at most, as in the kernel (path_resolution(7)).
_MOST_LINKS = 40


class Step(NamedTuple):
    """One entry on the way to a path: a directory, a link, or the path itself."""

    path: str
    #: st_uid, st_gid, st_mode (lstat).
    uid: int
    gid: int
    mode: int


class Unsafe(OverlayError):
    """What a program runs by can be replaced by another user."""

    code = 'UNSAFE_OWNER'


def steps_to(path: str) -> List[Step]:
    """Return every entry on the way from / to ``path``, through its links; what is missing at its end is left out.

    :raises OSError: a directory cannot be entered, or there are too many links.
    """
    steps: List[Step] = []
    seen: Set[str] = set()
    rest = os.path.abspath(path).strip('/').split('/') if os.path.abspath(path) != '/' else []
    place, links = '/', 0
    _add(steps, seen, place)
    while rest:
        name = rest.pop(0)
        if name in ('', '.'):
            continue
        if name == '..':
            place = os.path.dirname(place)
            continue
        entry = os.path.join(place, name)
        try:
            mode = _add(steps, seen, entry)
        except (FileNotFoundError, NotADirectoryError):
            return steps
        if not stat.S_ISLNK(mode):
            place = entry
            continue
        links += 1
        if links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        target = os.readlink(entry)
        place = '/' if target.startswith('/') else place
        rest = target.split('/') + rest
    return steps


def _add(steps: List[Step], seen: Set[str], path: str) -> int:
    status = os.lstat(path)
    if path not in seen:
        seen.add(path)
        steps.append(Step(path, status.st_uid, status.st_gid, status.st_mode))
    return status.st_mode


def first_unsafe(steps: Collection[Step], trusted: Collection[int], groups: Collection[int] = (0,)) -> Optional[Step]:
    """Return the first entry by which another user could replace the path, None if there is none. Pure.

    :param trusted: user ids whose entries are fine: root, and the user who runs the program.
    :param groups: group ids that may write to a directory: root's, and the private group of that user.
    """
    for step in steps:
        if step.uid not in trusted:
            return step
        if stat.S_ISDIR(step.mode):
            # In a sticky directory only the owner of an entry, of the directory, and root may replace it, and the next
            # step of this loop checks who owns the entry.
            if _writable(step, groups) and not step.mode & stat.S_ISVTX:
                return step
        elif stat.S_ISREG(step.mode) and _writable(step, groups):
            return step
    return None


def _writable(step: Step, groups: Collection[int]) -> bool:
    return bool(step.mode & stat.S_IWOTH or step.mode & stat.S_IWGRP and step.gid not in groups)


def check(path: str, what: str, next_command: str = '') -> None:
    """Refuse a path that another user than root and this one could replace. To be called at each start.

    :param what: begins the sentence: 'The site /srv/site'.
    :param next_command: '' recommends to give the directory to this user.
    :raises Unsafe: another user could; the sentence names the directory and the user.
    """
    me = os.geteuid()
    found = first_unsafe(steps_to(path), {0, me}, {0, os.getegid()})
    if found is None:
        return
    name = user_name(found.uid)
    if found.uid not in (0, me):
        why = '{} belongs to the user {}, who could put something else there'.format(found.path, name)
        repair = 'sudo chown {} {}'.format(user_name(me), found.path)
    else:
        why = 'other users may write to {} (mode {:04o})'.format(found.path, stat.S_IMODE(found.mode))
        repair = 'sudo chmod go-w {}'.format(found.path)
    raise Unsafe('{} is not safe: {}, and {} would run by it.'.format(what, why, user_name(me)),
                 next_command or repair)
