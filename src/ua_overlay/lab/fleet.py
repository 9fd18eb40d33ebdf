"""A site and its robots on the hosts of a lab, brought up by the same commands that a person types.

Nothing here imports what it starts: every step is a program run on a host (`ua-overlay server init`, `roslaunch …`),
so that the demo, the tests and the benchmarks show what a user gets.
"""
import json
import os
import subprocess

from ua_overlay import defaults
from ua_overlay.lab.wait import wait
from ua_overlay.toolchain import locate

SITE_DIR = '/var/lib/ua_overlay/site'
SERVER_NAME = 'server.ua.test'
USER = 'robot'
#: Each host's daemons get one processor: all hosts of a lab share a few, and Go programs that each take all of them
#: spend more time on waking one another than on packets.
GO = {'GOMAXPROCS': '1'}


class Fleet:
    """What runs on a lab's hosts.

    :param lab: a lab.Lab that is up.
    :param workspace: install space with setup.bash of the built package.
    :param command: path of ua-overlay; default: the workspace's.
    :param tailscaled: path of another daemon to run on the robots (tests against a second release).
    :param daemon_environment: more of the environment of tailscaled on the robots; before GO.
    """

    def __init__(self, lab, workspace, command=None, server='server', tailscaled=None, daemon_environment=None):
        self.lab = lab
        self.workspace = workspace
        self.command = command or os.path.join(workspace, 'bin', 'ua-overlay')
        self.server = server
        self.tailscaled = tailscaled or locate('tailscaled')
        self.daemon_environment = daemon_environment or {}

    # --- site ---

    def start_site(self, addresses=('203.0.113.10',)):
        """`server init` and `server run` on the server host; returns when the server and its relay answer."""
        argv = ['server', 'init', '--dir', SITE_DIR, '--name', SERVER_NAME]
        for address in addresses:
            argv += ['--address', address]
        self.overlay(self.server, *argv)
        self.start_server()

    def start_server(self):
        self.lab.start_service(self.server, 'site', [self.command, 'server', 'run', '--dir', SITE_DIR],
                               env=dict(self.base_environment(), **GO))
        self.wait_server()

    def wait_server(self, timeout=30):
        wait('A healthy server with its relay, as `ua-overlay server status` says,', self.server_ready, timeout,
             poll=0.3)

    def server_ready(self):
        result = self.site('server', 'status', '--json', check=False)
        return result.returncode == 0 and json.loads(result.stdout)['relay'] == 'up'

    def stop_server(self):
        self.lab.stop_service(self.server, 'site')

    def site(self, *argv, check=True):
        """Run `ua-overlay ARGV --dir SITE` on the server."""
        return self.overlay(self.server, *(tuple(argv) + ('--dir', SITE_DIR)), check=check)

    def robots(self):
        """The robots as `robot list --json` shows them."""
        return json.loads(self.site('robot', 'list', '--json').stdout)

    def invite(self, team, robot, *options):
        """Make an invitation on the server; return the text of its file (it holds a key: never print it)."""
        path = '/run/{}.invitation.yaml'.format(robot)
        self.site('invite', team, robot, '--output', path, *options)
        text = self.lab.host(self.server).run(['cat', path]).stdout
        self.lab.host(self.server).run(['rm', path])
        return text

    # --- robots ---

    def carry(self, host, text, name='invitation.yaml'):
        """Put an invitation's text into a 0600 file of the robot's user on ``host``; return its path."""
        path = '/home/{}/{}'.format(USER, name)
        self.lab.host(host).run(['install', '-m', '600', '-o', USER, '-g', USER, '/dev/stdin', path],
                                input=text)
        return path

    def prepare(self, host, invitation):
        """The system's tailscaled and `robot prepare`, as on a robot whose service manager is not systemd."""
        self.overlay(host, 'robot', 'prepare', '--invitation', invitation, '--user', USER, '--service-manager', 'none')
        self.start_daemon(host)
        self.lab.start_service(host, 'agent', [self.command, 'robot', 'agent', '--user', USER],
                               env=self.base_environment())

    def start_daemon(self, host, env=None):
        environment = self.base_environment()
        environment.update(SSL_CERT_FILE=defaults.CA_FILE, TS_NO_LOGS_NO_SUPPORT='true', **GO)
        environment.update(self.daemon_environment)
        environment.update(env or {})
        self.lab.start_service(host, 'tailscaled', [
            self.tailscaled, '--statedir', defaults.DAEMON_STATE_DIR, '--socket', defaults.DAEMON_SOCKET,
            '--port', str(defaults.DAEMON_PORT)], env=environment)

    def launch(self, host, *args, name='overlay'):
        """`roslaunch ua_overlay overlay.launch ARGS` as the robot's user; returns when its services are there."""
        self.lab.start_service(host, name, self.ros_argv(
            ['roslaunch', 'ua_overlay', 'overlay.launch'] + list(args)),
                               env=self.user_environment(), user=USER)
        wait('The service /ua_overlay/join on {}'.format(host),
             lambda: self.ros(host, 'rosservice', 'type', '/ua_overlay/join', check=False).returncode == 0, 30,
             poll=0.2)

    def join(self, host, path):
        """`rosservice call /ua_overlay/join`; returns the answer as a dict."""
        return self.call(host, '/ua_overlay/join', '{invitation: ' + json.dumps(path) + '}')

    def call(self, host, service, request):
        import yaml
        return yaml.safe_load(self.ros(host, 'rosservice', 'call', service, request, timeout=120).stdout)

    def topic(self, host, topic, timeout=10):
        """The latched message of ``topic`` as a dict."""
        import yaml
        output = self.ros(host, 'rostopic', 'echo', '-n', '1', topic, timeout=timeout).stdout
        return next(yaml.safe_load_all(output))

    # --- running things ---

    def base_environment(self):
        return {'PATH': os.environ.get('PATH', '/usr/bin:/bin') + ':/usr/sbin:/sbin', 'LANG': 'C.UTF-8',
                'UA_OVERLAY_CACHE': os.environ.get('UA_OVERLAY_CACHE', '/var/cache/ua_overlay'),
                'PYTHONUNBUFFERED': '1'}

    def user_environment(self):
        home = '/home/' + USER
        environment = self.base_environment()
        environment.update(HOME=home, USER=USER, ROS_HOME=home + '/.ros')
        return environment

    def ros_argv(self, argv, graph='local'):
        """``argv`` in the sourced workspace.

        :param graph: 'local' for `ua-overlay exec --local ARGV`; 'shell' for what a new shell gets, which is the team
            graph as soon as there is one.
        """
        prefix = ['ua-overlay', 'exec', '--local'] if graph == 'local' else []
        return ['bash', '-c', '. "$0/setup.bash" && exec "$@"', self.workspace] + prefix + list(argv)

    def ros(self, host, *argv, graph='local', check=True, timeout=30):
        """Run a ROS program as the robot's user; returns CompletedProcess with text output."""
        return self.lab.host(host).run(self.ros_argv(argv, graph), user=USER, env=self.user_environment(), check=check,
                                       timeout=timeout)

    def ros_popen(self, host, *argv, graph='local', **options):
        """Start a ROS program as the robot's user; returns Popen with text pipes."""
        options.setdefault('stdout', subprocess.PIPE)
        options.setdefault('universal_newlines', True)
        return self.lab.host(host).popen(self.ros_argv(argv, graph), user=USER, env=self.user_environment(), **options)

    def overlay(self, host, *argv, user=None, check=True, timeout=60):
        """Run `ua-overlay ARGV` on ``host``."""
        environment = self.user_environment() if user else self.base_environment()
        return self.lab.host(host).run([self.command] + list(argv), user=user, env=environment, check=check,
                                       timeout=timeout)

