"""Machines: hosts of a lab with their own root file system and systemd, in systemd-nspawn.

A plain host of a lab shares the files of the machine that runs the lab and has no init system, so that nothing can
install a service there. A machine uses the network of a host, meets the same routers and servers, and ends with it.
"""
import contextlib
import os
import signal
import subprocess
import time
from types import TracebackType
from typing import Callable, Iterable, List, Optional, Sequence, Tuple, Type, TypeVar

from ua_overlay.advice import command
from ua_overlay.errors import OverlayError
from ua_overlay.lab import machine_files, timeouts
from ua_overlay.lab.kernel import ProcessHandle
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.machine_files import PATIENCE
from ua_overlay.lab.machine_ssh import File
from ua_overlay.lab.wait import pause
from ua_overlay.protocols import Argv, Environ

Value = TypeVar('Value')
#: (path in the host, path in the machine) of a directory that a machine sees read-only.
Bind = Tuple[str, str]

#: Name of the lab's service that is the machine.
SERVICE = 'machine'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
#: Runs in a new mount and pid namespace: its mounts end with the machine, and the machine with the host. nspawn ends
#: with status 133 when the machine reboots (systemd-nspawn(1)). A subshell enters the control group and becomes nspawn:
#: a shell left in it would keep systemd from dividing it.
_BOOT = '''\
set -eu
lower=$1 directory=$2 group=$3
shift 3
mount -t proc proc /proc
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$directory/upper,workdir=$directory/work" "$directory/root"
''' + machine_files.CGROUP2 + '''\
mkdir -p "$group"
status=133
while [ $status = 133 ]; do
    status=0
    (echo 0 >"$group/cgroup.procs" && exec systemd-nspawn --directory="$directory/root" "$@") || status=$?
done
exit $status
'''


class MachineError(OverlayError):
    """A machine did not boot, or has ended."""

    code = 'LAB_MACHINE'


class CommandFailed(AssertionError):
    """A command in a machine failed."""


def children(pid: int) -> List[int]:
    """Return the process ids of the children of a process, [] when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open('/proc/{0}/task/{0}/children'.format(pid)) as stream:
            return [int(word) for word in stream.read().split()]
    return []


def program_of(pid: int) -> str:
    """Return the name of the program that a process runs, '' when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return os.path.basename(os.readlink('/proc/{}/exe'.format(pid)))
    return ''


def find_nspawn(pid: int) -> Optional[int]:
    """Return the process id of the systemd-nspawn below the process ``pid``, None without one."""
    for child in children(pid):
        nspawn = child if program_of(child) == 'systemd-nspawn' else find_nspawn(child)
        if nspawn:
            return nspawn
    return None


def find_leader(pid: int) -> Optional[int]:
    """Return process 1 of the machine that runs below ``pid``, None while it does not exist."""
    nspawn = find_nspawn(pid)
    # nspawn's first child sets the machine up and ends.
    return next((child for child in children(nspawn) if program_of(child) == 'systemd'), None) if nspawn else None


def nspawn_options(name: str, hostname: str, binds: Sequence[Bind]) -> List[str]:
    """Return the options of systemd-nspawn. Pure."""
    return ['--machine=' + name, '--network-namespace-path=/proc/self/ns/net', '--boot', '--quiet', '--register=no',
            '--keep-unit', '--capability=all', '--bind=/dev/net/tun', '--hostname=' + hostname, '--console=pipe',
            '--link-journal=no', '--resolv-conf=off', '--timezone=off', '--suppress-sync=yes'] + [
                '--bind-ro={}:{}'.format(*bind) for bind in binds]


class Machine:
    """One machine; a context manager that boots and removes it. Its files survive :meth:`reboot`.

    :param lab: a lab that is up.
    :param host: name of the host whose network it uses.
    :param lower: directory of its base system (:func:`images.get`), or that with a layer (:func:`images.get_layer`);
        the machine never changes them. Set it before :meth:`start`.
    :param hostname: default: the host's.
    """

    def __init__(self, lab: Lab, host: str, lower: Optional[str] = None, hostname: Optional[str] = None,
                 binds: Sequence[Bind] = ()) -> None:
        self.lab = lab
        self.host = lab.host(host)
        self.name = host
        self.lower = lower
        self.hostname = hostname or lab.topology.hostname(host)
        self.binds = tuple(binds)
        self.directory = machine_files.machine_directory(lab.name, host)

    def __enter__(self) -> 'Machine':
        try:
            self.make()
            self.start()
            self.wait_booted()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        try:
            self.power_off()
        finally:
            self.kill()

    # --- life cycle ---

    def make(self, files: Iterable[File] = ()) -> None:
        """Make its own layer over the base system, with ``files`` in it."""
        files = tuple(files)
        machine_files.remove_machine(self.lab.name, self.name)
        machine_files.make_lab_directory(self.lab.name)
        for part in ('', 'upper', 'work', 'root'):
            os.mkdir(os.path.join(self.directory, part), 0o755)
        hosts = '127.0.0.1\tlocalhost\n127.0.1.1\t{0}\n'.format(self.hostname)
        own: Tuple[File, ...] = (
            ('/etc/hostname', self.hostname + '\n', 0o644), ('/etc/hosts', hosts, 0o644),
            ('/etc/resolv.conf', 'nameserver {}\n'.format(self.lab.topology.dns), 0o644),
            ('/etc/apt/sources.list', '# The internet of a lab has no mirror.\n', 0o644))
        if not any(path.startswith('/etc/ssh/ssh_host_') for path, _, _ in files):
            # Without a key sshd fails a few times and then for good; an empty file masks its unit.
            own += (('/etc/systemd/system/ssh.service', '', 0o644),)
        for path, text, mode in own + files:
            target = os.path.join(self.directory, 'upper', path.lstrip('/'))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, 'w') as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(text)

    def start(self) -> None:
        """Start it; :meth:`wait_booted` waits for its services."""
        assert self.lower is not None, 'a machine needs a base system'
        group = machine_files.cgroup(self.lab.name, self.name)
        options = nspawn_options(os.path.basename(group), self.hostname, self.binds)
        self.lab.start_service(self.name, SERVICE, [
            'unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', 'sh', '-c', _BOOT,
            'boot', self.lower, self.directory, group] + options,
            env={'PATH': PATH, 'SYSTEMD_NSPAWN_API_VFS_WRITABLE': 'network'})

    def wait_booted(self, previous: Optional[int] = None) -> None:
        """Wait until systemd has started every unit.

        :param previous: process 1 of the previous boot.
        :raises MachineError: it does not boot, or ends; with the end of its console.
        """
        self.wait('its process 1', lambda: self.leader not in (None, previous))
        self.wait('D-Bus', lambda: self.run(['busctl', '--quiet', 'status'], check=False).returncode == 0)
        # Ends with status 1 when a unit has failed: no unit of a machine may fail.
        state = self.run(['systemctl', 'is-system-running', '--wait'], check=False, timeout=PATIENCE).stdout.strip()
        if state != 'running':
            failed = self.run(['systemctl', '--failed', '--plain', '--no-legend'], check=False).stdout.split('\n')
            units = [line.split()[0] for line in failed if line.strip()]
            raise MachineError('Machine {} is {}: {}.\n{}'.format(
                self.name, state, ', '.join(units) or 'no unit has failed', ''.join(map(self.journal, units))[-3000:]),
                               command('ua-overlay lab machines exec {} -- systemctl --failed', self.name))

    @property
    def process(self) -> ProcessHandle:
        """The service of the lab that it runs below."""
        return self.lab.service(self.name, SERVICE)

    @property
    def leader(self) -> Optional[int]:
        """The process id of its process 1 outside the machine, None while it does not run."""
        return find_leader(self.process.pid)

    def runs(self) -> bool:
        """Return whether it runs."""
        return self.lab.service_running(self.name, SERVICE) and self.leader is not None

    def wait(self, what: str, condition: Callable[[], Value], seconds: float = PATIENCE) -> Value:
        """Poll ``condition`` until it returns something true, and return that.

        :raises MachineError: naming ``what``, after ``seconds`` (before scaling) or when the machine ends.
        """
        limit = timeouts.scaled(seconds)
        deadline = time.monotonic() + limit
        while True:
            if not self.process.alive():
                raise MachineError('Machine {} ended.\n{}'.format(self.name, self.console()))
            began = time.monotonic()
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                raise MachineError('{} of machine {}: not within {:.0f} s.\n{}'.format(
                    what, self.name, limit, self.console()))
            time.sleep(pause(0.1, time.monotonic() - began))

    def console(self, size: int = 3000) -> str:
        """Return the last ``size`` characters of its console."""
        return self.lab.log(self.name, SERVICE)[-size:]

    def reboot(self) -> None:
        """Reboot it in order, and wait until it has booted."""
        before = self.leader
        self.run(['systemctl', 'reboot'], check=False)
        self.wait_booted(before)

    def power_off(self) -> None:
        """Shut it down in order, as with its power button."""
        nspawn = find_nspawn(self.process.pid)
        if nspawn:
            process = self.process
            os.kill(nspawn, signal.SIGTERM)
            process.wait(PATIENCE)

    def kill(self) -> None:
        """Kill its processes and remove its control group and files."""
        if self.lab.service_running(self.name, SERVICE):
            process = self.process
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)
        machine_files.remove_machine(self.lab.name, self.name)

    def is_gone(self) -> bool:
        """Return whether none of its processes is left."""
        return machine_files.is_gone(self.lab.name, self.name)

    # --- commands ---

    def enter_argv(self, argv: Argv, user: Optional[str] = None, env: Optional[Environ] = None) -> List[str]:
        """Return an argv that, run as root outside, runs ``argv`` in it with the environment of a login and ``env``.

        :param user: default root.
        :raises MachineError: it does not run.
        """
        leader = self.leader if self.lab.service_running(self.name, SERVICE) else None
        if leader is None:
            raise MachineError('Machine {} does not run.'.format(self.name), 'ua-overlay lab machines status')
        user = user or 'root'
        home = '/root' if user == 'root' else '/home/' + user
        environment = dict({'HOME': home, 'USER': user, 'PATH': PATH, 'LANG': 'C.UTF-8'}, **(env or {}))
        enter = ['nsenter', '--target', str(leader), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup',
                 '--root', '--wd', '--']
        become = [] if user == 'root' else ['runuser', '-u', user, '--']
        login = ['env', '-i', '--chdir=' + home] + ['{}={}'.format(*item) for item in sorted(environment.items())]
        return enter + become + login + list(argv)

    def run(self, argv: Argv, user: Optional[str] = None, input: Optional[str] = None, env: Optional[Environ] = None,
            check: bool = True, timeout: float = 60.0) -> 'subprocess.CompletedProcess[str]':
        """Run ``argv`` to its end and capture its output as text. Parameters as :meth:`enter_argv`.

        :raises CommandFailed: ``check`` is true and the status is not 0.
        """
        done = subprocess.run(self.enter_argv(argv, user, env), input=input,
                              stdin=subprocess.DEVNULL if input is None else None, universal_newlines=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        if check and done.returncode != 0:
            raise CommandFailed('`{}` on {} ended with status {}:\n{}{}'.format(
                ' '.join(argv), self.name, done.returncode, done.stdout, done.stderr))
        return done

    def write(self, path: str, text: str, mode: str = '644', user: str = 'root') -> None:
        """Write a file of the machine, and make its directories. The text goes through a pipe: it may be a secret."""
        self.run(['mkdir', '-p', os.path.dirname(path)])
        self.run(['install', '-m', mode, '-o', user, '-g', user, '/dev/stdin', path], input=text)

    def copy_in(self, source: str, path: str) -> None:
        """Copy the directory ``source`` outside to ``path`` in the machine, owned by root."""
        self.run(['mkdir', '-p', path])
        pack = subprocess.Popen(['tar', '-C', source, '--owner=root', '--group=root', '-cf', '-', '.'],
                                stdout=subprocess.PIPE)
        with pack:
            done = subprocess.run(self.enter_argv(['tar', '-C', path, '-xf', '-']), stdin=pack.stdout)
        if pack.returncode != 0 or done.returncode != 0:
            raise CommandFailed('{} could not be copied to {} on {}'.format(source, path, self.name))

    def journal(self, unit: str) -> str:
        """Return the journal of a unit since this boot."""
        return self.run(['journalctl', '--no-pager', '-b', '-u', unit]).stdout

    def property(self, unit: str, name: str) -> str:
        """Return a property of a unit, as `systemctl show` prints it."""
        return self.run(['systemctl', 'show', '--property', name, '--value', unit]).stdout.strip()
