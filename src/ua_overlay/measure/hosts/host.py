"""A host that a campaign measures from or to. The kinds of host differ in how they start a program."""
import abc
import ipaddress
import re
import subprocess
from typing import IO, Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

from ua_overlay.measure.hosts import processor
from ua_overlay.measure.hosts.process import HostLost, finish, program_of
from ua_overlay.protocols import Argv
from ua_overlay.tailscale.byte_counters import Counters, parse_bytes

#: Seconds for a program that should answer at once.
ANSWER = 15.0
#: For the output of a program that nobody reads while it runs: a full pipe would stop it.
NOWHERE = subprocess.DEVNULL
_DEVICE = re.compile(r'\bdev (\S+)')

#: The graph that a program runs in: True for the team's, False for none, or the ROS environment of another one.
Graph = Union[bool, Mapping[str, str]]


class Host(abc.ABC):
    """A host.

    :param name: as in the campaign.
    :param address: its address on the raw path, '' for unknown.
    :param overlay: its name or address in the overlay; '' to ask its tailscaled.
    :param tailscale: argv of the `tailscale` command there.
    """

    def __init__(self, name: str, address: str = '', overlay: str = '',
                 tailscale: Sequence[str] = ('tailscale',)) -> None:
        self.name = name
        self.address = address
        self.tailscale = list(tailscale)
        self._overlay = overlay

    # --- each kind of host has its own

    @abc.abstractmethod
    def popen(self, argv: Argv, ros: Graph = False, **options: Any) -> 'subprocess.Popen[str]':
        """Start ``argv`` there. The status of the process is the program's.

        :param options: those of :class:`subprocess.Popen`.
        """

    def enter(self) -> None:  # noqa: B027  # most hosts can always be entered
        """Return when programs can be started there. :raises HostLost: they cannot, with the reason."""

    def lost(self, status: Optional[int], errors: str) -> Optional[HostLost]:
        """The HostLost that a program's exit status and stderr mean; None when they are the program's own."""
        return None

    # --- shared by all kinds

    @staticmethod
    def ros_argv(argv: Argv, ros: Graph) -> List[str]:
        """Argv that runs ``argv`` in a graph."""
        if ros is True:
            return ['ua-overlay', 'exec', '--wait', '--timeout', '30'] + list(argv)
        if not ros:
            return list(argv)
        return ['env', '-u', 'ROS_HOSTNAME'] + ['{}={}'.format(*each) for each in sorted(ros.items())] + list(argv)

    def run(self, argv: Argv, seconds: float, ros: Graph = False) -> Tuple[int, str, str]:
        """Run ``argv`` to its end; returns (status, stdout, stderr).

        :raises HostLost: it cannot be started, has not ended after ``seconds``, or the host cannot be entered.
        """
        status, output, errors = finish(self.start(argv, ros), self.name, argv, seconds)
        lost = self.lost(status, errors)
        if lost:
            raise lost
        return status, output, errors

    def start(self, argv: Argv, ros: Graph = False, output: Union[int, IO[str]] = subprocess.PIPE
              ) -> 'subprocess.Popen[str]':
        """Start ``argv`` there.

        :param output: PIPE, a text file, or :data:`NOWHERE` when nobody reads during the run.
        :raises HostLost: it cannot be started.
        """
        try:
            return self.popen(argv, ros, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                              universal_newlines=True, errors='replace')
        except OSError as error:
            raise HostLost('{} cannot be started on {}: {}.'.format(program_of(argv), self.name,
                                                                    error.strerror or error))

    def ask(self, argv: Argv, seconds: float = ANSWER) -> Optional[str]:
        """Run a program that should answer at once and return its stdout; None when it or the host fails."""
        try:
            status, output, _ = self.run(argv, seconds)
        except HostLost:
            return None
        return output if status == 0 else None

    def path_bytes(self) -> Optional[Counters]:
        """{link type: bytes in and out since tailscaled started}, None when tailscaled does not answer."""
        text = self.ask(self.tailscale + ['metrics', 'print'])
        return None if text is None else parse_bytes(text.encode())

    def overlay_address(self) -> str:
        """Its name or address in the overlay. :raises HostLost: its tailscaled has none."""
        if not self._overlay:
            status, answer, _ = self.run(self.tailscale + ['ip', '-4'], ANSWER)
            if status or not answer.strip():
                raise HostLost('The tailscaled of {} has no address in the overlay.'.format(self.name),
                               'ua-overlay status')
            self._overlay = answer.split()[0]
        return self._overlay

    def processor_ticks(self) -> Optional[processor.Ticks]:
        """Processor time of the whole machine so far; None when the host does not answer."""
        text = self.ask(['cat', '/proc/stat'])
        return None if text is None else processor.parse_ticks(text)

    def numeric(self, address: str) -> str:
        """Resolve a name as programs on the host do; returns an IP address or an unknown name unchanged."""
        if _is_address(address):
            return address
        return next(iter((self.ask(['getent', 'ahosts', address]) or '').split()), address)

    def mtu(self, address: str) -> Optional[int]:
        """MTU of the interface towards ``address`` (a name or an address), None when the host does not answer."""
        found = _DEVICE.search(self.ask(['ip', '-o', 'route', 'get', self.numeric(address)]) or '')
        text = found and self.ask(['cat', '/sys/class/net/{}/mtu'.format(found.group(1))])
        return int(text) if text else None

    def versions(self) -> Dict[str, str]:
        """{iperf3, tailscale, kernel: version}, without those that do not answer."""
        answers = {'iperf3': self.ask(['iperf3', '--version']), 'tailscale': self.ask(self.tailscale + ['version']),
                   'kernel': self.ask(['uname', '-r'])}
        return {program: text.splitlines()[0].strip() for program, text in answers.items() if text}


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
