"""Facts of a healthy robot dev-2 in team iris whose master is dev-1; each test changes what it is about."""
from dataclasses import replace

from ua_overlay.checks import facts as seen
from ua_overlay.firewall.egress_table import IN_FORCE, Sight
from ua_overlay.rosenv.environment import Wishes, decide_environment
from ua_overlay.rosenv.names import NameReport
from ua_overlay.tailscale.model import Link, LinkType, Peer, SelfNode, Status

NOW = 1.8e9
DAY = 86400.0
URI = 'http://dev-1.overlay.internal:11312'
ME = SelfNode('dev-2', 'dev-2.overlay.internal', ('100.64.0.2', 'fd7a::2'), tags=('tag:iris',), online=True)
MASTER = Peer('dev-1', 'dev-1.overlay.internal', ('100.64.0.1', 'fd7a::1'), tags=('tag:iris', 'tag:ros-master'),
              online=True)
MATE = Peer('dev-3', 'dev-3.overlay.internal', ('100.64.0.3', 'fd7a::3'), tags=('tag:iris',), online=True)
STATUS = Status(version='1.98.10', state='Running', have_node_key=True, self_node=ME, peers=(MASTER, MATE),
                suffix='overlay.internal')
NAMES = NameReport(True)
WANTED = decide_environment(STATUS, Wishes(team='iris'), NAMES)
TEAM = {'ROS_MASTER_URI': URI, 'ROS_HOSTNAME': 'dev-2.overlay.internal'}
GRAPH = seen.Graph(URI, True, nodes=(('/rosout', 'http://dev-1.overlay.internal:40001/'),
                                     ('/talker', 'http://100.64.0.2:40002/')), callback=seen.Callback(True, True),
                   launched=())
FACTS = seen.Facts(
    now=NOW, status=STATUS, links=(Link('dev-1', type=LinkType.DIRECT), Link('dev-3', type=LinkType.IDLE)),
    wishes=Wishes(team='iris'), server=seen.Server('https://server.ua.test:8080', None, 0, NOW + 60 * DAY,
                                                   NOW + 3000 * DAY, True, ()),
    names=NAMES, wanted=WANTED, actual=TEAM, graph=GRAPH,
    attempts=(seen.Attempt('dev-1', 11312, seen.TEAM, seen.OPEN),
              seen.Attempt('dev-1', 59999, seen.EPHEMERAL, seen.REFUSED),
              seen.Attempt('dev-3', 59999, seen.EPHEMERAL, seen.REFUSED)),
    inbound=(('100.64.0.3', 40002),), shell=TEAM, processes=(seen.RosProcess(7, '/talker', TEAM),),
    interfaces=(('lo', '127.0.0.1', 8), ('eth0', '10.0.2.15', 24), ('tailscale0', '100.64.0.2', 32)),
    packets=(seen.Packets('dev-1', True, True),), own_endpoints=('10.0.2.15:41641', '203.0.113.22:41641'),
    lans=(seen.Lan('dev-3', ('10.0.2.16:41641', '203.0.113.22:5000'), LinkType.DIRECT),),
    egress=seen.Egress(True, Sight(IN_FORCE, ('203.0.113.10',)), ('203.0.113.10',), True))


def changed(**fields):
    return replace(FACTS, **fields)


def only(verdicts):
    """The one verdict of a check."""
    if isinstance(verdicts, list):
        assert len(verdicts) == 1, verdicts
        return verdicts[0]
    return verdicts
