"""The programs of the proof of encryption: captures, the web server, the request. The hosts are this machine."""
import contextlib
import socket
import subprocess

import pytest

from ua_overlay.wire import capture, encryption, encryption_run
from ua_overlay.wire.encryption_run import ProofFailed
from unit.wire.made import CANARY, points, tcp


class Here:
    """This machine; or what a shell script prints, in place of every program."""

    def __init__(self, name, script=None):
        self.name, self.script = name, script

    def popen(self, argv, **options):
        return subprocess.Popen(argv if self.script is None else ['sh', '-c', self.script], **options)


class Stage:
    """Two robots and the router between them; a relay beside it."""

    ends, between, relays, tunnel = ('a', 'b'), ('nat',), ('server',), 'tailscale0'
    turned = ()

    @contextlib.contextmanager
    def turn(self, link):
        self.turned += (link,)
        yield


@pytest.fixture
def port():
    with socket.socket() as found:
        found.bind(('127.0.0.1', 0))
        return found.getsockname()[1]


# --- captures

#: The trap comes first: whoever reads the line may end the script at once.
CAPTURING = '''trap 'echo "{\\"dropped\\": 2}"; exit' TERM; echo capturing; while :; do sleep 0.01; done'''


def test_captures_run_until_stopped_and_return_packets(tmp_path):
    with encryption_run.captures([Here('a', CAPTURING), Here('b', CAPTURING)], str(tmp_path)) as answers:
        assert answers == []
    assert answers == [{'dropped': 2}, {'dropped': 2}]


@pytest.mark.parametrize('script, sentence', [
    ('echo "PermissionError: not root" >&2', 'No capture on b: PermissionError: not root.'),
    ('echo capturing; exit', 'A capture ended before its time.')])
def test_a_capture_that_fails_is_named(tmp_path, script, sentence):
    with pytest.raises(ProofFailed) as caught:
        with encryption_run.captures([Here('a', CAPTURING), Here('b', script)], str(tmp_path)):
            pass
    assert caught.value.sentence == sentence


def test_captures_are_read_by_host_and_interface(tmp_path):
    packet = tcp(0, CANARY.encode())
    content = capture.file_header() + capture.record(1.0, packet.raw)
    for name in ('a.wan.pcap', 'a.b.tailscale0.pcap', 'other.wan.pcap', 'a.txt'):
        (tmp_path / name).write_bytes(content)
    assert encryption_run.load(str(tmp_path), ['a', 'a.b']) == {
        ('a', 'wan'): [packet], ('a', 'b.tailscale0'): [packet]}


def test_a_host_without_traffic_has_an_empty_point():
    made = encryption_run.points_of({('a', 'tailscale0'): [tcp(0, CANARY.encode())]}, 'tailscale0', ['a', 'server'],
                                    CANARY)
    assert [(point.host, point.inside, point.packets) for point in made] == [('a', True, 1), ('server', False, 0)]


# --- the page


def test_the_page_comes_from_the_web_server(tmp_path, port):
    (tmp_path / 'page.txt').write_text(encryption.page(CANARY))
    with encryption_run.web_server(Here('b'), '127.0.0.1', str(tmp_path), port):
        encryption_run.request(Here('a'), '127.0.0.1', CANARY, port)
        with pytest.raises(ProofFailed, match='The page of 127.0.0.1 did not come to a: AssertionError: another page'):
            encryption_run.request(Here('a'), '127.0.0.1', 'ff' * 32, port)
    with pytest.raises(ProofFailed, match='did not come to a: .*refused'):
        encryption_run.request(Here('a'), '127.0.0.1', CANARY, port)


def test_a_web_server_that_does_not_start_is_named(tmp_path, port):
    with pytest.raises(ProofFailed, match='No web server on b at 127.0.0.1:{}.'.format(port)):
        with encryption_run.web_server(Here('b', 'exit 1'), '127.0.0.1', str(tmp_path), port):
            pass


# --- the runs

def test_the_relay_host_must_have_carried_the_page():
    stage = Stage()
    assert encryption_run.on_the_way(stage, 'DIRECT') == encryption_run.on_the_way(stage, encryption.RAW) == ('nat',)
    for link in ('PEER_RELAY', 'DERP'):
        why = encryption.judge(link, points(link), ('a', 'b'), encryption_run.on_the_way(stage, link))
        assert len(why) == 1 and 'On server there were 0 bytes' in why[0]


def of(why, **options):
    return encryption.Run('DIRECT', CANARY, points('DIRECT', **options), why, None)


@pytest.mark.parametrize('outcomes, runs', [
    ([of([])], 1), ([of(['lost'], carriers=[]), of([])], 2), ([of(['leak'], outside=CANARY)], 1)])
def test_only_a_chance_failure_is_retried(tmp_path, monkeypatch, outcomes, runs):
    """A mock of one run: a capture that loses packets cannot be had on demand."""
    left, stage, said = list(outcomes), Stage(), []

    @contextlib.contextmanager
    def progress(text):
        said.append(text)
        yield

    monkeypatch.setattr(encryption_run, 'run_once', lambda *_: left.pop(0))
    assert encryption_run.prove(stage, str(tmp_path), lambda: CANARY, progress, ['DIRECT']) == outcomes[-1:]
    assert stage.turned == ('DIRECT',) * runs and said == ['The page over a link DIRECT']
    assert sorted(path.name for path in tmp_path.iterdir()) == ['direct-{}'.format(number) for number in range(runs)]
