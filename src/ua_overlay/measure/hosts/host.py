"""Hosts that a campaign measures between: this machine, or one over ssh. A lab's hosts have an adapter in the lab.

:class:`Host` is all that a campaign asks of a host; what differs from one to the next is ``popen``.
"""
import ipaddress
import os
import re
import select
import shlex
import subprocess
import time

from ua_overlay.errors import OverlayError
from ua_overlay.tailscale.metrics import parse_bytes

#: Seconds that a program gets beyond its time, and to end by SIGTERM after that.
GRACE = 5.0
#: Seconds that a program gets which answers at once.
ANSWER = 15.0
#: For the output of what nobody reads while it runs: a full pipe would stop it.
NOWHERE = subprocess.DEVNULL
_MTU = re.compile(r'\bdev (\S+)')


class HostLost(OverlayError):
    """A host does not answer, or what runs there does not end."""

    code = 'MEASURE_HOST'


class Host:
    """A host.

    :param name: as in the campaign.
    :param address: where it is without the overlay, '' when nobody said.
    :param overlay: its name or address in the overlay; '' asks its tailscaled.
    :param tailscale: argv of the `tailscale` command there.
    """

    def __init__(self, name, address='', overlay='', tailscale=('tailscale',)):
        self.name = name
        self.address = address
        self.tailscale = list(tailscale)
        self._overlay = overlay

    # --- what each kind of host does in its own way

    def popen(self, argv, ros=False, **options):
        """Start ``argv`` there: a :class:`subprocess.Popen` whose status is the program's.

        :param ros: True: in the team's graph; a dict: ROS's environment of another graph.
        """
        raise NotImplementedError

    def ros_argv(self, argv, ros):
        """``argv`` in the team's graph (``ros`` True), or in the graph of an environment (a dict)."""
        if ros is True:
            return ['ua-overlay', 'exec', '--wait', '--timeout', '30'] + list(argv)
        return ['env', '-u', 'ROS_HOSTNAME'] + ['{}={}'.format(*each) for each in sorted(ros.items())] + list(argv)

    def enter(self):
        """Return when programs can be started there. :raises HostLost: they cannot, with the reason."""

    def lost(self, status, errors):
        """The HostLost that the end of a program there stands for, None for an answer of the program itself."""

    # --- what all do alike

    def run(self, argv, seconds, ros=False):
        """Run ``argv`` to its end; returns (status, stdout, stderr), text.

        :raises HostLost: it cannot be started, has not ended after ``seconds``, or the host cannot be entered.
        """
        status, output, errors = finish(self.start(argv, ros), self.name, argv, seconds)
        lost = self.lost(status, errors)
        if lost:
            raise lost
        return status, output, errors

    def start(self, argv, ros=False, output=subprocess.PIPE):
        """Start ``argv`` there.

        :param output: PIPE, or DEVNULL for what nobody reads while it runs: a full pipe would stop it.
        :raises HostLost: when it cannot be started.
        """
        try:
            return self.popen(argv, ros, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                              universal_newlines=True, errors='replace')
        except OSError as error:
            raise HostLost('{} cannot be started on {}: {}.'.format(program_of(argv), self.name,
                                                                    error.strerror or error))

    def ask(self, argv, seconds=ANSWER):
        """Stdout of a program that answers at once; None when it fails or the host does not answer."""
        try:
            status, output, _ = self.run(argv, seconds)
        except HostLost:
            return None
        return output if status == 0 else None

    def path_bytes(self):
        """{link type: bytes in and out since tailscaled's start}, None when it does not answer."""
        text = self.ask(self.tailscale + ['metrics', 'print'])
        return None if text is None else parse_bytes(text.encode())

    def overlay_address(self):
        """Where it is in the overlay. :raises HostLost: when its tailscaled does not say."""
        if not self._overlay:
            status, answer, _ = self.run(self.tailscale + ['ip', '-4'], ANSWER)
            if status or not answer.strip():
                raise HostLost('The tailscaled of {} names no address in the overlay.'.format(self.name),
                               'ua-overlay status')
            self._overlay = answer.split()[0]
        return self._overlay

    def processor(self):
        """(busy, all) processor time of the whole machine so far, in ticks; None when it does not answer."""
        text = self.ask(['cat', '/proc/stat'])
        return None if text is None else parse_processor(text)

    def numeric(self, address):
        """A name as the address that programs there take for it; ``address`` itself when it is one, or unknown."""
        if _is_address(address):
            return address
        return next(iter((self.ask(['getent', 'ahosts', address]) or '').split()), address)

    def mtu(self, address):
        """MTU of the interface towards ``address`` (a name or an address), None when it does not say."""
        found = _MTU.search(self.ask(['ip', '-o', 'route', 'get', self.numeric(address)]) or '')
        text = found and self.ask(['cat', '/sys/class/net/{}/mtu'.format(found.group(1))])
        return int(text) if text else None

    def versions(self):
        """{program or kernel: version}, without those that do not answer."""
        asked = {'iperf3': ['iperf3', '--version'], 'tailscale': self.tailscale + ['version'],
                 'kernel': ['uname', '-r']}
        answers = {key: self.ask(argv) for key, argv in asked.items()}
        return {key: text.splitlines()[0].strip() for key, text in answers.items() if text}


class Here(Host):
    """The machine that runs the campaign."""

    def popen(self, argv, ros=False, **options):
        return subprocess.Popen(self.ros_argv(argv, ros) if ros else list(argv), **options)


#: Shell: what a person's profile prints is no answer of a program.
_QUIET_LOGIN = 'exec 4>&1 >&2; exec bash -lc {}'
#: ssh's own exit status when there was no session (ssh(1)).
_NO_SESSION = 255
#: Shell: run a program until it ends, or until nobody holds the other end of standard input any more.
_UNTIL_EOF = ('exec 3<&0; {} </dev/null 3<&- & program=$!; '
              '{{ read -r _ <&3; kill $program; }} >/dev/null 2>&1 & watcher=$!; exec 3<&-; '
              'wait $program; status=$?; kill $watcher 2>/dev/null; exit $status')


class OverSsh(Host):
    """A host over ssh, with keys that ask for no password.

    :param login: `user@host`, as ssh takes it. Better not its name in the overlay: what is measured would carry that.
    """

    def __init__(self, name, login, **options):
        super().__init__(name, **options)
        self.login = login

    def popen(self, argv, ros=False, **options):
        words = ' '.join(shlex.quote(word) for word in (self.ros_argv(argv, ros) if ros else argv))
        # A login shell sources what a person has: a robot's ROS workspace.
        script = 'exec >&4 4>&-; ' + _UNTIL_EOF.format(words)
        command = 'exec sh -c ' + shlex.quote(_QUIET_LOGIN.format(shlex.quote(script)))
        # sshd leaves a program alone whose connection is gone. The other end of this pipe is open as long as the
        # program is wanted: until stop(), or this process ends, however that may come.
        ours, lifeline = os.pipe()
        try:
            process = subprocess.Popen([
                'ssh', '-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '-o', 'ServerAliveInterval=5', '-o',
                'ServerAliveCountMax=3', '--', self.login, command], **dict(options, stdin=ours))
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(ours)
        process.lifeline = os.fdopen(lifeline, 'wb')
        return process

    def enter(self):
        self.run(['true'], ANSWER)

    def lost(self, status, errors):
        if status != _NO_SESSION:
            return None
        return HostLost('{} cannot be entered over ssh: {}.'.format(self.name, last_line(errors)),
                        'ssh -o BatchMode=yes {} true'.format(self.login))


class Closed(Host):
    """A host into which there is no way (`ssh: none`): what listens there is measured.

    Its own counters are not read, and where it is in the overlay has to be said.
    """

    def start(self, argv, ros=False, output=subprocess.PIPE):
        raise HostLost('{} cannot be started on {}: the campaign says that there is no way into it.'.format(
            program_of(argv), self.name), 'server: running, in the tool')


def last_line(text, nothing='it said nothing'):
    """The last line of a program's output that says something, without its full stop; else ``nothing``."""
    lines = text.strip().splitlines()
    return lines[-1].strip().rstrip('.') if lines else nothing


def program_of(argv):
    """The program that an argv runs, without what `env` sets for it."""
    return next(word for word in argv if word != 'env' and '=' not in word)


def _is_address(text):
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def finish(process, host, argv, seconds):
    """Wait for a started program; returns (status, stdout, stderr).

    :raises HostLost: it has not ended after ``seconds``; it was ended then.
    """
    try:
        output, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        stop(process)
        raise HostLost('{} on {} did not end within {:.0f} s: the other end or the network is gone.'.format(
            program_of(argv), host, seconds))
    except BaseException:
        stop(process)
        raise
    return process.returncode, output, errors


def read_until(process, line, seconds, clock=time.monotonic):
    """Read the output of a started program up to a line of its; returns what was read (text).

    Returns early, without that line, when the program ends or ``seconds`` have passed. :func:`finish` has the rest.
    """
    found, deadline, handle = b'', clock() + seconds, process.stdout.fileno()
    # One byte at a time: what comes behind the line is for finish(), which reads past Python's own buffer.
    while not ('\n' + found.decode('utf-8', 'replace')).endswith('\n' + line + '\n'):
        left = deadline - clock()
        if left <= 0 or not select.select([handle], [], [], left)[0]:
            break
        byte = os.read(handle, 1)
        if not byte:
            break
        found += byte
    return found.decode('utf-8', 'replace')


def stop(process):
    """End a started program; what it still says is lost. A child of its that lives on keeps nobody waiting."""
    lifeline = getattr(process, 'lifeline', None)
    if lifeline is not None:
        lifeline.close()
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


def parse_processor(text):
    """(busy, all) ticks of all cores from /proc/stat: waiting for a disk is not busy (proc(5))."""
    numbers = [int(word) for word in text.split('\n', 1)[0].split()[1:9]]
    return sum(numbers) - numbers[3] - numbers[4], sum(numbers)


def processor_percent(before, after):
    """Busy share of all cores between two readings, 0 to 100; None without both."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return round(100.0 * (after[0] - before[0]) / (after[1] - before[1]), 1)
