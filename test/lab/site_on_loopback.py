"""For tests only: a site made and run by the `ua-overlay` command on loopback, and robots without a TUN device."""
import contextlib
import json
import os
import random
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

import keep
from places import COMMAND

from ua_overlay.errors import OverlayError
from ua_overlay.headscale import access, rest
from ua_overlay.lab.wait import wait
from ua_overlay.site.site import Site
from ua_overlay.system import control_socket
from ua_overlay.tailscale.localapi import LocalApi
from ua_overlay.toolchain import locate
from ua_overlay.toolchain.find import cache_dir
from ua_overlay.trust import invitation_file


def free_ports():
    """A free TCP port and two free UDP ports."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, kind))
                   for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_DGRAM)]
        for each in sockets:
            each.bind(('0.0.0.0', 0))
        return [each.getsockname()[1] for each in sockets]


def alive(pid):
    """Whether a process is there and no zombie."""
    try:
        with open('/proc/{}/stat'.format(pid), encoding='ascii', errors='replace') as stream:
            return stream.read().rsplit(')', 1)[1].split()[0] != 'Z'
    except (FileNotFoundError, ProcessLookupError):  # the second: it ended after the file was opened
        return False


class LoopbackSite:
    """A site under a short temporary directory (unix sockets), its server, and its robots.

    :param user: name of the user to run as, or None for the caller.
    :param room: size of a file system of its own ('64m'), for a test that fills it.
    :param derp: whether derper runs beside Headscale.
    """

    def __init__(self, user=None, room=None, derp=False):
        self.base = tempfile.mkdtemp(prefix='ua_site.', dir='/tmp')
        self.room = room
        if room is not None:
            subprocess.run(['mount', '-t', 'tmpfs', '-o', 'mode=0700,size=' + room, 'ua_site', self.base], check=True)
        self.directory = os.path.join(self.base, 'site')
        self.user = user
        # Another user may not be able to enter the directory of a virtual environment.
        self.python = sys.executable if user is None else '/usr/bin/python3'
        self.environment = dict(os.environ, UA_OVERLAY_CACHE=cache_dir())
        if user is not None:
            shutil.chown(self.base, user)
        self.port, self.stun_port, self.relay_port = free_ports()
        self.derp_port = free_ports()[0] if derp else 0
        self.server = self.relay = None
        self.robots = []
        keep.add(os.path.basename(self.base), lambda: keep.of_folder(self.base))

    def call(self, *arguments, check=True, timeout=90):
        """Run `ua-overlay ARGUMENTS --dir SITE`; returns CompletedProcess with text."""
        argv = [self.python, COMMAND] + list(arguments) + ['--dir', self.directory]
        result = subprocess.run(argv, cwd=self.base, user=self.user, env=self.environment,
                                stdin=subprocess.DEVNULL, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)
        assert not check or result.returncode == 0, result.stdout + result.stderr
        assert 'Traceback' not in result.stderr, result.stderr
        return result

    def json(self, *arguments, **options):
        return json.loads(self.call(*(arguments + ('--json',)), **options).stdout)

    def init(self):
        return self.call('server', 'init', '--name', 'localhost', '--address', '127.0.0.1', '--port', str(self.port),
                         '--stun-port', str(self.stun_port), '--relay-port', str(self.relay_port),
                         '--derp-port', str(self.derp_port))

    def start(self, relay=True):
        """Start `server run` and wait until it is healthy (and its relay up)."""
        self.launch()
        self.wait_healthy(relay)

    def launch(self):
        """Start `server run` without waiting; without its relay if that runs apart."""
        self.server = self._start('run.log', 'server', 'run', *(() if self.relay is None else ('--no-relay',)))

    def launch_relay_apart(self):
        """Start `server relay run` without waiting."""
        self.relay = self._start('relay_run.log', 'server', 'relay', 'run')

    def _start(self, log_name, *words):
        with open(os.path.join(self.base, log_name), 'ab') as log:
            return subprocess.Popen([self.python, COMMAND] + list(words) + ['--dir', self.directory],
                                    cwd=self.base, user=self.user, env=self.environment,
                                    stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)

    def wait_healthy(self, relay=True):
        def healthy():
            assert self.server.poll() is None, self.output()
            try:
                if relay and self.control()['relay']['state'] != 'up':
                    return None
            except control_socket.NotRunning:
                return None
            report = self.json('server', 'status', check=False)
            return report['healthy'] and (report['relay'] == 'up' or not relay) and report
        return wait('A healthy server', healthy, 60)

    def output(self):
        """What `server run` has said."""
        with open(os.path.join(self.base, 'run.log'), encoding='utf-8') as stream:
            return stream.read()

    def control(self):
        """The answer of `server run` on its control socket: what `server status` prints, without starting a program."""
        return control_socket.ask(os.path.join(self.directory, 'run', 'control.sock'), 'status')

    def online(self):
        """Names of the nodes that the server counts as online, or None while it does not answer."""
        try:
            return {node.name for node in self.client().nodes() if node.online}
        except rest.ServerDown:
            return None

    def is_online(self, name):
        return name in (self.online() or ())

    def is_offline(self, name):
        online = self.online()
        return online is not None and name not in online

    def processes(self):
        """dict headscale, relay -> pid of the running server's children."""
        answer = self.control()
        return {name: answer[name]['pid'] for name in ('headscale', 'relay')}

    def client(self):
        """A REST client of the running server."""
        return access.connect(Site.load(self.directory), lambda: locate('headscale'))

    def stop(self):
        """SIGTERM; returns (seconds it took, exit status)."""
        start = time.monotonic()
        self.server.send_signal(signal.SIGTERM)
        status = self.server.wait(60)
        return time.monotonic() - start, status

    def invite(self, team, robot, *options):
        """Make an invitation; returns (Invitation, path)."""
        path = os.path.join(self.base, robot + '.invitation.yaml')
        self.call('invite', team, robot, '--output', path, '--overwrite', *options)
        return invitation_file.read(path), path

    def robot(self, name, relayed=False, trust=None):
        """A running tailscaled that has not joined; ``trust``: PEM text that it trusts instead of the site's CA."""
        made = Robot(self, name, relayed, trust)
        self.robots.append(made)
        return made

    def close(self):
        for robot in self.robots:
            robot.kill()
        for process in (self.server, self.relay):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(30)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        keep.drop(os.path.basename(self.base))
        if self.room is not None:
            subprocess.run(['umount', self.base], check=True)
        shutil.rmtree(self.base)

    @contextlib.contextmanager
    def full(self):
        """A file system without any room, for a site that has one of its own."""
        filler = os.path.join(self.base, 'filler')
        handle = os.open(filler, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            with contextlib.suppress(OSError):
                while True:
                    os.write(handle, bytes(65536))
            yield
        finally:
            os.close(handle)
            os.unlink(filler)

    @contextlib.contextmanager
    def locked_database(self):
        """Another program that holds the write lock of Headscale's database; yields its process."""
        program = ('import sqlite3, sys\nbase = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)\n'
                   'base.execute("BEGIN EXCLUSIVE")\nprint(1, flush=True)\nsys.stdin.read()')
        with subprocess.Popen([sys.executable, '-c', program, os.path.join(self.directory, 'headscale', 'db.sqlite')],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            try:
                assert holder.stdout.readline() == b'1\n'
                yield holder
            finally:
                holder.kill()

    @contextlib.contextmanager
    def at_line(self, words, action):
        """Call ``action`` as soon as Headscale logs a line with ``words``; once."""
        path, stop = os.path.join(self.directory, 'log', 'headscale.log'), threading.Event()
        done = threading.Event()

        def follow(stream):
            while not stop.is_set():
                line = stream.readline()
                if words in line:
                    action()
                    done.set()
                    return
                if not line:
                    time.sleep(0.001)

        with open(path, encoding='utf-8', errors='replace') as stream:
            stream.seek(0, os.SEEK_END)
            thread = threading.Thread(target=follow, args=(stream,), daemon=True)
            thread.start()
            try:
                yield done
            finally:
                stop.set()
                thread.join(10)


@contextlib.contextmanager
def running_site(*teams, room=None):
    """A LoopbackSite whose server is up, with its teams; it goes at the end.

    :param teams: for each what follows `team create`, as a tuple.
    :param room: see LoopbackSite.
    """
    made = LoopbackSite(room=room)
    try:
        made.init()
        made.start()
        for team in teams:
            made.call('team', 'create', *team)
        yield made
    finally:
        made.close()


class Robot:
    """A tailscaled of its own with `--tun=userspace-networking`.

    :param relayed: drop direct paths, so that only a relay remains.
    """

    def __init__(self, site, name, relayed, trust=None):
        self.name = name
        self.directory = os.path.join(site.base, name)
        if not os.path.isdir(self.directory):
            os.mkdir(self.directory, 0o700)
        self.socket = os.path.join(self.directory, 's')
        self.ca_file = os.path.join(self.directory, 'ca.pem')
        if trust is None:
            self.trust(site)
        else:
            with open(self.ca_file, 'w', encoding='ascii') as stream:
                stream.write(trust)
        self.environment = dict(os.environ, SSL_CERT_FILE=self.ca_file,
                                TS_NO_LOGS_NO_SUPPORT='true', TS_DISABLE_PORTMAPPER='true')
        if relayed:
            self.environment['TS_DEBUG_NEVER_DIRECT_UDP'] = 'true'
        self.start()

    def trust(self, site):
        """Take the CA of the site as it is now; tailscaled reads it when it starts."""
        shutil.copyfile(os.path.join(site.directory, 'ca.pem'), self.ca_file)

    def start(self):
        """Start tailscaled with what is in its directory."""
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        with open(os.path.join(self.directory, 'log'), 'ab') as log:
            self.daemon = subprocess.Popen(
                [locate('tailscaled'), '--tun=userspace-networking', '--port=0', '--statedir=' + self.directory,
                 '--socket=' + self.socket], env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait('An answer of ' + self.name, self._answers)

    def _answers(self):
        # The socket exists a moment before the daemon answers.
        try:
            return os.path.exists(self.socket) and self.status()
        except OverlayError:
            return None

    def ua(self, command, *arguments, timeout=90):
        """Run `ua-overlay COMMAND` as on this robot; returns CompletedProcess."""
        places = ['--socket', self.socket, '--state-dir', self.directory]
        places += [] if command == 'leave' else ['--ca', self.ca_file]
        return subprocess.run([sys.executable, COMMAND, command] + list(arguments) + places, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)

    def tailscale(self, *arguments, timeout=60):
        return subprocess.run([locate('tailscale'), '--socket=' + self.socket] + list(arguments), text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout)

    def join(self, invitation, timeout='30s'):
        """`tailscale up` with the key of an invitation; returns CompletedProcess."""
        key_file = os.path.join(self.directory, 'key')
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), 'w', encoding='ascii') as stream:
            stream.write(invitation.key)
        return self.tailscale('up', '--login-server=' + invitation.server_url, '--auth-key=file:' + key_file,
                              '--hostname=' + invitation.robot, '--timeout=' + timeout)

    def status(self):
        """What `tailscale status --json` prints."""
        return LocalApi(self.socket).status()

    def address(self):
        return self.status()['Self']['TailscaleIPs'][0]

    def peers(self):
        """Names of the peers that this robot sees."""
        return {peer['DNSName'].split('.')[0] for peer in (self.status().get('Peer') or {}).values()}

    def kill(self):
        if self.daemon.poll() is None:
            self.daemon.kill()
        self.daemon.wait()


class Listener:
    """Takes connections on a loopback port: where a tailscaled without a TUN device hands incoming ones to."""

    def __init__(self, port):
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(('127.0.0.1', port))
        self._socket.listen(8)
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                with self._socket.accept()[0] as connection:
                    connection.sendall(b'hello')

    def close(self):
        # Without it the thread in accept() would keep the port.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


def port_outside_the_ephemeral_range():
    # Not always the same: another run of these tests may be under way on this machine.
    for port in random.sample(range(20000, 32000), 100):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(('127.0.0.1', port))
            return port
    raise AssertionError('no free port')


def opens(source, target, port, timeout=30):
    """Whether ``source`` (Robot) gets a TCP connection to ``port`` of ``target``, and is answered, within ``timeout``
    seconds. The filter drops in silence, so a closed port takes all of them."""
    listener = Listener(port)
    # Its standard input stays open: at its end `tailscale nc` ends, too.
    caller = subprocess.Popen([locate('tailscale'), '--socket=' + source.socket, 'nc', target.address(), str(port)],
                              stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        return bool(select.select([caller.stdout], [], [], timeout)[0]) and caller.stdout.read(5) == b'hello'
    finally:
        caller.kill()
        caller.wait()
        caller.stdin.close()
        caller.stdout.close()
        listener.close()


def closed(source, target, port):
    """Whether ``port`` of ``target`` is shut for ``source``; believe it only beside an open one."""
    return not opens(source, target, port, timeout=4)
