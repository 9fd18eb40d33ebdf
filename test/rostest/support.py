"""Helpers of the rostests, which run on robot dev-1 of a lab and act on the other hosts through its control socket."""
import os
import shutil
import stat
import subprocess
import threading
import time

import rospy

from ua_overlay import msg, srv
from ua_overlay.lab import timeouts
from ua_overlay.lab.fleet import SITE_DIR
from ua_overlay.lab.lab_socket import LabControl

COMMAND = shutil.which('ua-overlay')
CONTROL = LabControl()
HOME = os.path.expanduser('~')


def site(*argv, check=True):
    """Run `ua-overlay ARGV` on the server."""
    return CONTROL.exec('server', [COMMAND] + list(argv) + ['--dir', SITE_DIR], check=check)


def invite(team, robot, *options, name='new.invitation.yaml'):
    """Make an invitation on the server and keep it here as a 0600 file; return its path."""
    return keep(site('invite', team, robot, '--output', '-', *options).stdout, name)


def keep(text, name='changed.invitation.yaml'):
    path = os.path.join(HOME, name)
    if os.path.exists(path):
        os.unlink(path)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, stat.S_IRUSR | stat.S_IWUSR), 'w') as stream:
        stream.write(text)
    return path


def call(name, kind, **request):
    rospy.wait_for_service('/ua_overlay/' + name, 30)
    return rospy.ServiceProxy('/ua_overlay/' + name, kind)(**request)


def join(path):
    return call('join', srv.Join, invitation=path)


def leave(forget=False):
    return call('leave', srv.Leave, forget=forget)


def code_name(response):
    """Return the name of an answer's code in its .srv, such as 'OK'."""
    kind = type(response)
    names = [name for name in dir(kind) if name.isupper() and getattr(kind, name) == response.code]
    return names[0] if names else str(response.code)


class Latest:
    """The messages of a topic, and waits for one that fulfils a condition."""

    def __init__(self, topic, kind):
        self.topic = topic
        self.messages = []
        self.arrived = threading.Condition()
        self.subscriber = rospy.Subscriber(topic, kind, self.take)

    def take(self, message):
        with self.arrived:
            self.messages.append((time.monotonic(), message))
            self.arrived.notify_all()

    def wait(self, what, condition, seconds):
        """Wait until ``condition(message)`` holds for the latest message; return it."""
        deadline = time.monotonic() + timeouts.scaled(seconds)
        with self.arrived:
            while True:
                if self.messages and condition(self.messages[-1][1]):
                    return self.messages[-1][1]
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError('{} within {} s on {}; the last message was:\n{}'.format(
                        what, seconds, self.topic, self.messages[-1][1] if self.messages else 'none'))
                self.arrived.wait(left)


def state_topic():
    return Latest('/ua_overlay/state', msg.OverlayState)


class Program:
    """A program in the team graph, started with `ua-overlay exec --wait …`, whose lines are kept."""

    def __init__(self, *argv):
        self.lines = []
        self.process = subprocess.Popen([COMMAND, 'exec', '--wait', '--timeout', '30'] + list(argv),
                                        stdout=subprocess.PIPE, universal_newlines=True)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        for line in self.process.stdout:
            self.lines.append(line.strip())

    def wait(self, what, condition, seconds):
        """Poll until ``condition(lines)`` holds: there is no event for a new line of the pipe."""
        deadline = time.monotonic() + timeouts.scaled(seconds)
        while not condition(self.lines):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError('{} within {} s; heard {} lines, the last {}'.format(
                    what, seconds, len(self.lines), self.lines[-1:]))
            time.sleep(0.05)

    def end(self):
        self.process.terminate()
        self.process.wait(10)
