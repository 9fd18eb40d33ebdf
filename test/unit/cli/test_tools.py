"""`ua-overlay tools` without real programs and builds."""
import json

import pytest

from ua_overlay.cli import main, tools
from ua_overlay.toolchain.find import Tool


@pytest.fixture
def machine(monkeypatch):
    """The installed programs, and the modules that were built."""
    there, built = set(), []

    def find(program, module=None):
        if module is not None:
            return Tool(program, '/cache/' + program if module in built else None, '1.2.4', 'cache', '1.2.4')
        if program in there:
            return Tool(program, '/opt/' + program, '1.2.3', 'PATH', '1.2.4')
        return Tool(program, None, '', 'missing', '1.2.4')

    def build(pin, source, cache, progress):
        assert source.endswith('/toolchain/' + pin.module)
        built.append(pin.module)
        there.update({'headscale': ['headscale'], 'tailscale': ['tailscale', 'tailscaled']}.get(pin.module, []))

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
    (['tailscale', 'tailscaled', 'headscale'], ['--for-tests'], ['tailscale', 'headscale', 'tailscale-next'])])
def test_install_builds_missing_programs(machine, capsys, there, argv, built):
    machine[0].update(there)
    assert main(['tools', 'install'] + argv) == 0
    assert machine[1] == built


def test_install_prefers_pinned_versions_on_request(machine, capsys):
    machine[0].update(tools.PROGRAMS)
    assert main(['tools', 'install', '--pinned', '--json']) == 0
    assert machine[1] == ['tailscale', 'headscale']
    assert [item['path'] for item in json.loads(capsys.readouterr().out)] == [
        '/cache/tailscale', '/cache/tailscaled', '/cache/headscale']


def test_installing_an_unknown_program(machine, capsys):
    assert main(['tools', 'install', 'wget']) == 2
    assert 'no tool called wget' in capsys.readouterr().err and machine[1] == []


def test_the_help_shows_minimum_versions(capsys):
    with pytest.raises(SystemExit):
        main(['tools', '--help'])
    assert '1.98.9' in capsys.readouterr().out
