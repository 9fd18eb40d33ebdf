"""For tests only: a machine with a root file system and a systemd of its own, in systemd-nspawn.

A lab's host shares the machine's files and has no init system; what installs services needs both of its own. A machine
may stand in the network of a lab's host, so it meets the same routers and servers.
"""
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time

from ua_overlay.cli.progress import Progress
from ua_overlay.lab.kernel import set_death_signal
from ua_overlay.toolchain.find import cache_dir

#: What a robot's Debian has before anything of ours: an init, sudo, and the Python modules of package.xml. debootstrap
#: knows no virtual packages, so the one that python3-cryptography asks for is named.
PACKAGES = ('systemd', 'systemd-sysv', 'dbus', 'sudo', 'procps', 'iproute2', 'iputils-ping', 'ca-certificates',
            'nftables', 'python3', 'python3-yaml', 'python3-cryptography', 'python3-cffi-backend',
            'python3-netifaces')
SUITE = 'bookworm'
USER = 'robot'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
#: nspawn ends with this status when the machine asked for a reboot and nobody else keeps the unit: systemd-nspawn(1).
REBOOT = 133
#: Seconds for a boot or a shutdown on a busy machine.
PATIENCE = 120.0
#: Runs in a mount and a process namespace of its own: what it mounts goes when the machine does, and the machine when
#: whoever started it does. (A machine outlives its nspawn when that one is killed.)
#: cgroup2 is mounted over what is there: a systemd of today refuses the old hierarchies that some machines still have.
BOOT = '''\
set -eu
lower=$1 directory=$2 name=$3 network=$4
shift 4
touch "$directory/network"
mount --bind "$network" "$directory/network"
mount -t proc proc /proc
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$directory/upper,workdir=$directory/work" "$directory/root"
test -e /sys/fs/cgroup/cgroup.controllers || mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$name"
echo 0 >"/sys/fs/cgroup/$name/cgroup.procs"
exec systemd-nspawn --directory="$directory/root" --machine="$name" --network-namespace-path="$directory/network" "$@"
'''
#: Kills what is left in the cgroup of that path and removes it; cgroup.events changes when the last process is gone.
REMOVE = '''\
set -eu
test -e /sys/fs/cgroup/cgroup.controllers || mount -t cgroup2 cgroup2 /sys/fs/cgroup
test -d "$1" || exit 0
echo 1 >"$1/cgroup.kill"
while grep -q "populated 1" "$1/cgroup.events"; do sleep 0.05; done
find "$1" -depth -type d -exec rmdir {} +
'''
GONE = '''\
test -e /sys/fs/cgroup/cgroup.controllers || mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit
test ! -e "$1"
'''


class CommandFailed(AssertionError):
    """A command for or in a machine ended with another status than 0."""


def read_end(path, size=3000):
    """The last ``size`` characters of a log, '' when it was never written."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding='utf-8', errors='replace') as stream:
        return stream.read()[-size:]
    return ''


def children(pid):
    """Process ids of the children of a process, [] when it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        with open('/proc/{0}/task/{0}/children'.format(pid)) as stream:
            return [int(word) for word in stream.read().split()]
    return []


def make_image(target, suite, packages):
    temporary = target + '.part'
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        argv = ['debootstrap', '--variant=minbase', '--include=' + ','.join(packages), suite, temporary]
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              universal_newlines=True, errors='replace')
        if done.returncode != 0:
            log = read_end(os.path.join(temporary, 'debootstrap', 'debootstrap.log'))
            raise CommandFailed('debootstrap of {} failed:\n{}\n{}'.format(target, done.stdout[-1000:], log))
        subprocess.run(['chroot', temporary, 'useradd', '--create-home', '--shell', '/bin/bash', USER], check=True)
        with open(os.path.join(temporary, 'etc/sudoers.d/' + USER), 'w') as stream:
            os.fchmod(stream.fileno(), 0o440)
            stream.write('{} ALL=(ALL) NOPASSWD: ALL\n'.format(USER))
        subprocess.run(['chroot', temporary, 'apt-get', 'clean'], check=True)
        # Every machine makes its own at its first boot; and the name of the maker's machine is not theirs.
        with open(os.path.join(temporary, 'etc/machine-id'), 'w'):
            pass
        os.unlink(os.path.join(temporary, 'etc/hostname'))
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def image(suite=SUITE, packages=PACKAGES, progress=lambda text: contextlib.nullcontext()):
    """Directory of a base system: from the cache, or made by debootstrap (a minute or more, once).

    Its name holds a hash of what went into it, and it appears by a rename: half a base system is never taken for one.

    :param progress: called with what takes long; returns a context manager (cli.progress.Progress).
    :raises CommandFailed: with the end of debootstrap's log.
    """
    recipe = ' '.join((suite,) + tuple(packages) + (USER, 'v2'))
    base = os.path.join(cache_dir(), 'machines')
    target = os.path.join(base, '{}-{}'.format(suite, hashlib.sha256(recipe.encode()).hexdigest()[:10]))
    os.makedirs(base, mode=0o755, exist_ok=True)
    # One lock each: who wants another base system does not wait for this one.
    with open(target + '.lock', 'w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if os.path.isdir(target):
            return target
        with progress('Installing the base system of the machines of the tests ({})'.format(suite)):
            make_image(target, suite, packages)
    return target


class Machine:
    """One machine; a context manager that boots it and takes it away. Its files live through :meth:`reboot`.

    :param lower: directory of its base system (:func:`image`), which stays as it is.
    :param directory: an empty directory for what it changes.
    :param name: unique on this machine.
    :param network: path of the network namespace that it stands in.
    :param hostname: what it calls itself.
    :param binds: (path here, path there) of what it sees read-only.
    """

    def __init__(self, lower, directory, name, network, hostname='robot', binds=()):
        self.lower = lower
        self.directory = str(directory)
        self.name = name
        self.network = network
        self.hostname = hostname
        self.binds = tuple(binds)
        self.console = os.path.join(self.directory, 'console.log')
        self.process = None
        self.leader = None

    def __enter__(self):
        for part in ('upper', 'work', 'root'):
            os.mkdir(os.path.join(self.directory, part), 0o755)
        os.mkdir(os.path.join(self.directory, 'upper', 'etc'), 0o755)
        for name, text in (('hostname', '{0}\n'), ('hosts', '127.0.0.1\tlocalhost\n127.0.1.1\t{0}\n')):
            with open(os.path.join(self.directory, 'upper', 'etc', name), 'w') as stream:
                stream.write(text.format(self.hostname))
        try:
            self.boot()
        except BaseException:
            self.kill()
            raise
        return self

    def __exit__(self, *_):
        try:
            self.power_off()
        finally:
            self.kill()

    def boot(self):
        """Start it and wait until its init system has started everything."""
        options = ['--boot', '--quiet', '--register=no', '--keep-unit', '--capability=all', '--bind=/dev/net/tun',
                   '--hostname=' + self.hostname, '--console=pipe', '--link-journal=no', '--resolv-conf=off',
                   '--timezone=off', '--suppress-sync=yes']
        options += ['--bind-ro={}:{}'.format(*bind) for bind in self.binds]
        with open(self.console, 'ab') as log:
            self.process = subprocess.Popen(
                ['unshare', '--mount', '--propagation', 'private', '--pid', '--fork', '--kill-child', 'sh', '-c', BOOT,
                 'boot', self.lower, self.directory, self.name, self.network] + options,
                env={'PATH': PATH, 'SYSTEMD_NSPAWN_API_VFS_WRITABLE': 'network'}, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, preexec_fn=lambda: set_death_signal(signal.SIGKILL))
        self.leader = self.wait('its process 1', self._find_leader)
        self.wait('D-Bus', lambda: self.run(['busctl', '--quiet', 'status'], check=False).returncode == 0)
        # Ends with status 1 when a unit has failed: a machine for tests has none that may.
        self.run(['systemctl', 'is-system-running', '--wait'], timeout=PATIENCE)

    def wait(self, what, condition, seconds=PATIENCE):
        """The first true value of ``condition()``; AssertionError naming ``what`` after ``seconds``."""
        deadline = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, 'machine {} ended:\n{}'.format(self.name, read_end(self.console))
            value = condition()
            if value:
                return value
            assert time.monotonic() < deadline, '{} of machine {}: not within {:.0f} s\n{}'.format(
                what, self.name, seconds, read_end(self.console))
            time.sleep(0.1)

    def _find_leader(self):
        """The machine's process 1, a child of nspawn, which is the child of what we started."""
        for nspawn in children(self.process.pid):
            for child in children(nspawn):
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    # nspawn's first child sets the machine up and ends.
                    if os.path.basename(os.readlink('/proc/{}/exe'.format(child))) == 'systemd':
                        return child
        return None

    def run(self, argv, user=None, input=None, env=None, check=True, timeout=60.0):
        """Run ``argv`` to its end as root or as ``user``, with a login's environment plus ``env``.

        :returns: subprocess.CompletedProcess with text.
        :raises CommandFailed: when ``check`` and the status is not 0.
        """
        home = '/root' if user is None else '/home/' + user
        environment = dict({'HOME': home, 'USER': user or 'root', 'PATH': PATH, 'LANG': 'C.UTF-8'}, **(env or {}))
        enter = ['nsenter', '--target', str(self.leader), '--mount', '--uts', '--ipc', '--net', '--pid', '--cgroup',
                 '--root', '--wd', '--']
        become = [] if user is None else ['runuser', '-u', user, '--']
        login = ['env', '-i', '--chdir=' + home] + ['{}={}'.format(*item) for item in sorted(environment.items())]
        done = subprocess.run(enter + become + login + list(argv), input=input,
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

    def journal(self, unit):
        """What a service has said since this boot."""
        return self.run(['journalctl', '--no-pager', '-b', '-u', unit]).stdout

    def property(self, unit, name):
        """A property of a unit, as `systemctl show` has it."""
        return self.run(['systemctl', 'show', '--property', name, '--value', unit]).stdout.strip()

    def reboot(self):
        """An orderly reboot; returns when it is up again."""
        self.run(['systemctl', 'reboot'], check=False)
        status = self.process.wait(PATIENCE)
        assert status == REBOOT, 'status {}:\n{}'.format(status, read_end(self.console))
        self.boot()

    def power_off(self):
        """An orderly shutdown."""
        if self.process.poll() is None:
            for nspawn in children(self.process.pid):
                os.kill(nspawn, signal.SIGTERM)
            self.process.wait(PATIENCE)

    def kill(self):
        """The end of all its processes, orderly or not, and of its cgroup and its files."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._remove_cgroups()
        shutil.rmtree(self.directory)

    def _remove_cgroups(self):
        """Also of a machine whose nspawn was killed, whose processes may still be ending."""
        self._at_cgroups(REMOVE).check_returncode()

    def is_gone(self):
        """Whether no process of the machine is left: its cgroup is not there."""
        return self._at_cgroups(GONE).returncode == 0

    def _at_cgroups(self, script):
        """Run a shell script in a mount namespace of its own with the path of the machine's cgroup as $1."""
        return subprocess.run(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh',
                               '/sys/fs/cgroup/' + self.name], timeout=PATIENCE)


if __name__ == '__main__':
    try:
        image(progress=Progress())
    except CommandFailed as error:
        sys.exit(str(error))
