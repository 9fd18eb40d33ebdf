"""The program that becomes a host: it makes namespaces and file systems, then reaps as process 1.

Protocol with the process that builds the lab: one line of JSON on stdin (the specification, lab.lab.host_specs), and
answers as lines of JSON on stdout: {"pid": N} from outside the new pid namespace, {"ready": true} or {"error": "…"}
from inside. Afterwards stdin is the life line: the line `keep` lets the host outlive its maker, and end of file without
it ends the host. A killed `up` therefore leaves no process.

What a host writes below /etc, /var, /home, /root and /run goes to a tmpfs that only its mount namespace holds: when
process 1 ends, the kernel removes processes, mounts, interfaces and files together.
"""
import errno
import json
import os
import select
import shutil
import signal
import socket
import sys
import uuid
from typing import Any, Dict, Iterable, List, NoReturn, Set

from ua_overlay import defaults
from ua_overlay.lab import kernel
from ua_overlay.system import process

#: Where the tmpfs that holds a host's own files is mounted while it is put together; /mnt exists everywhere (FHS 3.0).
STAGE = '/mnt'
#: Specification of a host, as JSON has it.
Spec = Dict[str, Any]
#: Trees of the machine that a host sees; its changes stay with the host.
OVERLAID = ('/etc', '/var', '/home', '/root')
#: Files of a robot or server on the machine itself: a fresh host must not inherit them.
FORGOTTEN = (defaults.CONFIG_DIR, defaults.DATA_DIR, defaults.DAEMON_STATE_DIR, '/var/lib/headscale',
             '/etc/systemd/system/tailscaled.service.d')
#: Where the control socket's directory appears in every host.
CONTROL_DIR = '/run/ua_lab'
#: Settings of br_netfilter, which a kernel need not have.
BRIDGE_SYSCTL = '/proc/sys/net/bridge/'


def make_filesystems(spec: Spec) -> None:
    """Mount the host's file systems, as process 1 of the new namespaces. :raises OSError: naming the mount."""
    # Slave, not private: when the machine unmounts something, this copy must not keep it busy.
    kernel.mount('', '/', '', kernel.MS_SLAVE | kernel.MS_REC)
    kernel.mount('proc', '/proc', 'proc', kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount('sysfs', '/sys', 'sysfs', kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC)
    kernel.mount('host', STAGE, 'tmpfs', data='mode=0755')
    # Directories elsewhere are the machine's anyway.
    share = [path for path in spec['share'] if path.startswith(tuple(tree + '/' for tree in OVERLAID + ('/run',)))]
    stashed = stash(share + [spec['control']])
    for tree in OVERLAID:
        overlay(tree)
    kernel.mount('run', '/run', 'tmpfs', kernel.MS_NOSUID | kernel.MS_NODEV, 'mode=0755')
    os.makedirs('/run/lock', mode=0o1777)
    if not os.path.islink('/var/run'):
        kernel.mount('/run', '/var/run', '', kernel.MS_BIND)
    stashed_control = stashed.pop()
    for path, copy in zip(share, stashed):
        open_way(path)
        os.makedirs(path, exist_ok=True)
        kernel.mount(copy, path, '', kernel.MS_BIND | kernel.MS_REC)
    os.mkdir(CONTROL_DIR)
    kernel.mount(stashed_control, CONTROL_DIR, '', kernel.MS_BIND)
    # The overlays hold their layers open; this uncovers the machine's /mnt.
    kernel.unmount_detached(STAGE)


def stash(paths: Iterable[str]) -> List[str]:
    """Bind directories of the machine below STAGE before overlays cover them; return their paths there."""
    copies = []
    for index, path in enumerate(paths):
        copy = '{}/stash/{}'.format(STAGE, index)
        os.makedirs(copy)
        kernel.mount(path, copy, '', kernel.MS_BIND | kernel.MS_REC)
        copies.append(copy)
    return copies


def overlay(tree: str) -> None:
    """Cover a tree of the machine with a layer for this host's changes."""
    name = tree.strip('/').replace('/', '-')
    upper, work = ('{}/{}-{}'.format(STAGE, name, part) for part in ('upper', 'work'))
    os.mkdir(upper)
    os.mkdir(work)
    # The merged directory shows the attributes of the upper one.
    shutil.copystat(tree, upper)
    kernel.mount('overlay', tree, 'overlay', 0, 'lowerdir={},upperdir={},workdir={}'.format(tree, upper, work))


def open_way(path: str) -> None:
    """Make the parents of a shared directory searchable for every user of the host, whatever their mode outside."""
    parent = os.path.dirname(path)
    while parent != '/' and parent.startswith(OVERLAID):
        mode = os.stat(parent).st_mode & 0o7777
        if mode & 0o011 != 0o011:
            os.chmod(parent, mode | 0o011)
        parent = os.path.dirname(parent)


def write(path: str, text: str, mode: int = 0o644) -> None:
    """Replace ``path`` (also a dangling link, as resolv.conf often is) by a plain file."""
    if os.path.lexists(path):
        os.unlink(path)
    with open(path, 'w') as stream:
        stream.write(text)
    os.chmod(path, mode)


def make_identity(spec: Spec) -> None:
    """Write host name, hosts file, resolver, machine id, accounts and sysctls; remove what FORGOTTEN lists.

    :raises OSError: naming the file.
    """
    for tree in OVERLAID:
        # Never write to the machine's own files, whatever went wrong before.
        if not os.path.ismount(tree):
            raise OSError(errno.EROFS, '{} is not a layer of this host'.format(tree))
    for path in FORGOTTEN:
        if os.path.isdir(path):
            shutil.rmtree(path)
    socket.sethostname(spec['hostname'])
    write('/etc/hostname', spec['hostname'] + '\n')
    write('/etc/hosts', '127.0.0.1 localhost\n127.0.1.1 {}\n::1 localhost ip6-localhost ip6-loopback\n'.format(
        spec['hostname']))
    write('/etc/resolv.conf', 'nameserver {}\n'.format(spec['resolver']))
    write('/etc/machine-id', uuid.uuid4().hex + '\n', 0o444)
    for user in spec['users']:
        add_user(user)
    for path, value in spec['sysctl'].items():
        if path.startswith(BRIDGE_SYSCTL) and not os.path.exists(path):
            # A kernel without br_netfilter never filters on a bridge, which is what the setting asks for.
            continue
        with open(path, 'w') as stream:
            stream.write(value)


def free_id(used: Set[int]) -> int:
    """Return the first id from 1000, where the accounts of people begin, that is not in ``used``."""
    number = 1000
    while number in used:
        number += 1
    return number


def column(path: str, index: int) -> Set[int]:
    """Return the numbers in one column of /etc/passwd or /etc/group."""
    with open(path) as stream:
        return {int(line.split(':')[index]) for line in stream if line.count(':') >= 3}


def add_user(name: str) -> None:
    """Make an unprivileged account with a home and a run directory; an account of the machine stays as it is."""
    with open('/etc/passwd') as stream:
        entry = next((line.split(':') for line in stream if line.startswith(name + ':')), None)
    if entry is None:
        number = free_id(column('/etc/passwd', 2) | column('/etc/group', 2))
        append('/etc/group', '{}:x:{}:\n'.format(name, number))
        append('/etc/passwd', '{0}:x:{1}:{1}::/home/{0}:/bin/bash\n'.format(name, number))
        append('/etc/shadow', '{}:!:19000:0:99999:7:::\n'.format(name))
        uid, gid, home = number, number, '/home/' + name
    else:
        uid, gid, home = int(entry[2]), int(entry[3]), entry[5]
    for path, mode in ((home, 0o755), ('/run/user/{}'.format(uid), 0o700)):
        os.makedirs(path, exist_ok=True)
        os.chmod(path, mode)
        os.chown(path, uid, gid)


def append(path: str, line: str) -> None:
    """Append a line to a file."""
    with open(path, 'a') as stream:
        stream.write(line)


def answer(message: Dict[str, Any]) -> None:
    """Send a line of JSON to the process that builds the lab."""
    sys.stdout.write(json.dumps(message) + '\n')
    sys.stdout.flush()


def describe(error: OSError) -> str:
    """Return the words of an OSError, with its file."""
    words = error.strerror or str(error)
    return '{}: {}'.format(error.filename, words) if error.filename else words


def serve(life_line: int) -> None:
    """Reap until the life line ends; after the line `keep`, until this process is killed."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    sources = [wake_read, life_line]
    while True:
        ready = select.select(sources, [], [])[0]
        if wake_read in ready:
            os.read(wake_read, 512)
        if life_line in ready:
            if os.read(life_line, 16) != b'keep\n':
                return
            sources.remove(life_line)
            os.close(life_line)
        reap()


def reap() -> None:
    """Collect every child that has ended; log a line for one that failed."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if pid == 0:
            return
        if status != 0:
            how = 'signal {}'.format(os.WTERMSIG(status)) if os.WIFSIGNALED(status) else \
                'status {}'.format(os.WEXITSTATUS(status))
            print('process {} ended with {}'.format(pid, how), file=sys.stderr, flush=True)


def become_host(spec: Spec) -> NoReturn:
    """Set up the host as its process 1, report that it is ready, and serve."""
    os.setsid()
    process.set_name('lab:' + spec['name'])
    # Signals of a terminal or of the maker must not end a host: SIGKILL and the life line do.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o022)
    os.chdir('/')
    try:
        make_filesystems(spec)
        make_identity(spec)
    except OSError as error:
        answer({'error': describe(error)})
        os._exit(1)
    answer({'ready': True})
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    os.close(nothing)
    serve(0)
    os._exit(0)


def read_line(handle: int) -> bytes:
    """Read one line, byte by byte: what follows on the life line must stay there. :raises SystemExit: at its end."""
    line = b''
    while not line.endswith(b'\n'):
        byte = os.read(handle, 1)
        if not byte:
            sys.exit(1)
        line += byte
    return line


def main() -> NoReturn:
    spec = json.loads(read_line(0).decode())
    try:
        kernel.unshare(kernel.CLONE_NEWNS | kernel.CLONE_NEWUTS | kernel.CLONE_NEWPID | kernel.CLONE_NEWNET)
    except OSError as error:
        answer({'error': describe(error)})
        sys.exit(1)
    # unshare(2) puts the children, not the caller, into the new pid namespace.
    child = os.fork()
    if child == 0:
        become_host(spec)
    answer({'pid': child})
    os._exit(0)
