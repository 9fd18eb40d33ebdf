"""The requirements of a lab are checked before anything is created; each error is one sentence."""
import sys

import pytest

from ua_overlay.lab import network, requirements


def there(program):
    return '/usr/sbin/' + program


@pytest.fixture
def machine(tmp_path):
    """Arguments of a machine that has everything."""
    filesystems = tmp_path / 'filesystems'
    filesystems.write_text('nodev\ttmpfs\nnodev\toverlay\n\text4\n')
    return {'euid': 0, 'which': there, 'tun': '/dev/null', 'filesystems': str(filesystems), 'modprobe': 'no-modprobe'}


@pytest.fixture(autouse=True)
def pyroute2(monkeypatch):
    """The module may be missing where only unit tests run."""
    monkeypatch.setattr(requirements.importlib.util, 'find_spec', lambda name: object())


def refused(machine):
    with pytest.raises(requirements.LabUnavailable) as caught:
        requirements.check(**machine)
    assert caught.value.code == 'LAB_UNAVAILABLE' and caught.value.next_command
    return caught.value.sentence


def test_a_machine_that_meets_all_requirements(machine):
    requirements.check(**machine)


def test_not_root(machine):
    assert 'needs root' in refused(dict(machine, euid=1000))


@pytest.mark.parametrize('program', ['nft', 'dnsmasq'])
def test_a_missing_program(machine, program):
    assert program in refused(dict(machine, which=lambda name: None if name == program else there(name)))


def test_a_missing_module(machine, monkeypatch):
    monkeypatch.setattr(requirements.importlib.util, 'find_spec', lambda name: None)
    assert 'pyroute2' in refused(machine)


def test_a_different_python_than_at_creation(monkeypatch):
    monkeypatch.setattr(requirements.importlib.util, 'find_spec', lambda name: None)
    with pytest.raises(requirements.LabUnavailable) as caught, network.Cabling.open({}):
        pass
    assert sys.executable in caught.value.sentence and 'python3-pyroute2' in caught.value.next_command


def test_no_tun_device(machine, tmp_path):
    path = str(tmp_path / 'tun')
    assert refused(dict(machine, tun=path)) == \
        'A lab needs the TUN device {}: No such file or directory.'.format(path)


def test_no_overlayfs(machine, tmp_path):
    (tmp_path / 'filesystems').write_text('nodev\ttmpfs\nnodev\toverlayish\n')
    assert 'overlayfs' in refused(dict(machine, which=lambda name: None if name == 'no-modprobe' else there(name)))


def test_a_congestion_control_is_made_available(tmp_path):
    (tmp_path / 'tcp_available_congestion_control').write_text('reno bbr cubic\n')
    allowed = tmp_path / 'tcp_allowed_congestion_control'
    allowed.write_text('reno bbr\n')
    for _ in range(2):
        requirements.offer_congestion('cubic', str(tmp_path))
        assert allowed.read_text().strip() == 'reno bbr cubic'
    with pytest.raises(requirements.LabUnavailable) as caught:
        requirements.offer_congestion('vegas', str(tmp_path))
    assert caught.value.sentence == 'The congestion control vegas is not in this kernel, which has reno, bbr, cubic.'
    assert caught.value.next_command == 'modprobe tcp_vegas'
