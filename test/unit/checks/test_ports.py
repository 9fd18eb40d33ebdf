"""Checks of TCP between the robots of a team."""
from dataclasses import replace

from ua_overlay.checks import ports
from ua_overlay.checks.facts import DROPPED, EPHEMERAL, NO_ROUTE, OPEN, TEAM, Attempt, Callback
from unit.checks.healthy import FACTS, GRAPH, MASTER, MATE, STATUS, changed, only


def attempt(result, peer='dev-1', port=11312, kind=TEAM, ping=True):
    return Attempt(peer, port, kind, result, ping)


def test_ports_out():
    assert ports.ports_out(FACTS).level == 'OK'
    assert ports.ports_out(changed(attempts=None)) is ports.ports_out(changed(attempts=())) is None


def test_ports_out_names_the_policy_when_one_port_is_dropped():
    verdict = only(ports.ports_out(changed(attempts=FACTS.attempts[1:] + (attempt(DROPPED),))))
    assert verdict.level == 'ERROR' and verdict.what == (
        'Connections to the team port (TCP 11312) of dev-1 are dropped.')
    assert verdict.why.startswith('Other ports pass') and 'policy' in verdict.why


def test_ports_out_when_all_is_dropped():
    dropped = (attempt(DROPPED), attempt(DROPPED, port=59999, kind=EPHEMERAL))
    verdict = only(ports.ports_out(changed(attempts=dropped)))
    assert verdict.why.startswith('The robot answers pings') and '59999' in verdict.what
    silent = tuple(replace(item, ping=False) for item in dropped)
    verdict = only(ports.ports_out(changed(attempts=silent)))
    assert 'does not answer at all' in verdict.what and 'policy' not in verdict.why
    elsewhere = dropped + (attempt(OPEN, 'dev-3', 59999, EPHEMERAL, None),)
    assert only(ports.ports_out(changed(attempts=elsewhere))).why.startswith('The robot answers pings')
    both = dropped + (attempt(DROPPED, 'dev-3', 59999, EPHEMERAL, False),)
    assert len(ports.ports_out(changed(attempts=both))) == 2


def test_ports_out_without_a_route():
    verdict = ports.ports_out(changed(attempts=(attempt(NO_ROUTE),)))
    assert verdict.level == 'ERROR' and 'no route' in verdict.what


def with_callback(callback, **fields):
    return changed(graph=replace(GRAPH, callback=callback), **fields)


def test_ports_in():
    verdict = ports.ports_in(FACTS)
    assert verdict.level == 'OK' and verdict.what.startswith('dev-1, dev-3 reached')


def test_ports_in_by_the_masters_callback():
    verdict = ports.ports_in(with_callback(Callback(False, None)))
    assert verdict.level == 'ERROR' and verdict.what.startswith('dev-1 (the master) cannot reach this robot')
    assert 'firewall' in verdict.why
    verdict = ports.ports_in(with_callback(Callback(True, False)))
    assert verdict.level == 'ERROR' and 'by its name dev-2.overlay.internal' in verdict.what
    assert '100.64.0.2' in verdict.why and '# on dev-1' in verdict.next_command


def test_ports_in_by_a_robot_that_was_asked_to_connect():
    verdict = ports.ports_in(changed(reached=(('dev-1', True), ('dev-3', False))))
    assert verdict.level == 'ERROR' and verdict.what.startswith('dev-3 cannot reach')


def test_ports_in_that_tailscaled_itself_closes():
    verdict = ports.ports_in(changed(reached=(('dev-1', True), ('dev-3', False)), shields_up=True))
    assert verdict.what == 'dev-3 cannot reach this robot: tailscaled refuses every connection.'
    assert verdict.next_command == 'sudo tailscale set --shields-up=false'
    assert ports.ports_in(changed(shields_up=True)).level == 'OK'


def test_ports_in_is_unknown_without_a_new_connection():
    verdict = ports.ports_in(with_callback(Callback(True, True), reached=()))
    assert verdict.level == 'UNKNOWN' and 'Whether dev-3 can' in verdict.what and 'dev-1 reached' in verdict.what
    verdict = ports.ports_in(with_callback(None, reached=()))
    assert verdict.level == 'UNKNOWN' and 'Whether dev-1, dev-3 can' in verdict.what
    verdict = ports.ports_in(with_callback(Callback(problem='too slow'), reached=()))
    assert verdict.level == 'UNKNOWN'


def test_ports_in_alone():
    alone = replace(STATUS, peers=(replace(MASTER, online=False), replace(MATE, tags=('tag:blue',))))
    assert ports.ports_in(changed(status=alone)) is None
    assert ports.ports_in(with_callback(None, reached=None)) is None
