"""A lab with a site and joined robots, and programs on its robots that exchange lines of JSON."""
import contextlib
import json
import os
import queue
import subprocess
import threading
import time

from ua_overlay.errors import OverlayError
from ua_overlay.lab.fleet import SITE_DIR, USER, Fleet
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.topology import parse
from ua_overlay.lab.wait import wait
from ua_overlay.toolchain import locate

BENCH = os.path.dirname(os.path.abspath(__file__))
TEAM = 'iris'
PYTHON = '/usr/bin/python3'
#: Path of its invitation on a robot of bench_fleet.
INVITATION = '/home/{}/first.yaml'.format(USER)

TOPOLOGY = '''
version: 1
inet: {subnet: 203.0.113.0/24, dns: 203.0.113.2}
names: {server.ua.test: 203.0.113.10}
hosts:
'''


def topology(robots, hosts=('server',)):
    """The text of a topology: ``hosts`` on the internet, 203.0.113.10, .11, …; and ``robots`` (dev-1, …), each behind
    its own NAT."""
    numbers = [int(robot.rpartition('-')[2]) for robot in robots]
    open_ = ['  {}: {{address: 203.0.113.{}}}\n'.format(host, n) for n, host in enumerate(hosts, 10)]
    nats = ['  nat{}: {{address: 203.0.113.{}, inside: 10.0.2.2/24}}\n'.format(n, 20 + n) for n in numbers]
    inside = ['  dev-{0}: {{behind: nat{0}, address: 10.0.2.15, hostname: robot}}\n'.format(n) for n in numbers]
    return TOPOLOGY + ''.join(open_) + 'nats:\n' + ''.join(nats) + 'robots:\n' + ''.join(inside)


@contextlib.contextmanager
def bench_fleet(progress, launched=('dev-1',), joined=('dev-1', 'dev-2', 'dev-3'),
                robots=('dev-1', 'dev-2', 'dev-3'), master=None):
    """A site and prepared robots, each behind its own NAT; yields a Fleet and takes everything down again.

    By default no robot is the team master: robots poll a master continuously, so their links to it are never idle.

    :param launched: robots on which overlay.launch runs.
    :param joined: robots that are in the team; every robot has its invitation at INVITATION.
    :param master: the robot whose invitation makes it the team master.
    """
    workspace = os.path.join(os.path.realpath(os.path.join(os.path.dirname(BENCH), '.workspace')), 'install')
    if not os.path.isdir(workspace):
        raise OverlayError('The workspace is not built.', 'make prepare')
    with contextlib.ExitStack() as stack:
        with progress('A lab with a site and {} robots'.format(len(robots))):
            lab = stack.enter_context(Lab.up(parse(topology(robots)), 'bench-{}'.format(os.getpid()), bound=True))
            fleet = Fleet(lab, workspace)
            fleet.start_site()
            fleet.site('team', 'create', TEAM)
            for robot in robots:
                options = ['--master'] if robot == master else []
                path = fleet.carry(robot, fleet.invite(TEAM, robot, *options), os.path.basename(INVITATION))
                fleet.prepare(robot, path)
                wait('tailscaled on {}'.format(robot), lambda robot=robot: daemon_state(fleet, robot), 30)
                if robot in joined:
                    fleet.overlay(robot, 'join', path)
                if robot in launched:
                    fleet.launch(robot)
        yield fleet


def tailscale(fleet, robot, *argv, check=True):
    """Run `tailscale ARGV` as root on a robot."""
    return fleet.lab.host(robot).run([locate('tailscale')] + list(argv), env=fleet.base_environment(), check=check)


def daemon_state(fleet, robot):
    """The BackendState of tailscaled, '' while it does not answer."""
    done = tailscale(fleet, robot, 'status', '--json', '--peers=false', check=False)
    return json.loads(done.stdout).get('BackendState', '') if done.stdout.startswith('{') else ''


def put(fleet, host, program):
    """Copy a program of bench/on_robot to a host, as its user may not have access to the checkout. Returns its path."""
    with open(os.path.join(BENCH, 'on_robot', program)) as stream:
        text = stream.read()
    path = '/run/bench-' + program
    fleet.lab.host(host).run(['install', '-m', '644', '/dev/stdin', path], input=text)
    return path


def module_environment(fleet):
    """The environment of a program that imports the package, on a host without ROS."""
    environment = fleet.base_environment()
    environment['PYTHONPATH'] = os.environ.get('PYTHONPATH', '')
    return environment


class Program:
    """A program of bench/on_robot that runs on a host and exchanges lines of JSON.

    :param root: run it as root and without ROS (on the server) instead of as the robot's user in the local graph.
    """

    def __init__(self, fleet, host, program, *arguments, root=False):
        self.name = '{} on {}'.format(program, host)
        argv = [PYTHON, put(fleet, host, program)] + list(arguments)
        if root:
            self.process = fleet.lab.host(host).popen(argv, env=module_environment(fleet), stdin=subprocess.PIPE,
                                                      stdout=subprocess.PIPE, universal_newlines=True, bufsize=1)
        else:
            self.process = fleet.ros_popen(host, *argv, stdin=subprocess.PIPE, bufsize=1)
        self.answers = queue.Queue()
        #: Every answer so far.
        self.received = []
        self._problem = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        try:
            for line in self.process.stdout:
                # rospy prints other lines between them.
                if line.startswith('{'):
                    answer = json.loads(line)
                    self.received.append(answer)
                    self.answers.put(answer)
        except ValueError as error:
            self._problem = '{} printed invalid JSON: {}.'.format(self.name, error)
        self.answers.put(None)

    def ask(self, timeout=120, **request):
        """Send a request; return its answer."""
        self.send(**request)
        return self.next(timeout)

    def send(self, **request):
        self.process.stdin.write(json.dumps(request) + '\n')
        self.process.stdin.flush()

    def next(self, timeout=30):
        """Return the next answer. :raises OverlayError: the program ended or did not answer in time."""
        try:
            answer = self.answers.get(timeout=timeout)
        except queue.Empty:
            raise OverlayError('{} did not answer within {} s.'.format(self.name, timeout))
        if answer is None:
            raise OverlayError('{} ended with status {}.'.format(self.name, self.process.wait()))
        return answer

    def check(self):
        """:raises OverlayError: the program ended or printed invalid JSON; silence must not count as a result."""
        if self._problem or self.process.poll() is not None:
            raise OverlayError(self._problem or '{} ended with status {}.'.format(self.name, self.process.returncode))

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            self.process.wait(10)
        self.reader.join(10)

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


def forget(fleet, robot):
    """Log a robot out and delete it on the server at once; returns when its user may join again.

    `robot remove` would wait until the server sees the robot offline (12 s).
    """
    tailscale(fleet, robot, 'logout')
    fleet.lab.host('server').run([PYTHON, put(fleet, 'server', 'forget.py'), SITE_DIR, robot],
                                 env=module_environment(fleet))

    def usable():
        prefs = json.loads(tailscale(fleet, robot, 'debug', 'prefs').stdout)
        return prefs.get('OperatorUser') == USER and daemon_state(fleet, robot) == 'NeedsLogin'

    wait('The operator on {} after a logout'.format(robot), usable, 30)
    # A logout keeps tailscaled and the agent busy for a moment: the next time must not include that.
    time.sleep(1.0)
