"""CPU and memory of the overlay node, compared with the obvious script and an idle ROS node."""
import glob
import json
import os
import time

from figure import Figure, Row, median, verdict
from link_latency import PEERS, ping
from setup_lab import Program, bench_fleet

from ua_overlay.errors import OverlayError
from ua_overlay.lab.wait import wait
from ua_overlay.toolchain import locate

NAME = 'cost'
#: Seconds. /proc/PID/stat counts hundredths of a second: 0.05 % of a window.
WINDOW = 20.0
WINDOWS = 6

NODE, ACTIVE, EMPTY, SCRIPT = ('overlay node, links IDLE', 'overlay node, links DIRECT', 'rospy node that does nothing',
                               'script: `tailscale status --json` at 1 Hz')
DAEMON = 'tailscaled while '
NOBODY, WITH_NODE, WITH_SCRIPT, WITH_ACTIVE = (DAEMON + 'nobody asks', DAEMON + 'the node runs, links IDLE',
                                               DAEMON + 'the script runs too', DAEMON + 'the node runs, links DIRECT')
MEMORY = ', memory (PSS)'
RESIDENT = ', memory (RSS)'
PERCENT = '% of a core'
MEGABYTE = 'MB'


def measure(progress, windows=WINDOWS):
    """Returns the Figure."""
    values = {}
    with bench_fleet(progress, launched=()) as fleet:
        daemon = find_process(fleet, 'dev-1', 'tailscaled', '--statedir')
        with progress('Waiting until all links are idle'):
            wait_for_links(fleet, 'IDLE')
        sample(progress, values, {NOBODY: daemon}, windows, 'nobody asks')
        fleet.launch('dev-1')
        node = find_process(fleet, 'dev-1', '/ua_overlay/overlay', '__name:=ua_overlay')
        with progress('Waiting until the node is stable'):
            time.sleep(10.0)
        with Program(fleet, 'dev-1', 'idle_node.py') as empty:
            empty.next()
            sample(progress, values, {NODE: node, WITH_NODE: daemon,
                                      EMPTY: find_process(fleet, 'dev-1', 'bench-idle_node.py')}, windows, 'links idle')
        with Program(fleet, 'dev-1', 'poll_client.py', locate('tailscale')) as script:
            script.next()
            sample(progress, values, {SCRIPT: find_process(fleet, 'dev-1', 'bench-poll_client.py'),
                                      WITH_SCRIPT: daemon}, windows, 'the script runs too')
        pings = [ping(fleet, peer) for peer in PEERS]
        try:
            wait_for_links(fleet, 'DIRECT')
            sample(progress, values, {ACTIVE: node, WITH_ACTIVE: daemon}, windows, 'links active')
        finally:
            for process in pings:
                process.terminate()
                process.wait()
    return figure(values)


def wait_for_links(fleet, kind):
    def reached():
        links = json.loads(fleet.overlay('dev-1', 'status', '--json').stdout)['links']
        return {link['type'] for link in links if link['peer'] in PEERS} == {kind}

    wait('Links of type {}'.format(kind), reached, 120, poll=1.0)


def find_process(fleet, robot, *words):
    """The process id, on this machine, of the only process on a robot whose command line has all ``words``."""
    space = os.readlink('/proc/{}/ns/pid'.format(fleet.lab.host(robot).pid))
    pids = []
    for path in glob.glob('/proc/[0-9]*/cmdline'):
        try:
            with open(path, errors='replace') as stream:
                line = stream.read()
            if all(word in line for word in words) and os.readlink(os.path.dirname(path) + '/ns/pid') == space:
                pids.append(int(path.split('/')[2]))
        except OSError:
            continue  # it ended meanwhile
    if len(pids) != 1:
        raise OverlayError('{} processes of {} match {}.'.format(len(pids), robot, ' '.join(words)))
    return pids[0]


def cpu_seconds(pid):
    """User and system time of a process and of its ended children."""
    with open('/proc/{}/stat'.format(pid)) as stream:
        fields = stream.read().rsplit(')', 1)[1].split()
    return sum(int(field) for field in fields[11:15]) / os.sysconf('SC_CLK_TCK')


def memory(pid):
    """(PSS, RSS) of a process in MB (10^6 bytes). PSS divides shared pages among the processes that map them."""
    megabytes = {}
    with open('/proc/{}/smaps_rollup'.format(pid)) as stream:
        for line in stream:
            name, _, rest = line.partition(':')
            if name in ('Pss', 'Rss'):
                megabytes[name] = int(rest.split()[0]) * 1024 / 1e6
    return megabytes['Pss'], megabytes['Rss']


def sample(progress, values, processes, windows, what):
    """Add to ``values`` {label: list}: percent of a core for each window, and the memory at its end."""
    with progress('{} windows of {:.0f} s: {}'.format(windows, WINDOW, what)):
        began = time.monotonic()
        before = {label: cpu_seconds(pid) for label, pid in processes.items()}
        for _ in range(windows):
            time.sleep(max(0.0, began + WINDOW - time.monotonic()))
            ended = time.monotonic()
            for label, pid in processes.items():
                now = cpu_seconds(pid)
                values.setdefault(label, []).append(100 * (now - before[label]) / (ended - began))
                before[label] = now
                pss, rss = memory(pid)
                values.setdefault(label + MEMORY, []).append(pss)
                values.setdefault(label + RESIDENT, []).append(rss)
            began = ended


def figure(values):
    """The Figure of {label: values}. Pure."""
    rows = [Row(SCRIPT, values[SCRIPT]), Row(EMPTY, values[EMPTY]), Row(NODE, values[NODE], SCRIPT),
            Row(ACTIVE, values[ACTIVE], SCRIPT), Row(NOBODY, values[NOBODY]), Row(WITH_NODE, values[WITH_NODE], NOBODY),
            Row(WITH_SCRIPT, values[WITH_SCRIPT], NOBODY), Row(WITH_ACTIVE, values[WITH_ACTIVE], NOBODY)]
    for kind in (MEMORY, RESIDENT):
        rows += [Row(EMPTY + kind, values[EMPTY + kind], unit=MEGABYTE),
                 Row(NODE + kind, values[NODE + kind], EMPTY + kind, MEGABYTE)]
    return Figure(NAME, 'CPU and memory, two robots as peers', PERCENT, rows, aims=[
        verdict('CPU of the node, idle, mean', sum(values[NODE]) / len(values[NODE]), 0.5, ' %'),
        verdict('memory of the node, idle (PSS)', median(values[NODE + MEMORY]), 60, ' MB'),
        verdict('memory of the node, idle (RSS)', median(values[NODE + RESIDENT]), 60, ' MB')], notes=[
        'Each value is a window of {:.0f} s of /proc/PID/stat (user and system time, ended children included): steps '
        'of {:.2f} %.'.format(WINDOW, 100 / os.sysconf('SC_CLK_TCK') / WINDOW),
        'The site\'s relay is a third peer in the status. There is no team master: a follower asks its master every '
        '5 s, so its link to the master is never idle.',
        'The script counts with the programs that it starts. Its memory is left out, as the client starts anew each '
        'second.'])
