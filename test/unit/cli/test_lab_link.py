"""`ua-overlay lab link`: settings and figures, without a lab. Real links: test/lab/test_lab_links.py."""
import json

import pytest

from ua_overlay.cli import lab_link as command
from ua_overlay.cli import main
from ua_overlay.lab.link_meter import Figure
from ua_overlay.lab.shape import Shape


@pytest.fixture
def shapes(monkeypatch):
    """The shapes of the links of a lab; commands change them."""
    present = {}
    monkeypatch.setattr(command.Lab, 'attach', staticmethod(lambda name: name))
    monkeypatch.setattr(command.link, 'shape_of', lambda lab, host: present.get(host, Shape()))
    monkeypatch.setattr(command.link, 'shapes', lambda lab: dict(present))
    monkeypatch.setattr(command.link, 'set_shape', lambda lab, host, shape, seed: present.update({host: shape}))
    monkeypatch.setattr(command.link, 'clear', lambda lab, host: present.pop(host, None) is not None)
    monkeypatch.setattr(command.link, 'counts', lambda lab, host: {
        'out': {'passed': 9, 'lost': 1, 'dropped': 0, 'overtook': 0}})
    return present


def test_settings_accumulate(shapes, capsys):
    assert main(['lab', 'link', 'set', 'dev-1', '--delay', '10ms']) == 0
    assert main(['lab', 'link', 'set', 'dev-1', '--loss', '1%']) == 0
    assert shapes == {'dev-1': Shape(delay=0.01, loss=0.01)}
    assert capsys.readouterr().out.splitlines()[1].startswith('The link of dev-1: ')


def test_at_least_one_option_is_required(shapes, capsys):
    assert main(['lab', 'link', 'set', 'dev-1']) == 2
    assert capsys.readouterr().err == (
        'ua-overlay: Nothing to change: give at least one option. Next: ua-overlay lab link set --help\n')


def test_clearing(shapes, capsys):
    shapes['dev-1'] = Shape(delay=0.01)
    assert main(['lab', 'link', 'clear', 'dev-1']) == 0 and main(['lab', 'link', 'clear', 'dev-1']) == 0
    assert capsys.readouterr().out == (
        'The link of dev-1 is now a plain cable.\nThe link of dev-1 is already a plain cable.\n')


def test_changed_links_are_shown_with_their_counters(shapes, capsys):
    assert main(['lab', 'link', 'show']) == 0
    assert capsys.readouterr().out.startswith('Every link is a plain cable. Next: ')
    shapes['dev-1'] = Shape(delay=0.01, loss=0.01)
    assert main(['lab', 'link', 'show']) == 0
    assert capsys.readouterr().out.splitlines()[1].split() == [
        'dev-1', 'delay', '10ms,', 'loss', '1%', 'out', '9', '1', '0', '0']
    assert main(['lab', 'link', 'show', '--json']) == 0
    assert json.loads(capsys.readouterr().out)[0]['link'] == {'delay': '10ms', 'loss': '1%'}


def test_measured_values_beside_the_settings(shapes, monkeypatch, capsys):
    monkeypatch.setattr(command.link_meter, 'measure', lambda lab, host, seconds: [
        Figure('rtt', 'round trip', 'ms', 20.0, 20.5), Figure('loss', 'lost', '%', 0.0, 0.1),
        Figure('jitter', 'jitter', 'ms', None, 0.2)])
    assert main(['lab', 'link', 'measure', 'dev-1', '--seconds', '2']) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ['FIGURE', 'SET', 'MEASURED', 'ERROR']
    assert [line.split()[-2:] for line in lines[1:]] == [['+2.5', '%'], ['+0.100', '%'], ['ms', '-']]
    assert main(['lab', 'link', 'measure', 'dev-1', '--json']) == 0
    assert json.loads(capsys.readouterr().out)[0] == {
        'figure': 'rtt', 'name': 'round trip', 'unit': 'ms', 'expected': 20.0, 'measured': 20.5}


@pytest.mark.parametrize('seconds', ['0.5', '601'])
def test_the_duration_is_limited(shapes, capsys, seconds):
    assert main(['lab', 'link', 'measure', 'dev-1', '--seconds', seconds]) == 2
    assert '--seconds must be between 1 and 600' in capsys.readouterr().err
