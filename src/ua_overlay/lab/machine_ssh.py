"""ssh into the machines of a lab, with a key made for that lab: `ssh -F FILE HOST`, and so Ansible too.

    <cache>/machines/run/<lab>/ssh/key key.pub config known_hosts
"""
import os
import shlex
import subprocess
from typing import Dict, Iterable, Mapping, Tuple

from ua_overlay.lab import machine_files
from ua_overlay.lab.host import program
from ua_overlay.lab.images import USER
from ua_overlay.lab.kernel import ProcessHandle
from ua_overlay.lab.lab import Lab
from ua_overlay.system import files

#: (path in the machine, text, mode).
File = Tuple[str, str, int]

HOST_KEY = '/etc/ssh/ssh_host_ed25519_key'

_CONFIG = '''\
Host {name}
  HostName 127.0.0.1
  HostKeyAlias {name}
  User {user}
  ProxyCommand {proxy}
'''
_COMMON = '''\
Host *
  IdentityFile {directory}/key
  IdentitiesOnly yes
  UserKnownHostsFile {directory}/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  BatchMode yes
  ConnectTimeout 20
'''


class LabSsh:
    """The keys and the ssh configuration of a lab's machines.

    :ivar config: path for `ssh -F`.
    """

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.directory = os.path.join(machine_files.lab_directory(lab.name), 'ssh')
        self.config = os.path.join(self.directory, 'config')

    def make(self, names: Iterable[str]) -> Dict[str, Tuple[File, ...]]:
        """Make keys for the user and for each machine in ``names``, and the configuration of ssh.

        :returns: name -> files that the machine needs, for :meth:`machines.Machine.make`.
        """
        names = list(names)
        machine_files.make_lab_directory(self.lab.name)
        os.makedirs(self.directory, mode=0o700, exist_ok=True)
        public_key = self._keygen('key')
        known_hosts = []
        result: Dict[str, Tuple[File, ...]] = {}
        for name in names:
            public = self._keygen('host-' + name)
            known_hosts.append('{} {}\n'.format(name, public.strip()))
            with open(os.path.join(self.directory, 'host-' + name)) as stream:
                private = stream.read()
            result[name] = ((HOST_KEY, private, 0o600), (HOST_KEY + '.pub', public, 0o644),
                            ('/etc/ssh/authorized_keys.d/' + USER, public_key, 0o644),
                            ('/etc/ssh/sshd_config.d/lab.conf', sshd_config(), 0o644))
        files.write_atomic(os.path.join(self.directory, 'known_hosts'), ''.join(known_hosts))
        files.write_atomic(self.config, config(self.directory, {
            name: self.lab.host(name).process for name in names}))
        return result

    def _keygen(self, name: str) -> str:
        """Make a key and return its public half."""
        path = os.path.join(self.directory, name)
        subprocess.run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'lab ' + self.lab.name, '-f', path],
                       check=True, stdin=subprocess.DEVNULL)
        with open(path + '.pub') as stream:
            return stream.read()


def sshd_config() -> str:
    """Return what a machine's sshd has in addition to its distribution's configuration."""
    return ('HostKey {}\nPasswordAuthentication no\nUseDNS no\n'
            'AuthorizedKeysFile /etc/ssh/authorized_keys.d/%u .ssh/authorized_keys\n'.format(HOST_KEY))


def config(directory: str, processes: Mapping[str, ProcessHandle]) -> str:
    """Return the text of ssh's configuration. Pure.

    :param processes: name of a machine -> process 1 of its host.
    """
    blocks = [_CONFIG.format(name=name, user=USER, proxy=' '.join(shlex.quote(word).replace('%', '%%') for word in (
        program('pipe', '--pid', str(process.pid), '--start', str(process.start), '22'))))
              for name, process in sorted(processes.items())]
    return '\n'.join(blocks + [_COMMON.format(directory=directory)])
