"""`ua-overlay tools` without real programs and builds."""
import hashlib
import json
import os
import tarfile

import pytest

from ua_overlay.cli import main, tools
from ua_overlay.toolchain.find import Tool


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """The installed programs, and the modules that were built."""
    there, built = set(), []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('UA_OVERLAY_CACHE', str(tmp_path / 'cache'))

    def find(program, module=None):
        if module is not None:
            return Tool(program, '/cache/' + program if module in built else None, '1.2.4', 'cache', '1.2.4')
        if program in there:
            return Tool(program, '/opt/' + program, '1.2.3', 'PATH', '1.2.4')
        return Tool(program, None, '', 'missing', '1.2.4')

    def build(pin, source, cache, progress, architecture=None):
        assert source.endswith('/toolchain/' + pin.module)
        built.append(pin.module + ('-' + architecture.name if architecture else ''))
        there.update({'headscale': ['headscale'], 'tailscale': ['tailscale', 'tailscaled']}.get(pin.module, []))
        for package in pin.packages:
            (tmp_path / package.rpartition('/')[2]).write_text('a program')
        return str(tmp_path)

    monkeypatch.setattr(tools, 'find', find)
    monkeypatch.setattr(tools, 'build', build)
    return there, built


def test_status(machine, capsys):
    machine[0].update(tools.PROGRAMS)
    assert main(['tools', 'status']) == 0
    output = capsys.readouterr().out
    assert '/opt/tailscaled' in output and 'Next' not in output


def test_the_status_with_missing_programs(machine, capsys):
    machine[0].add('tailscale')
    assert main(['tools', 'status']) == 1
    output = capsys.readouterr().out
    assert 'missing' in output and 'Next: ua-overlay tools install' in output
    assert main(['tools', 'status', '--json']) == 1
    answer = json.loads(capsys.readouterr().out)
    assert [(item['program'], item['path']) for item in answer] == [
        ('tailscale', '/opt/tailscale'), ('tailscaled', None), ('headscale', None)]


@pytest.mark.parametrize('there, argv, built', [
    ([], [], ['tailscale', 'headscale']), (['tailscale', 'tailscaled'], [], ['headscale']),
    (['tailscale'], [], ['tailscale', 'headscale']), (['tailscale', 'tailscaled', 'headscale'], [], []),
    (['headscale'], ['tailscaled'], ['tailscale']),
    (['tailscale', 'tailscaled', 'headscale'], ['--for-tests'],
     ['tailscale', 'headscale', 'tailscale-1.98', 'tailscale-1.100', 'tailscale-amd64', 'tailscale-arm64',
      'tailscale-armv7'])])
def test_install_builds_missing_programs(machine, capsys, there, argv, built):
    machine[0].update(there)
    assert main(['tools', 'install'] + argv) == 0
    assert machine[1] == built


def test_build_packs_the_programs_for_another_machine(machine, capsys, tmp_path):
    assert main(['tools', 'build', '--arch', 'aarch64']) == 0
    assert machine[1] == ['tailscale-arm64']
    output = capsys.readouterr().out
    path = str(tmp_path / 'ua_overlay-tools-arm64.tar.gz')
    with open(path, 'rb') as stream:
        digest = hashlib.sha256(stream.read()).hexdigest()
    assert '{} has the SHA-256 {}.'.format(path, digest) in output
    assert 'sudo ua-overlay tools install --from ua_overlay-tools-arm64.tar.gz --sha256 ' + digest in output
    with tarfile.open(path) as tar:
        assert tar.getnames() == ['SHA256SUMS', 'tailscale', 'tailscaled']


def test_build_into_the_cache_only(machine, capsys, tmp_path):
    assert main(['tools', 'build', '--cache-only', '--json', '--arch', 'armv7', 'headscale', 'tailscaled',
                 'headscale']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer['architecture'], answer['file'], answer['sha256']) == ('armv7', '', '')
    assert [(part['program'], part['path']) for part in answer['programs']] == [
        (name, str(tmp_path / name)) for name in ('headscale', 'tailscaled')]
    assert not [name for name in os.listdir(str(tmp_path)) if name.endswith('.gz')]


def test_a_build_that_cannot_be_written(machine, capsys):
    assert main(['tools', 'build', '--output', '/nowhere/file']) == 1
    assert '/nowhere/file cannot be written: No such file or directory.' in capsys.readouterr().err


@pytest.mark.parametrize('argv, word', [
    (['build', '--arch', 'armv6l'], 'only for amd64, arm64, armv7'),
    (['build', 'wget'], 'no tool called wget'),
    (['install', '--from', 'f', 'tailscaled'], 'installs all programs'),
    (['install', '--from', 'f', '--sha256', 'abc'], 'no SHA-256'),
    (['install', '--from', 'https://server/f'], 'needs --sha256'),
    (['install', '--sha256', 'a' * 64], 'which one?')])
def test_options_that_make_no_sense(machine, capsys, argv, word):
    assert main(['tools'] + argv) == 2
    error = capsys.readouterr().err
    assert word in error and 'Next: ' in error and machine[1] == []


def test_install_from_a_file(machine, capsys, monkeypatch):
    machine[1].append('tailscale')
    calls = []
    monkeypatch.setattr(tools.bundle, 'install', lambda *arguments: calls.append(arguments) or ['tailscaled'])
    assert main(['tools', 'install', '--from', '/media/usb/tools.tar.gz', '--sha256', 'A' * 64, '--json']) == 0
    assert calls[0][:2] == ('/media/usb/tools.tar.gz', 'A' * 64) and set(calls[0][2]) == {'tailscale', 'headscale'}
    assert [item['path'] for item in json.loads(capsys.readouterr().out)] == ['/cache/tailscaled']


def test_installing_an_unknown_program(machine, capsys):
    assert main(['tools', 'install', 'wget']) == 2
    assert 'no tool called wget' in capsys.readouterr().err and machine[1] == []


def test_the_help_shows_minimum_versions(capsys):
    with pytest.raises(SystemExit):
        main(['tools', '--help'])
    assert '1.98.9' in capsys.readouterr().out
