"""The registry of tools: what a new tool needs, and what each tool must define."""
import csv
import io
import sys

import pytest

from ua_overlay.measure.campaign import campaign, plan, run, store
from ua_overlay.measure.campaign.measurement import Measurement
from ua_overlay.measure.monitor import monitor, status
from ua_overlay.measure.report import contents
from ua_overlay.measure.report import csv as report_csv
from ua_overlay.measure.report.data import Data
from ua_overlay.measure.tools import registry
from unit.measure.campaigns import ScriptedHost, tool_of
from unit.measure.tools import echo

TEXT = '''
version: 1
name: echoes
repetitions: 1
tools: {echo: {count: 5}}
hosts: {b: {address: 192.0.2.7}}
scenarios: [{name: pair, from: a, to: b, paths: [raw]}]
monitor: {capacity: 20mbit}
'''


class Quiet:
    def starting(self, step, number, total, seconds_left):
        pass

    def ended(self, taken, trouble):
        pass


@pytest.fixture
def with_echo(monkeypatch):
    """One module, and one line of the registry: here for the time of a test."""
    monkeypatch.setitem(sys.modules, 'ua_overlay.measure.tools.echo', echo)
    monkeypatch.setitem(registry.TOOLS, 'echo', registry._load('echo'))


def test_a_new_tool_is_measured_monitored_and_reported(tmp_path, with_echo):
    read = campaign.parse(TEXT)
    hosts = {'a': ScriptedHost('a', {'echo': 'echo 1.5 2.5 3.5', 'cat': 'cat /proc/stat'}),
             'b': ScriptedHost('b', {'tailscale': 'echo 100.64.0.3'})}
    with store.Store(str(tmp_path)) as results:
        run.run(plan.steps(read), Measurement(read, hosts, results, dict, {}), results, Quiet())
    taken, = store.read(str(tmp_path))
    assert (taken.tool, taken.status, taken.values) == ('echo', 'ok', {'echo_ms': [1.5, 2.5, 3.5]}), taken.problem
    assert monitor.checked(read).share == pytest.approx(100 * 5000.0 / 300 / 20e6)
    assert status.value_of(taken) == (2.5, 'ms')
    data = Data([taken], {'name': 'echoes'})
    rows = list(csv.DictReader(io.StringIO(report_csv.summary(data))))
    assert [(row['metric'], row['unit'], row['settings'], row['median']) for row in rows] == [
        ('echo', 'ms', 'count 5', '2.5')]
    parts = dict(contents.parts(data))
    assert parts['echo'].title == 'Echoes by place' and 'an echo' in parts['echo'].items[0].caption
    assert ('Echo (count 5)', 'pair', 'raw', '1', '2.50 ms', '-', '-') in parts['numbers'].items[-1].rows


def test_tool_kinds():
    assert list(registry.TOOLS) == ['iperf3-tcp', 'ping', 'iperf3-udp', 'ros-topic', 'ros-service', 'ros-video']


@pytest.mark.parametrize('kind', registry.TOOLS)
def test_a_tool_defines_everything_that_campaign_and_report_need(kind):
    tool = tool_of(kind)
    assert type(tool) is registry.TOOLS[kind] and tool.kind == kind and tool.title and tool.duration > 0
    assert set(tool.settings) == set(tool.keys) and tool.values and tool.metrics
    assert {each.tool for each in tool.metrics} == {kind}


def test_metrics_have_unique_keys_and_positions():
    every = [each for tool in registry.TOOLS.values() for each in tool.metrics]
    assert list(registry.metrics()) == [each.key for each in every] and len(registry.metrics()) == len(every)
    drawn = [each.over_days for each in every if each.over_days]
    assert sorted(drawn) == list(range(1, len(drawn) + 1))
