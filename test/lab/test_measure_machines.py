"""`ua-overlay measure` on two robots with systemd, each behind its own NAT: a campaign that reaches the other robot by
ssh over the overlay, and a monitor that is a service, with the unit of docs/measure.md."""
import json
import os
import re
import subprocess
import time

import pytest
import vendor
import yaml
from places import INSTALL, ROOT
from topologies import TWO_NATS_CUBIC

from ua_overlay.lab import images
from ua_overlay.lab.fleet import Fleet
from ua_overlay.lab.images import USER
from ua_overlay.lab.machines import Machine, MachineError
from ua_overlay.measure.campaign import plan, proof

HOME = '/home/' + USER
#: The path in the unit of docs/measure.md.
SPACE = HOME + '/catkin_ws/install'
INVITATION = HOME + '/invitation.yaml'
RESULTS = HOME + '/results/short'
UNIT = 'ua-overlay-monitor.service'
MONITORED = '/var/lib/ua_overlay_monitor'
CAMPAIGN = {
    'version': 1, 'name': 'short', 'repetitions': 1, 'clock_error_ms': 0,
    # It is behind a NAT, so only the overlay reaches it.
    'hosts': {'far': {'ssh': USER + '@dev-2.overlay.internal'}},
    'tools': {'tcp': {'tool': 'iperf3-tcp', 'seconds': 4, 'omit': 1},
              'udp': {'tool': 'iperf3-udp', 'seconds': 2, 'omit': 0, 'rate': '10mbit'},
              'ping': {'count': 20, 'interval': 0.05},
              'topic': {'tool': 'ros-topic', 'size': 1000, 'rate': 20, 'seconds': 2},
              'service': {'tool': 'ros-service', 'calls': 20}},
    'scenarios': [{'name': 'there', 'from': 'here', 'to': 'far', 'expected': 'DIRECT', 'link_timeout': 120},
                  {'name': 'back', 'from': 'far', 'to': 'here', 'expected': 'DIRECT', 'link_timeout': 120,
                   'tools': ['tcp', 'ping', 'topic']}]}


def start_robot(site, name, *options):
    """Start a robot that is in the team and runs overlay.launch as a service; returns its Machine."""
    binds = [(INSTALL, SPACE)] + vendor.binds()
    machine = Machine(site.lab, name, images.get(images.ROBOT_PREBUILT), binds=binds).__enter__()
    vendor.install_service(machine)
    machine.run(['systemctl', 'enable', '--now', 'tailscaled.service'])
    machine.run(['chown', USER + ':', HOME, HOME + '/catkin_ws'])
    machine.write(HOME + '/.profile', 'echo Welcome\n. {}/setup.bash\n'.format(SPACE), user=USER)
    machine.write(INVITATION, site.invite('iris', name, *options), mode='600', user=USER)
    sudo(machine, 'robot', 'prepare', '--invitation', INVITATION, '--user', USER)
    typed(machine, 'ua-overlay join ' + INVITATION)
    sudo(machine, 'service', 'install')
    return machine


def sudo(machine, *argv):
    return machine.run(['sudo', SPACE + '/bin/ua-overlay'] + list(argv), user=USER, timeout=120)


def typed(machine, line, check=True, timeout=300):
    """Run a line as the robot's user types it after logging in: in an interactive login shell."""
    return machine.run(['bash', '-lic', line], user=USER, check=check, timeout=timeout)


@pytest.fixture(scope='module')
def robots(new_lab, install):
    """(the robot that measures, the robot that is measured); the second accepts the ssh key of the first's user."""
    machines = []
    lab = new_lab(TWO_NATS_CUBIC, 'measure')
    site = Fleet(lab, INSTALL)
    site.start_site()
    site.site('team', 'create', 'iris')
    try:
        machines += [start_robot(site, 'dev-1', '--master')]
        machines += [start_robot(site, 'dev-2')]
        here, far = machines
        typed(here, 'mkdir -p -m 700 .ssh && ssh-keygen -q -t ed25519 -N "" -f .ssh/id_ed25519')
        key = here.run(['cat', HOME + '/.ssh/id_ed25519.pub']).stdout
        far.write(HOME + '/.ssh/authorized_keys', key, '600', USER)
        far.run(['chown', USER + ':', HOME + '/.ssh'])
        # A machine of a lab runs no sshd until it has host keys.
        far.run(['sh', '-c', 'rm -f /etc/systemd/system/ssh.service && ssh-keygen -A && systemctl daemon-reload && '
                             'systemctl enable --now ssh.service'])
        here.write(HOME + '/.ssh/config', 'StrictHostKeyChecking accept-new\n', '600', USER)
        here.write(HOME + '/short.yaml', yaml.safe_dump(CAMPAIGN), user=USER)
        for robot in machines:
            robot.wait("the team's master in a shell", lambda robot=robot: 'http://dev-1.' in typed(
                robot, 'echo $ROS_MASTER_URI').stdout)
        yield here, far
    finally:
        for machine in machines:
            machine.__exit__(None, None, None)


def samples(here):
    return [json.loads(line) for line in here.run(['cat', RESULTS + '/samples.jsonl']).stdout.splitlines()]


def iperf_runs(far):
    return far.run(['pgrep', '-x', 'iperf3'], check=False).returncode == 0


def test_a_killed_measurement_leaves_no_server_behind_and_can_be_continued(robots):
    here, far = robots
    process = subprocess.Popen(here.enter_argv(['bash', '-lc', 'exec ua-overlay measure run short.yaml'], USER),
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    connected = ['ss', '-Htn', 'state', 'established', 'sport = :5201']
    far.wait('a measurement', lambda: far.run(connected).stdout.strip(), 180)
    # Kill everything that measures there at once, as a power cut does.
    here.run(['pkill', '-KILL', '-u', USER, '-f', 'measure run|iperf3|ssh -o'])
    assert process.wait(30) != 0
    far.wait('the end of the server', lambda: not iperf_runs(far))
    # A new link still carries a few bytes by the relay: such a sample is excluded, and taken again.
    done = typed(here, 'ua-overlay measure run short.yaml || ua-overlay measure run short.yaml --again', check=False)
    taken = samples(here)
    assert done.returncode == 0, done.stdout + done.stderr + json.dumps(taken, indent=1)
    assert len({each['id'] for each in taken}) == len(taken)
    good = [each for each in taken if each['status'] == 'ok']
    assert len(good) == len({plan.base_name(each['id']) for each in taken}) == 8
    for each in good:
        assert (each['status'], each['proof']['verdict'], each['proof']['way']) == ('ok', proof.PROVEN, 'DIRECT'), each
        assert each['versions']['iperf3'] == each['versions']['iperf3_target']
        assert each['cpu']['target_percent'] is not None and each['settings']['mtu'] == 1280
    assert not iperf_runs(far) and not iperf_runs(here)


def status(here):
    said = here.run(['cat', MONITORED + '/status.json'], check=False)
    return json.loads(said.stdout) if said.returncode == 0 else {'rounds': 0, 'state': ''}


def test_a_monitor_is_a_service(robots):
    here, far = robots
    with open(os.path.join(ROOT, 'docs', 'measure.md')) as stream:
        unit = re.search(r'\n    # /etc/systemd/system/ua-overlay-monitor.service\n((?:    .*\n|\n)+)', stream.read())
    here.write('/etc/systemd/system/' + UNIT, re.sub('(?m)^    ', '', unit.group(1)))
    with open(os.path.join(ROOT, 'config', 'campaigns', 'monitor.yaml')) as stream:
        monitor = yaml.safe_load(stream.read().replace('lab-1', 'dev-2'))
    monitor['monitor'].update(interval=20, share=10, capacity='50mbit')
    here.write(HOME + '/monitor.yaml', yaml.safe_dump(monitor), user=USER)
    # The service of the package.
    far.run(['systemctl', 'start', 'iperf3.service'])
    verify = here.run(['systemd-analyze', 'verify', UNIT])
    assert verify.stdout + verify.stderr == ''
    here.run(['systemctl', 'daemon-reload'])
    here.run(['systemctl', 'enable', '--now', UNIT])
    try:
        here.wait('the first round', lambda: status(here)['rounds'] >= 1, 60)
    except MachineError:
        pytest.fail(here.journal(UNIT))
    probes = status(here)['probes']
    found = [(name.split('/')[1], each['status'], each['link']) for name, each in sorted(probes.items())]
    if found != [(name, 'ok', 'DIRECT') for name in ('ping', 'tcp', 'udp')]:
        pytest.fail(here.journal(UNIT))
    taken = len(here.run(['cat', MONITORED + '/samples.jsonl']).stdout.splitlines())

    here.reboot()
    here.wait('a round after the boot', lambda: status(here)['rounds'] >= 1 and len(here.run(
        ['cat', MONITORED + '/samples.jsonl']).stdout.splitlines()) > taken, 120)
    assert here.property(UNIT, 'NRestarts') == '0', here.journal(UNIT)
    shown = typed(here, 'ua-overlay measure monitor --show ' + MONITORED).stdout
    assert 'DIRECT' in shown and ('running' in shown or 'waiting' in shown), shown
    begun = time.monotonic()
    here.run(['systemctl', 'stop', UNIT])
    assert time.monotonic() - begun < 30
    assert status(here)['state'] == 'stopped' and here.property(UNIT, 'Result') == 'success', here.journal(UNIT)
