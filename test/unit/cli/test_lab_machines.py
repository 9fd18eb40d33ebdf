"""`ua-overlay lab machines`: its output, without machines. Real ones: test/lab/test_lab_machines.py."""
import json
from types import SimpleNamespace

import pytest
from paths import CONFIG

from ua_overlay.cli import lab_machines as command
from ua_overlay.cli import main
from ua_overlay.lab.lab import load_topology


class Machine:
    """Plays a machine; ``state`` is what its systemd prints, None when it is off."""

    def __init__(self, state):
        self.state = state

    def runs(self):
        return self.state is not None

    def run(self, argv, check):
        assert argv == ['systemctl', 'is-system-running'] and check is False
        return SimpleNamespace(stdout=self.state + '\n')


@pytest.fixture
def machines(monkeypatch):
    """Two machines of the lab `machines`, and the labs that were killed."""
    topology = load_topology(CONFIG + '/lab/machines.yaml')
    present = {'server': Machine('running'), 'dev-1': Machine('running')}
    made = SimpleNamespace(machines=present, lab=SimpleNamespace(topology=topology, down=lambda: present.clear()),
                           ssh=SimpleNamespace(config='/x/ssh/config'), power_off=lambda: None)
    killed = []
    monkeypatch.setattr(command.requirements, 'check_root', lambda: None)
    monkeypatch.setattr(command.leftovers, 'sweep', lambda: killed)
    monkeypatch.setattr(command.Lab, 'attach', staticmethod(lambda name: name))
    monkeypatch.setattr(command, 'MachineSet', lambda lab: made)
    return present, killed


def test_running_machines(machines, capsys):
    assert main(['lab', 'machines', 'status']) == 0
    header, server, robot = capsys.readouterr().out.splitlines()
    assert header.split() == ['MACHINE', 'SYSTEM', 'STATE', 'ADDRESS', 'BEHIND']
    assert server.split()[:4] == ['server', 'Debian', 'bookworm', 'running']
    assert robot.split()[:4] == ['dev-1', 'Debian', 'bullseye', 'running'] and robot.split()[-1].startswith('nat')


@pytest.mark.parametrize('state, shown', [(None, 'off'), ('degraded', 'degraded'), ('', 'starting')])
def test_a_stopped_machine(machines, capsys, state, shown):
    machines[0]['dev-1'].state = state
    assert main(['lab', 'machines', 'status', '--json']) == 1
    answer = json.loads(capsys.readouterr().out)
    assert answer['ssh_config'] == '/x/ssh/config' and answer['machines'][1]['state'] == shown


def test_killed_labs_are_swept_first(machines, capsys):
    machines[1].append('old')
    assert main(['lab', 'machines', 'status']) == 0
    assert capsys.readouterr().err == (
        'The lab old was killed; removed the files of its machines from the cache.\n')


def test_down(machines, capsys):
    assert main(['lab', 'machines', 'down']) == 0
    assert machines[0] == {} and capsys.readouterr().out == 'Removed the lab machines and its machines.\n'
