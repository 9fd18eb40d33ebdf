"""A site and its robots on the hosts of a lab, started with the commands that a person types.

Nothing here imports what it starts: every step is a program on a host (`ua-overlay server init`, `roslaunch …`), so
that the demo, the tests and the benchmarks show what a user gets.
"""
import json
import os
import subprocess
from typing import Any, Dict, List, Optional, Sequence

import yaml

from ua_overlay import defaults
from ua_overlay.errors import OverlayError
from ua_overlay.lab import timeouts
from ua_overlay.lab.lab import Lab
from ua_overlay.lab.wait import wait
from ua_overlay.protocols import Environ, JsonObject
from ua_overlay.system import control_socket
from ua_overlay.toolchain import locate

SITE_DIR = defaults.SITE_DIR
SERVER_NAME = 'server.ua.test'
USER = 'robot'
#: Each host's daemons get one processor: all hosts of a lab share a few, and Go programs that each take all of them
#: spend more time on waking one another than on packets.
GO = {'GOMAXPROCS': '1'}
#: Runs on a robot: waits until the service argv[1] is in the local graph, for at most argv[2] seconds. One program,
#: because `rosservice type` costs a third of a second of a processor each time.
_WAIT_FOR_SERVICE = '''
import sys, time, xmlrpc.client
master = xmlrpc.client.ServerProxy('http://localhost:{port}')
deadline = time.monotonic() + float(sys.argv[2])
while True:
    try:
        if master.lookupService('/lab', sys.argv[1])[0] == 1:
            break
    except OSError:
        pass  # there is no master yet
    if time.monotonic() > deadline:
        sys.exit(1)
    time.sleep(0.1)
'''.format(port=defaults.LOCAL_MASTER_PORT)

#: Rules that leave a host only its loopback.
_CUT_OFF = '''\
table inet ua_lab_cut_off {
    chain in {
        type filter hook input priority -300;
        iifname != "lo" drop
    }
    chain out {
        type filter hook output priority -300;
        oifname != "lo" drop
    }
}
'''


def source(space: str) -> str:
    """Return the command of a bash script that sources the workspace ``space``: a word of the script, such as "$0".

    In a function without arguments, because setup.bash reads those of its caller: catkin would take a `--local` or
    `--help` of ours as its own.
    """
    return 'load() { . ' + space + '/setup.bash; }; load'


SOURCE = source('"$0"')


def shell_argv(script: str, workspace: str, argv: Sequence[str] = ()) -> List[str]:
    """Return the argv of a bash script that runs as a person types it: in an interactive shell, with the workspace
    sourced.

    :param argv: its arguments, "$@".
    """
    # bash complains on stderr that there is no terminal; the script gets the real one back. A lab may run in a unit.
    return ['bash', '-c', 'unset INVOCATION_ID; exec bash --norc -i -c "$1" "$0" "${@:2}" 3>&2 2>/dev/null', workspace,
            'exec 2>&3 3>&-; {}; {}'.format(SOURCE, script)] + list(argv)


class Fleet:
    """What runs on a lab's hosts.

    :param lab: a lab that is up.
    :param workspace: install space with setup.bash of the built package; None for a fleet without ROS.
    :param command: path of ua-overlay; default: the workspace's.
    :param server: the host of the site.
    :param tailscaled: path of another daemon to run on the robots (tests against a second release).
    :param daemon_environment: more of the environment of tailscaled on the robots; overrides GO.
    """

    def __init__(self, lab: Lab, workspace: Optional[str], command: Optional[str] = None, server: str = 'server',
                 tailscaled: Optional[str] = None, daemon_environment: Optional[Environ] = None) -> None:
        self.lab = lab
        self.workspace = workspace
        self.command = command or os.path.join(workspace or '', 'bin', 'ua-overlay')
        self.server = server
        self.tailscaled = tailscaled or locate('tailscaled')
        self.daemon_environment = dict(daemon_environment or {})

    # --- site ---

    def start_site(self, addresses: Sequence[str] = ('203.0.113.10',)) -> None:
        """Run `server init` and `server run` on the server host; return when the server and its relay answer."""
        argv = ['server', 'init', '--dir', SITE_DIR, '--name', SERVER_NAME]
        for address in addresses:
            argv += ['--address', address]
        self.overlay(self.server, *argv)
        self.start_server()

    def start_relay_apart(self) -> None:
        """Run `server relay run`; return when it runs, so that a server that starts later finds it."""
        self.lab.start_service(self.server, 'site-relay', [self.command, 'server', 'relay', 'run', '--dir', SITE_DIR],
                               env=dict(self.base_environment(), **GO))
        wait('An answer of the relay apart from the server', lambda: self.site(
            'server', 'relay', 'status', '--json', check=False).stdout, timeouts.START, poll=0.5)

    def start_server(self) -> None:
        """Run `server run`; return when the server and its relay answer."""
        self.lab.start_service(self.server, 'site', [self.command, 'server', 'run', '--dir', SITE_DIR],
                               env=dict(self.base_environment(), **GO))
        self.wait_server()

    def wait_server(self, timeout: float = timeouts.START) -> None:
        """Wait until the server is healthy and its relay is up."""
        wait('A healthy server with its relay, as `ua-overlay server status` says,', self.server_ready, timeout,
             poll=0.2)

    def server_ready(self) -> bool:
        """Return whether `server status` calls the server healthy and its relay up."""
        # The process answers at once, where the command costs half a second of a processor.
        if self.server_report().get('relay', {}).get('state') != 'up':
            return False
        result = self.site('server', 'status', '--json', check=False)
        return result.returncode == 0 and json.loads(result.stdout)['relay'] == 'up'

    def server_report(self) -> JsonObject:
        """Return what `server run` answers to `server status`, {} while it does not answer."""
        try:
            return control_socket.ask(self.lab.host(self.server).path(SITE_DIR + '/run/control.sock'), 'status', 10)
        except OverlayError:
            return {}

    def stop_server(self) -> None:
        """End `server run`."""
        self.lab.stop_service(self.server, 'site')

    def cut_off(self, host: str) -> None:
        """Drop every packet to and from ``host`` without an answer, as when its machine is dead."""
        self.lab.host(host).run(['nft', '-f', '-'], input=_CUT_OFF)

    def connect_again(self, host: str) -> None:
        """Undo :meth:`cut_off`."""
        self.lab.host(host).run(['nft', 'delete', 'table', 'inet', 'ua_lab_cut_off'])

    def site(self, *argv: str, check: bool = True) -> 'subprocess.CompletedProcess[str]':
        """Run `ua-overlay ARGV --dir SITE` on the server."""
        return self.overlay(self.server, *(tuple(argv) + ('--dir', SITE_DIR)), check=check)

    def robots(self) -> List[JsonObject]:
        """Return the robots as `robot list --json` shows them."""
        robots: List[JsonObject] = json.loads(self.site('robot', 'list', '--json').stdout)
        return robots

    def invite(self, team: str, robot: str, *options: str) -> str:
        """Make an invitation on the server; return the text of its file (it holds a key: never print it)."""
        path = '/run/{}.invitation.yaml'.format(robot)
        self.site('invite', team, robot, '--output', path, *options)
        text = self.lab.host(self.server).run(['cat', path]).stdout
        self.lab.host(self.server).run(['rm', path])
        return text

    # --- robots ---

    def carry(self, host: str, text: str, name: str = 'invitation.yaml') -> str:
        """Put an invitation's text into a 0600 file of the robot's user on ``host``; return its path."""
        path = '/home/{}/{}'.format(USER, name)
        self.lab.host(host).run(['install', '-m', '600', '-o', USER, '-g', USER, '/dev/stdin', path],
                                input=text)
        return path

    def prepare(self, host: str, invitation: str) -> None:
        """Run `robot prepare`, tailscaled and the agent, as on a robot whose service manager is not systemd."""
        self.overlay(host, 'robot', 'prepare', '--invitation', invitation, '--user', USER, '--service-manager', 'none')
        self.start_daemon(host)
        self.start_agent(host)

    def start_daemon(self, host: str, env: Optional[Environ] = None, program: Optional[str] = None) -> None:
        """Start tailscaled as the service `tailscaled` of ``host``.

        :param env: more of its environment.
        :param program: path of another tailscaled than the fleet's.
        """
        environment = self.base_environment()
        environment.update(SSL_CERT_FILE=defaults.CA_FILE, TS_NO_LOGS_NO_SUPPORT='true', **GO)
        environment.update(self.daemon_environment)
        environment.update(env or {})
        self.lab.start_service(host, 'tailscaled', [
            program or self.tailscaled, '--statedir', defaults.DAEMON_STATE_DIR, '--socket', defaults.DAEMON_SOCKET,
            '--port', str(defaults.DAEMON_PORT)], env=environment)

    def restart_daemon(self, host: str) -> None:
        """Restart tailscaled after a logout, as the agent does where systemd runs (tailscale.old_paths)."""
        self.lab.stop_service(host, 'tailscaled')
        self.start_daemon(host)

    def start_agent(self, host: str) -> None:
        """Start `robot agent` as the service `agent` of ``host``."""
        self.lab.start_service(host, 'agent', [self.command, 'robot', 'agent', '--user', USER],
                               env=self.base_environment())

    def lose_power(self, host: str) -> None:
        """End every process of a robot at once and empty /run but for its directories, as a power cut and the next
        boot do. What it runs has to be started again."""
        robot = self.lab.host(host)

        def is_dark() -> bool:
            pids = [str(pid) for pid in robot.processes() if pid != 1]
            if pids:  # some may have ended meanwhile
                robot.run(['kill', '-9'] + pids, check=False)
            return not pids

        wait('The end of all processes of ' + host, is_dark)
        robot.run(['find', defaults.RUN_DIR, '!', '-type', 'd', '-delete'])

    def launch(self, host: str, *args: str, name: str = 'overlay') -> None:
        """Run `roslaunch ua_overlay overlay.launch ARGS` as the robot's user; return when its services are there.

        :param name: of the service of the lab.
        """
        self.lab.start_service(host, name, self.ros_argv(
            ['roslaunch', 'ua_overlay', 'overlay.launch'] + list(args)),
                               env=self.user_environment(), user=USER)
        self.wait_service(host, '/ua_overlay/join')

    def wait_service(self, host: str, service: str, seconds: float = timeouts.START) -> None:
        """Wait until ``service`` is in the local graph of ``host``.

        :raises OverlayError: LAB_TIMEOUT.
        """
        limit = timeouts.scaled(seconds)
        done = self.lab.host(host).run(['/usr/bin/python3', '-I', '-c', _WAIT_FOR_SERVICE, service, str(limit)],
                                       check=False, timeout=limit + 30)
        if done.returncode != 0:
            raise OverlayError('The service {} on {}: not within {:.0f} s.'.format(service, host, limit),
                               code='LAB_TIMEOUT')

    def join(self, host: str, path: str) -> JsonObject:
        """Call /ua_overlay/join with the invitation at ``path`` of ``host``; return the answer."""
        return self.call(host, '/ua_overlay/join', '{invitation: ' + json.dumps(path) + '}')

    def enlist(self, robot: str, team: str, *options: str) -> JsonObject:
        """Bring a robot that runs nothing yet into ``team``: invitation, `robot prepare`, overlay.launch, join.

        :param options: of `ua-overlay invite`, such as --master.
        :returns: the answer of the service join.
        :raises OverlayError: the join failed.
        """
        path = self.carry(robot, self.invite(team, robot, *options))
        self.prepare(robot, path)
        self.launch(robot)
        answer = self.join(robot, path)
        if answer['code'] != 0:
            raise OverlayError(answer['message'])
        return answer

    def call(self, host: str, service: str, request: str) -> JsonObject:
        """Call a service of the local graph; ``request`` in YAML. Return the answer."""
        answer: JsonObject = yaml.safe_load(self.ros(host, 'rosservice', 'call', service, request, timeout=120).stdout)
        return answer

    def topic(self, host: str, topic: str, timeout: float = 10) -> JsonObject:
        """Return the latched message of ``topic``."""
        output = self.ros(host, 'rostopic', 'echo', '-n', '1', topic, timeout=timeout).stdout
        message: JsonObject = next(yaml.safe_load_all(output))
        return message

    # --- programs on hosts ---

    def base_environment(self) -> Dict[str, str]:
        """Return the environment of root's programs."""
        return {'PATH': os.environ.get('PATH', '/usr/bin:/bin') + ':/usr/sbin:/sbin', 'LANG': 'C.UTF-8',
                'UA_OVERLAY_CACHE': os.environ.get('UA_OVERLAY_CACHE', '/var/cache/ua_overlay'),
                'PYTHONUNBUFFERED': '1'}

    def user_environment(self) -> Dict[str, str]:
        """Return the environment of the robot user's programs."""
        home = '/home/' + USER
        environment = self.base_environment()
        environment.update(HOME=home, USER=USER, ROS_HOME=home + '/.ros')
        return environment

    def ros_argv(self, argv: Sequence[str], graph: str = 'local') -> List[str]:
        """Return the argv that runs ``argv`` in the sourced workspace.

        :param graph: 'local' for `ua-overlay exec --local ARGV`; 'shell' for the graph of a person's new shell, which
            is the team graph as soon as there is one.
        """
        if graph == 'shell':
            return shell_argv('exec "$@"', self._setup(), argv)
        return ['bash', '-c', SOURCE + ' && exec "$@"', self._setup(), 'ua-overlay', 'exec', '--local'] + list(argv)

    def ros(self, host: str, *argv: str, graph: str = 'local', check: bool = True,
            timeout: float = 30) -> 'subprocess.CompletedProcess[str]':
        """Run a ROS program as the robot's user; parameters as :meth:`ros_argv` and Host.run."""
        return self.lab.host(host).run(self.ros_argv(argv, graph), user=USER, env=self.user_environment(), check=check,
                                       timeout=timeout)

    def ros_popen(self, host: str, *argv: str, graph: str = 'local', **options: Any) -> 'subprocess.Popen[str]':
        """Start a ROS program as the robot's user, with text pipes.

        :param options: of subprocess.Popen.
        """
        options.setdefault('stdout', subprocess.PIPE)
        options.setdefault('universal_newlines', True)
        return self.lab.host(host).popen(self.ros_argv(argv, graph), user=USER, env=self.user_environment(), **options)

    def shell(self, host: str, script: str, check: bool = True,
              timeout: float = 30) -> 'subprocess.CompletedProcess[str]':
        """Run a bash script as the robot's user types it in a new shell, with the workspace sourced."""
        return self.lab.host(host).run(shell_argv(script, self._setup()), user=USER, env=self.user_environment(),
                                       check=check, timeout=timeout)

    def overlay(self, host: str, *argv: str, user: Optional[str] = None, check: bool = True,
                timeout: float = 60) -> 'subprocess.CompletedProcess[str]':
        """Run `ua-overlay ARGV` on ``host``.

        :param user: default root.
        """
        environment = self.user_environment() if user else self.base_environment()
        return self.lab.host(host).run([self.command] + list(argv), user=user, env=environment, check=check,
                                       timeout=timeout)

    def _setup(self) -> str:
        """Return the install space. :raises OverlayError: this fleet has none."""
        if self.workspace is None:
            raise OverlayError('ROS programs need the built package.', 'make prepare')
        return self.workspace
