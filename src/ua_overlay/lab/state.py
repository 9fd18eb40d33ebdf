"""The files of a lab: enough for another process to use the lab, or to take it down after a crash.

    <root>/<name>/lab.json            topology, maker, hosts with their processes, whether it is complete
    <root>/<name>/control/            the control socket, and the shape of link <n>: link-<n>.json; every host sees it
    <root>/<name>/logs/               <host>-<service>.log, <host>-init.log
    <root>/<name>/services/           <host>-<service>.json
    <root>/<name>/nats/<nat>          the kind that the router has now
"""
import errno
import json
import os
import re
import shutil
from typing import List

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError, UsageError
from ua_overlay.lab import host, kernel, machine_files
from ua_overlay.protocols import JsonObject
from ua_overlay.system import files

STATE_ROOT = '/run/ua_overlay_lab'
_NAME = re.compile(r'[a-z0-9][a-z0-9-]{0,31}')
_SERVICE = re.compile(r'[a-z0-9][a-z0-9_-]{0,31}')
_PARTS = ('control', 'logs', 'services', 'nats')


def check_name(name: str) -> None:
    """Check the name of a lab. :raises UsageError: it is invalid."""
    if not _NAME.fullmatch(name):
        raise UsageError('{!r} is no name for a lab: 1 to 32 lower-case letters, digits and hyphens.'.format(name))


class LabState:
    """The directory of one lab."""

    def __init__(self, name: str, root: str = STATE_ROOT) -> None:
        check_name(name)
        self.name = name
        self.root = os.path.abspath(root)
        self.directory = os.path.join(self.root, name)

    def path(self, *parts: str) -> str:
        """Return a path below the directory."""
        return os.path.join(self.directory, *parts)

    def claim(self, record: JsonObject) -> None:
        """Make the directory with its first record in one step, so that two makers never share it.

        :raises OverlayError: LAB_EXISTS.
        """
        os.makedirs(self.root, mode=0o755, exist_ok=True)
        draft = '{}/.{}.{}'.format(self.root, self.name, os.getpid())
        shutil.rmtree(draft, ignore_errors=True)
        os.mkdir(draft, 0o700)
        for part in _PARTS:
            os.mkdir(os.path.join(draft, part), 0o755)
        files.write_atomic(os.path.join(draft, 'lab.json'), json.dumps(record))
        try:
            os.rename(draft, self.directory)
        except OSError as error:
            shutil.rmtree(draft)
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            raise OverlayError('The lab {} exists already.'.format(self.name),
                               command('ua-overlay lab down --name {}', self.name), code='LAB_EXISTS')

    def write(self, record: JsonObject) -> None:
        """Replace the record."""
        files.write_atomic(self.path('lab.json'), json.dumps(record))

    def read(self) -> JsonObject:
        """Return the record. :raises OverlayError: LAB_MISSING."""
        try:
            with open(self.path('lab.json')) as stream:
                record: JsonObject = json.load(stream)
                return record
        except (FileNotFoundError, NotADirectoryError):
            raise OverlayError('There is no lab {}.'.format(self.name),
                               command('ua-overlay lab up --name {}', self.name), code='LAB_MISSING')

    def remove(self) -> bool:
        """End every process of the lab and remove the directory; do nothing if there is no such lab.

        :return: whether there was a process or a file.
        :raises OverlayError: LAB_STUCK, with the directory kept for another try.
        """
        # A host that is being made is not recorded yet; one that is ending has no command line any more.
        hosts = {process.pid: process for process in host.find(self.directory) + self._recorded()}
        host.end(hosts.values())
        machine_files.remove_all(self.name)
        existed = os.path.isdir(self.directory)
        if existed:
            shutil.rmtree(self.directory)
        sweep(self.root)
        return existed or bool(hosts)

    def _recorded(self) -> List[kernel.ProcessHandle]:
        try:
            processes = self.read()['hosts'].values()
        except OverlayError:
            return []
        return [kernel.ProcessHandle(process['pid'], process['start']) for process in processes if runs(process)]

    def service_file(self, host_name: str, service: str) -> str:
        """Return the path of a service's record. :raises UsageError: the name of the service is invalid."""
        if not _SERVICE.fullmatch(service):
            raise UsageError('{!r} is no name for a service.'.format(service))
        return self.path('services', '{}-{}.json'.format(host_name, service))

    def log_file(self, host_name: str, service: str) -> str:
        """Return the path of a service's output."""
        return self.path('logs', '{}-{}.log'.format(host_name, service))


def maker() -> JsonObject:
    """Return this process as the record has it: {pid, start, boot}."""
    handle = kernel.ProcessHandle(os.getpid())
    return {'pid': handle.pid, 'start': handle.start, 'boot': kernel.boot_id()}


def runs(process: JsonObject) -> bool:
    """Return whether a recorded process still runs."""
    return process['boot'] == kernel.boot_id() and kernel.ProcessHandle(process['pid'], process['start']).alive()


def names(root: str = STATE_ROOT) -> List[str]:
    """Return the names of the labs that have a directory, complete or not."""
    try:
        return sorted(name for name in os.listdir(root) if not name.startswith('.'))
    except FileNotFoundError:
        return []


def sweep(root: str) -> None:
    """Remove drafts that a killed maker left, and the root when it is empty."""
    try:
        entries = os.listdir(root)
    except FileNotFoundError:
        return
    for entry in entries:
        owner = entry.rsplit('.', 1)[-1]
        if entry.startswith('.') and owner.isdigit() and kernel.start_ticks(int(owner)) is None:
            shutil.rmtree(os.path.join(root, entry), ignore_errors=True)
    try:
        os.rmdir(root)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):
            raise
