"""Every command against hostile files: pipes, devices, 1 GB, bombs, garbage in place of each file that it reads."""
import os
import shutil
import socket

import hostile
import odd_certificates
import pytest
from open_directory import open_directory

from ua_overlay.clock import utc_now
from ua_overlay.headscale.rules import Rules, Team
from ua_overlay.headscale.site_settings import SiteSettings
from ua_overlay.relays import enrolment
from ua_overlay.site import last_good
from ua_overlay.site.site import Site
from ua_overlay.trust import invitation_file, store
from ua_overlay.trust.invitation import Invitation

#: A YAML mapping of ten merges, each of ten of the line before: 10**9 values, 25 s of CPU time without a limit.
MERGES = 'a0: &a0 {x: 1}\n' + ''.join(
    'a{0}: &a{0}\n  <<: [{1}]\n  y{0}: 1\n'.format(level, ', '.join(['*a{}'.format(level - 1)] * 10))
    for level in range(1, 10))
ODD_PEM = odd_certificates.pem_of(odd_certificates.odd_ones()['subjectAltName of garbage'])


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listener:
        place = os.open(os.path.dirname(path), os.O_RDONLY)
        listener.bind('/proc/self/fd/{}/{}'.format(place, os.path.basename(path)))
        os.close(place)


def _sparse(path):
    with open(path, 'wb') as stream:
        stream.truncate(1 << 30)


def _text(text, mode='w'):
    def write(path):
        with open(path, mode) as stream:
            stream.write(text)
        os.chmod(path, 0o600)
    return write


#: Name -> function(path) that puts something hostile there.
KINDS = {
    'a FIFO': os.mkfifo, 'a directory': os.mkdir, 'a socket': _socket, '1 GB': _sparse,
    '/dev/zero': lambda path: os.symlink('/dev/zero', path), 'a terminal': lambda path: os.symlink('/dev/tty', path),
    'a dangling link': lambda path: os.symlink('/nowhere/at/all', path),
    'a link to itself': lambda path: os.symlink(path, path), 'nothing': _text(''),
    'every byte': _text(bytes(range(256)) * 40, 'wb'), 'deep JSON': _text('[' * 200000),
    'deep JSON objects': _text('{"a":' * 60000), 'a number without end': _text('7' * 400000),
    'a YAML bomb': _text(MERGES),
    'terminal sequences': _text('name: "\x1b[2J\x1b]0;x\x07\u202e"\nversion: "\x1b[2J"\n'),
    'a certificate of garbage': _text(ODD_PEM), 'half a key': _text('-----BEGIN PRIVATE KEY-----\nMIIB'),
}
#: Those that stand in place of the many files of a site.
KINDS_OF_A_SITE = ('a FIFO', 'a directory', '1 GB', '/dev/zero', 'every byte', 'deep JSON', 'a YAML bomb')
#: File of a site -> commands that read it. site.yaml is read by all.
FILES_OF_A_SITE = {
    'site.yaml': None,
    'site.last_good.yaml': ['server status'],
    'ca.pem': ['server status', 'server renew', 'server rotate-ca status', 'server rotate-ca start',
               'server service install --dry-run --no-egress', 'server backup --output out', 'server check',
               'invite iris dev-1', 'derp create lab-b --address 203.0.113.11'],
    'ca.key': ['server renew', 'server rotate-ca start', 'server rotate-ca status', 'server backup --output out',
               'derp create lab-b --address 203.0.113.11'],
    'server.pem': ['server status', 'server renew', 'server rotate-ca status', 'server rotate-ca start'],
    'server.key': ['server status', 'server renew', 'server rotate-ca status'],
    'server.key.next': ['server status', 'server renew'],
    'ca.next.key': ['server rotate-ca status', 'server rotate-ca cancel'],
    'rotation.json': ['server rotate-ca status', 'server rotate-ca confirm dev-1'],
    'invitations.log': ['invite list', 'server backup --output out'],
    'api.key': ['team list', 'invite list', 'server status', 'server backup --output out'],
    'policy.json': ['policy show', 'policy check', 'policy apply', 'server backup --output out'],
    'headscale.yaml': ['server status', 'server backup --output out'],
    'headscale/db.sqlite': ['server backup --output out', 'server upgrade --check'],
    'headscale/noise.key': ['server backup --output out'],
    'run/control.sock': ['server status', 'team create blue', 'server backup --output out'],
    'run/relay.sock': ['server relay status', 'server status'],
    'run/change.lock': ['team create blue', 'user set ana --teams iris', 'server backup --output out'],
    'log': ['server status'], 'headscale': ['server status', 'server backup --output out'],
}
#: Commands of a site whose arguments the harness cannot make up, or which must not do what they are for.
SITE_COMMANDS = {'server run': None, 'server relay run': None, 'server service keep': None, 'server init': None,
                 'server restore': None,
                 'server service install': 'server service install --dry-run --no-egress',
                 'server service remove': 'server service remove --dry-run',
                 'server backup': 'server backup --output out'}
#: Commands that read the file FILE, wherever it is.
FILES = [
    'join FILE', 'status --ca FILE', 'doctor --ca FILE', 'join --ca FILE',
    'robot prepare --ca FILE --user nobody --dry-run',
    'robot prepare --invitation FILE --user nobody --dry-run', 'invite unpack FILE', 'invite iris --batch FILE',
    'server init --name a.example --dir new --certificate FILE --key FILE', 'server restore FILE --dir new',
    'server check --from-outside --invitation FILE', 'relay run --enrolment FILE --dir new',
    'derp run --enrolment FILE --dir new', 'relay service install --enrolment FILE --dir new --dry-run --no-egress',
    'derp service install --enrolment FILE --dir new --dry-run --no-egress', 'measure run FILE --dry-run',
    'measure walk spot FILE', 'measure monitor FILE --dry-run', 'measure encryption --canary FILE --inside FILE '
    '--outside FILE', 'lab up FILE', 'measure report FILE', 'measure monitor --show FILE']
#: Path below the directory -> commands that read it.
PLACES = {
    'env': ['status', 'doctor', 'env', 'env --json', 'env --shell', 'exec true'],
    'state/settings.yaml': ['status --state-dir state', 'doctor --state-dir state', 'join --state-dir state',
                            'leave --state-dir state', 'leave --forget --state-dir state'],
    'relay/enrolment.yaml': ['relay run --dir relay', 'relay status --dir relay',
                             'relay service install --dir relay --dry-run --no-egress'],
    'derp/enrolment.yaml': ['derp run --dir derp', 'derp status --dir derp'],
    'relay/run/control.sock': ['relay status --dir relay'],
    'results/campaign.json': ['measure report results', 'measure walk --results results',
                              'measure monitor --show results'],
    'results/samples.jsonl': ['measure report results', 'measure walk --results results'],
    'results/encryption.json': ['measure report results'], 'results/status.json': ['measure monitor --show results'],
}


@pytest.fixture(scope='module')
def template(tmp_path_factory):
    """A directory with a site, an invitation and an enrolment."""
    base = tmp_path_factory.mktemp('template')
    settings = SiteSettings('localhost', ('203.0.113.10',))
    site = Site.create(str(base / 'site'), settings, lambda path: store.init(
        path, 'localhost', ['localhost'], ['203.0.113.10'], utc_now()))
    site.rules = Rules({'iris': Team('iris')})
    site.write_settings()
    site.write_generated()
    last_good.save(site)
    for name in ('api.key', 'invitations.log', 'headscale/noise.key'):
        (base / 'site' / name).write_text('hskey-api-{}\n'.format('k' * 60))
    ca_pem = (base / 'site' / 'ca.pem').read_text()
    invitation_file.write(str(base / 'it.yaml'), Invitation(
        'https://localhost:8080', ca_pem, 'hskey-auth-' + 'k' * 70, 'dev-1', utc_now(), utc_now().replace(year=2030),
        'iris'))
    enrolment.write(str(base / 'relay.yaml'), enrolment.Enrolment(
        'relay', 'lab-b', 'https://localhost:8080', ca_pem, '203.0.113.11', 40000, key='hskey-auth-' + 'k' * 70))
    return base


@pytest.fixture
def place(template):
    """Function() -> a new copy of the template."""
    made = []
    with open_directory() as base:
        def make():
            directory = base / str(len(made))
            made.append(directory)
            shutil.copytree(str(template), str(directory))
            return directory

        yield make


def give_away(directory):
    """Give everything in a directory to the user who runs the commands."""
    if os.geteuid() == 0:
        for folder, folders, names in os.walk(str(directory)):
            for name in folders + names:
                os.lchown(os.path.join(folder, name), hostile.NOBODY, hostile.NOBODY)


def told(jobs):
    """Run [(argv, directory, kind)]; a line for each that misbehaved."""
    found = []
    done = hostile.run([(argv, directory, {}) for argv, directory, _ in jobs])
    for (argv, _, kind), each in zip(jobs, done):
        problems = hostile.problems(each)
        if 'k' * 20 in each.out + each.err:
            problems.append('it printed a secret')
        if problems:
            found.append('{}: {}: {}'.format(' '.join(argv), kind, '; '.join(problems)))
    return found


def put(directory, name, kind):
    """Put something hostile in place of a file."""
    path = os.path.join(str(directory), name)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    KINDS[kind](path)


def of_a_site():
    """The command line of every command that works on a site."""
    for words, parser in hostile.leaves().items():
        if any('--dir' in action.option_strings for action in parser._actions) and words.split()[0] not in (
                'relay', 'derp') and SITE_COMMANDS.get(words, words):
            yield SITE_COMMANDS.get(words) or ' '.join([words] + hostile.arguments(
                parser, {'DAYS': '30', 'TEAM': 'iris'}))


@pytest.mark.fault('K4', 'A file that a command reads is a pipe, a device, a bomb or garbage',
                   behaviour='the command ends with a sentence', reported='10 s', recovery='when it is a file again',
                   lost='nothing')
@pytest.mark.parametrize('name', sorted(FILES_OF_A_SITE))
def test_files_of_a_site(place, name):
    commands = FILES_OF_A_SITE[name] or list(of_a_site())
    jobs = []
    for command in commands:
        for kind in KINDS_OF_A_SITE:
            directory = place()
            put(directory / 'site', name, kind)
            give_away(directory)
            jobs.append((command.split(), directory, kind))
    assert len(commands) > 20 or name != 'site.yaml'
    assert told(jobs) == []


def test_files_that_are_named(place):
    jobs = []
    for command in FILES:
        for kind in KINDS:
            directory = place()
            put(directory, 'FILE', kind)
            give_away(directory)
            jobs.append((command.split(), directory, kind))
    assert told(jobs) == []


@pytest.mark.parametrize('name', sorted(PLACES))
def test_files_in_a_place_of_their_own(place, name):
    jobs = []
    for command in PLACES[name]:
        for kind in KINDS:
            directory = place()
            if name.startswith('results/') and name != 'results/campaign.json':
                (directory / 'results').mkdir()
                (directory / 'results' / 'campaign.json').write_text('{}')
            put(directory, name, kind)
            give_away(directory)
            jobs.append((command.split(), directory, kind))
    assert told(jobs) == []


def test_a_healthy_site_is_no_problem(place):
    """The same jobs without anything hostile: the harness itself does not fail."""
    directory = place()
    give_away(directory)
    done = hostile.run([(['server', 'status'], directory, {}), (['policy', 'check'], place(), {})])
    assert 'site                localhost' in done[0].out and [hostile.problems(each) for each in done] == [[], []]
