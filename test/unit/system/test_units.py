import pytest

from ua_overlay.system import units


@pytest.mark.parametrize('text, word', [
    ('/opt/ua/scripts/ua-overlay', '/opt/ua/scripts/ua-overlay'), ('/home/me/my ws/x', '"/home/me/my ws/x"'),
    ('/50%', '/50%%'), ('/a$b', '/a$$b'), ('a"b\\c', '"a\\"b\\\\c"'), ('', '""')])
def test_quoted_words_of_a_command_line(text, word):
    assert units.quote(text) == word


def test_a_dollar_outside_a_command_line_is_literal():
    assert units.quote('A=$b', variables=False) == 'A=$b'


def test_a_unit_is_started_now_and_at_each_boot():
    enable, start = units.unit_commands('x.service')
    assert enable.argv == ('systemctl', 'enable', 'x.service') and enable.undo == ('systemctl', 'disable', 'x.service')
    assert start.unless == ('systemctl', 'is-active', '--quiet', 'x.service')
    assert start.undo == ('systemctl', 'stop', 'x.service')


def test_a_unit_is_restarted_when_a_file_that_it_reads_changed():
    commands = units.unit_commands('x.service', ('/etc/x',))
    assert commands[:2] == units.unit_commands('x.service')
    assert (commands[2].argv, commands[2].after) == (('systemctl', 'restart', 'x.service'), ('/etc/x',))
    assert units.daemon_reload('/a', '/b').after == ('/a', '/b')


def test_systemd_is_detected(monkeypatch, tmp_path):
    monkeypatch.setattr(units, 'RUNS', str(tmp_path))
    assert units.systemd_runs()
    monkeypatch.setattr(units, 'RUNS', str(tmp_path / 'none'))
    assert not units.systemd_runs()
