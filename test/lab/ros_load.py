"""ROS programs under load on the robots of a lab, and their records, for test_ros_load.py.

The programs are those of test/ros_load: each writes one JSON object a line (see record.py there). This module judges
nothing.
"""
import collections
import glob
import hashlib
import json
import os
import signal
import subprocess
import tempfile

from ua_overlay.lab.fleet import SOURCE, USER
from ua_overlay.lab.wait import NotInTime, wait
from ua_overlay.toolchain.find import cache_dir

NODES = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), 'ros_load')
#: Where they are on a robot; /home is the host's own.
FOLDER = '/home/{}/ros_load'.format(USER)

#: The keys by which records are found (test/ros_load/*): what a record is about.
KEYS = {'heard', 'called', 'end', 'link', 'map', 'lookup', 'x'}

Phase = collections.namedtuple('Phase', 'link switched reported start end')
Phase.__doc__ = """A stretch of time on one link type, in Unix time. switched: the routers were changed; reported:
the links topic shows it; start to end: measured while nothing changed."""


def build_numbers(workspace):
    """Compile numbers.cpp against the installed ROS, once for each source; return the program's path."""
    source = os.path.join(NODES, 'numbers.cpp')
    script = SOURCE + ' && pkg-config --modversion roscpp && pkg-config --cflags --libs roscpp'
    flags = subprocess.run(['bash', '-c', script, workspace], stdout=subprocess.PIPE, universal_newlines=True,
                           check=True).stdout.split('\n')
    with open(source) as stream:
        identity = hashlib.sha256((stream.read() + ''.join(flags)).encode()).hexdigest()[:12]
    directory = os.path.join(cache_dir(), 'ros_load')
    program = os.path.join(directory, 'numbers-' + identity)
    if not os.path.exists(program):
        os.makedirs(directory, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=directory) as scratch:
            new = os.path.join(scratch, 'numbers')
            subprocess.run(['g++', '-O1', '-o', new, source] + flags[1].split(), check=True, timeout=300)
            os.replace(new, program)
    return program


class Records:
    """The records of one program so far, read from its log as it grows.

    :ivar other: its other lines.
    """

    def __init__(self, path):
        self.path = path
        self.other = []
        self._all = []
        self._of = collections.defaultdict(list)
        self._position = 0
        self._rest = b''

    def read(self):
        """Take what was written since."""
        with open(self.path, 'rb') as stream:
            stream.seek(self._position)
            data = stream.read()
        self._position += len(data)
        lines = (self._rest + data).split(b'\n')
        self._rest = lines.pop()
        for line in lines:
            try:
                value = json.loads(line)
            except ValueError:
                self.other.append(line.decode('utf-8', 'replace'))
            else:
                self._all.append(value)
                for key in KEYS.intersection(value):
                    self._of[key, None].append(value)
                    self._of[key, value[key]].append(value)

    def last(self, count):
        """The last records, as dicts."""
        return self._all[-count:]

    def all(self, key, value=None):
        """The records that have ``key`` (one of KEYS), with ``value`` unless that is None."""
        assert key in KEYS, key
        self.read()
        return self._of[key, value]

    def heard(self, topic):
        return self.all('heard', topic)

    def calls(self, name):
        return self.all('called', name)


class Load:
    """The programs of one campaign."""

    def __init__(self, fleet, numbers):
        self.fleet = fleet
        self.numbers = numbers
        self.records = {}
        self.phases = []

    def install(self, *robots):
        for robot in robots:
            for path in glob.glob(os.path.join(NODES, '*.py')):
                with open(path) as stream:
                    self.fleet.lab.host(robot).run(
                        ['install', '-D', '-m', '755', '/dev/stdin', os.path.join(FOLDER, os.path.basename(path))],
                        input=stream.read())

    def start(self, robot, name, *argv, graph='team', namespace=True):
        """Run a program on a robot. A file name with .py is one of ours, `numbers` is the roscpp one.

        :param graph: 'team' or 'local'.
        :param namespace: its names are relative to /ROBOT, as in a launch file's group.
        """
        words = list(argv)
        if words[0].endswith('.py'):
            words[0] = os.path.join(FOLDER, words[0])
        elif words[0] == 'numbers':
            words[0] = self.numbers
        if namespace:
            words += ['__ns:=/' + ros_name(robot), '__name:=' + name]
        prefix = ['ua-overlay', 'exec'] + (['--local'] if graph == 'local' else ['--wait', '--timeout', '60'])
        lab = self.fleet.lab
        lab.start_service(robot, name, self.fleet.ros_argv(prefix + words, graph='shell'),
                          env=self.fleet.user_environment(), user=USER)
        self.records[robot, name] = Records(lab.log_path(robot, name))
        return self.records[robot, name]

    def ask(self, robot, *argv):
        """Run one of our programs to its end; return its records."""
        done = self.fleet.ros(robot, 'ua-overlay', 'exec', os.path.join(FOLDER, argv[0]), *argv[1:], graph='shell')
        return [json.loads(line) for line in done.stdout.splitlines()]

    def wait(self, what, condition, seconds):
        """Wait for ``condition()``; meanwhile every program must live."""
        def met():
            value = condition()
            if not value:
                for (robot, name), records in self.records.items():
                    records.read()
                    assert self.fleet.lab.service_running(robot, name), '{} on {} ended:\n{}'.format(
                        name, robot, '\n'.join(records.other[-20:] + [str(record) for record in records.last(3)]))
            return value
        return wait(what, met, seconds, poll=0.2)

    def wait_all(self, what, conditions, seconds):
        """Wait until each of ``conditions()``, pairs of (name, met), is met; the failure names those that are not."""
        unmet = []

        def met():
            unmet[:] = [name for name, value in conditions() if not value]
            return not unmet
        try:
            self.wait(what, met, seconds)
        except NotInTime as error:
            raise AssertionError('{} Missing: {}'.format(error, ', '.join(map(str, unmet))))

    def finish(self, robot, name):
        """Ask a program to publish no more; it then records its `end` and stays."""
        self.fleet.lab.kill_service(robot, name, signal.SIGUSR1)

    def stop(self, robot, name, number=signal.SIGINT, timeout=30):
        """End a program as Ctrl-C does, and wait for its end."""
        del self.records[robot, name]
        self.fleet.lab.kill_service(robot, name, number)
        wait('The end of {}'.format(name), lambda: not self.fleet.lab.service_running(robot, name), timeout)

    def stop_all(self):
        for robot, name in list(self.records):
            self.fleet.lab.stop_service(robot, name)


def ros_name(robot):
    return robot.replace('-', '_')


def between(records, phase):
    return [record for record in records if phase.start <= record['t'] < phase.end]


def missing(heard, last):
    """Numbers from 1 to ``last`` that were not heard."""
    numbers = {record['n'] for record in heard}
    return [number for number in range(1, last + 1) if number not in numbers]


def longest_silence(records):
    """Seconds."""
    times = [record['t'] for record in records]
    return max((b - a for a, b in zip(times, times[1:])), default=0.0)


def median(values):
    values = sorted(values)
    return values[len(values) // 2] if values else float('nan')
