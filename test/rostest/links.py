#!/usr/bin/python3
"""Link types behind all three kinds of NAT, while a ROS publisher and subscriber talk by host name."""
import sys
import unittest

import rospy
import rostest
from support import COMMAND, CONTROL, Latest, Program, call, code_name, invite, join, leave, site

from ua_overlay import msg, srv
from ua_overlay.lab import timeouts
from ua_overlay.lab.fleet import SOURCE, USER


def numbers(lines):
    return [int(line.rsplit(' ', 1)[1]) for line in lines]


class Links(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.links = Latest('/ua_overlay/links', msg.LinkArray)
        cls.events = Latest('/ua_overlay/link_events', msg.LinkEvent)
        response = join(invite('iris', 'dev-1', '--master', '--force'))
        assert response.code == response.OK, response.message
        environment = {'HOME': '/home/' + USER, 'ROS_HOME': '/home/' + USER + '/.ros'}
        workspace = COMMAND[:-len('/bin/ua-overlay')]
        CONTROL.start_service('dev-2', 'talker', [
            'bash', '-c', SOURCE + ' && exec "$@"', workspace,
            'ua-overlay', 'exec', '--wait', '--timeout', '60', 'rosrun', 'ua_overlay', 'talker.py'],
            user=USER, env=environment)
        cls.listener = Program('rosrun', 'ua_overlay', 'listener.py')
        cls.listener.wait('The talker of dev-2', lambda lines: len(lines) > 10, 60)

    @classmethod
    def tearDownClass(cls):
        cls.listener.end()
        CONTROL.stop_service('dev-2', 'talker')
        for nat in ('nat1', 'nat2'):
            CONTROL.nat(nat, 'easy')
        leave(forget=True)
        site('robot', 'remove', 'dev-1')

    def link(self, links):
        return next((link for link in links.links if link.peer == 'dev-2'), msg.Link())

    def expect(self, link_type):
        links = self.links.wait('The link type {}'.format(link_type),
                                lambda links: self.link(links).type == link_type, timeouts.PATH)
        return self.link(links)

    def turn(self, kind, link_type):
        """Make both routers of ``kind`` and wait for the link type to which that leads; return the link."""
        heard = len(self.listener.lines)
        events = len(self.events.messages)
        for nat in ('nat1', 'nat2'):
            CONTROL.nat(nat, kind)
        link = self.expect(link_type)
        self.listener.wait('Messages after the change', lambda lines: len(lines) > heard + 20, 60)
        # Another topic is another connection: its message may come later than the one on ~links.
        self.events.wait('The event of the change',
                         lambda event: event.peer == 'dev-2' and event.to_type == link_type, 5)
        changes = [event for _, event in self.events.messages[events:] if event.peer == 'dev-2']
        self.assertEqual(changes[-1].to_type, link_type)
        self.assertTrue(all(event.from_type != event.to_type or event.action for event in changes))
        return link

    def test_1_easy_is_direct(self):
        link = self.expect(msg.Link.DIRECT)
        self.assertEqual((link.endpoint, link.relay), ('203.0.113.22:41641', ''))
        self.assertGreater(link.last_handshake.to_sec(), 1.6e9)
        probe = call('probe', srv.Probe, peer='dev-2', timeout=5.0)
        self.assertEqual((code_name(probe), probe.type), ('OK', msg.Link.DIRECT), probe.message)
        self.assertTrue(0 < probe.rtt < 1.0)
        # The node measures by itself, too, every 10 s.
        self.links.wait("The probe's round trip", lambda links: self.link(links).rtt == probe.rtt, 5)
        self.assertEqual(code_name(call('probe', srv.Probe, peer='dev-7')), 'UNKNOWN_PEER')

    def test_2_hard_is_peer_relay(self):
        link = self.turn('hard', msg.Link.PEER_RELAY)
        self.assertRegex(link.endpoint, r'^203\.0\.113\.10:40000:vni:\d+$')
        probe = call('probe', srv.Probe, peer='dev-2.overlay.internal', timeout=5.0)
        self.assertEqual((code_name(probe), probe.type), ('OK', msg.Link.PEER_RELAY), probe.message)

    def test_3_udp_blocked_is_derp(self):
        link = self.turn('udp-blocked', msg.Link.DERP)
        self.assertEqual(link.endpoint, '')
        self.assertNotEqual(link.relay, '')

    def test_4_easy_again_is_direct_again(self):
        self.turn('easy', msg.Link.DIRECT)

    def test_5_no_message_was_lost(self):
        heard = numbers(self.listener.lines)
        self.assertEqual(heard, list(range(heard[0], heard[0] + len(heard))))


if __name__ == '__main__':
    rospy.init_node('links')
    rostest.rosrun('ua_overlay', 'links', Links, sys.argv)
