"""The services join, leave and probe."""
import os
import threading
from typing import Any, Callable, Optional

import rospy

from ua_overlay import srv  # type: ignore[attr-defined]  # made by catkin of srv/
from ua_overlay.errors import OverlayError
from ua_overlay.membership.join import Join
from ua_overlay.membership.leave import leave
from ua_overlay.membership.outcome import Outcome, outcome_of
from ua_overlay.nodes.interface import SERVICES
from ua_overlay.nodes.messages import LINK_TYPES
from ua_overlay.system.files import write_atomic
from ua_overlay.system.netmon import InterfaceWatcher
from ua_overlay.tailscale.daemon import Daemon
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.tailscale.ping import PingSummary, ping_peer
from ua_overlay.tailscale.snapshot import Snapshot

#: Seconds for a probe unless the request says otherwise.
PROBE_TIMEOUT = 5.0


class Services:
    """Answers the calls, one join or leave at a time.

    :param connect: returns a new LocalApi.
    :param ca_file: that tailscaled trusts.
    :param state_dir: where the settings of the invitation are kept.
    :param snapshot: returns the latest one, None before the first.
    :param on_probe: called with the name of a peer and the result of its probe.
    :param daemon: the tailscaled that this node runs itself, or None.
    :param allow_remote: join and leave may be called from the team graph.
    """

    def __init__(self, connect: Callable[[], LocalApi], ca_file: str, state_dir: str,
                 snapshot: Callable[[], Optional[Snapshot]], on_probe: Callable[[str, PingSummary], object],
                 daemon: Optional[Daemon], allow_remote: bool) -> None:
        self._connect = connect
        self._ca_file = ca_file
        self._state_dir = state_dir
        self._snapshot = snapshot
        self._on_probe = on_probe
        self._daemon = daemon
        self._allow_remote = allow_remote
        self._membership = threading.Lock()
        self._interfaces = InterfaceWatcher(assume=True)

    def handle(self, name: str, request: Any) -> Any:
        """Answer a call from the local graph."""
        return {'join': self._handle_join, 'leave': self._handle_leave, 'probe': self._handle_probe}[name](request)

    def handle_remote(self, name: str, request: Any) -> Any:
        """Answer a call from the team graph. Any node there can call, so join and leave are refused unless allowed."""
        if name == 'probe' or self._allow_remote:
            return self.handle(name, request)
        snapshot = self._snapshot()
        robot = '' if snapshot is None else snapshot.status.self_node.name
        rospy.logwarn('%s was called from the team graph and refused.', name)
        command = 'ua-overlay join INVITATION' if name == 'join' else 'ua-overlay leave'
        answer = SERVICES[name]._response_class
        return answer(code=answer.REFUSED, message='{} accepts no {} from the team graph (allow_remote_control is '
                      'off). Next: on {}: {}'.format(robot, name, robot, command))

    def join(self, path: str) -> Outcome:
        """Join with the invitation file ``path``; '' comes back to the kept identity."""
        return self._change_membership(lambda: self._make_join()(path))

    def wait(self, seconds: float) -> None:
        """Wait until no join or leave is under way, and let none begin any more."""
        self._membership.acquire(timeout=seconds)

    def _handle_join(self, request: Any) -> Any:
        outcome = self.join(request.invitation)
        rospy.loginfo('join: %s', outcome.message)
        return srv.JoinResponse(code=getattr(srv.JoinResponse, outcome.code, srv.JoinResponse.FAILED),
                                message=outcome.message, dns_name=outcome.dns_name, addresses=list(outcome.addresses))

    def _handle_leave(self, request: Any) -> Any:
        outcome = self._change_membership(lambda: leave(self._connect(), request.forget, self._state_dir))
        rospy.loginfo('leave: %s', outcome.message)
        return srv.LeaveResponse(code=getattr(srv.LeaveResponse, outcome.code, srv.LeaveResponse.FAILED),
                                 message=outcome.message)

    def _handle_probe(self, request: Any) -> Any:
        answer = srv.ProbeResponse
        snapshot = self._snapshot()
        if snapshot is None or not snapshot.status.running:
            return answer(code=answer.NOT_JOINED, message='This robot is not in the overlay. Next: ua-overlay status')
        target = request.peer.rstrip('.')
        peers = snapshot.status.peers
        peer = next((item for item in peers
                     if target in (item.name, item.dns_name) or target in item.addresses), None)
        if peer is None or not peer.addresses:
            return answer(code=answer.UNKNOWN_PEER, message='There is no peer {}; the peers are: {}.'.format(
                target or "''", ', '.join(sorted(item.name for item in peers)) or 'none'))
        try:
            ping = ping_peer(self._connect(), peer.addresses[0], request.timeout or PROBE_TIMEOUT)
        except OverlayError as error:
            code = 'NO_ANSWER' if error.code == 'NO_ANSWER' else outcome_of(error).code
            return answer(code=getattr(answer, code, answer.FAILED), message=str(error))
        self._on_probe(peer.name, ping)
        return answer(code=answer.OK, message='{} answers by {} in {:.1f} ms.'.format(
            peer.name, ping.type, ping.rtt * 1000), type=LINK_TYPES[ping.type], rtt=ping.rtt,
            endpoint=ping.endpoint, relay=ping.relay)

    def _change_membership(self, action: Callable[[], Outcome]) -> Outcome:
        if not self._membership.acquire(False):
            return Outcome('BUSY', 'Another join or leave is under way. Next: rostopic echo -n 1 /ua_overlay/state')
        try:
            return action()
        finally:
            self._membership.release()

    def _make_join(self) -> Join:
        daemon = self._daemon
        return Join(self._connect(), self._ca_file, self._state_dir, cancelled=rospy.is_shutdown,
                    unstable=self._interfaces.wait_left,
                    trust=None if daemon is None else lambda ca_pem: self._trust(daemon, ca_pem))

    def _trust(self, daemon: Daemon, ca_pem: str) -> None:
        """Make our own tailscaled trust the CA of a site. It reads the file only at its start.

        :raises OverlayError: the file cannot be written, or the daemon does not come back.
        """
        make_directory(os.path.dirname(self._ca_file))
        try:
            write_atomic(self._ca_file, ca_pem)
        except OSError as error:
            raise OverlayError('The CA of the site cannot be written to {}: {}.'.format(
                self._ca_file, error.strerror), 'ls -ld {}'.format(os.path.dirname(self._ca_file)), code='NOT_PREPARED')
        daemon.restart()


def make_directory(path: str) -> None:
    """Create a directory that may exist; `manage_daemon` needs root for some.

    :raises OverlayError: it does not exist and cannot be created.
    """
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise OverlayError('The directory {} cannot be created: {}.'.format(path, error.strerror),
                           'sudo mkdir -p {}'.format(path), code='NOT_PREPARED')
