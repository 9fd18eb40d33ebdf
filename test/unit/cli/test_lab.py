"""`ua-overlay lab`: its output, without a lab. Real labs: test/lab/test_lab_cli.py."""
import json
from types import SimpleNamespace

import pytest
from paths import CONFIG, ROOT

from ua_overlay.cli import lab as command
from ua_overlay.cli import main
from ua_overlay.errors import OverlayError
from ua_overlay.lab import nat
from ua_overlay.lab.lab import load_topology
from ua_overlay.lab.shape import Shape


class Lab:
    """Plays a lab of the default topology; robots and routers may have changed links."""

    def __init__(self, name='lab'):
        self.name, self.directory = name, '/run/labs/' + name
        self.topology = load_topology(CONFIG + '/lab/two_nats.yaml')
        self.kinds = {}

    def services(self):
        return [('dev-1', 'tailscaled'), ('dev-1', 'link-dev-1')]

    def nat_kind(self, name):
        return self.kinds.get(name, 'easy')

    def nat(self, name, kind):
        self.kinds[name] = kind

    def host(self, name):
        return SimpleNamespace(pid=4711)


@pytest.fixture
def labs(monkeypatch):
    """The labs of this machine by their names; an error stands for a broken one."""
    present = {}

    def attach(name):
        if isinstance(present[name], Exception):
            raise present[name]
        return present[name]

    monkeypatch.setattr(command.requirements, 'check_root', lambda: None)
    monkeypatch.setattr(command.Lab, 'names', staticmethod(lambda: sorted(present)))
    monkeypatch.setattr(command.Lab, 'attach', staticmethod(attach))
    monkeypatch.setattr(command.link, 'shapes', lambda lab: {'dev-1': Shape(delay=0.01)})
    return present


@pytest.mark.parametrize('kind', nat.KINDS)
def test_each_kind_of_nat_is_described(kind):
    """In the help, in the default topology and in the page on the lab."""
    assert '\n  {} '.format(kind) in command.NAT_DESCRIPTION
    for path, text in ((CONFIG + '/lab/two_nats.yaml', '{} ('), (ROOT + '/docs/lab.md', '\n| `{}` |')):
        with open(path, encoding='utf-8') as stream:
            assert text.format(kind) in stream.read(), path


def test_no_lab(labs, capsys):
    assert main(['lab', 'status']) == 3
    assert capsys.readouterr().out == 'No lab is up. Next: ua-overlay lab up\n'
    assert main(['lab', 'status', '--json']) == 3
    assert json.loads(capsys.readouterr().out) == []
    assert main(['lab', 'down', '--all']) == 0
    assert capsys.readouterr().out == 'There is no lab; nothing to remove.\n'


def test_a_lab_and_its_hosts(labs, capsys):
    labs['lab'] = Lab()
    assert main(['lab', 'status']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == 'Lab lab: up' and lines[1].split() == ['HOST', 'ROLE', 'ADDRESS', 'NAT', 'LINK', 'SERVICES']
    rows = {line.split()[0]: line for line in lines[2:]}
    assert 'easy' in rows['nat1'] and rows['dev-1'].endswith('tailscaled') and '10ms' in rows['dev-1']


def test_json(labs, capsys):
    labs['lab'] = Lab()
    assert main(['lab', 'status', '--json']) == 0
    hosts = {host['name']: host for host in json.loads(capsys.readouterr().out)[0]['hosts']}
    assert hosts['dev-1']['behind'] == 'nat1' and hosts['nat1']['nat_kind'] == 'easy'
    assert hosts['dev-1']['services'] == ['tailscaled', 'link-dev-1'] and hosts['server']['pid'] == 4711


def test_a_broken_lab_is_listed_with_the_reason(labs, capsys):
    labs['lab'] = OverlayError('Its agent does not answer.', 'ua-overlay lab down --name lab')
    assert main(['lab', 'status']) == 0
    assert capsys.readouterr().out.startswith('Lab lab: Its agent does not answer. Next: ua-overlay lab down')


def test_changing_the_kind_of_a_nat(labs, capsys):
    labs['lab'] = Lab()
    assert main(['lab', 'nat', 'nat1', 'hard']) == 0
    assert labs['lab'].kinds == {'nat1': 'hard'} and capsys.readouterr().out == 'nat1 is now hard.\n'


def test_a_command_is_required(capsys):
    with pytest.raises(SystemExit) as caught:
        main(['lab', 'exec', 'dev-1'])
    assert caught.value.code == 2 and 'Give a command, such as `-- bash`.' in capsys.readouterr().err
