"""For tests only: ansible/site.yml against machines of a lab, over real ssh."""
import json
import os
import re
import select
import signal
import subprocess
import sys
import weakref

import yaml
from places import ROOT

from ua_overlay.lab import images
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import cache_dir

PROGRAM = os.path.join(cache_dir(), 'ansible', 'bin', 'ansible-playbook')
LOADED = os.path.join(ROOT, 'test', 'lab', 'ansible_loaded.py')
AUDIT = os.path.join(ROOT, 'test', 'lab', 'ansible_audit')
ROLE = os.path.join(ROOT, 'ansible', 'roles', 'ua_overlay')
_RECAP = re.compile(r'^(\S+)\s+: ok=(\d+)\s+changed=(\d+)\s+unreachable=(\d+)\s+failed=(\d+)', re.MULTILINE)


class Played:
    """What a run of the playbook said.

    :ivar changed, failed, unreachable: host -> number.
    """

    def __init__(self, status, text):
        self.status = status
        self.text = text
        rows = _RECAP.findall(text)
        self.changed = {row[0]: int(row[2]) for row in rows}
        self.unreachable = {row[0]: int(row[3]) for row in rows}
        self.failed = {row[0]: int(row[4]) for row in rows}

    def message(self):
        """The text with its line breaks undone, to look for a sentence in."""
        return ' '.join(self.text.split())


class Playbook:
    """Runs ansible/site.yml.

    :param directory: an empty directory, for the inventory and for all that Ansible writes on the controller.
    :param inventory: the inventory as a dict.
    """

    def __init__(self, directory, inventory):
        self.directory = str(directory)
        self.report = os.path.join(self.directory, 'keys')
        self.inventory = os.path.join(self.directory, 'inventory.yml')
        self._loaded = None
        self.write(inventory)

    def write(self, inventory):
        with open(self.inventory, 'w') as stream:
            yaml.safe_dump(inventory, stream)

    def run(self, *argv, timeout=500):
        """`ansible-playbook site.yml ARGV`; returns :class:`Played`, whatever the status."""
        return self.play('site.yml', *argv, timeout=timeout)

    def play(self, playbook, *argv, timeout=500):
        """`ansible-playbook PLAYBOOK ARGV`, in a fork of a process that has loaded Ansible."""
        if self._loaded is None:
            self._loaded = subprocess.Popen([os.path.join(os.path.dirname(PROGRAM), 'python'), LOADED],
                                            env=self.environment(), cwd=os.path.join(ROOT, 'ansible'), bufsize=0,
                                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
            weakref.finalize(self, end, self._loaded)
        output = os.path.join(self.directory, 'output')
        self._loaded.stdin.write(json.dumps({'output': output, 'argv': [
            PROGRAM, '-i', self.inventory, playbook] + list(argv)}).encode() + b'\n')
        if not select.select([self._loaded.stdout], [], [], timeout)[0]:
            os.killpg(self._loaded.pid, signal.SIGKILL)
        status = self._loaded.stdout.readline()
        with open(output) as stream:
            text = stream.read()
        os.unlink(output)
        assert status, 'ansible-playbook did not end within {} s:\n{}'.format(timeout, text)
        return Played(int(status), text)

    def environment(self):
        """Of Ansible's programs."""
        temporary = os.path.join(self.directory, 'tmp')
        os.makedirs(temporary, exist_ok=True)
        return {
            'PATH': os.path.dirname(PROGRAM) + ':/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': self.directory,
            'LANG': 'C.UTF-8', 'TMPDIR': temporary, 'ANSIBLE_HOME': os.path.join(self.directory, 'ansible'),
            'ANSIBLE_LOG_PATH': os.path.join(self.directory, 'log'), 'ANSIBLE_NOCOLOR': '1',
            # Without Ansible's -C: between machines of a lab, compressing costs more than sending.
            'ANSIBLE_SSH_ARGS': '-o ControlMaster=auto -o ControlPersist=60s',
            'ANSIBLE_SSH_CONTROL_PATH_DIR': '/tmp/.ua-ssh-{}'.format(os.getpid()), 'PYTHONPATH': AUDIT,
            'UA_AUDIT_REPORT': self.report, 'UA_OVERLAY_CACHE': cache_dir()}

    def run_program(self, argv, timeout=100):
        """Run a program of Ansible; returns :class:`Played`."""
        done = subprocess.run(argv, env=self.environment(), cwd=os.path.join(ROOT, 'ansible'), stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True,
                              timeout=timeout)
        return Played(done.returncode, done.stdout)

    def keys_on_disk(self):
        """Where a key is, or was, in a file of the controller: a list of sentences."""
        found = []
        if os.path.exists(self.report):
            with open(self.report) as stream:
                found = stream.read().splitlines()
        for folder, _, names in os.walk(self.directory):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.isfile(path):
                    with open(path, 'rb') as stream:
                        if b'hskey-' in stream.read():
                            found.append(path)
        return found


def end(process):
    """End a process that reads until the end of its input."""
    process.stdin.close()
    process.wait(10)
    process.stdout.close()


def installed(image, programs, build):
    """A layer on which site.yml finds pinned programs and this checkout where it would put them.

    For plays whose subject is something else. What site.yml does on a machine that has nothing is the subject of
    test_machines_site.py.

    :param build: whether the catkin workspace is built, as on robots.
    """
    packed = json.loads(subprocess.run(
        [sys.executable, os.path.join(ROLE, 'files', 'pack.py'), ROOT, os.path.join(cache_dir(), 'ansible')],
        stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout)
    lines = ['umask 022', 'mkdir -p /opt/ua_overlay/tools']
    lines += ['install -m 755 /input/{0} /opt/ua_overlay/tools/{0}'.format(program) for program in programs]
    lines += ['version=/opt/ua_overlay/' + packed['id'], 'mkdir -p $version/src',
              'tar -C $version/src --no-same-owner -xf /input/source.tar']
    if build:
        lines.append("bash -ec '{}' $version".format(build_command()))
    lines.append('echo {} >$version/complete'.format(packed['id']))
    files = [('source.tar', packed['path'])] + [(program, locate(program)) for program in programs]
    return images.Layer(image, '\n'.join(lines), tuple(files))


def build_command():
    """How the role builds the workspace in the directory "$0"."""
    with open(os.path.join(ROLE, 'tasks', 'package_version.yml')) as stream:
        build = next(task for task in yaml.safe_load(stream) if task['name'] == 'Build its catkin workspace')
    argv = build['ansible.builtin.command']['argv']
    assert argv[:2] == ['bash', '-ec'] and "'" not in argv[2], argv
    return argv[2]


def installed_robot():
    """Lower directories of a robot with everything but its membership."""
    return images.get_layer(installed(images.ROBOT, ('tailscale', 'tailscaled'), True))


def installed_server():
    """Lower directories of a server or a remote host with all programs."""
    return images.get_layer(installed(images.SERVER, ('tailscale', 'tailscaled', 'headscale', 'derper'), False))
