"""For tests only: ansible/site.yml against machines of a lab, over real ssh."""
import os
import re
import subprocess

import yaml
from places import ROOT

from ua_overlay.toolchain.find import cache_dir

PROGRAM = os.path.join(cache_dir(), 'ansible', 'bin', 'ansible-playbook')
AUDIT = os.path.join(ROOT, 'test', 'lab', 'ansible_audit')
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
        self.write(inventory)

    def write(self, inventory):
        with open(self.inventory, 'w') as stream:
            yaml.safe_dump(inventory, stream)

    def run(self, *argv, timeout=500):
        """`ansible-playbook site.yml ARGV`; returns :class:`Played`, whatever the status."""
        return self.run_program([PROGRAM, '-i', self.inventory, 'site.yml'] + list(argv), timeout)

    def run_program(self, argv, timeout=100):
        """Run a program of Ansible; returns :class:`Played`."""
        temporary = os.path.join(self.directory, 'tmp')
        os.makedirs(temporary, exist_ok=True)
        environment = {
            'PATH': os.path.dirname(PROGRAM) + ':/usr/bin:/bin:/usr/sbin:/sbin', 'HOME': self.directory,
            'LANG': 'C.UTF-8', 'TMPDIR': temporary, 'ANSIBLE_HOME': os.path.join(self.directory, 'ansible'),
            'ANSIBLE_LOG_PATH': os.path.join(self.directory, 'log'), 'ANSIBLE_NOCOLOR': '1',
            'ANSIBLE_SSH_CONTROL_PATH_DIR': '/tmp/.ua-ssh-{}'.format(os.getpid()), 'PYTHONPATH': AUDIT,
            'UA_AUDIT_REPORT': self.report, 'UA_OVERLAY_CACHE': cache_dir()}
        done = subprocess.run(argv, env=environment, cwd=os.path.join(ROOT, 'ansible'), stdin=subprocess.DEVNULL,
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
