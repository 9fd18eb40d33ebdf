"""Facts of a healthy robot dev-2 in team iris whose master is dev-1; each test changes the facts that it checks."""
from dataclasses import replace

from ua_overlay import link_types
from ua_overlay.checks import facts
from ua_overlay.checks.facts import (
    EPHEMERAL,
    OPEN,
    REFUSED,
    Attempt,
    Callback,
    ClockOffset,
    Disk,
    Egress,
    Facts,
    Graph,
    Lan,
    Packets,
    RosProcess,
    Route,
    Server,
)
from ua_overlay.defaults import TEAM_PORT
from ua_overlay.firewall.egress_table import IN_FORCE, TableState
from ua_overlay.rosenv.environment import decide_environment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.rosenv.preferences import Preferences
from ua_overlay.system.duties import Daemon, Duty
from ua_overlay.tailscale.map_stamp import Stamp
from ua_overlay.tailscale.model import Link, Peer, SelfNode, Status

NOW = 1.8e9
DAY = 86400.0
URI = 'http://dev-1.overlay.internal:{}'.format(TEAM_PORT)
ME = SelfNode('dev-2', 'dev-2.overlay.internal', ('100.64.0.2', 'fd7a::2'), tags=('tag:iris',), online=True)
MASTER = Peer('dev-1', 'dev-1.overlay.internal', ('100.64.0.1', 'fd7a::1'), tags=('tag:iris', 'tag:ros-master'),
              online=True)
MATE = Peer('dev-3', 'dev-3.overlay.internal', ('100.64.0.3', 'fd7a::3'), tags=('tag:iris',), online=True)
STATUS = Status(version='1.98.10', state='Running', have_node_key=True, self_node=ME, peers=(MASTER, MATE),
                suffix='overlay.internal')
NAMES = NameReport(True)
DESIRED = decide_environment(STATUS, Preferences(team='iris'), NAMES)
TEAM = {'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'dev-2.overlay.internal'}
GRAPH = Graph(
    URI, True, nodes=(('/rosout', 'http://dev-1.overlay.internal:40001/'), ('/talker', 'http://100.64.0.2:40002/')),
    callback=Callback(True, True), launched=())
FACTS = Facts(
    now=NOW, status=STATUS, newest_tested='1.98.10',
    links=(Link('dev-1', type=link_types.DIRECT), Link('dev-3', type=link_types.IDLE)),
    preferences=Preferences(team='iris'),
    server=Server('https://server.ua.test:8080', None, 0, NOW + 60 * DAY,
                             NOW + 3000 * DAY, True, ()),
    names=NAMES, desired=DESIRED, actual=TEAM, graph=GRAPH,
    attempts=(Attempt('dev-1', TEAM_PORT, facts.TEAM, OPEN),
              Attempt('dev-1', 59999, EPHEMERAL, REFUSED),
              Attempt('dev-3', 59999, EPHEMERAL, REFUSED)),
    reached=(('dev-1', True), ('dev-3', True)), shell=TEAM,
    processes=(RosProcess(7, '/talker', TEAM, starter=('roslaunch', 'my robot', 'a.launch'), starter_pid=6),),
    interfaces=(('lo', '127.0.0.1', 8), ('eth0', '10.0.2.15', 24), ('tailscale0', '100.64.0.2', 32)),
    packets=(Packets('dev-1', True, True),), overlay_mtu=1280, routes=(Route('203.0.113.21', 1500),),
    clocks=(ClockOffset('dev-1', 0.002, 0.004),), disks=(Disk('/run/ua_overlay', 10 ** 8),),
    agent=Daemon(8, 'ua-overlay-agent.service', (Duty('egress'), Duty('names'))),
    former_name='dev-2', map_stamp=Stamp(NOW - 30, NOW - 30 + DAY),
    own_endpoints=('10.0.2.15:41641', '203.0.113.22:41641'),
    lans=(Lan('dev-3', ('10.0.2.16:41641', '203.0.113.22:5000'), link_types.DIRECT),),
    egress=Egress(True, TableState(IN_FORCE, ('203.0.113.10',)), ('203.0.113.10',), True))


def changed(**fields):
    return replace(FACTS, **fields)


def only(verdicts):
    """The only finding of a check."""
    if isinstance(verdicts, list):
        assert len(verdicts) == 1, verdicts
        return verdicts[0]
    return verdicts
