"""The process of a peer relay: its tailscaled, kept running and healthy."""
from typing import Callable

from ua_overlay.protocols import Clock, JsonObject, Locate, Say
from ua_overlay.relays.relay import KeySource, RelayNode, RelaySettings, daemon_command
from ua_overlay.relays.relay_keeper import Relay, RelayKeeper
from ua_overlay.system.child import Child
from ua_overlay.system.daemon_child import DaemonChild

#: (path of the `tailscale` program, settings, source of its key) -> the relay.
MakeNode = Callable[[str, RelaySettings, KeySource], Relay]


class RelayProcess:
    """Runs a peer relay. Only the main thread may start, step and stop it.

    :param locate: finds tailscale and tailscaled.
    :param log_file: path.
    :param say: prints one line.
    :param stop_timeout: seconds within which its tailscaled must exit.
    """

    def __init__(self, locate: Locate, settings: RelaySettings, key_source: KeySource, log_file: str, say: Say,
                 clock: Clock, stop_timeout: float, make_node: MakeNode = RelayNode) -> None:
        argv, environment = daemon_command(locate('tailscaled'), settings)
        node = make_node(locate('tailscale'), settings, key_source)
        self._keeper = RelayKeeper(node, lambda: self._daemon.pid, self.ask_restart, say)
        self._daemon = DaemonChild(Child('relay', argv, log_file, environment), say, clock, stop_timeout,
                                   self._keeper.wake)

    @property
    def log_problem(self) -> str:
        """Why lines of its log are being dropped, as a sentence; '' while they are written."""
        return self._daemon.log_problem

    def start(self) -> None:
        """Start tailscaled and its keeper.

        :raises OSError: tailscaled cannot be started.
        """
        self._daemon.start()
        self._keeper.start()

    def ask_restart(self) -> None:
        """Have the next :meth:`step` restart tailscaled. Any thread may ask."""
        self._daemon.ask_restart()

    def step(self) -> None:
        """Restart tailscaled if that is due."""
        self._daemon.step()

    def retire(self) -> None:
        """Repair and report nothing any more, because the relay will be stopped."""
        self._keeper.stop()

    def stop(self) -> None:
        """Stop the keeper and tailscaled."""
        self.retire()
        self._daemon.stop()

    def report(self) -> JsonObject:
        """Return the values that a status shows (RelayKeeper.report), with `pid` and `restarts`."""
        return dict(self._keeper.report(), **self._daemon.report())
