"""The loop of a campaign: whatever fails is a sample, and what was taken is on the disk."""
import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.measure.campaign import campaign, plan, run, sample
from ua_overlay.measure.campaign.measurement import Measurement, clocks_apart, programs, wait_for_link
from ua_overlay.measure.hosts.host import Here, Host, HostLost, OverSsh, parse_processor, processor_percent, stop
from unit.measure.steps import TEXT, short


class Scripted(Host):
    """A host whose programs are shell scripts: real processes, with the answers of the real programs.

    A mock: a host that vanishes in mid-run, and counters that go another way, need a network that does so.
    """

    def __init__(self, name, directory, scripts, **options):
        super().__init__(name, **options)
        self.directory, self.scripts = str(directory), scripts

    def popen(self, argv, ros=False, **options):
        argv = argv[2:] if argv[0] == 'env' else argv
        words = [word for word in argv[1:2] if not word.startswith('-')]
        script = self.scripts.get(' '.join(argv[:1] + words)) or self.scripts.get(argv[0])
        if script is None:
            raise FileNotFoundError(2, 'No such file or directory')
        return subprocess.Popen(['sh', '-c', script], cwd=self.directory, **options)


#: Each reading of the counters finds 100000 bytes more.
METRICS = 'n=$(cat n 2>/dev/null || echo 0); n=$((n + 100000)); echo $n > n; ' \
          'echo "tailscaled_outbound_bytes_total{path=\\"direct_ipv4\\"} $n"'
PING = 'echo "64 bytes: icmp_seq=1 ttl=64 time=99 ms"; echo "64 bytes: icmp_seq=2 ttl=64 time=10.5 ms"; ' \
       'echo "3 packets transmitted, 2 received, 33% packet loss"'


@pytest.fixture
def taking(tmp_path):
    """Returns function of the source's scripts -> (samples of a campaign of pings on the overlay, Store)."""
    def take(scripts, tool='ping: {count: 2}', path='overlay', server='exec sleep 100', rosrun=None, **more):
        read = campaign.parse('version: 1\nname: c\nrepetitions: 1\ntools: {' + tool + '}\n'
                              'hosts: {b: {address: lab-1}}\nscenarios:\n  - {name: s, from: a, to: b, '
                              'expected: DIRECT, paths: [' + path + ']}\n' + ''.join(
                                  '{}: {}\n'.format(*item) for item in more.items()))
        usual = {'tailscale ping': 'echo "pong from b via 1.2.3.4:5 in 1ms"', 'tailscale metrics': METRICS,
                 'ip': 'echo "1.2.3.4 dev lo src"', 'cat /proc/stat': 'cat /proc/stat',
                 'cat /sys/class/net/lo/mtu': 'echo 1280', 'ping': PING, 'getent ahosts': 'echo "192.0.2.7 STREAM b"'}
        hosts = {'a': Scripted('a', tmp_path, dict(usual, **scripts), overlay='100.64.0.1'),
                 'b': Scripted('b', tmp_path, {'cat /proc/stat': 'cat /proc/stat', 'iperf3': server, 'rosrun': rosrun},
                               overlay='100.64.0.2', address='lab-1')}
        with sample.Store(str(tmp_path / 'results')) as store:
            measurement = Measurement(read, hosts, store, dict, {'a': {'iperf3': 'iperf 3.12'}},
                                      sleep=lambda _: None)
            taken = run.run(plan.steps(read), measurement, store, run.Listener())
        assert sum(taken.values()) == len(plan.steps(read))
        return sample.read(store.directory)[-1], store
    return take


def test_a_sample_has_what_the_schema_says(taking):
    found, _ = taking({})
    assert (found['status'], found['problem'], found['proof']['verdict']) == ('ok', '', 'proven')
    assert found['proof']['bytes'] == {'DIRECT': 100000, 'PEER_RELAY': 0, 'DERP': 0}
    assert found['values'] == {'rtt_ms': [10.5], 'sent': 2, 'lost': 1}
    assert set(found['cpu']) == {'source_percent', 'target_percent'} and found['versions'] == {'iperf3': 'iperf 3.12'}
    assert found['started'].endswith('Z') and found['duration'] > 0
    assert found['settings']['mtu'] == 1280


def test_bytes_that_went_another_way_exclude_the_sample(taking):
    found, _ = taking({'tailscale metrics': METRICS.replace('direct_ipv4', 'derp')})
    assert (found['status'], found['proof']['verdict']) == ('excluded', 'other way')
    assert found['problem'] == 'It should have gone by DIRECT: 100.0 % went by DERP.' and found['values']['sent'] == 2


def test_counters_that_do_not_answer_exclude_a_sample_of_the_overlay(taking):
    found, _ = taking({'tailscale metrics': 'exit 1'})
    assert (found['status'], found['proof']['verdict']) == ('excluded', 'not measured')


def test_a_peer_that_vanishes_is_a_sample(taking, monkeypatch):
    monkeypatch.setattr(programs, 'patience', lambda tool, slack: 0.3)
    found, _ = taking({'ping': 'exec sleep 100'})
    assert found['status'] == 'failed'
    assert found['problem'] == 'ping on a did not end within 0 s: the other end or the network is gone.'


def test_a_raw_path_that_is_one_of_the_overlay_is_not_measured(taking):
    found, _ = taking({'getent ahosts': 'echo "100.64.0.2 STREAM lab-1"'}, path='raw')
    assert (found['status'], found['values']) == ('failed', {})
    assert found['problem'] == 'The raw path to b would go through the overlay: lab-1 is 100.64.0.2 on a.'
    found, _ = taking({'tailscale metrics': 'echo tailscaled'}, path='raw')
    assert (found['status'], found['settings']['mtu']) == ('ok', 1280)


GOOD = json.dumps({'intervals': [], 'end': {'sum_sent': {}, 'sum_received': {'bits_per_second': 1, 'bytes': 9}}})
REFUSED = '{"error": "unable to connect to server: Connection refused"}'


@pytest.mark.parametrize('answer, server, status, problem', [
    (REFUSED, 'echo "sh: iperf3: not found" >&2; exit 127', 'failed',
     'The iperf3 server of b ended: sh: iperf3: not found.'),
    (GOOD, 'echo "iperf3: error - unable to start listener for connections: Address already in use"; exit 1', 'ok',
     'Another iperf3 server answered on port 5201 of b; ours ended: iperf3: error - unable to start listener for '
     'connections: Address already in use.')])
def test_a_server_of_ours_that_does_not_serve(taking, answer, server, status, problem):
    # The client takes longer than the server needs to give up, as iperf3 does.
    found, _ = taking({'iperf3': "sleep 0.5; echo '{}'".format(answer)}, 'tcp: {tool: iperf3-tcp, seconds: 1}',
                      server=server)
    assert (found['status'], found['problem']) == (status, problem)


@pytest.mark.parametrize('error, status', [(None, 'ok'), (10.0, 'ok'), (0.5, 'excluded')])
def test_a_message_that_arrives_before_it_is_sent(taking, error, status):
    sent = """echo '{"sent": 2}'"""
    heard = """echo '{"hz": 10, "age_ms": [-3.0, 2.0], "received": 2}'"""
    assert clocks_apart({'age_ms': [-3.0, 2.0]}, error) == '' if status == 'ok' else clocks_apart(
        {'age_ms': [-3.0, 2.0]}, error).startswith('A message arrived 3 ms before it was sent')
    more = {} if error is None else {'clock_error_ms': error}
    found, _ = taking({'rosrun': sent}, 'topic: {tool: ros-topic}', rosrun=heard, **more)
    assert found['status'] == status, found


def test_a_program_that_is_not_there_is_a_sample(taking):
    found, _ = taking({'ping': None})
    assert found['problem'] == 'ping cannot be started on a: No such file or directory.'


def test_iperf3_is_asked_again_until_its_server_listens_and_its_answer_is_kept(taking):
    refused = '{"error": "unable to connect to server: Connection refused"}'
    good = json.dumps({'intervals': [], 'end': {'sum_sent': {'retransmits': 0}, 'sum_received': {
        'bits_per_second': 1e6, 'bytes': 90000}}})
    found, store = taking({'iperf3': "if [ -e asked ]; then echo '{}'; else touch asked; echo '{}'; fi".format(
        good, refused)}, 'tcp: {tool: iperf3-tcp, seconds: 1}')
    assert (found['status'], found['values']['bps']) == ('ok', 1e6), found
    with open(os.path.join(store.directory, 'raw', 's+tcp+overlay+1.json')) as stream:
        assert json.load(stream) == json.loads(good)


def test_a_disk_that_is_full_for_iperf3s_answer_leaves_the_sample_good(taking, monkeypatch):
    def full(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(sample.Store, 'keep_raw', full)
    good = json.dumps({'intervals': [], 'end': {'sum_sent': {}, 'sum_received': {'bits_per_second': 1, 'bytes': 9}}})
    found, _ = taking({'iperf3': "echo '{}'".format(good)}, 'tcp: {tool: iperf3-tcp, seconds: 1}')
    assert (found['status'], found['problem']) == (
        'ok', 'The answer of iperf3 could not be kept: No space left on device.')


def test_a_campaign_goes_on_and_another_is_refused(tmp_path):
    described = run.describe(short(), {'kernel': '6'}, {}, False, 0)
    assert run.goes_on(str(tmp_path), short()) is False
    run.keep_description(str(tmp_path), described)
    assert run.goes_on(str(tmp_path), short()) is True
    assert run.goes_on(str(tmp_path), campaign.changed(short(), repetitions=7)) is True
    with pytest.raises(UsageError):
        run.goes_on(str(tmp_path), campaign.parse(TEXT.replace('seconds: 3', 'seconds: 4')))
    (tmp_path / 'campaign.json').write_text('[')
    with pytest.raises(UsageError, match='no description of a campaign'):
        run.goes_on(str(tmp_path), short())
    with pytest.raises(sample.SampleError, match='cannot be written'):
        run.keep_description(str(tmp_path / 'gone'), described)


def test_the_path_is_given_time_to_become_what_is_expected(tmp_path):
    ways = 'if [ -e first ]; then echo "pong from b via 1.2.3.4:5 in 1ms"; else touch first; ' \
           'echo "pong from b via DERP(x) in 1ms"; exit 1; fi'
    source = Scripted('a', tmp_path, {'tailscale ping': ways})
    assert wait_for_link(source, '100.64.0.2', 'DIRECT', 30.0, sleep=lambda _: None) == 'DIRECT'
    assert wait_for_link(source, '100.64.0.2', 'DERP', 0.0, sleep=lambda _: None) == 'DIRECT'


def test_a_child_that_lives_on_keeps_nobody_waiting():
    """It holds the pipes; the sleep ends by itself."""
    process = Here('a').start(['sh', '-c', 'sleep 20 & wait'])
    begin = time.monotonic()
    stop(process)
    assert time.monotonic() - begin < 15.0 and process.returncode is not None


def test_this_machine(tmp_path):
    here = Here('a')
    assert here.run([sys.executable, '-c', 'print(1)'], 20)[:2] == (0, '1\n')
    assert here.ask(['false']) is None
    assert here.processor()[1] > 0 and here.mtu('127.0.0.1') > 1000
    with pytest.raises(HostLost):
        here.run(['sleep', '100'], 0.2)


#: What sshd does with a command: the user's shell runs it.
AS_SSHD = '#!/bin/sh\nfor word; do :; done\nexec sh -c "$word"\n'


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    """Returns function of the text of a program that stands for ssh -> a host over it."""
    def make(text):
        (tmp_path / 'ssh').write_text(text)
        (tmp_path / 'ssh').chmod(0o755)
        monkeypatch.setenv('PATH', '{}:{}'.format(tmp_path, os.environ['PATH']))
        return OverSsh('b', 'me@host')
    return make


def test_what_ssh_is_called_with_passes_a_shell(stand_in):
    """A stand-in for ssh that runs the command as sshd does: with the user's shell."""
    host = stand_in(AS_SSHD)
    assert host.run(['printf', '%s,', 'a b', "it's", '$HOME', '*'], 20)[1] == "a b,it's,$HOME,*,"


def test_what_a_profile_prints_is_no_answer(tmp_path, monkeypatch, stand_in):
    """A stand-in for ssh as before; the login shell is a real one, with a profile that greets."""
    (tmp_path / '.profile').write_text('echo "Welcome to robot 7"\n')
    monkeypatch.setenv('HOME', str(tmp_path))
    status, said, errors = stand_in(AS_SSHD).run(['echo', '100.64.0.2'], 20)
    assert (status, said) == (0, '100.64.0.2\n') and 'Welcome' in errors


def test_a_host_that_ssh_cannot_enter_is_named_with_ssh_s_own_words(stand_in):
    """A stand-in for ssh: what it says and ends with when there is no key."""
    host = stand_in('#!/bin/sh\necho "me@host: Permission denied (publickey)." >&2\nexit 255\n')
    for ask in (host.enter, host.overlay_address):
        with pytest.raises(HostLost, match='b cannot be entered over ssh: me@host: Permission denied') as caught:
            ask()
        assert caught.value.next_command == 'ssh -o BatchMode=yes me@host true'


def test_what_ssh_started_ends_with_it(stand_in):
    """A stand-in for ssh and sshd: a program over ssh gets no signal when the connection ends."""
    host = stand_in('#!/bin/bash\nfor word; do :; done\nsetsid bash -c "$word" <&0 &\nexec sleep 100\n')
    process = host.start(['bash', '-c', 'echo $$; exec sleep 1000'])
    there = int(process.stdout.readline())
    stop(process)
    pause = threading.Event()
    for _ in range(1000):
        if not os.path.exists('/proc/{}'.format(there)):
            return
        pause.wait(0.01)
    os.kill(there, signal.SIGKILL)
    pytest.fail('it lives on')


def test_the_processor_between_two_readings():
    before = parse_processor('cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1\n')
    assert before == (200, 1000)
    assert processor_percent(before, (250, 1200)) == 25.0
    assert processor_percent(None, before) is None and processor_percent(before, before) is None


def test_other_seconds_than_the_campaign_says():
    text = TEXT + '  - {name: other, from: b, to: a, tools: [ping]}\n'
    before, after = campaign.parse(text), campaign.changed(campaign.parse(text), seconds=7.5)

    def settings(read):
        return {tool.name: tool.settings for scenario in read.scenarios for tool in scenario.tools}

    assert {name: each['seconds'] for name, each in settings(after).items() if 'seconds' in each} == {
        name: 7.5 for name, each in settings(before).items() if 'seconds' in each}
    assert settings(after)['ping'] == settings(before)['ping'] and 'seconds' not in settings(before)['ping']
    assert campaign.changed(campaign.parse(text)) == campaign.parse(text)
    with pytest.raises(campaign.CampaignError, match='seconds'):
        campaign.changed(campaign.parse(text), seconds=0)
