#!/usr/bin/python3
"""Show the main job on real parts, step by step: `make demo`. The exit status is 0 only if every step was observed."""
import os
import re
import subprocess
import sys
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, 'src'))

from ua_overlay import link_types  # noqa: E402
from ua_overlay.errors import OverlayError  # noqa: E402
from ua_overlay.lab import nat  # noqa: E402
from ua_overlay.lab.fleet import USER  # noqa: E402
from ua_overlay.lab.lab import Lab, load_topology  # noqa: E402
from ua_overlay.lab.relays import Pair  # noqa: E402
from ua_overlay.lab.wait import wait  # noqa: E402

TEAM = 'iris'
ROBOTS = ('dev-1', 'dev-2')


def numbered_types():
    """Return {number in ua_overlay/Link: link type}."""
    with open(os.path.join(ROOT, 'msg', 'Link.msg'), encoding='utf-8') as stream:
        numbers = dict(re.findall(r'^uint8 (\w+)=(\d+)', stream.read(), re.MULTILINE))
    return {int(numbers[kind]): kind for kind in link_types.ORDER}


TYPES = numbered_types()


class Story:
    """Print one line per step with the time it took, and real output indented below it."""

    def __init__(self):
        self.start = time.monotonic()
        self.number = 0

    def step(self, text, action):
        self.number += 1
        print('{:>2}. {} …'.format(self.number, text), end='', flush=True)
        began = time.monotonic()
        try:
            result = action()
        except BaseException:
            print(' FAILED after {:.1f} s'.format(time.monotonic() - began), flush=True)
            raise
        print(' {:.1f} s'.format(time.monotonic() - began), flush=True)
        return result

    @staticmethod
    def show(prompt, output, most=40):
        """Print a command as a user would type it, and its output."""
        print('      {}'.format(prompt))
        lines = output.rstrip().splitlines()
        for line in lines[:most]:
            print('      | ' + line)
        if len(lines) > most:
            print('      | … {} more lines'.format(len(lines) - most))
        sys.stdout.flush()


class Lines:
    """Collects the output of a running program as (Unix time of arrival, line)."""

    def __init__(self, process):
        self.process = process
        self.lines = []
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append((time.time(), line.strip()))

    def ended(self):
        return self.process.poll() is not None

    def end(self):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()


def type_changes(events, peer):
    """Return (Unix time, type) of each change of the link to ``peer``.

    :param events: the Lines of `rostopic echo -p /ua_overlay/link_events`.
    """
    changes = []
    header = None
    for when, line in events.lines:
        fields = line.split(',')
        if line.startswith('%time'):
            header = fields
        elif header and len(fields) == len(header):
            row = dict(zip(header, fields))
            if row['field.peer'] == peer:
                changes.append((when, TYPES[int(row['field.to_type'])]))
    return changes


def stall(listener, since):
    """Return (longest gap in seconds, count of missing numbers) of the messages since Unix time ``since``.

    The gap begins with the last message before that time.
    """
    every = [(when, int(line.rsplit(' ', 1)[1])) for when, line in list(listener.lines)]
    heard = [item for item in every if item[0] < since][-1:] + [item for item in every if item[0] >= since]
    gaps = [later[0] - earlier[0] for earlier, later in zip(heard, heard[1:])]
    numbers = [number for _, number in heard]
    lost = numbers[-1] - numbers[0] + 1 - len(set(numbers)) if numbers else 0
    return max(gaps or [0.0]), lost


def change_nats(story, fleet, events, listener, kind, link_type):
    """Switch both NATs and wait until the topic reports the new link type, while the talker keeps talking."""
    since = time.time()

    def observe():
        for router in ('nat1', 'nat2'):
            fleet.lab.nat(router, kind)
        changes = wait('A link event to {} on dev-1'.format(link_type),
                       lambda: [item for item in type_changes(events, 'dev-2')
                                if item[0] > since and item[1] == link_type], 180)
        heard = len(listener.lines)
        wait('A message after the change on dev-2', lambda: len(listener.lines) > heard + 20, 60)
        return changes[0][0] - since

    took = story.step('Make both NATs {}: the link to dev-2 becomes {}'.format(kind, link_type), observe)
    longest, lost = stall(listener, since)
    story.show('talker on dev-1, listener on dev-2, meanwhile:',
               'link type on the topic after {:.1f} s; longest silence of the talker {:.1f} s; messages lost: {}\n'
               'last heard: {}'.format(took, longest, lost, listener.lines[-1][1]))
    if lost:
        raise OverlayError('{} messages were lost on a TCP topic.'.format(lost))


def reboot_without_a_server(story, fleet):
    """Kill the server's machine and both robots; boot the robots; wait until they are in their graph again."""
    def die():
        fleet.cut_off('server')
        fleet.stop_server()
        for robot in ROBOTS:
            fleet.lose_power(robot)

    def boot():
        began = time.monotonic()
        for robot in ROBOTS:
            fleet.start_daemon(robot)
            fleet.start_agent(robot)
        for robot in ROBOTS:
            fleet.launch(robot)
        wait_master(fleet, 'dev-2')
        talker, listener = talk(fleet)
        talker.end()
        listener.end()
        return time.monotonic() - began

    story.step("The server's machine dies, and so do both robots", die)
    took = story.step('Boot both robots: they remember their team and find each other over the DERP that lives', boot)
    story.show('dev-1$ ua-overlay status', fleet.overlay('dev-1', 'status', check=False).stdout +
               '\ntalker on dev-1 heard on dev-2 {:.1f} s after the start of tailscaled'.format(took))

    def revive():
        fleet.connect_again('server')
        fleet.start_server()
        for robot in ROBOTS:
            wait('The server\'s answer to {}'.format(robot),
                 lambda robot=robot: fleet.topic(robot, '/ua_overlay/state')['online'], 60)

    story.step('Repair the server', revive)


def talk(fleet):
    """Run a talker on dev-1 and a listener on dev-2 in the team graph until 20 messages have come; return both."""
    listener = Lines(fleet.ros_popen('dev-2', 'ua-overlay', 'exec', '--wait', '--timeout', '30',
                                     'rosrun', 'ua_overlay', 'listener.py', graph='shell'))
    talker = Lines(fleet.ros_popen('dev-1', 'ua-overlay', 'exec', '--wait', '--timeout', '30',
                                   'rosrun', 'ua_overlay', 'talker.py', graph='shell'))
    wait('Hearing the talker on dev-2', lambda: len(listener.lines) > 20 or talker.ended() or listener.ended(), 60)
    if talker.ended() or listener.ended():
        raise OverlayError('The talker or the listener ended early.')
    return talker, listener


def wait_master(fleet, master):
    """Wait until both robots follow ``master`` and reach it."""
    for robot in ROBOTS:
        def follows(robot=robot):
            environment = fleet.topic(robot, '/ua_overlay/ros_environment')
            return environment['master'] == master and environment['state'] == 'OK' and environment['master_alive'] \
                and environment['actual_master_uri'] == environment['master_uri']
        wait('The master {} on {}'.format(master, robot), follows, 60)


def move_master(fleet):
    """Run `team master` on the server; wait until both robots follow and a message arrives in the new graph."""
    fleet.site('team', 'master', TEAM, 'dev-2')
    wait_master(fleet, 'dev-2')
    talker = Lines(fleet.ros_popen('dev-2', 'ua-overlay', 'exec', 'rosrun', 'ua_overlay', 'talker.py', graph='shell'))
    listener = Lines(fleet.ros_popen('dev-1', 'ua-overlay', 'exec', 'rosrun', 'ua_overlay', 'listener.py',
                                     graph='shell'))
    try:
        wait('Hearing the talker of dev-2 on dev-1', lambda: len(listener.lines) > 5, 60)
    finally:
        talker.end()
        listener.end()


def run(story, lab, workspace):
    fleet = Pair(lab, workspace)
    for router in ('nat1', 'nat2'):
        lab.nat(router, nat.EASY)
    story.step('Start the server (Headscale with DERP and STUN, peer relay, private CA), create the team',
               fleet.start_site)
    story.show('server$ ua-overlay server status', fleet.site('server', 'status').stdout)
    story.step('Start a DERP and a relay on a second host', fleet.start_remote_hosts)

    def invite():
        return {'dev-1': fleet.invite(TEAM, 'dev-1', '--master'), 'dev-2': fleet.invite(TEAM, 'dev-2')}

    invitations = story.step('Make two invitations to the team {}'.format(TEAM), invite)
    story.show('server$ ua-overlay team list', fleet.site('team', 'list').stdout)

    def prepare():
        paths = {}
        for robot in ROBOTS:
            paths[robot] = fleet.carry(robot, invitations[robot])
            fleet.prepare(robot, paths[robot])
        return paths

    paths = story.step('Copy the invitations to the robots and run `robot prepare` on both', prepare)
    for robot in ROBOTS:
        story.step('{}: roslaunch ua_overlay overlay.launch'.format(robot), lambda robot=robot: fleet.launch(robot))
    for robot in ROBOTS:
        answer = story.step('{}: rosservice call /ua_overlay/join'.format(robot),
                            lambda robot=robot: fleet.join(robot, paths[robot]))
        story.show('{}$ rosservice call /ua_overlay/join {}'.format(robot, paths[robot]),
                   'code: {code}\nmessage: {message}\ndns_name: {dns_name}\naddresses: {addresses}'.format(**answer))
        if answer['code'] != 0:
            raise OverlayError('{} did not join.'.format(robot))

    events = Lines(fleet.ros_popen('dev-1', 'rostopic', 'echo', '-p', '/ua_overlay/link_events'))
    talker, listener = story.step('Run a talker on dev-1 and a listener on dev-2, by host name, without exports',
                                  lambda: talk(fleet))
    story.show('dev-2$ echo $ROS_MASTER_URI $ROS_HOSTNAME', fleet.ros(
        'dev-2', 'bash', '-c', 'echo $ROS_MASTER_URI $ROS_HOSTNAME', graph='shell').stdout)
    story.show('dev-2$ ua-overlay exec rosrun ua_overlay listener.py',
               '\n'.join(line for _, line in listener.lines[-3:]))

    def direct():
        return wait('A DIRECT link from dev-1 to dev-2',
                    lambda: next((link for link in fleet.topic('dev-1', '/ua_overlay/links')['links']
                                  if link['peer'] == 'dev-2' and TYPES[link['type']] == link_types.DIRECT),
                                 None), 60)

    story.step('Wait until the link is DIRECT', direct)
    story.show('dev-1$ ua-overlay exec --local rostopic echo -n1 /ua_overlay/peers', fleet.ros(
        'dev-1', 'rostopic', 'echo', '-n', '1', '/ua_overlay/peers/peers').stdout)
    prompt = 'dev-1$ ua-overlay exec --local rostopic echo -n1 /ua_overlay/links      # type 1 is DIRECT, 4 is IDLE'
    story.show(prompt, fleet.ros('dev-1', 'rostopic', 'echo', '-n', '1', '/ua_overlay/links/links').stdout)
    story.show('dev-1$ ua-overlay status', fleet.overlay('dev-1', 'status').stdout)
    probe = story.step('Probe the link from dev-1', lambda: fleet.call('dev-1', '/ua_overlay/probe', '{peer: dev-2}'))
    story.show("dev-1$ ua-overlay exec --local rosservice call /ua_overlay/probe '{peer: dev-2}'", probe['message'])

    change_nats(story, fleet, events, listener, nat.HARD, link_types.PEER_RELAY)
    change_nats(story, fleet, events, listener, nat.UDP_BLOCKED, link_types.DERP)
    story.show('dev-1$ ua-overlay status', fleet.overlay('dev-1', 'status').stdout)
    story.show('dev-1$ ua-overlay links dev-2      # rebind: the overlay node had tailscaled abandon a dead path',
               fleet.overlay('dev-1', 'links', 'dev-2').stdout)

    for program in (talker, listener, events):
        program.end()
    story.step("Move the team's master from dev-1 to dev-2; both robots follow by themselves",
               lambda: move_master(fleet))
    for robot in ROBOTS:
        story.show('{}$ echo $ROS_MASTER_URI      # a new shell'.format(robot), fleet.ros(
            robot, 'bash', '-c', 'echo $ROS_MASTER_URI', graph='shell').stdout)

    story.step('Wait until the DERP on the second host is the home of both robots', lambda: fleet.wait_home('second'))
    reboot_without_a_server(story, fleet)

    def leave():
        for robot in ROBOTS:
            answer = fleet.call(robot, '/ua_overlay/leave', '{forget: false}')
            if answer['code'] != 0:
                raise OverlayError('{} did not leave: {}'.format(robot, answer['message']))
            wait('The end of the ROS environment on {}'.format(robot),
                 lambda robot=robot: not fleet.topic(robot, '/ua_overlay/ros_environment')['actual_master_uri'], 10)
        return answer

    answer = story.step('Leave on both robots', leave)
    story.show('dev-2$ rosservice call /ua_overlay/leave false', answer['message'])
    story.show('dev-2$ echo $ROS_MASTER_URI', fleet.ros(
        'dev-2', 'bash', '-c', 'echo $ROS_MASTER_URI', graph='shell').stdout)


def main():
    story = Story()
    keep = os.environ.get('KEEP') == '1'
    workspace = os.path.join(os.path.realpath(os.path.join(ROOT, '.workspace')), 'install')
    name = 'demo'
    lab = None
    try:
        lab = story.step('Create two robots behind two NATs and two hosts on the internet (network namespaces)',
                         lambda: Lab.up(load_topology(os.path.join(ROOT, 'config', 'lab', 'two_hosts.yaml')), name))
        run(story, lab, workspace)
        if not keep:
            story.step('Remove everything', lab.down)
            lab = None
    except OverlayError as error:
        print('make demo: {}'.format(error), file=sys.stderr)
        if lab is not None:
            print('The last lines of each log, from {}:'.format(os.path.join(lab.directory, 'logs')), file=sys.stderr)
            for log in sorted(os.listdir(os.path.join(lab.directory, 'logs'))):
                with open(os.path.join(lab.directory, 'logs', log), errors='replace') as stream:
                    for line in stream.readlines()[-5:]:
                        print('  {}: {}'.format(log, line.rstrip()), file=sys.stderr)
        return 1
    finally:
        if lab is not None and not keep:
            lab.down()
    print('The main job works: {} steps in {:.0f} s.'.format(story.number, time.monotonic() - story.start))
    if keep:
        command = os.path.join(workspace, 'bin', 'ua-overlay')
        print('The lab is still up. Enter a robot:   sudo {0} lab exec --name {1} --user {2} dev-1 -- bash\n'
              'Rejoin there:                         {0} join\n'
              'Remove it:                            sudo {0} lab down --name {1}'.format(command, name, USER))
    return 0


if __name__ == '__main__':
    sys.exit(main())
