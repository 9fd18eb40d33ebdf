"""Compare this robot's clock with that of the team's master, regularly. Imports no ROS."""
import threading
from typing import Callable, Optional, Protocol, Tuple

from ua_overlay.checks.facts import ClockOffset
from ua_overlay.checks.observe.neighbours import clock_of
from ua_overlay.rosenv.environment import RosEnvironment
from ua_overlay.rosenv.master import ERRORS
from ua_overlay.tailscale.model import Peer, Status

#: Seconds between two comparisons: a clock that runs free drifts by a millisecond or two in them.
PERIOD = 30.0
#: Seconds for each step of one.
TIMEOUT = 2.0


class Compare(Protocol):
    """checks.observe.neighbours.clock_of."""

    def __call__(self, master_uri: str, peer: Peer, timeout: float) -> Optional[ClockOffset]:
        ...


class TeamClock:
    """One comparison per robot and period, so a team of any size costs its master's robot little; two robots that agree
    with it agree with each other.

    :param team: () -> (the decided environment, the status of tailscaled or None).
    :ivar clocks: the last result; None: not observed, such as on the master's robot itself.
    """

    def __init__(self, team: Callable[[], Tuple[RosEnvironment, Optional[Status]]], compare: Compare = clock_of,
                 period: float = PERIOD) -> None:
        self._team = team
        self._compare = compare
        self._period = period
        self._ended = threading.Event()
        self.clocks: Optional[Tuple[ClockOffset, ...]] = None

    def run(self) -> None:
        """Compare until :meth:`stop`."""
        while not self._ended.is_set():
            self.clocks = self.step()
            self._ended.wait(self._period)

    def stop(self) -> None:
        """End :meth:`run`."""
        self._ended.set()

    def fail(self, _sentence: str) -> None:
        """Forget the result: the thread that observes it failed."""
        self.clocks = None

    def step(self) -> Optional[Tuple[ClockOffset, ...]]:
        """Compare once; None when there is nobody to compare with, or no answer."""
        desired, status = self._team()
        if not desired.usable or desired.is_master or status is None:
            return None
        master = next((peer for peer in status.peers if peer.name == desired.master and peer.online), None)
        if master is None:
            return None
        try:
            offset = self._compare(desired.master_uri, master, TIMEOUT)
        except ERRORS:
            return None  # the checks of the master report it
        return None if offset is None else (offset,)
