"""iperf3: the server that is started for a sample, and parsing of its output. The JSON is of iperf3 3.12, shortened."""
import json

import pytest

from ua_overlay.measure.tools import iperf
from ua_overlay.measure.tools.tool import Job, Unmeasured
from unit.measure.campaigns import ScriptedHost, say, tool_of

ANSWER = {'intervals': [{'sum': {'bits_per_second': 9e6, 'omitted': True}},
                        {'sum': {'bits_per_second': 1e6, 'omitted': False}}, {'sum': {'bits_per_second': 3e6}}],
          'end': {'sum_sent': {'retransmits': 0}, 'sum_received': {'bits_per_second': 2e6, 'bytes': 500000}}}
REFUSED = {'error': 'unable to connect to server: Connection refused'}


def test_command_line():
    assert iperf.client_argv('10.0.0.2', 5202, 3.4) == ['iperf3', '-c', '10.0.0.2', '-p', '5202', '-t', '3', '-J']
    assert iperf.server_argv(5202) == ['iperf3', '-s', '-1', '-p', '5202']


def test_warm_up_seconds_are_omitted():
    assert iperf.intervals_bps(ANSWER) == [1e6, 3e6]


@pytest.mark.parametrize('error, sentence', [
    ('unable to connect to server: Connection refused', 'No iperf3 server listens on b, port 5201 (iperf3: unable'),
    ('the server is busy running a test. try again later', 'The iperf3 server on b is busy'),
    ('control socket has closed unexpectedly', 'b ended the connection in the middle'),
    ('unable to connect to server: No route to host', 'There is no route from a to b'),
    ('unable to receive parameters from server: parameter exchange', 'of b has a version that this one does not'),
    ('something new', 'iperf3 from a to b failed: something new.')])
def test_an_error_is_explained_with_the_names_of_the_hosts(error, sentence):
    with pytest.raises(Unmeasured) as caught:
        iperf.parse_answer(json.dumps(dict(ANSWER, error=error)), 'a', 'b', 5201)
    assert sentence in caught.value.sentence


@pytest.mark.parametrize('text, part', [('', 'it printed nothing'), ('iperf3: usage', 'iperf3: usage'), ('[]', '[]'),
                                        ('{"intervals": [], "end": {}}', 'its answer has no result')])
def test_an_answer_without_a_result_is_an_error(text, part):
    with pytest.raises(Unmeasured) as caught:
        tool_of('iperf3-tcp').parse(text, 'a', 'b')
    assert part in caught.value.sentence


def test_only_a_refused_connection_is_retried():
    assert iperf.refused(json.dumps(REFUSED))
    assert not iperf.refused(json.dumps(ANSWER)) and not iperf.refused('')


def test_another_version_at_the_other_end_is_a_remark():
    assert iperf.different_versions({'iperf3': 'iperf 3.12 (cJSON 1.7.15)', 'iperf3_target': 'iperf 3.7'}) == \
        'iperf3 is 3.12 at the source and 3.7 at the target.'
    assert iperf.different_versions({'iperf3': 'iperf 3.12', 'iperf3_target': 'iperf 3.12'}) == ''
    assert iperf.different_versions({'iperf3': 'iperf 3.12'}) == ''


# --- a measurement


def measure(client, server='exec sleep 60', directory=None, keep=lambda text: None, **settings):
    """(result, target) of a TCP test whose programs are scripts."""
    target = ScriptedHost('b', {'iperf3': server}, directory)
    job = Job(ScriptedHost('a', {'iperf3': client}, directory), target, '10.0.0.2', 'raw', keep_answer=keep,
              sleep=lambda seconds: None)
    return tool_of('iperf3-tcp', seconds=1, **settings).measure(job), target


def test_the_client_retries_until_the_server_listens(tmp_path):
    kept = []
    result, target = measure('if [ -e asked ]; then {}; else touch asked; {}; fi'.format(say(ANSWER), say(REFUSED)),
                             directory=str(tmp_path), keep=kept.append)
    assert (result.values['bps'], result.payload, result.remark) == (2e6, 500000, '')
    assert [json.loads(text) for text in kept] == [ANSWER]
    assert [argv[:2] for argv, _ in target.started] == [['iperf3', '-s']]


def test_a_running_server_is_not_started_again():
    source, target = ScriptedHost('a', {'iperf3': say(ANSWER)}), ScriptedHost('b', {})
    result = tool_of('iperf3-tcp', server='running').measure(Job(source, target, '10.0.0.2', 'raw'))
    assert result.values['bps'] == 2e6 and target.started == []


def test_a_server_that_cannot_start_is_named():
    with pytest.raises(Unmeasured) as caught:
        # Like iperf3, the client takes longer than the server needs to give up.
        measure('sleep 0.5; ' + say(REFUSED), 'echo "sh: iperf3: not found" >&2; exit 127')
    assert caught.value.sentence == 'The iperf3 server of b ended: sh: iperf3: not found.'


def test_another_server_on_the_port_is_a_remark():
    result, _ = measure('sleep 0.5; ' + say(ANSWER), 'echo "iperf3: error - Address already in use"; exit 1')
    assert result.values['bps'] == 2e6
    assert result.remark == ('Another iperf3 server answered on port 5201 of b; ours ended: iperf3: error - Address '
                             'already in use.')


def test_a_full_disk_does_not_spoil_the_result():
    def full(text):
        raise OSError(28, 'No space left on device')

    result, _ = measure(say(ANSWER), keep=full)
    assert result.values['bps'] == 2e6
    assert result.remark == 'The answer of iperf3 could not be kept: No space left on device.'


def test_bytes_on_the_wire():
    # 5 Mbit/s for 4 s, with the headers of WireGuard.
    limited = tool_of('iperf3-tcp', seconds=3, omit=1, rate='5mbit')
    assert limited.wire_bits() == pytest.approx(5e6 * 4 / 0.8911, rel=1e-3)
