"""The search for third-party programs."""
import os
import stat

import pytest

from ua_overlay.toolchain import find as finding
from ua_overlay.toolchain.find import ToolMissing, ask_version, build_dir, cache_dir, find, locate


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text('#!/bin/sh\n' + text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.fixture
def pinned():
    return find('tailscaled', which=lambda name: None, cache='/nonexistent').pinned


@pytest.mark.parametrize('environ, uid, wanted', [
    ({'UA_OVERLAY_CACHE': '/c', 'HOME': '/h'}, 0, '/c'), ({'UA_OVERLAY_CACHE': '/c'}, 1000, '/c'),
    ({'HOME': '/root'}, 0, '/var/cache/ua_overlay'), ({'UA_OVERLAY_CACHE': ''}, 0, '/var/cache/ua_overlay'),
    ({'HOME': '/h'}, 1000, '/h/.cache/ua_overlay'), ({'HOME': '/h', 'XDG_CACHE_HOME': '/x'}, 1000, '/x/ua_overlay')])
def test_cache_dir(environ, uid, wanted):
    assert cache_dir(environ, uid) == wanted


def test_a_recent_program_on_the_path():
    found = find('tailscaled', which=lambda name: '/opt/' + name, ask=lambda path: '1.98.9', cache='/nonexistent')
    assert (found.path, found.version, found.origin) == ('/opt/tailscaled', '1.98.9', 'PATH')


@pytest.mark.parametrize('said', ['1.98.8', '', 'nonsense'])
def test_an_unsuitable_program_on_the_path(said, tmp_path, pinned):
    built = program(tmp_path / 'tools' / ('tailscale-' + pinned) / 'tailscaled', '')
    options = dict(which=lambda name: '/opt/' + name, ask=lambda path: said)
    assert find('tailscaled', cache=str(tmp_path), **options)[:4] == ('tailscaled', built, pinned, 'cache')
    assert find('tailscaled', cache='/nonexistent', **options)[:4] == ('tailscaled', None, '', 'missing')


def test_a_named_module_is_never_used_from_the_path(tmp_path):
    found = find('tailscaled', 'tailscale-1.98', which=lambda name: '/opt/' + name, ask=lambda path: '9.9.9',
                 cache=str(tmp_path))
    assert found.origin == 'missing'
    built = program(tmp_path / 'tools' / ('tailscale-1.98-' + found.pinned) / 'tailscaled', '')
    assert find('tailscaled', 'tailscale-1.98', cache=str(tmp_path)).path == built


def test_ask_version(tmp_path):
    daemon = program(tmp_path / 'tailscaled', 'test "$1" = --version && echo 1.98.10 && echo more')
    assert ask_version(daemon) == '1.98.10'
    assert ask_version(program(tmp_path / 'headscale', 'test "$1" = version && echo v0.29.3')) == 'v0.29.3'
    assert ask_version(program(tmp_path / 'tailscale', 'echo usage >&2; exit 2')) == ''
    assert ask_version(str(tmp_path / 'missing')) == ''


def test_locate_names_the_next_command(tmp_path, monkeypatch):
    monkeypatch.setenv('UA_OVERLAY_CACHE', str(tmp_path))
    monkeypatch.setenv('PATH', str(tmp_path))
    locate.cache_clear()
    with pytest.raises(ToolMissing) as caught:
        locate('headscale')
    assert caught.value.code == 'TOOL_MISSING' and caught.value.next_command == 'ua-overlay tools install'
    assert 'headscale 0.29.2' in caught.value.sentence
    # A missing program is searched for again; a found one is not.
    wanted = find('headscale').pinned
    built = program(tmp_path / 'tools' / ('headscale-' + wanted) / 'headscale', '')
    assert locate('headscale') == built
    os.unlink(built)
    assert locate('headscale') == built
    locate.cache_clear()


def test_build_dir(monkeypatch):
    assert build_dir('tailscale', '1.98.10', '/c') == '/c/tools/tailscale-1.98.10'
    monkeypatch.setattr(finding, 'cache_dir', lambda: '/d')
    assert build_dir('tailscale', '1.98.10') == '/d/tools/tailscale-1.98.10'
