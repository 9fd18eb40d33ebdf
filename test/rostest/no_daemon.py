#!/usr/bin/python3
"""The interface of a robot on which no tailscaled runs."""
import sys
import unittest

import rospy
import rostest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from ua_overlay import msg, srv

SOCKET = '/nonexistent/tailscaled.sock'


def call(name, kind, **request):
    rospy.wait_for_service('/ua_overlay/' + name, 20)
    return rospy.ServiceProxy('/ua_overlay/' + name, kind)(**request)


class NoDaemon(unittest.TestCase):

    def test_state_names_the_socket_and_the_next_command(self):
        state = rospy.wait_for_message('/ua_overlay/state', msg.OverlayState, 20)
        self.assertEqual(state.state, msg.OverlayState.NO_DAEMON)
        self.assertIn(SOCKET, state.text)
        self.assertIn('Next: ', state.text)
        self.assertFalse(state.online)
        self.assertGreater(state.header.stamp.to_sec(), 1.6e9)

    def test_latched_topics_are_published_and_empty(self):
        self.assertEqual(rospy.wait_for_message('/ua_overlay/peers', msg.PeerArray, 20).peers, [])
        self.assertEqual(rospy.wait_for_message('/ua_overlay/links', msg.LinkArray, 20).links, [])
        environment = rospy.wait_for_message('/ua_overlay/ros_environment', msg.RosEnvironment, 20)
        self.assertEqual(environment.state, 'NO_OVERLAY')
        self.assertEqual(environment.actual_master_uri, '')

    def test_join_leave_and_probe_answer_with_a_code_and_a_sentence(self):
        join = call('join', srv.Join, invitation='/nonexistent/invitation.yaml')
        self.assertEqual(join.code, srv.JoinResponse.INVITATION_MISSING)
        self.assertIn('/nonexistent/invitation.yaml', join.message)
        self.assertEqual(call('join', srv.Join, invitation='').code, srv.JoinResponse.NO_DAEMON)
        leave = call('leave', srv.Leave, forget=False)
        self.assertEqual(leave.code, srv.LeaveResponse.NO_DAEMON)
        self.assertIn(SOCKET, leave.message)
        self.assertEqual(call('probe', srv.Probe, peer='dev-2', timeout=1.0).code, srv.ProbeResponse.NOT_JOINED)

    def test_diagnostics_report_an_error(self):
        statuses = rospy.wait_for_message('/diagnostics', DiagnosticArray, 20).status
        daemon = next(status for status in statuses if status.name.endswith(': overlay: daemon'))
        self.assertEqual(daemon.level, DiagnosticStatus.ERROR)
        self.assertEqual(daemon.hardware_id, daemon.name.split(':')[0])


if __name__ == '__main__':
    rospy.init_node('no_daemon')
    rostest.rosrun('ua_overlay', 'no_daemon', NoDaemon, sys.argv)
