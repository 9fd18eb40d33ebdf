#!/usr/bin/python3
"""A joined robot reports a failed tailscaled or server, and everything recovers by itself."""
import os
import signal
import sys
import time
import unittest
import xmlrpc.client

import rospy
import rostest
from support import COMMAND, CONTROL, Latest, call, code_name, invite, join, leave, site, state_topic

from ua_overlay import defaults, msg, srv
from ua_overlay.lab.fleet import SITE_DIR
from ua_overlay.toolchain import locate

#: Seconds within which ~state must report that the server is unreachable.
NOTICED = 15
BLACK_HOLE = '''
table inet hole {
  chain in { type filter hook input priority -10; tcp dport 8080 drop; }
}
'''


class Faults(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.state = state_topic()
        cls.environment = Latest('/ua_overlay/ros_environment', msg.RosEnvironment)
        response = join(invite('iris', 'dev-1', '--master', '--force'))
        assert response.code == response.OK, response.message

    @classmethod
    def tearDownClass(cls):
        leave(forget=True)
        site('robot', 'remove', 'dev-1')

    def setUp(self):
        self.healthy()

    def healthy(self, timeout=60):
        self.state.wait('A healthy state',
                        lambda state: state.state == msg.OverlayState.RUNNING and state.online and
                        state.server == msg.OverlayState.SERVER_OK, timeout)
        self.environment.wait('The environment',
                              lambda env: env.state == 'OK' and env.names_ok and env.master_alive, 30)

    def expect_talking(self):
        probe = call('probe', srv.Probe, peer='dev-2', timeout=5.0)
        self.assertEqual(code_name(probe), 'OK', probe.message)

    def test_1_tailscaled_killed(self):
        CONTROL.kill('dev-1', 'tailscaled')
        state = self.state.wait('NO_DAEMON', lambda state: state.state == msg.OverlayState.NO_DAEMON, 5)
        self.assertIn(defaults.DAEMON_SOCKET, state.text)
        self.assertIn('Next: ', state.text)
        self.environment.wait('The end of the environment', lambda env: not env.actual_master_uri, 10)
        self.assertEqual(code_name(join('')), 'NO_DAEMON')
        CONTROL.start_service('dev-1', 'tailscaled', [
            locate('tailscaled'), '--statedir', defaults.DAEMON_STATE_DIR, '--socket', defaults.DAEMON_SOCKET,
            '--port', '41641'], env={'SSL_CERT_FILE': defaults.CA_FILE, 'TS_NO_LOGS_NO_SUPPORT': 'true'})
        self.healthy()
        self.expect_talking()

    def test_2_server_killed(self):
        began = time.monotonic()
        CONTROL.stop_service('server', 'site', timeout=60)
        gone = time.monotonic()
        state = self.state.wait('SERVER_UNREACHABLE',
                                lambda state: state.server == msg.OverlayState.SERVER_UNREACHABLE, NOTICED)
        print('server stopped in {:.1f} s; noticed {:.1f} s after that'.format(
            gone - began, time.monotonic() - gone))
        self.assertIn('server.ua.test', state.server_text)
        self.assertIn('Next: ', state.server_text)
        self.expect_talking()
        CONTROL.start_service('server', 'site', [COMMAND, 'server', 'run', '--dir', SITE_DIR])
        self.healthy(90)

    def test_3_server_black_holed(self):
        CONTROL.exec('server', ['nft', '-f', '-'], input=BLACK_HOLE)
        try:
            began = time.monotonic()
            self.state.wait('SERVER_UNREACHABLE',
                            lambda state: state.server == msg.OverlayState.SERVER_UNREACHABLE, NOTICED)
            print('black hole noticed after {:.1f} s'.format(time.monotonic() - began))
            self.expect_talking()
        finally:
            CONTROL.exec('server', ['nft', 'delete', 'table', 'inet', 'hole'])
        self.healthy(90)

    def test_4_node_killed(self):
        before = self.state.messages[-1][1]
        node = xmlrpc.client.ServerProxy(rospy.get_master().lookupNode('/ua_overlay')[2])
        os.kill(node.getPid('/faults')[2], signal.SIGKILL)
        count = len(self.state.messages)
        self.state.wait('The latched state of the respawned node',
                        lambda state: len(self.state.messages) > count and state.robot == before.robot, 30)
        self.healthy()


if __name__ == '__main__':
    rospy.init_node('faults')
    rostest.rosrun('ua_overlay', 'faults', Faults, sys.argv)
