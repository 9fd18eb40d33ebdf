"""Robots with different releases of tailscaled in one team: every kind of link, on each of them.

dev-1 runs the pinned release, dev-2 and dev-3 the two before it. test/rostest/links.py has the whole story of the
links on the pinned release. The tests are one story.
"""
import pytest
from fleets import ROBOTS
from releases import RELEASES, tailscaled

from ua_overlay.lab.fleet import USER
from ua_overlay.lab.timeouts import JOIN, PATH
from ua_overlay.resources import share_path
from ua_overlay.toolchain.pins import read_pin

RELEASE = dict(zip(ROBOTS, RELEASES))
#: Pairs of robots whose link the first one reports: every two releases.
PAIRS = (('dev-1', 'dev-2'), ('dev-1', 'dev-3'), ('dev-2', 'dev-3'))
#: msg/Link.msg
DIRECT, PEER_RELAY, DERP = 1, 2, 3


@pytest.fixture(scope='module')
def fleet(three_robots):
    for robot in ROBOTS:
        three_robots.arrange(robot, 'iris', master=robot == 'dev-1')
    pings = []
    try:
        for robot in ROBOTS[1:]:
            replace_daemon(three_robots, robot, tailscaled(RELEASE[robot]))
        for robot in ROBOTS:
            wait_release(three_robots, robot, RELEASE[robot])
        addresses = {row['robot']: row['addresses'][0] for row in three_robots.robots()}
        for robot, peer in PAIRS:
            # Traffic, so that there is a path.
            three_robots.lab.start_service(robot, 'ping-' + peer, ['ping', '-q', '-i', '0.2', addresses[peer]],
                                           user=USER)
            pings.append((robot, 'ping-' + peer))
        yield three_robots
    finally:
        for robot, service in pings:
            three_robots.lab.stop_service(robot, service)
        for number in (1, 2, 3):
            three_robots.lab.nat('nat{}'.format(number), 'easy')
        for robot in ROBOTS[1:]:
            replace_daemon(three_robots, robot, None)
            wait_release(three_robots, robot, RELEASES[0])


def replace_daemon(fleet, robot, program):
    """Run another tailscaled in the place of a robot's; None: the fleet's own."""
    fleet.lab.stop_service(robot, 'tailscaled')
    fleet.start_daemon(robot, program=program)


def wait_release(fleet, robot, release):
    version = read_pin(share_path('toolchain'), release).version
    fleet.topics[robot].wait('tailscaled {} on {}, online'.format(version, robot), 'state', lambda message: (
        message['daemon_version'] == version and message['online']), JOIN)


@pytest.mark.parametrize('kind, link_type', [('easy', DIRECT), ('hard', PEER_RELAY), ('udp-blocked', DERP)])
def test_every_two_releases_link_in_each_way(fleet, kind, link_type):
    for number in (1, 2, 3):
        fleet.lab.nat('nat{}'.format(number), kind)
    for robot, peer in PAIRS:
        fleet.topics[robot].wait(
            'The link type {} of {} ({}) and {} ({})'.format(link_type, robot, RELEASE[robot], peer, RELEASE[peer]),
            'links', lambda message, peer=peer: link_type in [
                link['type'] for link in message['links'] if link['peer'] == peer], PATH)
