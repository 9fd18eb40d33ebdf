"""The proof of encryption for people."""
import pytest

from ua_overlay.wire import encryption, encryption_page
from unit.wire.made import CANARY, data, points, tcp, udp


def run_with_picture(**more):
    inner = tcp(0, b'x' * 1000 + CANARY.encode(), when=1.0)
    outer = udp(data(1300))._replace(when=1.001)
    run = encryption.Run('DIRECT', CANARY, points('DIRECT'), [], encryption.pair_of('DIRECT', [inner], [outer], CANARY))
    return dict(encryption.run_as_json(run), **more)


@pytest.mark.parametrize('proven, sentence', [(True, 'readable inside the tunnel and nowhere outside'),
                                              (False, 'The proof is not complete: see below.')])
def test_the_page_shows_both_packets_and_loads_nothing(proven, sentence):
    text = encryption_page.document({'proven': proven, 'runs': [run_with_picture(why=['<b>'])]})
    assert text.count('<pre>') == 2 and '&lt;b&gt;' in text and 'http' not in text and 'src=' not in text
    assert sentence in text and 'DIRECT: as expected' in text


def test_the_dump_marks_the_canary_wherever_it_is():
    assert '<mark>' in encryption_page.dump(b'0123456789', (2, 4)) and 'bytes more' in encryption_page.dump(bytes(999))
    assert encryption_page.dump(bytes(999), (700, 764)).count('<mark>') == 128


def test_a_dump_has_offsets_bytes_and_characters():
    assert encryption_page.dump(b'A<\0') == '0000  41 3c 00' + '   ' * 13 + '  A&lt;·'


def test_a_packet_without_marks():
    inside, outside = encryption_page.plain(run_with_picture())
    assert inside[0].startswith('Inside the tunnel: ') and '<mark>' not in inside[1] and '<span' not in outside[1]
    assert outside[0].startswith('Outside, WireGuard 4 data: ')
    assert encryption_page.side_by_side(run_with_picture(picture=None)) == ''


def test_one_row_per_point():
    rows = encryption_page.rows(run_with_picture())
    assert [row[:3] for row in rows] == [('a', 'tailscale0', 'inside'), ('b', 'tailscale0', 'inside'), (
        'a', 'wan', 'outside'), ('b', 'wan', 'outside'), ('nat', 'wan', 'outside')]
    assert all(len(row) == len(encryption_page.HEADERS) for row in rows)
    assert rows[2][-1] == '20 WireGuard 4 data'
