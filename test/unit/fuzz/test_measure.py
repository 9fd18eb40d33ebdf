"""Campaigns, samples and results, mutated: a value or an OverlayError, and nothing else."""
import json
import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from paths import ROOT

from ua_overlay.errors import OverlayError
from ua_overlay.lab import topology
from ua_overlay.measure.campaign import campaign, plan, run, sample, store
from ua_overlay.measure.monitor import status
from ua_overlay.measure.report import encryption, write
from ua_overlay.measure.tools import iperf, ros_ends
from unit.fuzz.test_site import VALUES
from unit.fuzz.test_trust import JSON, mutated, shown
from unit.measure.campaigns import of_step, short

SAMPLE = of_step(plan.steps(short())[0]).to_json()
LINE = json.dumps(SAMPLE).encode('utf-8') + b'\n'


def texts(*parts):
    """The YAML files of a folder."""
    folder = os.path.join(ROOT, *parts)
    return [open(os.path.join(folder, name)).read() for name in sorted(os.listdir(folder)) if name.endswith('.yaml')]


CAMPAIGNS, TOPOLOGIES = texts('config', 'campaigns'), texts('config', 'lab')


def read(parse, text):
    try:
        parse(text)
    except OverlayError as error:
        assert len(str(error)) < 3000


@settings(max_examples=30)
@given(st.data())
def test_mutated_campaigns_and_topologies(data):
    for parse, whole in ((campaign.parse, CAMPAIGNS), (topology.parse, TOPOLOGIES)):
        text = data.draw(mutated(data.draw(st.sampled_from(whole)).encode('utf-8')))
        read(parse, text.decode('utf-8', 'replace'))


@settings(max_examples=30)
@given(st.data(), VALUES)
def test_any_value_in_a_campaign_or_topology(data, value):
    for parse, whole in ((campaign.parse, CAMPAIGNS), (topology.parse, TOPOLOGIES)):
        values = yaml.safe_load(data.draw(st.sampled_from(whole)))
        read(parse, yaml.dump(value))
        field = data.draw(st.sampled_from(sorted(values)))
        read(parse, yaml.dump(dict(values, **{field: value})))
        if isinstance(values[field], dict) and values[field]:
            below = data.draw(st.sampled_from(sorted(values[field], key=str)))
            read(parse, yaml.dump(dict(values, **{field: dict(values[field], **{str(below): value})})))


@given(st.one_of(mutated(LINE), st.binary(max_size=60)))
def test_mutated_samples(line):
    store.started_of(line)
    try:
        found = store._sample_of(line, 1, 'the file')
    except OverlayError as error:
        assert shown(error)
        return
    assert found.started_at is not None and found.to_json()


@given(st.sampled_from(sorted(SAMPLE)), JSON)
def test_any_value_in_a_sample(field, value):
    try:
        assert sample.from_json(dict(SAMPLE, **{field: value})).started_at is not None
    except ValueError:
        pass


@pytest.mark.fault('K4', 'A results directory has odd files', behaviour='the command refuses and names the file',
                   reported='at once', recovery='when they are files again', lost='nothing')
@pytest.mark.parametrize('what', ['fifo', 'zero', 'directory', 'link', 'socket', 'sparse', 'deep', 'binary'])
@pytest.mark.parametrize('name', ['campaign.json', 'samples.jsonl', 'encryption.json', 'status.json'])
def test_odd_files_in_a_results_directory(tmp_path, what, name, odd_file):
    if name != 'campaign.json':
        (tmp_path / 'campaign.json').write_text('{}')
    odd_file(what, tmp_path / name)
    for call in (lambda: write.load(str(tmp_path)), lambda: status.read(str(tmp_path)),
                 lambda: run.remembered(str(tmp_path)), lambda: run.goes_on(str(tmp_path), short()),
                 lambda: campaign.load(str(tmp_path / name))):
        try:
            call()
        except OverlayError as error:
            assert str(tmp_path) in str(error)
    if name == 'encryption.json' and what != 'link':
        with pytest.raises(OverlayError):
            encryption.load(str(tmp_path))


@given(JSON)
def test_any_json_as_a_proof_or_a_status(tmp_path_factory, value):
    place = tmp_path_factory.mktemp('results')
    for name in ('encryption.json', 'status.json', 'campaign.json'):
        (place / name).write_text(json.dumps(value))
    for call in (encryption.load, status.read, run.remembered, write.load):
        try:
            call(str(place))
        except OverlayError:
            pass


@given(st.one_of(st.text(max_size=60), JSON.map(json.dumps), JSON.map(lambda value: json.dumps({'error': value}))))
def test_any_answer_of_a_tool(text):
    iperf.refused(text)
    for call in (lambda: iperf.parse_answer(text, 'a', 'b', 5201), lambda: ros_ends.last_json(text, 'a')):
        try:
            call()
        except OverlayError as error:
            assert shown(error)
