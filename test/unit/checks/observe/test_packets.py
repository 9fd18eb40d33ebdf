"""Small and full packets."""
import subprocess
from types import SimpleNamespace

import pytest

from ua_overlay.checks.facts import Packets
from ua_overlay.checks.observe import packets
from ua_overlay.checks.observe.questions import Questions
from unit.checks.healthy import FACTS, MASTER, MATE, ME


@pytest.mark.parametrize('status, expected', [(0, True), (1, False), (2, None)])
def test_echo(status, expected):
    asked = []

    def run(argv, **options):
        asked.append(argv)
        return SimpleNamespace(returncode=status)
    assert packets.echo('100.64.0.1', 1252, run) is expected
    assert asked[0][-3:] == ['-s', '1252', '100.64.0.1'] and 'do' in asked[0]


def test_echo_without_ping():
    def absent(*args, **options):
        raise FileNotFoundError('ping')

    def slow(*args, **options):
        raise subprocess.TimeoutExpired('ping', 4)
    assert packets.echo('a', 1, absent) is None and packets.echo('a', 1, slow) is None


def test_overlay_mtu(tmp_path):
    (tmp_path / 'tailscale0').mkdir()
    (tmp_path / 'tailscale0' / 'mtu').write_text('1240\n')
    assert packets.overlay_mtu(ME, FACTS.interfaces, str(tmp_path)) == 1240
    assert packets.overlay_mtu(ME, FACTS.interfaces, str(tmp_path / 'none')) == 1280
    assert packets.overlay_mtu(ME, (), str(tmp_path)) == 1280


def test_a_path_that_drops_full_packets(monkeypatch):
    monkeypatch.setattr(packets, 'echo', lambda address, size: address == '100.64.0.1' or size == 64)
    assert packets.observe_packets([MASTER, MATE], 1280, Questions(), 1.0) == (
        Packets('dev-1', True, True), Packets('dev-3', True, False))


def test_without_ping_nothing_is_known(monkeypatch):
    monkeypatch.setattr(packets, 'echo', lambda address, size: None)
    assert packets.observe_packets([MASTER], 1280, Questions(), 1.0) is None
