"""Addresses, names and NAT kinds of a running lab, seen from inside its hosts."""
import os
import subprocess

import pytest

from ua_overlay.errors import UsageError
from ua_overlay.lab import nat

TOOLS = os.path.join(os.path.dirname(os.path.abspath(__file__)), 'udp_tools.py')
PYTHON = '/usr/bin/python3'
PLACES = ['198.51.100.10:7001', '198.51.100.10:7002', '198.51.100.11:7001']


@pytest.fixture(scope='module')
def echo(lab):
    """An echo on two addresses and ports of the server."""
    process = lab.host('server').popen([PYTHON, TOOLS, 'echo'] + PLACES, stdout=subprocess.PIPE,
                                       universal_newlines=True)
    assert process.stdout.readline() == 'ready\n'
    yield PLACES
    process.terminate()
    process.wait(10)
    process.stdout.close()


@pytest.fixture(autouse=True)
def easy_again(lab):
    yield
    for router in lab.topology.nats:
        if lab.nat_kind(router.name) != nat.EASY:
            lab.nat(router.name, nat.EASY)


class Asker:
    """One UDP socket of a robot that stays open between questions."""

    def __init__(self, lab, host, port=41641):
        self.process = lab.host(host).popen([PYTHON, TOOLS, 'ask', str(port)], user='robot', stdin=subprocess.PIPE,
                                            stdout=subprocess.PIPE, universal_newlines=True, bufsize=1)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.communicate()

    def ask(self, place):
        self.process.stdin.write(place + '\n')
        return self.process.stdout.readline().strip()


def ports(asker, places):
    return [int(asker.ask(place).rsplit(':', 1)[1]) for place in places]


def test_both_robots_have_the_same_address_and_host_name(lab):
    for name in ('dev-1', 'dev-2'):
        host = lab.host(name)
        assert '10.0.2.15/24' in host.run(['ip', '-4', '-br', 'address', 'show', 'eth0']).stdout
        assert host.run(['hostname']).stdout.strip() == 'robot'
        assert '127.0.1.1' in host.run(['getent', 'ahostsv4', 'robot']).stdout


def test_the_dns_server_answers_its_names_and_denies_others(lab):
    robot = lab.host('dev-1')
    assert robot.run(['getent', 'ahostsv4', 'server.ua.test'], user='robot').stdout.startswith('198.51.100.10 ')
    assert robot.run(['getent', 'hosts', 'controlplane.example.org'], check=False).returncode == 2
    questions = lab.dns_queries()
    assert ('A', 'server.ua.test', '198.51.100.21') in questions
    assert 'controlplane.example.org' in [name for _type, name, _client in questions]


def test_the_world_outside_is_unreachable_at_once(lab):
    with pytest.raises(Exception) as caught:
        lab.host('dev-1').run([PYTHON, '-c', 'import socket; socket.create_connection(("192.0.2.1", 443), 5)'])
    assert 'unreachable' in caught.value.stderr


def test_easy_nat_keeps_the_port_for_every_destination(lab, echo):
    with Asker(lab, 'dev-1') as asker:
        assert [asker.ask(place) for place in echo] == ['198.51.100.21:41641'] * 3


def test_hard_nat_takes_a_port_per_destination(lab, echo):
    lab.nat('nat1', nat.HARD)
    assert lab.nat_kind('nat1') == nat.HARD
    with Asker(lab, 'dev-1') as asker:
        found = ports(asker, echo)
        assert len(set(found)) == 3
        assert 41641 not in found
        # A mapping lasts: the same destination sees the same port again.
        assert ports(asker, echo) == found


def test_a_switch_deletes_live_mappings(lab, echo):
    with Asker(lab, 'dev-1') as asker:
        assert ports(asker, echo[:1]) == [41641]
        lab.nat('nat1', nat.HARD)
        assert ports(asker, echo[:1]) != [41641]


def test_a_switch_while_connections_expire(lab):
    """conntrack lists the paths, then deletes one by one, and gives up at one that is gone by itself."""
    router = lab.host('nat1')
    lifetime = '/proc/sys/net/netfilter/nf_conntrack_udp_timeout'
    before = router.run(['cat', lifetime]).stdout
    router.run(['sh', '-c', 'echo 1 > ' + lifetime])
    try:
        flood = [PYTHON, TOOLS, 'flood', '198.51.100.10', '1.3']
        for _ in range(5):
            router.run(flood)
            lab.nat('nat1', nat.HARD)
            assert router.run(['conntrack', '-L', '-p', 'udp']).stdout == ''
    finally:
        router.run(['sh', '-c', 'echo {} > {}'.format(before.strip(), lifetime)])


def test_udp_blocked_lets_tcp_and_dns_pass(lab, echo):
    lab.nat('nat1', nat.UDP_BLOCKED)
    with Asker(lab, 'dev-1') as asker:
        assert asker.ask(echo[0]) == 'nothing'
    robot = lab.host('dev-1')
    assert robot.run(['getent', 'ahostsv4', 'server.ua.test']).stdout.startswith('198.51.100.10 ')
    # Refused by the server itself: nothing listens there, but TCP arrived.
    with pytest.raises(Exception) as caught:
        robot.run([PYTHON, '-c', 'import socket; socket.create_connection(("198.51.100.10", 81), 5)'])
    assert 'refused' in caught.value.stderr
    with Asker(lab, 'dev-2') as other:
        assert other.ask(echo[0]) != 'nothing', 'the other router must be as it was'


def test_udp_blocked_cuts_a_live_path(lab, echo):
    with Asker(lab, 'dev-1') as asker:
        assert asker.ask(echo[0]) == '198.51.100.21:41641'
        lab.nat('nat1', nat.UDP_BLOCKED)
        assert asker.ask(echo[0]) == 'nothing'


def punch(lab, kind_1, kind_2):
    lab.nat('nat1', kind_1)
    lab.nat('nat2', kind_2)
    robots = [lab.host(host).popen([PYTHON, TOOLS, 'punch', '41641', peer + ':41641'])
              for host, peer in (('dev-1', '198.51.100.22'), ('dev-2', '198.51.100.21'))]
    return [robot.wait(20) for robot in robots]


def test_holes_are_punched_through_easy_nats(lab):
    assert punch(lab, nat.EASY, nat.EASY) == [0, 0]


def test_no_hole_through_hard_nats(lab):
    assert punch(lab, nat.HARD, nat.HARD) == [1, 1]


def test_robots_behind_one_router_reach_each_other_and_others_do_not(lab):
    code = 'import socket; s = socket.socket(); s.settimeout(1); print(s.connect_ex(("{}", 9)))'
    same, across = ([PYTHON, '-c', code.format(address)] for address in ('10.0.2.15', '198.51.100.21'))
    # 111 is ECONNREFUSED: the other robot answered. Anything else: nobody did.
    assert lab.host('dev-3').run(same).stdout.strip() == '111'
    assert lab.host('dev-2').run(across).stdout.strip() != '111'


def test_an_unknown_router_and_an_unknown_kind_are_named(lab):
    with pytest.raises(UsageError, match='no NAT nat9; it has nat1, nat2'):
        lab.nat('nat9', nat.EASY)
    with pytest.raises(UsageError, match='soft is no kind of NAT; there are easy, hard, udp-blocked'):
        lab.nat('nat1', 'soft')
