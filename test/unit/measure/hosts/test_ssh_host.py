"""A host over ssh; shell scripts play ssh and sshd."""
import os
import signal
import threading

import pytest

from ua_overlay.measure.hosts import process
from ua_overlay.measure.hosts.process import HostLost
from ua_overlay.measure.hosts.ssh_host import SshHost

#: What sshd does with a command: the user's shell runs it.
AS_SSHD = '#!/bin/sh\nfor word; do :; done\nexec sh -c "$word"\n'


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Returns function of the text of a program that stands for ssh -> a host over it."""
    def make(text):
        (tmp_path / 'ssh').write_text(text)
        (tmp_path / 'ssh').chmod(0o755)
        monkeypatch.setenv('PATH', '{}:{}'.format(tmp_path, os.environ['PATH']))
        return SshHost('b', 'me@host')
    return make


def test_arguments_pass_the_shells_unchanged(stand_in):
    assert stand_in(AS_SSHD).run(['printf', '%s,', 'a b', "it's", '$HOME', '*'], 20)[1] == "a b,it's,$HOME,*,"


def test_output_of_a_shell_profile_is_ignored(tmp_path, monkeypatch, stand_in):
    """The login shell is real, and its profile prints a greeting."""
    (tmp_path / '.profile').write_text('echo "Welcome to robot 7"\n')
    monkeypatch.setenv('HOME', str(tmp_path))
    status, output, errors = stand_in(AS_SSHD).run(['echo', '100.64.0.2'], 20)
    assert (status, output) == (0, '100.64.0.2\n') and 'Welcome' in errors


def test_an_unreachable_host_is_named_with_the_error_of_ssh(stand_in):
    """ssh prints this and ends with 255 when there is no key."""
    host = stand_in('#!/bin/sh\necho "me@host: Permission denied (publickey)." >&2\nexit 255\n')
    for ask in (host.enter, host.overlay_address):
        with pytest.raises(HostLost, match='b cannot be entered over ssh: me@host: Permission denied') as caught:
            ask()
        assert caught.value.next_command == 'ssh -o BatchMode=yes me@host true'


def test_a_program_ends_with_its_connection(stand_in):
    """A program over ssh gets no signal when the connection ends."""
    host = stand_in('#!/bin/bash\nfor word; do :; done\nsetsid bash -c "$word" <&0 &\nexec sleep 100\n')
    started = host.start(['bash', '-c', 'echo $$; exec sleep 1000'])
    there = int(started.stdout.readline())
    process.stop(started)
    pause = threading.Event()
    for _ in range(1000):
        if not os.path.exists('/proc/{}'.format(there)):
            return
        pause.wait(0.01)
    os.kill(there, signal.SIGKILL)
    pytest.fail('it lives on')
