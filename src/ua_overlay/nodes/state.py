"""The observations of the overlay node, and the latched topics that each of them changes. Imports no ROS.

Start here for any further output of the node, such as metrics for Prometheus or a log: :class:`NodeState` holds the
latest observations. Write a module beside this one that turns them into the output, and call it from nodes/overlay.py,
which updates the state.
"""
from typing import AbstractSet, Dict, FrozenSet, Optional, Tuple

from ua_overlay.link_types import LinkType
from ua_overlay.nodes.server_probe import ServerView
from ua_overlay.rosenv.report import Report
from ua_overlay.tailscale.snapshot import Changes, Snapshot

#: The latched topics.
STATE, PEERS, LINKS, ROS_ENVIRONMENT, TEAM_RUNNER = 'state', 'peers', 'links', 'ros_environment', 'team_runner'
LATCHED = frozenset([STATE, PEERS, LINKS, ROS_ENVIRONMENT, TEAM_RUNNER])
NOTHING: FrozenSet[str] = frozenset()

#: Peer -> (type of the link, round trip in seconds) of the last probe.
RoundTrips = Dict[str, Tuple[LinkType, float]]


class NodeState:
    """The latest observations. Each ``take_…`` returns the topics whose content it changed, for one thread to publish.

    Nothing is published before the first snapshot, which publishes all topics.

    :ivar server_since: Unix seconds since which the server has its state.
    """

    def __init__(self) -> None:
        self.snapshot: Optional[Snapshot] = None
        self.server = ServerView()
        self.server_since = 0.0
        self.report = Report()
        self.round_trips: RoundTrips = {}

    @property
    def removed(self) -> bool:
        """The server no longer knows this robot, although tailscaled reports that it runs."""
        return self.server.facts.key_known is False and self.snapshot is not None and self.snapshot.status.running

    def take_snapshot(self, snapshot: Snapshot, changes: Changes) -> AbstractSet[str]:
        first = self.snapshot is None
        self.snapshot = snapshot
        if first:
            return LATCHED
        changed = {STATE: changes.daemon or changes.state or changes.self_node or changes.health,
                   PEERS: changes.peers, LINKS: changes.links}
        return {topic for topic, differs in changed.items() if differs}

    def take_server(self, view: ServerView, now: float) -> AbstractSet[str]:
        """
        :param now: Unix seconds.
        """
        before, self.server = self.server, view
        if view.state != before.state:
            self.server_since = now
        return self._if_shown(_shown_of_server(view) != _shown_of_server(before), STATE)

    def take_report(self, report: Report) -> AbstractSet[str]:
        before, self.report = self.report, report
        return (self._if_shown(_shown_of_report(report) != _shown_of_report(before), ROS_ENVIRONMENT)
                | self._if_shown(report.runner != before.runner, TEAM_RUNNER))

    def take_round_trip(self, peer: str, kind: LinkType, seconds: float) -> AbstractSet[str]:
        self.round_trips[peer] = (kind, seconds)
        return self._if_shown(True, LINKS)

    def _if_shown(self, changed: bool, topic: str) -> FrozenSet[str]:
        return frozenset([topic]) if changed and self.snapshot is not None else NOTHING


def _shown_of_server(view: ServerView) -> Tuple[object, ...]:
    """Return the parts of ``view`` that the topic `state` shows."""
    return view.state, view.text, view.url, view.facts.key_known is False


def _shown_of_report(report: Report) -> Tuple[object, ...]:
    """Return the parts of ``report`` that the topic `ros_environment` shows."""
    desired = report.desired
    return (report.state, report.why, desired.master, desired.master_uri, desired.hostname, desired.names_ok,
            report.actual, report.master_alive, report.env_file if report.actual else '')
