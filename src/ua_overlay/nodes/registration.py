"""Keep the overlay node in the graph of its roscore, also after that roscore was started anew.

Many robots boot a roscore of their own, and people restart it. A ROS node registers once, so the new roscore never
hears of it: /ua_overlay would be gone from the graph for good, while the node and its service manager are content. The
node does not end for that: its team nodes run in another graph, which has nothing to do with this roscore.
"""
import logging
from typing import Any, Dict, Optional

import rosgraph
import rospy
from rospy.impl import registration as rospy_registration
from rospy.impl.registration import Registration as Kind

from ua_overlay.protocols import Stop
from ua_overlay.rosenv.master import ERRORS, master_proxy

_LOG = logging.getLogger(__name__)

#: Seconds between two checks (one call to the roscore, a few milliseconds), and for each call.
PERIOD = 5.0
TIMEOUT = 2.0


class Registration:
    """Knows this node's parameters, and puts them and the node into a roscore that has forgotten them.

    :param master_uri: of the roscore; default: that of this process.
    """

    def __init__(self, master_uri: Optional[str] = None) -> None:
        self._master_uri = master_uri or rosgraph.get_master_uri()
        # What roslaunch set before it started this node. A roscore keeps parameters in memory only.
        self._parameters: Dict[str, Any] = rospy.get_param('~', {})
        self._answers = True

    def run(self, stop: Stop) -> None:
        """Check again and again, until ``stop`` is set."""
        while not stop.wait(PERIOD):
            self.step()

    def step(self) -> None:
        """Check once; register this node if its roscore does not know it."""
        master: Any
        try:
            with master_proxy(self._master_uri, TIMEOUT) as master:
                code, _, uri = master.lookupNode(rospy.get_name(), rospy.get_name())
                known = code == 1
                if not known:
                    self._restore_parameters(master)
        except ERRORS as error:
            if self._answers:
                rospy.logwarn('The roscore at %s does not answer (%s). This node registers with it when it is back.',
                              self._master_uri, error)
            self._answers = False
            return
        self._answers = True
        if known:
            if uri != rospy.get_node_uri():
                _LOG.debug('another node is called %s now: %s', rospy.get_name(), uri)
            return
        self._register()
        rospy.logwarn('The roscore at %s was started anew and did not know this node; it is registered there again.',
                      self._master_uri)

    def _restore_parameters(self, master: Any) -> None:
        """Set the parameters that this roscore lacks: somebody may have set others since."""
        for name, value in self._parameters.items():
            full = '{}/{}'.format(rospy.get_name(), name)
            if not master.hasParam(rospy.get_name(), full)[2]:
                master.setParam(rospy.get_name(), full, value)

    @staticmethod
    def _register() -> None:
        """Announce every topic and service as if it had just been added (rospy/impl/registration.py: RegManager)."""
        topics, services = rospy_registration.get_topic_manager(), rospy_registration.get_service_manager()
        announce = rospy_registration.get_registration_listeners().notify_added
        for name, kind in topics.get_publications():
            announce(name, kind, Kind.PUB)
        for name, kind in topics.get_subscriptions():
            announce(name, kind, Kind.SUB)
        for name, uri in services.get_services():
            announce(name, uri, Kind.SRV)
