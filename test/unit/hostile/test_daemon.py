"""Every command against a tailscaled that misbehaves: no traceback, a clear sentence, 10 s and 200 MB at most."""
import datetime

import hostile
import pytest
from hostile import KINDS, RUNNING, STOPPED
from open_directory import open_directory

from ua_overlay.trust import ca
from ua_overlay.trust import certificate as certificates

#: The commands that ask tailscaled, as a user without root. A test below finds out whether these are all.
TOUCHING = ('status', 'links', 'doctor', 'join', 'leave')
#: These, and others that ask it only with more arguments -> the arguments. CA stands for a CA file.
COMMANDS = dict({name: () for name in TOUCHING}, **{
    'leave --forget': (), 'robot prepare': ('--ca', 'CA', '--user', 'nobody', '--dry-run', '--no-egress',
                                            '--service-manager', 'none')})
#: Commands that are not run here -> why.
NOT_RUN = {'tools install': 'builds programs, for minutes', 'tools build': 'builds programs, for minutes',
           'server service keep': 'runs until it is stopped', 'relay service keep': 'runs until it is stopped',
           'derp service keep': 'runs until it is stopped'}
#: How a tailscaled misbehaves that answers the first question well: name -> (its status, which paths are good).
LATER = {'later': (STOPPED, ('status',)), 'later, while it runs': (RUNNING, ('status',)),
         'after the preferences': (STOPPED, ('status', 'prefs'))}
LATER_KINDS = ('it never answers', 'it closes at once', 'its body has no end', 'all of its fields are objects',
               'it sends one byte each second')


@pytest.fixture(scope='module')
def ca_file():
    with open_directory() as directory:
        path = directory / 'ca.pem'
        path.write_text(certificates.dump_certificates(ca.create_ca(
            'lab', ['server.ua.test'], ['203.0.113.10'], datetime.datetime.now(datetime.timezone.utc))[1]))
        yield str(path)


def argv_of(command, ca_file):
    return command.split() + [ca_file if word == 'CA' else word for word in COMMANDS[command]]


@pytest.fixture
def place():
    """Function(kind, …) -> (a new directory with such a tailscaled, the tailscaled)."""
    opened = []
    with open_directory() as base:
        def make(*options, **more):
            directory = base / str(len(opened))
            directory.mkdir()
            opened.append(hostile.LocalApi(directory, *options, **more))
            return directory, opened[-1]

        yield make
        for server in opened:
            server.close()


def told(jobs, names):
    """Run the jobs; {name of each that misbehaved: its problems}."""
    found = {name: hostile.problems(done) for name, done in zip(names, hostile.run(jobs))}
    return {name: sentences for name, sentences in found.items() if sentences}


def test_at_least_23_kinds():
    assert len(KINDS) >= 23


@pytest.mark.fault('K4', 'tailscaled sends endless or huge answers, or nonsense',
                   behaviour='the command ends with a sentence', reported='10 s', recovery='with the next answer',
                   lost='nothing')
@pytest.mark.fault('K1', 'tailscaled answers with fields of other JSON types',
                   behaviour='the command ends with a sentence', reported='10 s', recovery='with the next answer',
                   lost='nothing')
def test_every_kind_of_misbehaviour(place, ca_file):
    jobs, names = [], []
    for command in COMMANDS:
        for kind in KINDS:
            directory, _ = place(kind)
            jobs.append((argv_of(command, ca_file), directory, {}))
            names.append('{}: {}'.format(command, kind))
    assert told(jobs, names) == {}


def test_misbehaviour_after_a_good_answer(place, ca_file):
    jobs, names = [], []
    for command in COMMANDS:
        for when, (status, good) in LATER.items():
            for kind in LATER_KINDS:
                directory, _ = place(kind, status, good)
                jobs.append((argv_of(command, ca_file), directory, {}))
                names.append('{}: {}: {}'.format(command, when, kind))
    assert told(jobs, names) == {}


def test_which_commands_ask_tailscaled(place):
    """All of `ua-overlay --help`: a new command is run, too, and has to be in TOUCHING if it asks tailscaled."""
    jobs, servers, names = [], [], []
    for words, parser in hostile.leaves().items():
        if words in NOT_RUN:
            continue
        directory, server = place('it fails with terminal sequences')
        jobs.append((words.split() + hostile.arguments(parser), directory, {}))
        servers.append(server)
        names.append(words)
    assert told(jobs, names) == {}
    assert [name for name, server in zip(names, servers) if server.connections] == list(TOUCHING)


def test_the_harness_sees_what_is_wrong(place):
    """A traceback, memory, time, an escape sequence and a silent failure are each found."""
    good = hostile.Done(('status',), 1, 0.1, 50.0, '', 'ua-overlay: No tailscaled answers.\n')
    assert hostile.problems(good) == []
    for changes in ({'err': 'Traceback (most recent call last):\n'}, {'megabytes': 201.0}, {'seconds': 10.1},
                    {'out': 'dev-1\x1b[2J'}, {'err': ''}, {'status': -9}):
        assert len(hostile.problems(good._replace(**changes))) == 1, changes
    directory, server = place('it closes at once')
    done, = hostile.run([(['status'], directory, {})])
    assert done.status == 1 and 'tailscaled' in done.err and server.connections >= 1
    assert 10 < done.megabytes < 200 and 0 < done.seconds < 10
