"""A team of three robots with nodes of its own, in one graph: what test_team.py and `make chaos` look at."""
import json
import os

from follow import Follower
from places import WORKSPACE

from ua_overlay.defaults import TEAM_PORT
from ua_overlay.lab.fleet import SITE_DIR, Fleet
from ua_overlay.lab.timeouts import GRAPH
from ua_overlay.lab.wait import NotInTime, wait
from ua_overlay.toolchain import locate

ROBOTS = ('dev-1', 'dev-2', 'dev-3')
LAUNCH = os.path.join(WORKSPACE, 'src', 'ua_overlay', 'test', 'team', 'team.launch')
ROSCORE = 'rosmaster --core -p {}'.format(TEAM_PORT)


class Team(Fleet):
    """A fleet whose robots run test/team/team.launch."""

    def __init__(self, *args):
        super().__init__(*args)
        self.topics = {}

    def start(self):
        """Start a site with team iris, and on each robot what it runs before it joins; dev-1 will be the master."""
        self.start_site()
        self.site('team', 'create', 'iris')
        for robot in ROBOTS:
            path = self.carry(robot, self.invite('iris', robot, *(['--master'] if robot == 'dev-1' else [])))
            self.prepare(robot, path)
            self.start_overlay(robot)

    def start_overlay(self, robot):
        self.launch(robot, 'team_launch:=' + LAUNCH)
        self.topics[robot] = Follower(self, robot)

    def runner(self, robot):
        return self.topics[robot].now('team_runner')

    def environment(self, robot):
        return self.topics[robot].now('ros_environment')

    def starts(self):
        """How often each runner has started the nodes, by robot."""
        return {robot: self.runner(robot)['starts'] for robot in ROBOTS}

    def wait_environment(self, robot, *states):
        return self.topics[robot].wait('The state {} on {}'.format(' or '.join(states), robot), 'ros_environment',
                                       lambda message: message['state'] in states, GRAPH)

    def wait_runner(self, robot, state):
        return self.topics[robot].wait('The runner {} on {}'.format(state, robot), 'team_runner',
                                       lambda message: message['state'] == state, GRAPH)

    def pids(self, robot, word):
        """Process ids on ``robot``, as it numbers them, of the programs with ``word`` in their command line."""
        return [pid for pid, argv in self.lab.host(robot).processes().items() if word in ' '.join(argv)]

    def kill(self, robot, *pids):
        self.lab.host(robot).run(['kill', '-9'] + [str(pid) for pid in pids])

    def count(self, robot):
        """How many of the team's nodes run: (talkers, stubborn ones)."""
        commands = [' '.join(argv) for argv in self.lab.host(robot).processes().values()]
        # A launch-prefix keeps the node's own command behind it, so both have talker.py in theirs.
        return (sum('__name:=talker_' in command for command in commands),
                sum('team/stubborn.py' in command for command in commands))

    def wait_no_nodes(self, robot):
        wait('The end of the nodes', lambda: self.count(robot) == (0, 0), GRAPH)

    def wait_running(self, robot, master, starts):
        """Wait until the runner of ``robot`` runs with that master, and each node once."""
        uri = 'http://{}.overlay.internal:{}'.format(master, TEAM_PORT)
        self.topics[robot].wait(
            'A runner on {} with {}'.format(robot, master), 'team_runner',
            lambda message: (message['state'], message['master_uri'], message['starts']) == ('RUNNING', uri, starts),
            GRAPH)
        wait('One of each node on {}'.format(robot), lambda: self.count(robot) == (1, 1), GRAPH)

    def graph(self, master):
        """{robot: its runner's message} when all robots follow ``master`` in one graph with one of each node; else
        None."""
        uri = 'http://{}.overlay.internal:{}'.format(master, TEAM_PORT)
        runners = {robot: self.topics[robot].latest('team_runner') for robot in ROBOTS}
        environments = [self.topics[robot].latest('ros_environment') for robot in ROBOTS]
        if not all(environments) or not all(runners.values()):
            return None
        healthy = {environment['state'] for environment in environments} == {'OK'} \
            and {(each['state'], each['master_uri']) for each in runners.values()} == {('RUNNING', uri)} \
            and all(self.count(robot) == (1, 1) for robot in ROBOTS)
        run_ids = {each['run_id'] for each in runners.values()}
        return runners if healthy and len(run_ids) == 1 and '' not in run_ids else None

    def wait_healthy(self, master, timeout=GRAPH):
        """Every robot follows ``master`` in one and the same graph, whose roscore answers, with one of each node.

        :returns: dict robot -> its runner's message, read after the list of nodes: an earlier one may be of the graph
            before, whose end that robot had not noticed yet.
        """
        nodes = {'/rosout'} | {name.format(robot.replace('-', '_')) for robot in ROBOTS
                               for name in ('/talker_{}', '/stubborn_{}', '/{}/overlay')}
        missing = nodes

        def complete():
            nonlocal missing
            if not self.graph(master):
                return None
            missing = nodes - set(self.nodes())
            return None if missing else self.graph(master)

        try:
            wait('Every robot in one graph with ' + master, lambda: self.graph(master), timeout)
            return wait('Every robot\'s nodes in the graph of ' + master, complete, timeout, poll=1)
        except NotInTime:
            for robot in ROBOTS:
                print(robot, self.topics[robot].latest('team_runner'), self.topics[robot].latest('ros_environment'),
                      self.count(robot))
            print('missing', sorted(missing))
            raise

    def nodes(self):
        """The answer of `rosnode list` in a new shell on dev-3."""
        return self.ros('dev-3', 'rosnode', 'list', graph='shell', check=False).stdout.split()

    def tag(self, robot, *tags):
        """Give ``robot`` these tags and no other, as a person could with headscale's own command."""
        headscale = [locate('headscale'), '--config', SITE_DIR + '/headscale.yaml', 'nodes']
        server = self.lab.host(self.server)
        nodes = json.loads(server.run(headscale + ['list', '--output', 'json']).stdout)
        # Headscale 0.30 prints camelCase.
        number = next(node['id'] for node in nodes if robot in (node.get('given_name'), node.get('givenName')))
        server.run(headscale + ['tag', '--identifier', str(number), '--tags', ','.join(tags)])
