"""`ua-overlay invite unpack`: the two files, and commands without the key."""
import json
import os
import shlex
import stat
from dataclasses import replace

import pytest

from ua_overlay.cli import main
from ua_overlay.trust import invitation_file
from unit.trust.test_invitation_file import GOOD

KEY = 'hskey-auth-aaaaaaaaaaaa-' + 'b' * 64


@pytest.fixture
def laptop(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = replace(GOOD, user='ana', team='', robot='laptop-1', master=False, key=KEY)
    invitation_file.write('laptop-1.invitation.yaml', made, (os.geteuid(), os.getegid()))
    return made


@pytest.mark.fault('case 21', 'A laptop with Windows or macOS', behaviour='Two files, and two commands to type there',
                   reported='-', recovery='-', lost='nothing')
def test_the_files_and_the_commands(laptop, tmp_path, capsys):
    assert main(['invite', 'unpack', 'laptop-1.invitation.yaml']) == 0
    output = capsys.readouterr().out
    assert (tmp_path / 'laptop-1.ca.crt').read_text() == laptop.ca_pem
    assert (tmp_path / 'laptop-1.key').read_text() == KEY + '\n'
    assert stat.S_IMODE((tmp_path / 'laptop-1.key').stat().st_mode) == 0o600
    assert 'certutil -addstore -f Root laptop-1.ca.crt' in output
    assert 'security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain laptop-1.ca.crt' in output
    assert output.count('tailscale login --login-server {} --auth-key file:laptop-1.key --hostname laptop-1'.format(
        laptop.server_url)) == 2
    assert 'hskey' not in output


def test_json(laptop, tmp_path, capsys):
    (tmp_path / 'out').mkdir()
    assert main(['invite', 'unpack', 'laptop-1.invitation.yaml', '--output-dir', 'out', '--json']) == 0
    answer = json.loads(capsys.readouterr().out)
    assert sorted(os.listdir('out')) == sorted(map(os.path.basename, (answer['ca'], answer['key'])))
    assert all(len(lines) == 2 and shlex.split(lines[1])[0] == 'tailscale' for lines in answer['commands'].values())


def test_what_cannot_be_unpacked(laptop, tmp_path, capsys):
    short = replace(laptop, ca_pem='', ca_sha256='a' * 64)
    invitation_file.write('short.yaml', short, (os.geteuid(), os.getegid()))
    assert main(['invite', 'unpack', 'short.yaml']) == 1
    error = capsys.readouterr().err
    assert 'SHA-256' in error and 'Next: ua-overlay invite --user ana laptop-1   # on the server' in error
    assert main(['invite', 'unpack', 'missing.yaml']) == 1
    assert main(['invite', 'unpack', 'laptop-1.invitation.yaml', '--output-dir', 'none']) == 1
    assert 'none' in capsys.readouterr().err and not os.path.exists('laptop-1.key')
