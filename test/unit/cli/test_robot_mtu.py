"""`ua-overlay robot mtu`: words and exit statuses. With the kernel: test/lab/test_doctor.py."""
import os

import pytest

from ua_overlay.cli import main
from ua_overlay.firewall import clamp
from ua_overlay.system import nft


def test_show(monkeypatch, capsys):
    monkeypatch.setattr(clamp, 'installed_path', lambda: None)
    assert main(['robot', 'mtu']) == 3 and 'full size' in capsys.readouterr().out
    monkeypatch.setattr(clamp, 'installed_path', lambda: 1330)
    monkeypatch.setattr(os, 'geteuid', lambda: 1000)
    assert main(['robot', 'mtu']) == 0
    assert capsys.readouterr().out.endswith('to fit a path of 1330 bytes. Whether they do: sudo ua-overlay robot mtu\n')


@pytest.mark.fault('K2', 'Another program flushes the rules of `robot mtu` (nft flush ruleset)',
                   behaviour='robot mtu reads the kernel before it says what is in force', reported='at once: sudo '
                   'ua-overlay robot mtu', recovery='with its next command', lost='nothing')
def test_a_rule_that_was_flushed_is_not_in_force(monkeypatch, capsys):
    tables = [None, '{}']
    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(clamp, 'installed_path', lambda: 1330)
    monkeypatch.setattr(nft, 'find_nft', lambda *_: 'nft')
    monkeypatch.setattr(nft, 'list_table', lambda table, program: tables.pop(0))
    assert main(['robot', 'mtu']) == 1
    assert capsys.readouterr().err.endswith('from the kernel. Next: sudo ua-overlay robot mtu 1330\n')
    assert main(['robot', 'mtu']) == 0 and 'packets fit a path of 1330 bytes' in capsys.readouterr().out


def test_a_change_is_read_back(monkeypatch, capsys):
    tables = [None, '{}']

    class Applier:
        def apply(self, recipe):
            return set()

    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(clamp, 'applier', Applier)
    monkeypatch.setattr(nft, 'find_nft', lambda *_: 'nft')
    monkeypatch.setattr(nft, 'check', lambda *_: None)
    monkeypatch.setattr(nft, 'list_table', lambda table, program: tables.pop(0))
    assert main(['robot', 'mtu', '1330']) == 1 and 'another program removed' in capsys.readouterr().err
    assert main(['robot', 'mtu', '1330']) == 0 and 'fit a path of 1330 bytes.' in capsys.readouterr().out


@pytest.mark.parametrize('word, text', [('575', 'give 576 to 1360'), ('abc', 'neither a number of bytes nor off'),
                                        ('-1', ''), ('9' * 5000, 'neither a number')])
def test_invalid_sizes(word, text, capsys):
    try:
        status = main(['robot', 'mtu', word])
    except SystemExit as error:
        status = error.code
    assert status == 2 and text in capsys.readouterr().err


def test_a_change_requires_root(monkeypatch, capsys):
    monkeypatch.setattr('os.geteuid', lambda: 1000)
    assert main(['robot', 'mtu', '1330']) == 1 and 'needs root' in capsys.readouterr().err
    assert main(['robot', 'mtu', 'off']) == 1 and 'needs root' in capsys.readouterr().err
