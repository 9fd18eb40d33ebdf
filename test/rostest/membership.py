#!/usr/bin/python3
"""Join, leave, forget and rejoin as an unprivileged user, and all causes of a failed join.

The tests have an order: each starts where the one before ended.
"""
import os
import re
import socket
import sys
import unittest

import rospy
import rostest
from support import HOME, Latest, code_name, invite, join, keep, leave, site, state_topic

from ua_overlay import msg
from ua_overlay.defaults import TEAM_PORT
from ua_overlay.system.interfaces import in_overlay
from ua_overlay.tailscale.localapi import LocalApi

ENV_FILE = '/run/ua_overlay/env'


def text_of(path):
    with open(path) as stream:
        return stream.read()


class Membership(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.state = state_topic()
        cls.peers = Latest('/ua_overlay/peers', msg.PeerArray)
        cls.environment = Latest('/ua_overlay/ros_environment', msg.RosEnvironment)

    def expect(self, response, code, *words):
        self.assertEqual(code_name(response), code, response.message)
        for word in words:
            self.assertIn(word, response.message)
        self.assertNotRegex(response.message, 'hskey-auth-')

    def expect_untouched(self):
        """Nothing is half-done: there is no login, and tailscaled has stopped calling the server."""
        self.state.wait('The state NO_LOGIN', lambda state: state.state == msg.OverlayState.NO_LOGIN, 10)
        self.assertFalse(LocalApi().prefs()['WantRunning'])
        # The environment follows the state; its writer may be busy with a roscore that starts or ends just now.
        self.environment.wait('No environment file', lambda environment: not environment.env_file, 10)
        self.assertFalse(os.path.exists(ENV_FILE))

    def test_10_not_root(self):
        self.assertNotEqual(os.geteuid(), 0)

    def test_11_in_no_team(self):
        self.expect_untouched()
        self.expect(leave(), 'NOT_JOINED', 'Next: ')
        self.expect(join(''), 'INVITATION_MISSING', 'Next: ')

    def test_12_invalid_invitations(self):
        path = invite('iris', 'dev-1', '--master')
        text = text_of(path)
        self.expect(join(HOME + '/none.yaml'), 'INVITATION_MISSING', HOME + '/none.yaml', 'Next: ')
        self.expect(join(keep('')), 'INVITATION_INVALID', 'Next: ')
        self.expect(join(keep(text[:len(text) // 2])), 'INVITATION_INVALID', 'Next: ')
        self.expect(join(keep('- [unclosed')), 'INVITATION_INVALID', 'Next: ')
        self.expect(join(keep(re.sub('version: 1', 'version: 99', text))), 'INVITATION_INVALID', '99', 'Next: ')
        expired = re.sub(r"created: .*", "created: '2020-01-01T00:00:00Z'", text)
        expired = re.sub(r"expires: .*", "expires: '2020-01-01T01:00:00Z'", expired)
        self.expect(join(keep(expired)), 'INVITATION_EXPIRED', 'Next: ')
        self.expect_untouched()

    def test_13_refused_keys(self):
        text = text_of(invite('iris', 'dev-1', '--master', '--force'))
        # The prefix has 12 characters, of which one may be a dash.
        wrong = re.sub(r'(hskey-auth-\S{12}-)\S{8}', r'\1AAAAAAAA', text)
        self.assertNotEqual(wrong, text)
        self.expect(join(keep(wrong)), 'INVITATION_REFUSED', 'not used', 'ua-overlay invite iris dev-1')
        self.expect_untouched()

    def test_14_unreachable_or_wrong_server(self):
        text = text_of(invite('iris', 'dev-1', '--master', '--force'))
        gone = re.sub(r'server_url: \S+', 'server_url: https://server.ua.test:8099', text)
        self.expect(join(keep(gone)), 'SERVER_UNREACHABLE', 'server.ua.test', 'Next: ')
        self.expect_untouched()

    def test_20_join(self):
        path = invite('iris', 'dev-1', '--master', '--force', name='dev-1.invitation.yaml')
        response = join(path)
        self.expect(response, 'OK', 'dev-1 joined team iris')
        self.assertEqual(response.dns_name, 'dev-1.overlay.internal')
        self.assertTrue(in_overlay(response.addresses[0]), response.addresses)
        state = self.state.wait('RUNNING', lambda state: state.state == msg.OverlayState.RUNNING and state.online,
                                10)
        self.assertEqual((state.robot, state.team, state.dns_name), ('dev-1', 'iris', response.dns_name))
        self.assertEqual(sorted(state.tags), ['tag:iris', 'tag:ros-master'])
        self.state.wait('A server that answers', lambda state: state.server == msg.OverlayState.SERVER_OK, 15)

    def test_21_only_peers_of_the_own_team(self):
        peers = self.peers.wait('Peer dev-2',
                                lambda peers: any(peer.name == 'dev-2' and peer.online for peer in peers.peers), 15)
        self.assertNotIn('dev-3', [peer.name for peer in peers.peers])
        other = site('robot', 'list', '--json').stdout
        address = re.search(r'"dev-3".*?(100\.\d+\.\d+\.\d+)', other, re.DOTALL).group(1)
        with self.assertRaises(socket.gaierror):
            socket.getaddrinfo('dev-3.overlay.internal', None)
        with self.assertRaises(OSError):
            # A port on which dev-3 listens: the local roscore binds all interfaces.
            socket.create_connection((address, 11311), timeout=3)

    def test_22_environment_and_names(self):
        self.environment.wait('A ROS environment with a master that answers',
                              lambda env: env.state == 'OK' and env.names_ok and env.master_alive, 20)
        lines = text_of(ENV_FILE).splitlines()
        self.assertIn('ROS_MASTER_URI=http://dev-1.overlay.internal:{}'.format(TEAM_PORT), lines)
        self.assertIn('ROS_HOSTNAME=dev-1.overlay.internal', lines)
        address = self.state.messages[-1][1].addresses[0]
        self.assertEqual(socket.gethostbyname('dev-1.overlay.internal'), address)
        self.assertNotEqual(socket.gethostname(), 'dev-1')

    def test_23_join_while_joined(self):
        self.expect(join(os.path.join(HOME, 'dev-1.invitation.yaml')), 'ALREADY_JOINED', 'iris')
        blue = invite('blue', 'dev-9', name='blue.invitation.yaml')
        self.expect(join(blue), 'OTHER_TEAM', 'iris', 'blue', 'not used')
        self.assertEqual(self.state.messages[-1][1].team, 'iris')

    def test_30_leave_and_come_back(self):
        address = self.state.messages[-1][1].addresses[0]
        self.expect(leave(), 'OK', 'ua-overlay join')
        self.state.wait('STOPPED', lambda state: state.state == msg.OverlayState.STOPPED, 10)
        self.environment.wait('The end of the environment', lambda env: not env.actual_master_uri, 10)
        self.assertFalse(os.path.exists(ENV_FILE))
        self.expect(leave(), 'NOT_JOINED')
        blue = os.path.join(HOME, 'blue.invitation.yaml')
        self.expect(join(blue), 'OTHER_TEAM', 'not used')
        self.state.wait('STOPPED', lambda state: state.state == msg.OverlayState.STOPPED, 10)
        response = join('')
        self.expect(response, 'OK', 'back in team iris')
        self.assertEqual(response.addresses[0], address)
        self.environment.wait('The environment again', lambda env: env.state == 'OK', 15)

    def test_31_forget_and_a_used_invitation(self):
        self.expect(leave(forget=True), 'OK', 'ua-overlay robot remove dev-1')
        self.expect_untouched()
        self.expect(join(os.path.join(HOME, 'dev-1.invitation.yaml')), 'INVITATION_SPENT',
                    'ua-overlay invite iris dev-1')
        self.expect_untouched()

    def test_32_rejoin_under_the_same_name(self):
        site('robot', 'remove', 'dev-1')
        response = join(invite('iris', 'dev-1', '--master'))
        self.expect(response, 'OK')
        self.assertEqual(response.dns_name, 'dev-1.overlay.internal')

    def test_40_a_name_in_use(self):
        self.expect(leave(forget=True), 'OK')
        site('robot', 'remove', 'dev-1')
        response = join(invite('iris', 'dev-2', '--force'))
        self.expect(response, 'OK', 'dev-2-1', 'taken')
        self.assertEqual(response.dns_name, 'dev-2-1.overlay.internal')
        self.state.wait('The name dev-2-1', lambda state: state.robot == 'dev-2-1', 10)

    def test_41_everything_is_as_before(self):
        self.expect(leave(forget=True), 'OK')
        site('robot', 'remove', 'dev-2-1')
        self.expect_untouched()


if __name__ == '__main__':
    rospy.init_node('membership')
    rostest.rosrun('ua_overlay', 'membership', Membership, sys.argv)
