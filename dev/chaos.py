#!/usr/bin/python3
"""Kill anything of ours at random on the hosts of a lab, and check what must hold: `make chaos`.

A site with its relay and three robots with a team launch. What dies is started again the way systemd does it: after a
second, with nothing left of it. The history goes to results/chaos, and dev/chaos_history.py judges it. A run is
repeated by its seed, as far as a machine repeats itself.

usage: dev/chaos.py [--minutes N] [--seed N] [--results DIR]
"""
import argparse
import contextlib
import json
import os
import random
import re
import shutil
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[1:1] = [os.path.join(ROOT, 'test', 'lab'), os.path.join(ROOT, 'test'), os.path.join(ROOT, 'src')]

import chaos_history  # noqa: E402
from follow import SERVICE as FOLLOWER  # noqa: E402
from places import INSTALL  # noqa: E402
from team_fleet import LAUNCH, ROBOTS, Team  # noqa: E402
from topologies import THREE_NATS  # noqa: E402

from ua_overlay.defaults import LOCAL_MASTER_PORT, TEAM_PORT  # noqa: E402
from ua_overlay.errors import OverlayError  # noqa: E402
from ua_overlay.lab import timeouts  # noqa: E402
from ua_overlay.lab.fleet import SITE_DIR, USER  # noqa: E402
from ua_overlay.lab.lab import Lab  # noqa: E402
from ua_overlay.lab.wait import wait  # noqa: E402

#: What runs: {kind: regular expression of its command line}. A minder's command line contains that of its child.
ROBOT_KINDS = {
    'tailscaled': r'\S*/tailscaled ',
    'agent': r'.*ua-overlay robot agent',
    'overlay.launch': r'.*roslaunch ua_overlay overlay\.launch',
    'the local rosmaster': r'.*rosmaster --core -p {} '.format(LOCAL_MASTER_PORT),
    'the overlay node': r'.*lib/ua_overlay/overlay ',
    "the runner's minder": r'.*subreaper\.py .*roslaunch --wait',
    "the team's roslaunch": r'(?!.*subreaper\.py).*roslaunch --wait',
    "the mirror's minder": r'.*subreaper\.py .*nodes\.mirror',
    'the mirror': r'(?!.*subreaper\.py).*nodes\.mirror',
    'the talker': r'.*lib/ua_overlay/talker\.py __name:=talker_',
    'the stubborn node': r'.*team/stubborn\.py',
}
MASTER_KINDS = {
    "the roscore's minder": r'.*subreaper\.py .*roscore -p ',
    'roscore': r'(?!.*subreaper\.py).*roscore -p ',
    "the team's rosmaster": r'.*rosmaster --core -p {} '.format(TEAM_PORT),
}
SERVER_KINDS = {
    'server run': r'.*ua-overlay server run',
    'headscale': r'\S*/headscale ',
    'the relay': r'\S*/tailscaled ',
}
#: The team's own nodes have no respawn: who kills them wants them dead.
NOT_OURS = ('the talker', 'the stubborn node')
#: Seconds between two looks, and for which all must work to count.
LOOK, STEADY = 0.5, 1.0
#: Seconds between the end of a service and its next start (RestartSec= of our units is about this).
RESTART = 1.0
#: Share of the kills that take two, and that come before the last one has healed.
TWO, EARLY = 0.25, 0.25
#: Seconds for a robot that is late; then the run ends.
STUCK = 120.0


def kinds_of(commands, table):
    """{kind: [process id]} of {process id: command line}. Pure."""
    return {kind: sorted(pid for pid, command in commands.items() if re.match(pattern, command))
            for kind, pattern in table.items()}


def table_of(host, master):
    """The kinds of a host. Pure."""
    if host not in ROBOTS:
        return SERVER_KINDS
    return dict(ROBOT_KINDS, **MASTER_KINDS) if host == master else ROBOT_KINDS


def choices(master, early):
    """[(host, kind)] that may be killed. Pure.

    :param early: while the robots are not back: nothing on the server, without which no robot is.
    """
    return [(host, kind) for host in ROBOTS + (() if early else ('server',)) for kind in table_of(host, master)
            if kind not in NOT_OURS]


def variables_of(text):
    """The variables in an env file. Pure."""
    return dict(line.split('=', 1) for line in text.splitlines() if '=' in line and not line.startswith('#'))


def missing_of(seen, master, run_id):
    """Return what keeps a robot from working, '' if nothing does. Pure.

    :param seen: a record of chaos_history with `state`, `runner` besides.
    :param master: of the team. :param run_id: of its roscore, as the master has it.
    """
    uri = 'http://{}.overlay.internal:{}'.format(master, TEAM_PORT)
    for kind in table_of(seen['robot'], master):
        if len(seen['processes'][kind]) != 1:
            return '{} times {}'.format(len(seen['processes'][kind]), kind)
    if seen['robot'] == 'server':
        return ''
    topic, state, runner = seen['topic'], seen['state'], seen['runner']
    if topic is None or state is None or runner is None:
        return 'a topic'
    if (topic['state'], topic['actual_master_uri'], (seen['file'] or {}).get('ROS_MASTER_URI')) != ('OK', uri, uri):
        return 'the environment: {}'.format(topic['state'])
    if (state['state'], state['online'], state['server']) != (5, True, 1):
        return 'the state: {} {} {}'.format(state['state'], state['online'], state['server'])
    if (runner['state'], runner['master_uri']) != ('RUNNING', uri) or runner['run_id'] in ('', None) or (
            runner['run_id'] != run_id):
        return 'the runner: {}'.format(runner['state'])
    return ''


class Chaos:
    """A run on a team that works.

    :param team: team_fleet.Team whose robots work.
    :param master: of the team.
    :param seed: of the choices.
    :param path: of the history.
    :param begin: `left_behind` of each host before anything of ours ran.
    """

    def __init__(self, team, master, seed, path, begin, say=print):
        self.team, self.master, self.lab, self.say = team, master, team.lab, say
        self.choose = random.Random(seed)
        self.began = time.monotonic()
        self.history, self._last, self._lock = [], {}, threading.Lock()
        self._stream = open(path, 'w', encoding='utf-8')
        self._stopping = threading.Event()
        self.manager_failure = None
        self.note('begin', left=begin)

    # --- the history ---

    def note(self, event, **fields):
        record = dict(fields, event=event, t=round(time.monotonic() - self.began, 2))
        with self._lock:
            self.history.append(record)
            self._stream.write(json.dumps(record, sort_keys=True) + '\n')
            self._stream.flush()
        return record

    def look(self):
        """Note what is seen of every robot and the server; return {host: what keeps it from working}."""
        seen = {robot: self.seen(robot) for robot in ROBOTS}
        seen['server'] = {'robot': 'server', 'processes': kinds_of(self.commands('server'), SERVER_KINDS),
                          'file': None, 'topic': None}
        for robot, now in seen.items():
            kept = {key: now[key] for key in ('robot', 'processes', 'file', 'topic')}
            if self._last.get(robot) != kept:
                self._last[robot] = kept
                self.note('seen', **kept)
        run_id = (seen[self.master]['runner'] or {}).get('run_id', '')
        return {host: missing_of(now, self.master, run_id) for host, now in seen.items()}

    def seen(self, robot):
        topics = self.team.topics[robot]
        environment = topics.latest('ros_environment')
        try:
            with open(self.lab.host(robot).path('/run/ua_overlay/env'), encoding='utf-8') as stream:
                file = variables_of(stream.read())
        except FileNotFoundError:
            file = None
        return {'robot': robot, 'processes': kinds_of(self.commands(robot), table_of(robot, self.master)), 'file': file,
                'topic': environment and {key: environment[key] for key in ('state', 'actual_master_uri')},
                'state': topics.latest('state'), 'runner': topics.latest('team_runner')}

    def commands(self, host):
        return {pid: ' '.join(argv) for pid, argv in self.lab.host(host).processes().items()}

    # --- a service manager ---

    def manage(self):
        """Start services again as systemd does, until the end."""
        died = {}
        try:
            while not self._stopping.wait(0.2):
                for host, service in [(robot, name) for robot in ROBOTS for name in (
                        'tailscaled', 'agent', 'overlay')] + [('server', 'site')]:
                    if self.lab.service_running(host, service):
                        died.pop((host, service), None)
                    elif time.monotonic() - died.setdefault((host, service), time.monotonic()) > RESTART:
                        self.start(host, service)
        except BaseException as failure:
            self.manager_failure = failure
            raise

    def start(self, host, service):
        if service == 'tailscaled':
            self.team.start_daemon(host)
        elif service == 'agent':
            self.team.start_agent(host)
        elif service == 'overlay':
            # The processes of the service's control group end with it (systemd.kill(5), KillMode=control-group).
            self.kill(host, [pid for pid, command in self.commands(host).items() if pid != 1 and not re.match(
                r'\S*/tailscaled |.*robot agent|.*on_robot/topics\.py', command)])
            self.lab.start_service(host, 'overlay', self.team.ros_argv(
                ['roslaunch', 'ua_overlay', 'overlay.launch', 'team_launch:=' + LAUNCH]),
                env=self.team.user_environment(), user=USER)
        else:
            self.lab.start_service(host, 'site', [self.team.command, 'server', 'run', '--dir', SITE_DIR],
                                   env=self.team.base_environment())

    def kill(self, host, pids):
        if pids:
            self.lab.host(host).run(['kill', '-9'] + [str(pid) for pid in pids], check=False)

    # --- the run ---

    def strike(self, early=False):
        """Kill something; return what."""
        host, kind = self.choose.choice(choices(self.master, early))
        kinds = [kind]
        if self.choose.random() < TWO:
            kinds.append(self.choose.choice([other for where, other in choices(self.master, early) if where == host]))
        alive = kinds_of(self.commands(host), table_of(host, self.master))
        pids = sorted({pid for each in kinds for pid in alive[each]})
        kinds = sorted({each for each in kinds if alive[each]})
        if pids:
            self.note('kill', host=host, what=kinds, pids=pids)
            self.kill(host, pids)
        return '{}: {}'.format(host, ' and '.join(kinds)) if pids else None

    def heal(self, limit):
        """Wait until every robot works; return (seconds, None), or (seconds, what is missing) when it takes longer."""
        begin, since = time.monotonic(), None
        while True:
            missing = {robot: what for robot, what in self.look().items() if what}
            now = time.monotonic()
            since = None if missing else since or now
            if self.manager_failure:
                raise self.manager_failure
            if since and now - since >= STEADY:
                self.note('back')
                return since - begin, None
            if now - begin > limit:
                return now - begin, missing
            time.sleep(LOOK)

    def reset(self, robots):
        """Start the robots' overlay anew, as a person would who gives up on them."""
        for robot in set(robots) & set(ROBOTS):
            self.lab.stop_service(robot, 'overlay', timeout=60)
        took, missing = self.heal(timeouts.scaled(STUCK))
        if missing:
            raise RuntimeError('Not even a new start helps: {}'.format(missing))
        self.note('reset', robots=sorted(robots))

    def run(self, seconds):
        """Kill for ``seconds``; return how often."""
        manager = threading.Thread(target=self.manage, daemon=True)
        manager.start()
        try:
            wait('Every robot', lambda: not any(self.look().values()), timeouts.GRAPH)
            kills, end = 0, time.monotonic() + seconds
            while time.monotonic() < end:
                struck = [self.strike()]
                while self.choose.random() < EARLY:
                    time.sleep(self.choose.uniform(0, 3))
                    struck.append(self.strike(early=True))
                struck = [each for each in struck if each]
                if not struck:
                    continue
                kills += len(struck)
                took, missing = self.heal(timeouts.scaled(STUCK))
                self.say('{:6.0f} s  {}: {}'.format(
                    time.monotonic() - self.began, '; '.join(struck),
                    'every robot works after {:.1f} s'.format(took) if not missing else 'STUCK: {}'.format(missing)))
                if missing:
                    self.reset(missing)
                time.sleep(self.choose.uniform(0, 2))
                self.look()
            return kills
        finally:
            self._stopping.set()
            manager.join()

    def finish(self, back=chaos_history.BACK):
        """Take everything down as a person does, and note what is left; return the sentences about the history.

        :param back: seconds for the robots to work again, before scaling.
        """
        for robot in ROBOTS:
            self.team.overlay(robot, 'leave', '--forget', user=USER, check=False)
            self.lab.stop_service(robot, 'overlay', timeout=60)
            with contextlib.suppress(OverlayError):  # none in this run
                self.lab.stop_service(robot, FOLLOWER)
            self.lab.stop_service(robot, 'agent')
            self.lab.stop_service(robot, 'tailscaled')
            # What ExecStopPost= of tailscaled's own unit does.
            self.lab.host(robot).run([self.team.tailscaled, '--cleanup'])
            self.team.overlay(robot, 'robot', 'prepare', '--undo')
        self.lab.stop_service('server', 'site', timeout=60)
        self.note('end', left=left_in(self.lab))
        self._stream.close()
        return chaos_history.problems(self.history, timeouts.scaled(back))


#: What a host has; each a shell command that prints a line for each. tailscaled's firewall is ours as far as its rules
#: go: an empty table of iptables stays. Keys are those of invitations and enrolments, in places that are not people's.
LEFT = {
    'table': "nft list tables | grep ua_overlay; nft list ruleset | grep -o 'chain ts-[a-z]*'",
    'mount': "cut -d' ' -f2 /proc/self/mounts",
    'block': 'grep -h "BEGIN ua_overlay" /etc/hosts',
    'interface': 'ls /sys/class/net',
    'file': 'find /run/ua_overlay /etc/ua_overlay /var/lib/ua_overlay -name ".*" 2>/dev/null; '
            'ls -d /run/ua_overlay/env /etc/ua_overlay 2>/dev/null',
    'key': 'grep -rlsE "hskey-auth-[A-Za-z0-9_-]{20}" --exclude-dir=headscale /run /etc /var/lib/ua_overlay '
           '/home/robot/.ros',
}


def left_behind(host):
    """{what: [lines]} of a host."""
    found = {what: [line for line in host.run(['sh', '-c', command], check=False).stdout.splitlines() if line]
             for what, command in LEFT.items()}
    found['process'] = [' '.join(argv)[:120] for pid, argv in host.processes().items() if pid != 1]
    return found


def left_in(lab):
    return {name: left_behind(lab.host(name)) for name in ROBOTS + ('server',)}


def say(text):
    print(text, flush=True)


def main():
    parser = argparse.ArgumentParser(description='Kill anything of ours at random and check what must hold.')
    parser.add_argument('--minutes', type=float, default=30)
    parser.add_argument('--seed', type=int, default=random.randrange(10**6))
    parser.add_argument('--results', default=os.path.join(ROOT, 'results', 'chaos'))
    args = parser.parse_args()
    os.makedirs(args.results, exist_ok=True)
    path = os.path.join(args.results, 'history-{}.jsonl'.format(args.seed))
    say('Chaos for {:g} min with seed {}; the history goes to {}.'.format(args.minutes, args.seed, path))
    with Lab.up(THREE_NATS, 'chaos-{}'.format(os.getpid()), bound=True) as lab:
        begin = left_in(lab)
        team = Team(lab, INSTALL)
        team.start()
        for robot in ROBOTS:
            answer = team.join(robot, '/home/robot/invitation.yaml')
            assert answer['code'] == 0, answer['message']
        team.wait_healthy('dev-1')
        run = Chaos(team, 'dev-1', args.seed, path, begin, say)
        kills = run.run(60 * args.minutes)
        problems = run.finish()
        if problems:
            keep_logs(lab, os.path.join(args.results, 'logs-{}'.format(args.seed)))
    say('{} kills; {}'.format(kills, 'everything held.' if not problems else 'this did not hold:'))
    for problem in problems:
        say('  ' + problem)
    return 1 if problems else 0


def keep_logs(lab, folder):
    """Keep what the programs said; the lab's directory goes with the lab."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(os.path.join(lab.directory, 'logs'), folder)
    say('The logs are in {}.'.format(folder))


if __name__ == '__main__':
    sys.exit(main())
