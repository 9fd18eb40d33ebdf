"""For tests only: what the stories of ansible/site.yml on machines share: an inventory of one team, and its team."""
import json

from ua_overlay.lab.fleet import source
from ua_overlay.lab.images import USER
from ua_overlay.lab.timeouts import PATH

SPACE = '/opt/ua_overlay/current/install'
CHECKOUT = '/srv/checkout'
ROBOTS = ('dev-1', 'dev-2')


def inventory(machines, more=()):
    """One team of two robots, and perhaps more."""
    robots = {'dev-1': {'ua_overlay_master': True}, 'dev-2': {}}
    robots.update(more)
    return {'all': {
        'vars': {'ansible_user': USER, 'ansible_ssh_common_args': '-F ' + machines.ssh.config},
        'children': {
            'ua_overlay_server': {'hosts': {'server': {
                'ua_overlay_server_name': 'server.ua.test', 'ua_overlay_server_addresses': ['203.0.113.10']}}},
            'team_iris': {'hosts': robots}}}}


def site(machines, *argv):
    return machines['server'].run(['ua-overlay'] + list(argv))


#: What `rosnode list` prints, in a third of the time.
NODES = ('import rosgraph; state = rosgraph.Master("/test").getSystemState(); '
         'print(*sorted({node for kind in state for _, nodes in kind for node in nodes}))')


def nodes(machine):
    """Nodes of the team graph, as a program that the robot's user starts sees them."""
    script = source(SPACE) + ' && exec timeout 20 ua-overlay exec python3 -c "$0"'
    said = machine.run(['bash', '-c', script, NODES], user=USER, check=False, env={'ROS_HOME': '/tmp/ros'})
    return said.stdout.split()


def listed(machines):
    """The robots that the server has, by name."""
    return {robot['robot']: robot for robot in json.loads(site(machines, 'robot', 'list', '--json').stdout)}


def assert_team(machines):
    """Both robots see each other's node in the graph of the team, by themselves."""
    for name in ROBOTS:
        machine = machines[name]
        machine.wait('the team graph', lambda machine=machine: {'/dev_1/overlay', '/dev_2/overlay'} <= set(
            nodes(machine)), PATH)
    robots = listed(machines)
    assert sorted(robots) == list(ROBOTS) and all(robot['team'] == 'iris' for robot in robots.values())
    assert robots['dev-1']['master'] and not robots['dev-2']['master']
    return robots
