"""A site whose public name belongs to a machine that forwards ports to it: the rules that the command prints, all three
link types through them, and a relay whose packets stop arriving.

The tests have an order. The figures are in bench/.
"""
import json
import time

import pytest
from topologies import from_config

from ua_overlay.lab.fleet import SITE_DIR
from ua_overlay.lab.relays import Pair
from ua_overlay.lab.timeouts import JOIN, PATH, START
from ua_overlay.lab.wait import wait
from ua_overlay.relays.relay_health import REPAIR_TIME
from ua_overlay.relays.relay_keeper import PERIOD

PUBLIC, PRIVATE = '203.0.113.10', '192.168.7.10'


@pytest.fixture(scope='module')
def pair(new_lab, install):
    lab = new_lab(from_config('proxy'), 'proxy')
    fleet = Pair(lab, install)
    fleet.overlay('server', 'server', 'init', '--dir', SITE_DIR, '--name', 'server.ua.test', '--address', PUBLIC,
                  '--private', PRIVATE)
    yield fleet


def checked(fleet, host, *options):
    """`server check` on a host: (exit status, list of rows)."""
    result = fleet.overlay(host, 'server', 'check', '--json', *options, check=False)
    return result.returncode, json.loads(result.stdout)


@pytest.mark.fault('new', 'The machine in front of the server forwards nothing',
                   behaviour='`server check --from-outside` names each port and the command that prints the rules',
                   reported='at once: server check', recovery='-', lost='nothing')
def test_without_the_rules_nothing_is_forwarded_and_the_check_reports_it(pair):
    status, rows = checked(pair, 'server', '--dir', SITE_DIR, '--from-outside')
    assert status == 1 and not any(row['ok'] for row in rows if row['what'] != 'relay')
    assert 'server forwarding' in rows[0]['next_command']


def test_the_printed_rules_are_all_that_the_proxy_needs(pair):
    rules = pair.site('server', 'forwarding').stdout
    pair.lab.host('proxy').run(['nft', '-f', '-'], input=rules)
    # A second time: they replace themselves.
    pair.lab.host('proxy').run(['nft', '-f', '-'], input=rules)
    pair.start_server()
    assert checked(pair, 'server', '--dir', SITE_DIR)[0] == 0
    # Through the proxy and back: how the site's own relay reaches its server.
    assert checked(pair, 'server', '--dir', SITE_DIR, '--from-outside')[0] == 0
    # And from behind another router, with nothing but an invitation; its key is not used.
    path = pair.carry('dev-1', pair.invite('iris', 'probe'), 'probe.yaml')
    status, rows = checked(pair, 'dev-1', '--from-outside', '--invitation', path)
    assert status == 0, rows
    # STUN shows the robot's router, not the proxy: nobody rewrote the source.
    assert [row['text'] for row in rows if row['what'] == 'STUN'][0].startswith('sees us as 203.0.113.21:')


def test_robots_outside_have_links_of_all_three_types(pair):
    pair.join_robots()
    with pair.traffic():
        pair.wait_link('DIRECT', '203.0.113.22:')
        pair.set_nats('hard')
        # Robots know the relay by its public address alone: the private one is no host of theirs.
        pair.wait_link('PEER_RELAY', PUBLIC + ':40000')
        assert wait('A carried link in the status', lambda: pair.relay_report()['carrying'], START) == 1
        pair.set_nats('udp-blocked')
        pair.wait_link('DERP')


@pytest.mark.fault('new', "The relay's port receives nothing from outside",
                   behaviour='The server stays healthy and suspects the port; robots use DERP',
                   reported='180 s: server status', recovery='60 s', lost='nothing')
def test_a_relay_that_receives_nothing_is_reported_but_no_server_fault(pair):
    """Robots whose UDP is cut ask the relay over DERP and never reach it: as when its port is not forwarded."""
    with pair.traffic():
        report = wait('A suspicion', lambda: pair.relay_report().get('note') and pair.relay_report(), PATH)
        assert 'UDP 40000 open from outside' in report['note'] and report['ok']
        pair.set_nats('hard')
        pair.wait_link('PEER_RELAY', PUBLIC + ':40000')
        wait('The end of the suspicion', lambda: not pair.relay_report()['note'], JOIN)
    # For people and programs alike: what the tests read from the server's socket is what its command prints.
    report = json.loads(pair.site('server', 'status', '--json').stdout)['relay_report']
    assert report['note'] == '' and set(report) == set(pair.relay_report())


def calm(pair):
    """A condition: the keeper has found nothing wrong for so long that its next repair is the first of its kind."""
    since = time.monotonic()

    def condition():
        nonlocal since
        report = pair.relay_report()
        if report['note'] or not report['ok']:
            since = time.monotonic()
        return time.monotonic() - since > 2 * REPAIR_TIME + 2 * PERIOD

    return condition


@pytest.mark.fault('new', 'The relay server lost its port', behaviour='The server sets it again without a restart',
                   reported='60 s: server status', recovery='180 s', lost='nothing')
def test_a_relay_that_lost_its_port_carries_again_by_itself(pair):
    with pair.traffic():
        pair.wait_link('PEER_RELAY')
        wait('A keeper that has forgotten the earlier suspicion', calm(pair), 300, poll=1.0)
        before = pair.relay_report()
        pair.server_relay('set', '--relay-server-port=')
        wait('A repair', lambda: pair.relay_report()['repairs'] > before['repairs'], JOIN)
        # Setting the port was enough: its tailscaled is the same.
        assert pair.relay_report()['pid'] == before['pid']
        # The old sessions are gone with the relay server; robots make another one when they look for a relay again.
        wait('A new session', lambda: pair.relay_report()['carrying'], PATH)
        pair.wait_link('PEER_RELAY', PUBLIC + ':40000')
