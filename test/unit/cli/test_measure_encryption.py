"""`ua-overlay measure encryption` on captures, and its files. Its lab: test/lab/test_encryption.py."""
import ipaddress
import json
import os
import struct
from types import SimpleNamespace

import pytest

from ua_overlay.cli import main
from ua_overlay.cli import measure_encryption as command
from ua_overlay.errors import UsageError
from ua_overlay.wire import capture

CANARY = '0123456789abcdef' * 4
#: One run of a successful proof.
RUN = {'link': 'DIRECT', 'canary': CANARY, 'ok': True, 'why': [], 'picture': None, 'places': [
    {'host': 'dev-1', 'interface': 'eth0', 'inside': False, 'packets': 3, 'found': 0, 'in_streams': 0,
     'kinds': {'WireGuard data': {'packets': 3, 'bytes': 300}}, 'entropy': 7.98}]}


def ip(protocol, body):
    return struct.pack('!BBHHHBBH4s4s', 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0,
                       ipaddress.ip_address('10.0.2.15').packed, ipaddress.ip_address('203.0.113.22').packed) + body


def udp(payload):
    return ip(17, struct.pack('!HHHH', 41641, 41641, 8 + len(payload), 0) + payload)


def tcp(payload):
    return ip(6, struct.pack('!HHIIBBHHH', 1234, 8080, 0, 0, 5 << 4, 16, 1000, 0, 0) + payload)


def wireguard():
    """A data message."""
    return udp(struct.pack('<IIQ', 4, 77, 5) + os.urandom(1200))


@pytest.fixture
def captured(tmp_path):
    """Names of files: the canary, and captures of real robots as tcpdump writes them."""
    def write(name, content):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    def pcap(packets):
        return capture.file_header() + b''.join(capture.record(7.5, packet) for packet in packets)

    return {'canary': write('canary', CANARY.encode() + b'\n'),
            'inside': write('inside', pcap([tcp(CANARY.encode())])),
            'outside': write('outside', pcap([wireguard() for _ in range(5)])),
            'leak': write('leak', pcap([wireguard() for _ in range(5)] + [udp(CANARY.encode())])),
            'empty': write('empty', pcap([])), 'text': write('text', b'nothing of the kind')}


def check(captured, canary='canary', inside='inside', outside=('outside',)):
    return main(['measure', 'encryption', '--canary', captured[canary], '--inside', captured[inside], '--outside'] +
                [captured[name] for name in outside])


def test_captures_that_prove_encryption(captured, capsys):
    assert check(captured) == 0
    assert 'Proven' in capsys.readouterr().out


@pytest.mark.parametrize('options, words', [
    ({'outside': ('outside', 'leak')}, 'leak, outside the tunnel'), ({'inside': 'empty'}, 'is not in'),
    ({'outside': ('empty',)}, 'proves nothing')])
def test_captures_that_do_not_prove_encryption(captured, capsys, options, words):
    assert check(captured, **options) == 1
    output = capsys.readouterr().out
    assert words in output and 'Not proven.' in output


@pytest.mark.parametrize('options', [{'canary': 'text'}, {'inside': 'text'}])
def test_files_that_are_no_captures(captured, capsys, options):
    assert check(captured, **options) == 2
    assert captured['text'] in capsys.readouterr().err


def test_captures_require_all_three_options(captured, capsys):
    assert main(['measure', 'encryption', '--canary', captured['canary']]) == 2
    assert '--canary, --inside and --outside' in capsys.readouterr().err


def test_an_existing_output_is_refused_before_a_lab_is_built(tmp_path, capsys):
    assert main(['measure', 'encryption', '--output', str(tmp_path)]) == 2
    assert 'exists already' in capsys.readouterr().err


def test_a_proof_is_written_with_its_captures_without_the_served_page(tmp_path):
    (tmp_path / 'captured' / 'served').mkdir(parents=True)
    (tmp_path / 'captured' / 'dev-1.pcap').write_bytes(b'')
    output = str(tmp_path / 'proof')
    command.write(output, {'schema': 1, 'proven': True, 'runs': [RUN]}, str(tmp_path / 'captured'))
    assert sorted(os.listdir(output)) == ['dev-1.pcap', 'encryption.html', 'encryption.json']
    with open(os.path.join(output, 'encryption.json')) as stream:
        assert json.load(stream)['runs'][0]['canary'] == CANARY
    with pytest.raises(UsageError, match='cannot be written'):
        command.write(output, {'schema': 1, 'proven': True, 'runs': []}, str(tmp_path / 'captured'))


def test_a_proof_has_one_line_per_link(capsys):
    runs = [dict(RUN, link='raw'), dict(RUN, ok=False, why=['dev-1: the canary is readable.'])]
    command.show({'proven': False, 'runs': runs}, SimpleNamespace(json=False, output='proof'))
    output = capsys.readouterr().out
    assert output.startswith('Outside the tunnel\n') and 'As expected.' in output and 'Link DIRECT\n' in output
    assert 'dev-1: the canary is readable.' in output and output.endswith('Report: proof/encryption.html\n')
