"""`ua-overlay robot mtu`: words and exit statuses. With the kernel: test/lab/test_doctor.py."""
import pytest

from ua_overlay.cli import main
from ua_overlay.firewall import clamp


def test_show(monkeypatch, capsys):
    monkeypatch.setattr(clamp, 'installed_path', lambda: None)
    assert main(['robot', 'mtu']) == 3 and 'full size' in capsys.readouterr().out
    monkeypatch.setattr(clamp, 'installed_path', lambda: 1330)
    assert main(['robot', 'mtu']) == 0 and '1330 bytes' in capsys.readouterr().out


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
