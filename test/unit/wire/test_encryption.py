"""What captures must show, on generated packets."""
import json

import pytest

from ua_overlay import link_types
from ua_overlay.wire import encryption, wireguard
from unit.wire.made import CANARY, data, points, tcp, udp


def judge(link, made, **options):
    return encryption.judge(link, made, ('a', 'b'), ('nat',), **options)


@pytest.mark.parametrize('link', link_types.CARRYING)
def test_a_proof(link):
    assert judge(link, points(link)) == []


@pytest.mark.parametrize('link', link_types.CARRYING)
def test_a_failed_proof(link):
    assert len([why for why in judge(link, points(link, outside=CANARY)) if 'outside the tunnel on' in why]) == 3
    assert 'not found inside the tunnel on a' in judge(link, points(link, inside='nothing'))[0]
    assert 'lost 3 packets' in judge(link, points(link), dropped=3)[0]
    assert all('another way' in why for why in judge(link, points(link, carriers=[])))
    for other in set(link_types.CARRYING) - {link}:
        assert len(judge(link, points(other))) == 3, 'the page went another way'


def test_a_leak_is_not_retried():
    def run(link, **options):
        return encryption.Run(link, CANARY, points('DIRECT', **options), ['why'], None)

    assert encryption.worth_another_try(run('DIRECT', carriers=[]))
    assert not encryption.worth_another_try(run('DIRECT', outside=CANARY))
    assert not encryption.worth_another_try(run('raw'))


def test_the_run_outside_the_tunnel_must_find_the_canary():
    assert judge(encryption.RAW, points('DIRECT', outside=CANARY)) == []
    assert len(judge(encryption.RAW, points('DIRECT'))) == 3


def test_a_proof_requires_every_run():
    runs = [encryption.Run(link, CANARY, [], [], None) for link in ('raw',) + link_types.CARRYING]
    assert encryption.proven(runs) and not encryption.proven(runs[1:]) and encryption.proven(runs[:2], ('DIRECT',))
    assert not encryption.proven(runs[:3] + [runs[3]._replace(why=['no'])])


def test_proof_as_json():
    run = encryption.Run('DIRECT', CANARY, points('DIRECT'), [], None)
    proof = json.loads(json.dumps(encryption.as_json([run])))
    assert proof['proven'] is False and proof['runs'][0]['ok'] is True
    assert proof['runs'][0]['places'][0] == {
        'host': 'a', 'interface': 'tailscale0', 'inside': True, 'packets': 1, 'found': 1, 'in_streams': 1, 'kinds': {},
        'entropy': proof['runs'][0]['places'][0]['entropy']}


# --- files of real robots


@pytest.mark.parametrize('options, why', [
    ({}, []), ({'inside': 'nothing'}, ['The canary is not in a, inside the tunnel.']),
    ({'outside': CANARY}, ['The canary is in a, outside the tunnel.']),
    ({'carriers': []}, ['a holds nothing that carries the overlay: it proves nothing.'])])
def test_captures_of_real_robots(options, why):
    found = [point for point in points('DIRECT', **options) if point.host == 'a']
    assert encryption.judge_files(found) == why


# --- the picture


def test_the_carrier_of_a_packet():
    inner = tcp(0, b'x' * 1000 + CANARY.encode(), when=1.0)
    outer = udp(data(1300))._replace(when=1.001)
    picture = encryption.pair_of('DIRECT', [inner], [udp(data(40))._replace(when=1.0005), outer], CANARY)
    assert picture == {'inner': inner.raw.hex(), 'outer': outer.raw.hex(), 'kind': wireguard.DATA,
                       'header': 20 + 8 + 16}
    assert encryption.pair_of('DIRECT', [], [], CANARY) is None
    assert encryption.pair_of('raw', [tcp(0, CANARY.encode())], [], CANARY) is None
