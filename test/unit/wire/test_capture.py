"""Captures: what is written is read, and so are files of tcpdump."""
import struct
import subprocess
import sys

import pytest

from ua_overlay.wire import capture


def pcap(records, link=capture.RAW, order='<', magic=0xa1b2c3d4, kept=None):
    whole = struct.pack(order + 'IHHiIII', magic, 2, 4, 0, 0, 262144, link)
    for packet in records:
        whole += struct.pack(order + 'IIII', 7, 500000, len(packet) if kept is None else kept, len(packet))
        whole += packet[:kept]
    return whole


def test_round_trip():
    written = capture.file_header() + capture.record(7.5, b'\x45one') + capture.record(8.25, b'\x45two')
    assert capture.read(written) == [(7.5, b'\x45one'), (8.25, b'\x45two')]
    assert capture.read(written[:-1]) == [(7.5, b'\x45one')]


@pytest.mark.parametrize('order', '<>')
def test_tcpdump_files(order):
    ethernet = bytes(12) + b'\x08\x00' + b'\x45packet'
    vlan = bytes(12) + b'\x81\x00\x00\x05\x08\x00' + b'\x45vlan'
    arp = bytes(12) + b'\x08\x06' + b'arp'
    assert [packet for _, packet in capture.read(pcap([ethernet, arp, vlan], capture.ETHERNET, order))] == [
        b'\x45packet', b'\x45vlan']
    assert capture.read(pcap([bytes(14) + b'\x86\xdd' + b'\x60six'], capture.COOKED, order))[0][1] == b'\x60six'
    assert capture.read(pcap([b'\x08\x00' + bytes(18) + b'\x45any'], capture.COOKED_2, order))[0][1] == b'\x45any'
    assert capture.read(pcap([b'\x45'], order=order, magic=0xa1b23c4d))[0][0] == pytest.approx(7.0005)


@pytest.mark.parametrize('data, word', [
    (b'', 'not a pcap file'), (b'\n\r\r\n' + bytes(40), 'not a pcap file'), (pcap([], 127), '127'),
    (pcap([b'\x45xxxx'], kept=2), 'were cut')])
def test_an_unusable_file(data, word):
    with pytest.raises(capture.NotPcap, match=word):
        capture.read(data)


def test_the_capture_requires_only_python():
    """It is copied to a robot as one file."""
    code = 'import runpy; runpy.run_path({!r})'.format(capture.__file__)
    assert subprocess.run([sys.executable, '-I', '-S', '-c', code]).returncode == 0
