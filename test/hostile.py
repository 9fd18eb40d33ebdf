"""Run commands of `ua-overlay` against hostile surroundings, many in one go: nothing from outside ends in a traceback.

:class:`LocalApi` is a tailscaled that misbehaves in one of KINDS; :func:`run` runs commands, each in a directory of its
own, and measures them; :func:`problems` says what is wrong with one. A test of hostile files uses the last two only.

`python3 hostile.py` is the other end of :func:`run`: it imports the modules once and forks for each command, because a
new interpreter for each of two thousand commands would cost minutes.
"""
import argparse
import functools
import json
import os
import pathlib
import resource
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import traceback
from typing import NamedTuple

from paths import DATA, SOURCE

#: What a command may take at most: seconds, and megabytes of memory (the interpreter and all modules have 60).
SECONDS, MEGABYTES = 10.0, 200
#: Seconds after which a command is killed, so that one that hangs is reported and the others still run.
_PATIENCE = 20.0
#: Name of tailscaled's socket in the directory of a command; it replaces defaults.DAEMON_SOCKET.
SOCKET = 'tailscaled.sock'
#: The user that runs the commands when the tests are root's: nobody.
NOBODY = 65534


# -- commands

class Done(NamedTuple):
    """A command that ended. status: exit status; negative: killed by that signal."""

    argv: tuple
    status: int
    seconds: float
    megabytes: float
    out: str
    err: str


def leaves():
    """{words: parser} of every command that does something, from the parser of `ua-overlay` (and so cli/help.py)."""
    from ua_overlay.cli import make_parser
    return {' '.join(parser.words): parser for parser in make_parser().walk() if not parser.commands()}


def arguments(parser, values=None):
    """The words that a parser requires, made up from its own description; a new command needs no change here.

    :param values: {metavar: value}, for arguments that must name something.
    """
    words = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or (action.option_strings and not action.required):
            continue
        if not action.option_strings and action.nargs in ('?', '*'):
            continue
        name = action.metavar if isinstance(action.metavar, str) else action.dest
        value = (values or {}).get(name) or (str(list(action.choices)[0]) if action.choices else
                                             '1' if action.type in (int, float) else 'x')
        words += action.option_strings[:1] + [value]
    return words


def run(jobs, parallel=24):
    """Run commands; return a list of Done in the order of ``jobs``.

    :param jobs: [(argv behind `ua-overlay`, directory, {variable: value})]. The directory becomes the current one, and
        the home directory; with root's tests it is given to NOBODY, who runs the command.
    :param parallel: number of commands at one time; most of them wait.
    """
    for parent in {parent for _, directory, _ in jobs for parent in pathlib.Path(str(directory)).parents}:
        # Otherwise every command would end with the same sentence, and prove nothing.
        assert parent.stat().st_mode & 0o001, '{} is closed to the user of the commands'.format(parent)
    runner = _runner()
    runner.stdin.write(json.dumps({'parallel': parallel, 'jobs': [[list(argv), str(directory), dict(environ)]
                                                                  for argv, directory, environ in jobs]}) + '\n')
    runner.stdin.flush()
    results = {}
    for _ in jobs:
        line = runner.stdout.readline()
        assert line, 'the runner of the commands failed, see its traceback above'
        number, status, seconds, megabytes = json.loads(line)
        argv, directory, _ = jobs[number]
        results[number] = Done(tuple(argv), status, seconds, megabytes,
                               *(_text(os.path.join(str(directory), name)) for name in ('stdout', 'stderr')))
    return [results[number] for number in range(len(jobs))]


@functools.lru_cache(maxsize=None)
def _runner():
    """The other end of :func:`run`, for all tests of this process, with which it ends: its input ends then."""
    return subprocess.Popen([sys.executable, os.path.abspath(__file__)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                            universal_newlines=True, env=dict(os.environ, PYTHONPATH=SOURCE))


def problems(done):
    """What is wrong with a command that met something hostile, as a list of sentences."""
    found = []
    text = done.out + done.err
    if 'Traceback (most recent call last)' in text:
        found.append('it printed a traceback: ' + text[-1500:])
    if done.status < 0:
        found.append('signal {} ended it after {:.1f} s'.format(-done.status, done.seconds))
    if done.seconds > SECONDS:
        found.append('it took {:.1f} s'.format(done.seconds))
    if done.megabytes > MEGABYTES:
        found.append('it took {:.0f} MB'.format(done.megabytes))
    raw = [character for character in text if not character.isprintable() and character not in '\n\t']
    if raw:
        found.append('it printed {!r} raw'.format(raw[0]))
    if done.status and not text.strip():
        found.append('it failed with status {} and without a sentence'.format(done.status))
    return found


def _text(path):
    with open(path, 'rb') as stream:
        return stream.read(1000000).decode('utf-8', 'backslashreplace')


# -- a hostile tailscaled

def _recorded(name):
    with open(os.path.join(DATA, 'tailscale', name)) as stream:
        return json.load(stream)


OK = b'HTTP/1.1 200 OK\r\nTailscale-Version: 1.98.10\r\n'
STOPPED = _recorded('stopped-1.98.10.json')
#: A robot that is in its team; its peers are offline, so that no check connects to them.
RUNNING = _recorded('running-1.98.10.json')
for _peer in RUNNING['Peer'].values():
    _peer['Online'] = False
PREFS = {'ControlURL': 'https://127.0.0.1:1', 'OperatorUser': 'nobody', 'WantRunning': False, 'LoggedOut': False}
#: Path of the LocalAPI -> a good answer.
GOOD = {'status': STOPPED, 'prefs': PREFS, 'whois': {'Node': {'Endpoints': ['192.0.2.1:1'], 'HomeDERP': 999}},
        'derpmap': {'Regions': {}}, 'ping': {'IP': '100.64.0.2', 'LatencySeconds': 0.01}, 'start': {},
        'login-interactive': {}, 'logout': {}, 'debug': {}}
_ENDLESS = 1000000


class Gone(Exception):
    """The client closed the connection: what every kind below ends with, or does not."""


class LocalApi:
    """A tailscaled on a Unix socket.

    :param directory: where its socket is.
    :param kind: a name of KINDS.
    :param status: good answer to `status`, for kinds that misbehave only later.
    :param good: paths of the LocalAPI that get a good answer.
    :ivar requests: what was asked, as 'GET status'.
    """

    def __init__(self, directory, kind, status=STOPPED, good=()):
        self.requests = []
        self.connections = 0
        self._kind, self._good = kind, set(good)
        self._answers = dict(GOOD, status=status)
        self._stopped = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        path = os.path.join(str(directory), SOCKET)
        self._listener.bind(path)
        os.chmod(path, 0o666)
        self._listener.listen(16)
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        """End it, and every answer that is under way."""
        self._stopped.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self):
        while True:
            try:
                connection = self._listener.accept()[0]
            except OSError:  # closed
                return
            self.connections += 1
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection):
        connection.settimeout(30.0)
        try:
            with connection:
                if self._kind == 'it closes at once' and not self._good:
                    return
                buffer = b''
                while not self._stopped.is_set():
                    method, path, buffer = self._read(connection, buffer)
                    self.requests.append('{} {}'.format(method, path))
                    if path in self._good:
                        send_json(connection, self._answers.get(path, {}))
                    else:
                        KINDS[self._kind](Exchange(connection, path, self._answers, self._stopped))
        except (Gone, OSError):
            return

    @staticmethod
    def _read(connection, buffer):
        while b'\r\n\r\n' not in buffer:
            data = connection.recv(65536)
            if not data:
                raise Gone
            buffer += data
        head, rest = buffer.split(b'\r\n\r\n', 1)
        length = next((int(line.split(b':')[1]) for line in head.split(b'\r\n')
                       if line.lower().startswith(b'content-length:')), 0)
        while len(rest) < length:
            data = connection.recv(65536)
            if not data:
                raise Gone
            rest += data
        method, target = head.split(b' ', 2)[:2]
        return method.decode(), target.decode().split('/')[-1].split('?')[0], rest[length:]


class Exchange(NamedTuple):
    """What a kind gets: the connection after a request, its path, the good answers, and the end of the test."""

    connection: socket.socket
    path: str
    answers: dict
    stopped: threading.Event

    def send(self, data):
        self.connection.sendall(data)

    def repeat(self, data, total=1100 * 1000 * 1000):
        """Send ``data`` until there were ``total`` bytes: 1.1 GB."""
        block = data * max(1, _ENDLESS // len(data))
        for _ in range(total // len(block) + 1):
            if self.stopped.is_set():
                raise Gone
            self.connection.sendall(block)

    def hang(self):
        self.stopped.wait(60.0)
        raise Gone

    def close(self):
        raise Gone

    @property
    def good(self):
        return self.answers.get(self.path, {})


def send_json(connection, value):
    """Send a value as a healthy tailscaled does."""
    send_body(connection, json.dumps(value).encode())


def send_body(connection, body):
    connection.sendall(OK + b'Content-Length: %d\r\n\r\n' % len(body) + body)


def every(value, replace):
    """``value`` with replace(leaf) for each leaf."""
    if isinstance(value, dict):
        return {key: every(each, replace) for key, each in value.items()}
    if isinstance(value, list):
        return [every(each, replace) for each in value]
    return replace(value)


def _drip(to):
    for at in range(len(OK)):
        to.send(OK[at:at + 1])
        if to.stopped.wait(1.0):
            raise Gone


def _reset(to):
    to.send(OK + b'Content-Length: 100\r\n\r\n{"Self":')
    to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
    to.close()


def _with(changes):
    """A kind that answers well but for some fields, of the answer or of its Self."""
    def kind(to):
        answer = dict(to.good)
        own = dict(answer.get('Self') or {})
        for name, value in changes.items():
            (answer if name in answer or name == 'Self' or not own else own)[name] = value
        if own and 'Self' not in changes:
            answer['Self'] = own
        if to.path == 'prefs':
            answer = {name: {} for name in answer}
        send_json(to.connection, answer)
    return kind


def _body(text):
    return lambda to: send_body(to.connection, text)


def _raw(*parts):
    """A kind that sends the parts, and then nothing more."""
    def kind(to):
        for part in parts:
            to.send(part)
        to.hang()
    return kind


def _chunks(*lines):
    return _raw(OK + b'Transfer-Encoding: chunked\r\n\r\n', *lines)


_CONTROL = 'dev-\x1b[2J\x1b]0;title\x07\u202e\r\nfake: line'
_HUGE = b'9' * 5000

#: Name -> function(Exchange) after a request; the connection stays open for the next one unless Gone is raised.
KINDS = {
    'it closes at once': lambda to: to.close(),
    'it never answers': lambda to: to.hang(),
    'it sends one byte each second': _drip,
    'it resets the connection in the middle': _reset,
    'it closes in the middle': lambda to: (to.send(OK + b'Content-Length: 100\r\n\r\n{'), to.close()),
    'it sends bytes that are not HTTP': _raw(bytes(range(256)) * 100 + b'\r\n\r\n'),
    'it speaks another protocol': _raw(b'SSH-2.0-OpenSSH_9.6\r\n\r\n'),
    'it fails with terminal sequences': lambda to: to.send(
        b'HTTP/1.1 500 E\r\nContent-Length: 20\r\n\r\n\x1b[2J\x1b]0;x\x07\r\nok\xff\xfe\xe2\x80\xae\r'),
    'it redirects': lambda to: to.send(b'HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n'),
    'it sends interim answers without an end': lambda to: to.repeat(b'HTTP/1.1 100 Continue\r\n\r\n'),
    'its Content-Length is a word': _raw(OK + b'Content-Length: abc\r\n\r\n{}'),
    'its Content-Length is negative': _raw(OK + b'Content-Length: -1\r\n\r\n{}'),
    'its Content-Length is huge': _raw(OK + b'Content-Length: 999999999999999999\r\n\r\n{}'),
    'its header lines have no end': lambda to: (to.send(OK), to.repeat(b'X: y\r\n')),
    'it sends a header line of 1 GB': lambda to: (to.send(OK + b'X: '), to.repeat(b'y')),
    'its body has no end': lambda to: (to.send(OK + b'\r\n'), to.repeat(b'[')),
    'it sends a body of 1 GB': lambda to: (to.send(OK + b'Content-Length: 1100000000\r\n\r\n'), to.repeat(b' ')),
    'its chunks have no end': lambda to: (to.send(OK + b'Transfer-Encoding: chunked\r\n\r\n'),
                                          to.repeat(b'100000\r\n' + b' ' * 0x100000 + b'\r\n')),
    'its chunk size is negative': _chunks(b'-5\r\n{}\r\n'),
    'its chunk size has no end': lambda to: (to.send(OK + b'Transfer-Encoding: chunked\r\n\r\n'), to.repeat(b'0')),
    'it sends a list': _body(b'[{"Self": {}}]'),
    'it sends JSON nested 100,000 deep': _body(b'{"Self":' * 100000),
    'it sends a million lists': _body(b'{"Self":[' + b'[],' * 7000000 + b'0]}'),
    'it sends bytes that are not UTF-8': _body(b'{"Self": {"DNSName": "\xff\xfe"}}'),
    'it sends NaN': _body(b'{"Self": {"LatencySeconds": NaN}}'),
    'it sends 1e999': _body(b'{"Self": {"UserID": 1e999}}'),
    'its numbers are huge': _body(b'{"Self": {"RxBytes": ' + _HUGE + b'}}'),
    'all of its fields are null': lambda to: send_json(to.connection, every(to.good, lambda leaf: None)),
    'all of its fields are objects': lambda to: send_json(to.connection, every(to.good, lambda leaf: {})),
    'all of its fields are texts': lambda to: send_json(to.connection, every(to.good, lambda leaf: 'no')),
    'its Self is a text': _with({'Self': 'no'}),
    'its Peer is a list': _with({'Peer': [1]}),
    'its Health is a number': _with({'Health': 7}),
    'its tags are an object': _with({'Tags': {'tag:iris': 1}}),
    'its texts have control characters': lambda to: send_json(to.connection, every(
        to.good, lambda leaf: leaf + _CONTROL if isinstance(leaf, str) and not leaf[:1].isdigit() else leaf)),
    'its health has control characters': _with({'Health': [_CONTROL, '\ud800', 'x' * 100000]}),
    'it answers another request': lambda to: send_json(to.connection, to.answers[
        {'status': 'prefs', 'prefs': 'status'}.get(to.path, 'derpmap')]),
    'it answers twice': lambda to: (send_json(to.connection, to.good), send_json(to.connection, {'Self': 'no'})),
    'it is too old': lambda to: to.send(OK.replace(b'1.98.10', b'1.2.3\x1b[2J') + b'Content-Length: 2\r\n\r\n{}'),
}

#: Kinds that cost no time, for tests of a module; whoever waits, waits in http_unix.
QUICK = [kind for kind in KINDS if kind not in (
    'it never answers', 'it sends one byte each second', 'its chunks have no end', 'it sends a body of 1 GB',
    'its body has no end', 'its header lines have no end', 'it sends a header line of 1 GB',
    'its chunk size has no end', 'it sends interim answers without an end', 'it sends a million lists')]


# -- the other end of run()

def _import_commands(groups):
    import ua_overlay.defaults
    ua_overlay.defaults.DAEMON_SOCKET = SOCKET  # before any module takes it as a default
    from ua_overlay.cli import make_parser
    for parser in make_parser().commands():
        if parser.words[0] in groups:
            list(parser.walk())
    import ua_overlay.checks.observe.observer
    import ua_overlay.checks.programs
    import ua_overlay.checks.server
    import ua_overlay.membership.join  # noqa: F401  imported by commands only when they run


def _child(argv, directory, environ):
    os.setsid()
    os.chdir(directory)
    for number, name in ((1, 'stdout'), (2, 'stderr')):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.dup2(os.open('/dev/null', os.O_RDONLY), 0)
    # A safety net for this machine; what counts is the memory that was in use.
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    if os.geteuid() == 0:
        os.chown(directory, NOBODY, NOBODY)
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    os.environ.clear()
    os.environ.update({'PATH': '/usr/bin:/bin', 'HOME': directory, 'LANG': 'C.UTF-8', 'USER': 'nobody',
                       'UA_OVERLAY_RUN_DIR': directory, 'UA_OVERLAY_SITE': os.path.join(directory, 'site'), **environ})
    sys.argv = ['ua-overlay'] + argv
    sys.stdin, sys.stdout, sys.stderr = (open(number, mode) for number, mode in ((0, 'r'), (1, 'w'), (2, 'w')))
    from ua_overlay.cli import main
    try:
        status = main(argv)
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # as the interpreter does: a thread that is no daemon is waited for
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _serve_jobs(asked):
    _import_commands({argv[0] for argv, _, _ in asked['jobs']})
    waiting = list(enumerate(asked['jobs']))
    running = {}
    while waiting or running:
        while waiting and len(running) < asked['parallel']:
            number, (argv, directory, environ) = waiting.pop(0)
            began = time.monotonic()
            pid = os.fork()
            if not pid:
                try:
                    _child(argv, directory, environ)
                finally:
                    os._exit(99)
            running[pid] = (number, began)
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid in running:
            number, began = running.pop(pid)
            ended = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
            print(json.dumps([number, ended, time.monotonic() - began, usage.ru_maxrss / 1024]), flush=True)
            continue
        for each, (_, began) in running.items():
            if time.monotonic() - began > _PATIENCE:
                os.kill(each, signal.SIGKILL)
        time.sleep(0.01)


if __name__ == '__main__':
    for _line in sys.stdin:
        _serve_jobs(json.loads(_line))
