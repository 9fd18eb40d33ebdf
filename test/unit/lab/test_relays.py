from ua_overlay.lab.relays import gaps

PING = '''\
PING 100.64.0.2 (100.64.0.2) 56(84) bytes of data.
[1000.100000] 64 bytes from 100.64.0.2: icmp_seq=1 ttl=64 time=1.2 ms
[1000.200000] 64 bytes from 100.64.0.2: icmp_seq=2 ttl=64 time=1.2 ms
[1002.700000] 64 bytes from 100.64.0.2: icmp_seq=27 ttl=64 time=1.2 ms
[1002.650000] 64 bytes from 100.64.0.2: icmp_seq=26 ttl=64 time=90 ms
From 100.64.0.1 icmp_seq=30 Destination Host Unreachable
[1003.0
'''


def test_the_longest_gap_between_answers_comes_first():
    found = gaps(PING)
    assert found[0] == (1000.2, 1002.65 - 1000.2) and len(found) == 3
    assert gaps('') == []
