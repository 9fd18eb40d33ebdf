"""Machines: hosts of a lab with a root file system and a systemd of their own, in systemd-nspawn.

A host of a lab shares the machine's files and has no init system; what installs services needs both of its own. A
machine stands in the network of a host, meets the same routers and servers, and ends with the host.
"""
import contextlib
import os
import signal
import subprocess
import time

from ua_overlay.errors import OverlayError
from ua_overlay.lab import machine_files, timeouts
from ua_overlay.lab.machine_files import PATIENCE
from ua_overlay.lab.wait import pause

#: Name of the lab's service that is the machine.
SERVICE = 'machine'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
#: Runs in a mount and a process namespace of its own: what it mounts goes when the machine does, and the machine when
#: the host does. nspawn ends with status 133 when the machine asked for a reboot (systemd-nspawn(1)). A shell that
#: stays behind would keep the control group from being divided: each nspawn enters it by itself.
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
    """A machine did not come up, or has ended."""

    code = 'LAB_MACHINE'


class CommandFailed(AssertionError):
    """A command for or in a machine ended with another status than 0."""


def children(pid):
    """Process ids of the children of a process, [] when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open('/proc/{0}/task/{0}/children'.format(pid)) as stream:
            return [int(word) for word in stream.read().split()]
    return []


def program_of(pid):
    """Name of the program that a process runs, '' when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return os.path.basename(os.readlink('/proc/{}/exe'.format(pid)))
    return ''


def find_nspawn(pid):
    """Process id of the systemd-nspawn below the process ``pid``, or None."""
    for child in children(pid):
        found = child if program_of(child) == 'systemd-nspawn' else find_nspawn(child)
        if found:
            return found
    return None


def find_leader(pid):
    """Process 1 of the machine that runs below ``pid``, or None while it is not there."""
    nspawn = find_nspawn(pid)
    # nspawn's first child sets the machine up and ends.
    return next((child for child in children(nspawn) if program_of(child) == 'systemd'), None) if nspawn else None


def nspawn_options(name, hostname, binds):
    """Options of systemd-nspawn. Pure.

    :param binds: (path in the host, path in the machine) of what it sees read-only.
    """
    return ['--machine=' + name, '--network-namespace-path=/proc/self/ns/net', '--boot', '--quiet', '--register=no',
            '--keep-unit', '--capability=all', '--bind=/dev/net/tun', '--hostname=' + hostname, '--console=pipe',
            '--link-journal=no', '--resolv-conf=off', '--timezone=off', '--suppress-sync=yes'] + [
                '--bind-ro={}:{}'.format(*bind) for bind in binds]


class Machine:
    """One machine; a context manager that boots it and takes it away. Its files live through :meth:`reboot`.

    :param lab: a lab.Lab that is up; ``host``: name of the host whose network it stands in.
    :param lower: directory of its base system (:func:`images.get`), perhaps with a layer above it
        (:func:`images.get_layer`); they stay as they are.
    :param hostname: what it calls itself; default: as the host does.
    :param binds: (path here, path there) of what it sees read-only.
    """

    def __init__(self, lab, host, lower=None, hostname=None, binds=()):
        self.lab = lab
        self.host = lab.host(host)
        self.name = host
        self.lower = lower
        self.hostname = hostname or lab.topology.hostname(host)
        self.binds = tuple(binds)
        self.directory = machine_files.machine_directory(lab.name, host)

    def __enter__(self):
        try:
            self.make()
            self.start()
            self.wait_booted()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.power_off()
        finally:
            self.kill()

    # --- its life ---

    def make(self, files=()):
        """Its empty layer over the base system.

        :param files: (path, text, mode) of what it has from the start.
        """
        machine_files.remove_machine(self.lab.name, self.name)
        machine_files.make_lab_directory(self.lab.name)
        for part in ('', 'upper', 'work', 'root'):
            os.mkdir(os.path.join(self.directory, part), 0o755)
        hosts = '127.0.0.1\tlocalhost\n127.0.1.1\t{0}\n'.format(self.hostname)
        own = (('/etc/hostname', self.hostname + '\n', 0o644), ('/etc/hosts', hosts, 0o644),
               ('/etc/resolv.conf', 'nameserver {}\n'.format(self.lab.topology.dns), 0o644),
               ('/etc/apt/sources.list', '# The internet of a lab has no mirror.\n', 0o644))
        if not any(path.startswith('/etc/ssh/ssh_host_') for path, _, _ in files):
            # Without a key sshd fails a few times and then for good; an empty file masks its unit.
            own += (('/etc/systemd/system/ssh.service', '', 0o644),)
        for path, text, mode in own + tuple(files):
            target = os.path.join(self.directory, 'upper', path.lstrip('/'))
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, 'w') as stream:
                os.fchmod(stream.fileno(), mode)
                stream.write(text)

    def start(self):
        """Switch it on; :meth:`wait_booted` waits for what it starts."""
        group = machine_files.cgroup(self.lab.name, self.name)
        options = nspawn_options(os.path.basename(group), self.hostname, self.binds)
        self.lab.start_service(self.name, SERVICE, [
            'unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', 'sh', '-c', _BOOT,
            'boot', self.lower, self.directory, group] + options,
            env={'PATH': PATH, 'SYSTEMD_NSPAWN_API_VFS_WRITABLE': 'network'})

    def wait_booted(self, previous=None):
        """Wait until its init system has started everything.

        :param previous: process 1 of the boot before.
        :raises MachineError: with the end of its console, when it does not, or ends.
        """
        self.wait('its process 1', lambda: self.leader not in (None, previous))
        self.wait('D-Bus', lambda: self.run(['busctl', '--quiet', 'status'], check=False).returncode == 0)
        # Ends with status 1 when a unit has failed: a machine has none that may.
        state = self.run(['systemctl', 'is-system-running', '--wait'], check=False, timeout=PATIENCE).stdout.strip()
        if state != 'running':
            failed = self.run(['systemctl', '--failed', '--plain', '--no-legend'], check=False).stdout.split('\n')
            units = [line.split()[0] for line in failed if line.strip()]
            raise MachineError('Machine {} is {}: {}.\n{}'.format(
                self.name, state, ', '.join(units) or 'no unit has failed', ''.join(map(self.journal, units))[-3000:]),
                               'ua-overlay lab machines exec {} -- systemctl --failed'.format(self.name))

    @property
    def process(self):
        """:class:`kernel.ProcessHandle` of what it runs below."""
        return self.lab.service(self.name, SERVICE)

    @property
    def leader(self):
        """Its process 1 as the world outside sees it, or None."""
        return find_leader(self.process.pid)

    def runs(self):
        return self.lab.service_running(self.name, SERVICE) and self.leader is not None

    def wait(self, what, condition, seconds=PATIENCE):
        """The first true value of ``condition()``; MachineError naming ``what`` after ``seconds``."""
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

    def console(self, size=3000):
        """The last ``size`` characters of what it said while it booted."""
        return self.lab.log(self.name, SERVICE)[-size:]

    def reboot(self):
        """An orderly reboot; returns when it is up again."""
        before = self.leader
        self.run(['systemctl', 'reboot'], check=False)
        self.wait_booted(before)

    def power_off(self):
        """An orderly shutdown, as by its power button."""
        nspawn = find_nspawn(self.process.pid)
        if nspawn:
            process = self.process
            os.kill(nspawn, signal.SIGTERM)
            process.wait(PATIENCE)

    def kill(self):
        """The end of all its processes, orderly or not, and of its control group and its files."""
        if self.lab.service_running(self.name, SERVICE):
            process = self.process
            process.send_signal(signal.SIGKILL)
            process.wait(PATIENCE)
        machine_files.remove_machine(self.lab.name, self.name)

    def is_gone(self):
        """Whether no process of it is left."""
        return machine_files.is_gone(self.lab.name, self.name)

    # --- what is typed on it ---

    def enter_argv(self, argv, user=None, env=None):
        """Argv that, run as root here, runs ``argv`` in it with a login's environment plus ``env``.

        :raises MachineError: it does not run.
        """
        leader = self.leader if self.lab.service_running(self.name, SERVICE) else None
        if leader is None:
            raise MachineError('Machine {} does not run.'.format(self.name), 'ua-overlay lab machines status')
        home = '/root' if user in (None, 'root') else '/home/' + user
        environment = dict({'HOME': home, 'USER': user or 'root', 'PATH': PATH, 'LANG': 'C.UTF-8'}, **(env or {}))
        enter = ['nsenter', '--target', str(leader), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup',
                 '--root', '--wd', '--']
        become = [] if user in (None, 'root') else ['runuser', '-u', user, '--']
        login = ['env', '-i', '--chdir=' + home] + ['{}={}'.format(*item) for item in sorted(environment.items())]
        return enter + become + login + list(argv)

    def run(self, argv, user=None, input=None, env=None, check=True, timeout=60.0):
        """Run ``argv`` to its end as root or as ``user``.

        :returns: subprocess.CompletedProcess with text.
        :raises CommandFailed: when ``check`` and the status is not 0.
        """
        done = subprocess.run(self.enter_argv(argv, user, env), input=input,
                              stdin=subprocess.DEVNULL if input is None else None, universal_newlines=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        if check and done.returncode != 0:
            raise CommandFailed('`{}` on {} ended with status {}:\n{}{}'.format(
                ' '.join(argv), self.name, done.returncode, done.stdout, done.stderr))
        return done

    def write(self, path, text, mode='644', user='root'):
        """A file of the machine, with its directories. Goes through a pipe: a secret is in no argument."""
        self.run(['mkdir', '-p', os.path.dirname(path)])
        self.run(['install', '-m', mode, '-o', user, '-g', user, '/dev/stdin', path], input=text)

    def copy_in(self, source, path):
        """Copy the directory ``source`` of this machine to ``path``, owned by root."""
        self.run(['mkdir', '-p', path])
        pack = subprocess.Popen(['tar', '-C', source, '--owner=root', '--group=root', '-cf', '-', '.'],
                                stdout=subprocess.PIPE)
        with pack:
            done = subprocess.run(self.enter_argv(['tar', '-C', path, '-xf', '-']), stdin=pack.stdout)
        if pack.returncode != 0 or done.returncode != 0:
            raise CommandFailed('{} could not be copied to {} on {}'.format(source, path, self.name))

    def journal(self, unit):
        """What a service has said since this boot."""
        return self.run(['journalctl', '--no-pager', '-b', '-u', unit]).stdout

    def property(self, unit, name):
        """A property of a unit, as `systemctl show` has it."""
        return self.run(['systemctl', 'show', '--property', name, '--value', unit]).stdout.strip()
