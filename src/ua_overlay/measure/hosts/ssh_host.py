"""A host over ssh, with keys that need no password."""
import os
import shlex
import subprocess
from typing import Any, Optional

from ua_overlay.advice import command as command_line
from ua_overlay.measure.hosts.host import ANSWER, Graph, Host
from ua_overlay.measure.hosts.process import HostLost, RemoteProcess, last_line
from ua_overlay.protocols import Argv

#: Shell: keep the output of the user's profile out of the program's output.
_QUIET_LOGIN = 'exec 4>&1 >&2; exec bash -lc {}'
#: ssh's own exit status when there was no session (ssh(1)).
_NO_SESSION = 255
#: Shell: run a program until it ends, or until the other end of standard input closes.
_UNTIL_EOF = ('exec 3<&0; {} </dev/null 3<&- & program=$!; '
              '{{ read -r _ <&3; kill $program; }} >/dev/null 2>&1 & watcher=$!; exec 3<&-; '
              'wait $program; status=$?; kill $watcher 2>/dev/null; exit $status')
_OPTIONS = ('-o', 'BatchMode=yes', '-o', 'ConnectTimeout=10', '-o', 'ServerAliveInterval=5', '-o',
            'ServerAliveCountMax=3')


class SshHost(Host):
    """A host over ssh.

    :param login: `user@host`, as ssh takes it. Its name in the overlay is a bad choice: the path that is measured would
        then carry ssh as well.
    """

    def __init__(self, name: str, login: str, address: str = '', overlay: str = '') -> None:
        super().__init__(name, address, overlay)
        self.login = login

    def popen(self, argv: Argv, ros: Graph = False, **options: Any) -> 'subprocess.Popen[str]':
        words = ' '.join(shlex.quote(word) for word in self.ros_argv(argv, ros))
        # A login shell sources the user's profile, which sets up a robot's ROS workspace.
        script = 'exec >&4 4>&-; ' + _UNTIL_EOF.format(words)
        command = 'exec sh -c ' + shlex.quote(_QUIET_LOGIN.format(shlex.quote(script)))
        # sshd does not end a program whose connection is gone. The other end of this pipe stays open as long as the
        # program is needed: until stop(), or until this process ends in whatever way.
        ours, lifeline = os.pipe()
        try:
            process = RemoteProcess(['ssh', *_OPTIONS, '--', self.login, command], **dict(options, stdin=ours))
        except BaseException:
            os.close(lifeline)
            raise
        finally:
            os.close(ours)
        process.lifeline = os.fdopen(lifeline, 'wb')
        return process

    def enter(self) -> None:
        self.run(['true'], ANSWER)

    def lost(self, status: Optional[int], errors: str) -> Optional[HostLost]:
        if status != _NO_SESSION:
            return None
        return HostLost('{} cannot be entered over ssh: {}.'.format(self.name, last_line(errors)),
                        command_line('ssh -o BatchMode=yes {} true', self.login))
