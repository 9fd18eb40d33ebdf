"""Names of the overlay in the hosts file, for machines on which MagicDNS does not work: a marked block and its keeper.

The keeper is part of the root service that `ua-overlay robot prepare` sets up. It takes names and addresses directly
from tailscaled and queries this machine's resolver itself, so no unprivileged program can influence the file. It acts
only after names failed to resolve. From then on it keeps the block in step with the overlay until the robot leaves:
with the block in the file, a query cannot show whether the resolver would work without it (systemd-resolved answers
from the hosts file too), and removing the block to find out would cut nodes off.
"""
import errno
import logging
import os
import re
from functools import partial
from typing import Callable, Iterable, List, Optional, Tuple

from ua_overlay.errors import OverlayError
from ua_overlay.protocols import OnRound, Say, Stop
from ua_overlay.rosenv.names import DEADLINE, Resolve, resolve_ipv4
from ua_overlay.rosenv.team import Node, dns_name, has_left, ipv4, visible_nodes
from ua_overlay.system import files, foreign_file
from ua_overlay.system.deadline import Calls
from ua_overlay.system.interfaces import in_overlay
from ua_overlay.tailscale.model import Status

_LOG = logging.getLogger(__name__)

HOSTS = '/etc/hosts'
BEGIN = '# BEGIN ua_overlay: machines that this robot sees, kept by `ua-overlay robot agent` until it leaves'
END = '# END ua_overlay'
_BEGIN = '# BEGIN ua_overlay'

#: Seconds between two steps, and while names fail and are not in the file yet.
PERIOD = 3.0
PERIOD_WRONG = 1.0
#: Consecutive steps in which names must fail: a query may get lost, and after a join MagicDNS takes a moment.
PATIENCE = 3

_NAME = re.compile(r'[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)+\Z')
_LONGEST_NAME = 253
#: Bytes of a hosts file.
_LONGEST_FILE = 16 * 1024 * 1024
_OURS = re.compile(r'[0-9.]+\t[a-z0-9.-]+\Z')

#: (IPv4 address, full name).
Entry = Tuple[str, str]


def hosts_text(text: str, entries: Iterable[Entry]) -> str:
    """Return ``text`` of a hosts file with the block of these entries in place of any older one; the rest is unchanged.

    The block comes first: of several lines for a name the first one counts, so the robot's overlay name means its
    overlay address even where a 127.0.1.1 line has it. With `multi on` in /etc/host.conf (Debian's default) all of them
    count and getaddrinfo sorts loopback first; then the robot reaches itself by loopback, where its nodes listen too.
    It has only full names: a short one may belong to another machine on the robot's LAN.

    :param entries: an empty one removes the block.
    """
    lines = text.split('\n')
    kept: List[str] = []
    at = 0
    while at < len(lines):
        if not lines[at].startswith(_BEGIN):
            kept.append(lines[at])
            at += 1
            continue
        ends = [index for index in range(at + 1, len(lines)) if lines[index].startswith((END, _BEGIN))]
        if ends and lines[ends[0]].startswith(END):
            at = ends[0] + 1
            continue
        at += 1  # the end of the block is missing: drop lines that look like ours, keep the rest
        while at < len(lines) and _OURS.match(lines[at]):
            at += 1
    rest = '\n'.join(kept)
    desired = sorted(set(entries), key=lambda entry: (entry[1], entry[0]))
    if not desired:
        return rest
    block = [BEGIN] + ['{}\t{}'.format(address, name) for address, name in desired] + [END, '']
    return '\n'.join(block) + rest


def has_block(text: str) -> bool:
    """Return whether ``text`` of a hosts file has our block."""
    return any(line.startswith(_BEGIN) for line in text.split('\n'))


def entries_of(status: Status) -> Tuple[Entry, ...]:
    """Return the entries of the robot and of every node that it sees: not only its team has publishers for it.

    The server chooses these names, and every program trusts the file. So each name must lie in the overlay's domain,
    and its address in the overlay.
    """
    entries = []
    nodes: Tuple[Node, ...] = (status.self_node,) + visible_nodes(status)
    for node in nodes:
        name, address = dns_name(node), ipv4(node)
        if name.endswith('.' + status.suffix.strip('.')) and len(name) <= _LONGEST_NAME and _NAME.match(name) and \
                in_overlay(address):
            entries.append((address, name))
    return tuple(entries)


def read_hosts(path: str = HOSTS) -> str:
    """Return the text of a hosts file; bytes that are not UTF-8 are kept.

    :raises OSError: it cannot be read, is no regular file, or is longer than a hosts file against trackers (3 MB).
    """
    return foreign_file.read(path, _LONGEST_FILE).data.decode('utf-8', 'surrogateescape')


def write_hosts(text: str, path: str = HOSTS) -> None:
    """Replace a hosts file atomically; keep its mode and owner.

    :raises OSError: it cannot be written.
    """
    path = os.path.realpath(path)
    data = text.encode('utf-8', 'surrogateescape')
    before = os.stat(path)
    owner = (before.st_uid, before.st_gid)
    try:
        files.write_atomic(path, data, before.st_mode & 0o7777,
                           None if owner == (os.geteuid(), os.getegid()) else owner)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        # A container's runtime mounts the file itself, and a mount point cannot be replaced.
        with open(path, 'r+b') as stream:
            stream.write(data)
            stream.truncate()


def remove_block(path: str = HOSTS) -> bool:
    """Remove the block from the file; return whether there was one.

    :raises OSError: the file cannot be read or written.
    """
    text = read_hosts(path) if os.path.exists(path) else ''
    if not has_block(text):
        return False
    write_hosts(hosts_text(text, ()), path)
    return True


class HostsKeeper:
    """Reconciles the block with the overlay: once with :meth:`step`, or continuously in a thread with :meth:`run`.

    :param status: returns tailscaled's Status; raises OverlayError while it does not answer.
    :param say: called with one sentence for each thing done.
    :param deadline: seconds for all names together.
    """

    def __init__(self, status: Callable[[], Status], resolve: Resolve = resolve_ipv4, path: str = HOSTS,
                 say: Say = _LOG.info, deadline: float = DEADLINE,
                 on_round: OnRound = lambda problem: None) -> None:
        self._status = status
        self._resolve = resolve
        self._path = path
        self._say = say
        self._on_round = on_round
        self._deadline = deadline
        self._calls = Calls()
        self._failed = 0
        self._last_sentence: Optional[str] = None

    def run(self, stop: Stop) -> None:
        """Run until ``stop`` is set. The block stays afterwards, because running nodes need it."""
        while not stop.is_set():
            try:
                self.step()
                self._last_sentence = None
                self._on_round('')
            except OverlayError as error:
                self._on_round(error.sentence)
            except OSError as error:
                problem = 'The names of the overlay cannot be kept in {}: {}.'.format(self._path, error)
                self._on_round(problem)
                if self._last_sentence != problem:  # once per reason
                    self._last_sentence = problem
                    self._say(problem)
            stop.wait(PERIOD_WRONG if self._failed else PERIOD)

    def step(self) -> None:
        """Check once, and update the block if necessary.

        :raises OverlayError: tailscaled does not answer (it may be restarting); nothing was changed.
        :raises OSError: the hosts file cannot be read or written.
        """
        status = self._status()
        text = read_hosts(self._path)
        if has_left(status):
            self._failed = 0
            if has_block(text):
                self._write(hosts_text(text, ()), 'This robot left its team: its names were removed from {}.')
            return
        if not status.running:
            return
        entries = entries_of(status)
        if not has_block(text):
            self._failed = self._failed + 1 if entries and self._broken(entries) else 0
            if self._failed < PATIENCE:
                return
            self._failed = 0
        desired = hosts_text(text, entries)
        if desired != text:
            self._write(desired, 'The resolver of this machine fails for the names of the overlay: they are in {} now.'
                        if not has_block(text) else 'The overlay changed, and {} with it.')

    def _broken(self, entries: Iterable[Entry]) -> bool:
        """Return whether the resolver that programs use fails to resolve one of the names."""
        answers = self._calls.run({name: partial(self._resolve, name) for _, name in entries}, self._deadline)
        return any(address not in (answers[name][0] or ()) for address, name in entries)

    def _write(self, text: str, sentence: str) -> None:
        write_hosts(text, self._path)
        self._say(sentence.format(self._path))
