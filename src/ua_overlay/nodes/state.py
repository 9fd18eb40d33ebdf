"""The observations of the overlay node, and the latched topics that each of them changes. Imports no ROS.

Start here for any further output of the node, such as metrics for Prometheus or a log: :class:`NodeState` holds the
latest observations. Write a module beside this one that turns them into the output, and call it from nodes/overlay.py,
which updates the state.
"""
from typing import AbstractSet, Dict, FrozenSet, List, Optional, Tuple

from ua_overlay import link_types
from ua_overlay.link_types import LinkType
from ua_overlay.nodes.server_probe import OK, UNREACHABLE, UNTRUSTED, ServerView
from ua_overlay.printable import printable
from ua_overlay.rosenv.report import Report
from ua_overlay.tailscale.link_history import LinkHistory, LinkRecord, reason_of
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.path_keeper import REBIND, Intervention
from ua_overlay.tailscale.remembered_team import RememberedTeam, remembered
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

    :param history: what the links did before this node started.
    :ivar server_since: Unix seconds since which the server has its state.
    :ivar stamp: of the network map that tailscaled keeps; None: there is none.
    :ivar rebinds: how often a link's path was abandoned because it was dead.
    """

    def __init__(self, history: Optional[LinkHistory] = None) -> None:
        self.snapshot: Optional[Snapshot] = None
        self.server = ServerView()
        self.server_since = 0.0
        self.stamp: Optional[Stamp] = None
        self.report = Report()
        self.round_trips: RoundTrips = {}
        self.history = LinkHistory() if history is None else history
        self.rebinds = 0
        self._last_rebind: Optional[float] = None

    @property
    def removed(self) -> bool:
        """The server no longer knows this robot: it refused it, or says so while tailscaled reports that it runs."""
        if self.snapshot is None:
            return False
        status = self.snapshot.status
        return status.refused or (self.server.facts.key_known is False and status.running)

    @property
    def remembered_team(self) -> Optional[RememberedTeam]:
        """The team that this robot remembers while its server is away, else None."""
        if self.snapshot is None or self.removed:
            return None
        answers = {OK: True, UNREACHABLE: False, UNTRUSTED: False}.get(self.server.state)
        return remembered(self.snapshot.status, self.stamp, answers)

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

    def record_changes(self, snapshot: Snapshot, changes: Changes) -> List[LinkRecord]:
        """Add the changes of links to the history, and return them.

        A node that starts sees every link for the first time. Those that are as the record has them did not change.
        """
        records = []
        for change in changes.link_changes:
            if self.snapshot is None and self.history.since(change.peer, change.after) is not None:
                continue
            since = None if self._last_rebind is None else snapshot.stamp - self._last_rebind
            records.append(LinkRecord(snapshot.stamp, change.peer, change.before, change.after,
                                      reason_of(change, since)))
        for record in records:
            self.history.add(record)
        return records

    def record_intervention(self, intervention: Intervention, now: float) -> LinkRecord:
        """Add what the path keeper did to the history, and return it.

        :param now: Unix seconds.
        """
        if intervention.action == REBIND:
            self.rebinds += 1
            self._last_rebind = now
        links = () if self.snapshot is None else self.snapshot.links
        kind = next((link.type for link in links if link.peer == intervention.peer), link_types.UNKNOWN)
        record = LinkRecord(now, intervention.peer, kind, kind, printable(intervention.reason),
                            intervention.silent, intervention.action)
        self.history.add(record)
        return record

    def take_measurement(self, peer: str, kind: LinkType, seconds: float) -> AbstractSet[str]:
        """Take a round trip that was measured in passing; the next heartbeat publishes it."""
        self.round_trips[peer] = (kind, seconds)
        return NOTHING

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
