"""The change of a site's CA: the administrator's steps, the processes that restart, and the robots.

A robot does not tell its server which certificates it trusts, and TLS cannot query them. So the server records what it
knows: a robot that joined with an invitation that carried the new root has it; for the others a person confirms that
`robot prepare --ca` was run on them.
"""
import datetime
import json
import os
from typing import Callable, Iterable, List, Protocol, Tuple

from ua_overlay.advice import command as command_line
from ua_overlay.clock import format_rfc3339, parse_rfc3339
from ua_overlay.errors import OverlayError
from ua_overlay.headscale.model import Node
from ua_overlay.protocols import JsonObject, UtcClock
from ua_overlay.site.admin import RobotError
from ua_overlay.site.site import Site
from ua_overlay.system import control_socket, files, foreign_file, foreign_json
from ua_overlay.trust import roots, rotation
from ua_overlay.trust.rotation import RobotTrust
from ua_overlay.trust.store import SiteTrust

#: File with the start of the change and the confirmed robots; removed when the change is over.
RECORD = 'rotation.json'


class Fleet(Protocol):
    """The source of the list of robots; site.admin.Admin implements it."""

    def robots(self) -> List[Node]:
        """Return the robots of the site."""
        ...


class CaChange:
    """The use cases around the change of a CA.

    :param ask: (socket path, operation) -> answer of the running server; raises control_socket.NotRunning.
    """

    def __init__(self, site: Site, fleet: Fleet, now: UtcClock,
                 ask: Callable[[str, str], JsonObject] = control_socket.ask) -> None:
        self._site = site
        self._fleet = fleet
        self._now = now
        self._ask = ask

    def phase(self) -> str:
        """Return rotation.STEADY, STARTED or SWITCHED."""
        return roots.phase(self._site.directory)

    def robots(self) -> List[RobotTrust]:
        """Return the evidence about each robot; empty while no change is in progress."""
        if self.phase() == rotation.STEADY:
            return []
        started, confirmed = self._record()
        # Being online now is not enough: all robots are offline for a moment when Headscale restarts.
        since = self._now() - datetime.timedelta(days=rotation.RECENT_DAYS)
        return [rotation.robot_trust(node.name, node.online, node.invited, node.id in confirmed, started,
                                     node.last_seen is not None and node.last_seen >= since)
                for node in self._fleet.robots()]

    def start(self) -> None:
        """Create the new root, and restart Headscale and relay of a running server with it."""
        roots.start(self._site.directory, self._site.settings.name, self._now())
        self._save(self._now().replace(microsecond=0), ())
        self._restart('restart')
        self._restart('restart relay')

    def confirm(self, names: Iterable[str]) -> None:
        """Record that the robots called ``names`` have the new root.

        :raises RobotError: one of them is not in the overlay; nothing was recorded.
        """
        rotation.check_step(rotation.CONFIRM, self.phase(), command=self._site.command)
        names = list(names)
        nodes = {node.name: node for node in self._fleet.robots()}
        for name in names:
            if name not in nodes:
                raise RobotError('The overlay has no robot {} (robots: {}).'.format(
                    name, ', '.join(sorted(nodes)) or 'none'), self._site.command('robot list'))
        with self._site.changing():
            started, confirmed = self._record()
            self._save(started, set(confirmed) | {nodes[name].id for name in names})

    def switch(self, force: bool = False) -> SiteTrust:
        """Make the new root the signing one, and restart Headscale with a certificate from it; return the new
        SiteTrust.

        :raises RotationError: a robot in use may not have the new root yet.
        """
        phase = self.phase()
        if phase != rotation.SWITCHED or roots.switched_whole(self._site.directory):
            rotation.check_step(rotation.SWITCH, phase, self.robots(), force, self._site.command)
        trust = roots.switch(self._site.directory, self._now())
        self._restart('restart')
        return trust

    def finish(self) -> None:
        """Remove the old root."""
        roots.finish(self._site.directory, self._now())
        self._forget()

    def cancel(self) -> None:
        """Remove the new root instead."""
        switched = self.phase() == rotation.SWITCHED
        roots.cancel(self._site.directory, self._now())
        self._forget()
        if switched:
            self._restart('restart')

    def _restart(self, operation: str) -> None:
        """Restart a process of a running server, so that it reads the new files.

        :raises OverlayError: Headscale does not come back.
        """
        try:
            healthy = self._ask(self._site.control_socket, operation)['ok']
        except control_socket.NotRunning:
            return
        if not healthy:
            raise OverlayError('Headscale does not answer after its restart.',
                               command_line('less {}', self._site.path('log', 'headscale.log')))

    def _record(self) -> Tuple[datetime.datetime, List[str]]:
        """Return (aware datetime of the start, ids of the confirmed nodes)."""
        try:
            return parse_record(foreign_file.read(self._site.path(RECORD)).data)
        except (OSError, ValueError):
            # The file is lost or damaged: without evidence, `switch` requires confirmation of all robots again.
            return self._now(), []

    def _save(self, started: datetime.datetime, confirmed: Iterable[str]) -> None:
        files.write_atomic(self._site.path(RECORD), json.dumps(
            {'started': format_rfc3339(started, 6), 'confirmed': sorted(confirmed)}) + '\n', mode=0o600)

    def _forget(self) -> None:
        if os.path.exists(self._site.path(RECORD)):
            files.remove(self._site.path(RECORD))


def parse_record(data: bytes) -> Tuple[datetime.datetime, List[str]]:
    """Return (aware datetime of the start, ids of the confirmed nodes) in the bytes of the file. Pure.

    :raises ValueError: they hold something else.
    """
    values = foreign_json.parse_object(data)
    started, confirmed = values.get('started'), values.get('confirmed')
    if not isinstance(started, str) or not isinstance(confirmed, list):
        raise ValueError('a field of another type')
    return parse_rfc3339(started), [str(each) for each in confirmed]
