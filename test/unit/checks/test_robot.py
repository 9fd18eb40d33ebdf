"""Checks of this machine."""
from dataclasses import replace

import pytest

from ua_overlay.checks import robot
from ua_overlay.checks.facts import Facts
from ua_overlay.errors import Problem
from ua_overlay.tags import CGNAT_LANS
from unit.checks.healthy import DAY, FACTS, ME, NOW, STATUS, changed

PROBLEM = Problem('NO_DAEMON', 'No tailscaled answers at /s.', 'sudo systemctl start tailscaled')


def with_self(**fields):
    return changed(status=replace(STATUS, self_node=replace(ME, **fields)))


def test_daemon():
    assert robot.daemon(FACTS).level == 'OK' and '1.98.10' in robot.daemon(FACTS).what
    verdict = robot.daemon(Facts(daemon_problem=PROBLEM))
    assert (verdict.level, verdict.what, verdict.next_command) == ('ERROR', PROBLEM.sentence, PROBLEM.next_command)
    assert robot.daemon(Facts()) is None


@pytest.mark.fault('new', 'A tailscaled that is newer than this package knows', behaviour='doctor names both versions',
                   reported='at once: doctor', recovery='-', lost='nothing')
@pytest.mark.parametrize('version, level', [
    ('1.98.10', 'OK'), ('1.102.9', 'OK'), ('1.102.5-t1234', 'OK'), ('1.104.1-t1', 'WARN'), ('2.0.0', 'WARN')])
def test_a_tailscaled_newer_than_tested(version, level):
    verdict = robot.daemon_tested(changed(status=replace(STATUS, version=version), newest_tested='1.102.5'))
    assert verdict.level == level and version in verdict.what and '1.102.5' in verdict.what
    assert bool(verdict.next_command) == (level == 'WARN')
    assert not verdict.next_command or 'VERSION={} '.format(version.split('-')[0]) in verdict.next_command


def test_an_unknown_version_is_not_judged():
    assert robot.daemon_tested(changed(status=replace(STATUS, version='custom'))) is None
    assert robot.daemon_tested(changed(newest_tested='')) is None
    assert robot.daemon_tested(Facts(daemon_problem=PROBLEM)) is None


def test_login():
    assert robot.login(FACTS).what == 'dev-2 is in team iris at 100.64.0.2.'
    assert robot.login(FACTS).level == 'OK'
    assert robot.login(Facts(daemon_problem=PROBLEM)) is None


@pytest.mark.parametrize('state, words', [('NeedsLogin', 'in no team'), ('Stopped', 'keeps its identity'),
                                          ('Starting', 'is starting')])
def test_login_of_a_robot_that_is_not_in_the_overlay(state, words):
    verdict = robot.login(changed(status=replace(STATUS, state=state)))
    assert verdict.level == 'WARN' and words in verdict.what and verdict.next_command


def test_login_without_a_team_or_without_facts():
    assert robot.login(with_self(tags=('tag:ros-master',))).level == 'ERROR'
    verdict = robot.login(with_self(online=False))
    assert verdict.level == 'WARN' and 'does not see it' in verdict.what


@pytest.mark.parametrize('end, expired, level', [
    (None, False, 'OK'), (NOW + 15 * DAY, False, 'OK'), (NOW + 13 * DAY, False, 'WARN'), (NOW - 1, False, 'ERROR'),
    (None, True, 'ERROR')])
def test_key_expiry(end, expired, level):
    verdict = robot.key_expiry(with_self(key_expiry=end, expired=expired))
    assert verdict.level == level and bool(verdict.next_command) == (level != 'OK')


def test_key_expiry_shows_the_date():
    assert '2027-01-15 07:00:00 UTC' in robot.key_expiry(with_self(key_expiry=NOW - 3600)).what
    assert robot.key_expiry(with_self(expired=True)).what == 'The key of dev-2 has expired.'


def test_key_expiry_outside_a_network():
    assert robot.key_expiry(changed(status=replace(STATUS, state='NeedsLogin'))) is None


@pytest.mark.parametrize('interface, level', [
    (('eth0', '10.0.2.15', 24), 'OK'), (('wwan0', '100.70.1.2', 24), 'WARN'), (('wwan0', '100.127.255.1', 30), 'WARN'),
    (('wwan0', '100.128.0.1', 24), 'OK'), (('wwan0', '100.64.0.200', 24), 'ERROR'),
    (('tailscale1', '100.70.1.2', 32), 'OK'),
])
def test_address_range(interface, level):
    verdict = robot.address_range(changed(interfaces=FACTS.interfaces + (interface,)))
    assert verdict.level == level
    if level != 'OK':
        assert interface[0] in verdict.what and interface[1] in verdict.what
    if level == 'ERROR':
        assert 'the addresses of dev-1, dev-2, dev-3 lie in that subnet' in verdict.what
        assert verdict.next_command.startswith('ua-overlay robot remove dev-1; ua-overlay invite iris dev-1   # on')
    if level == 'WARN':
        assert verdict.next_command == 'sudo ua-overlay policy cgnat-lans on   # on the server'


def test_a_network_of_the_range_is_no_problem_where_the_site_allows_it():
    allowed = replace(STATUS, self_node=replace(ME, attributes=(CGNAT_LANS,)))
    lan = FACTS.interfaces + (('wwan0', '100.70.1.2', 24),)
    verdict = robot.address_range(changed(status=allowed, interfaces=lan))
    assert verdict.level == 'OK' and 'accepts that range' in verdict.what
    clash = robot.address_range(changed(status=allowed, interfaces=FACTS.interfaces + (('wwan0', '100.64.0.200', 24),)))
    assert clash.level == 'ERROR'


def test_its_own_address_in_the_subnet_of_another_interface():
    lan = FACTS.interfaces + (('wwan0', '100.64.0.200', 30), ('eth1', '100.64.0.6', 30))
    mine = replace(STATUS, self_node=replace(ME, addresses=('100.64.0.5',)))
    verdict = robot.address_range(changed(status=mine, interfaces=lan))
    assert verdict.next_command.startswith('ua-overlay leave --forget   # here')


def test_our_own_overlay_address_is_ignored():
    assert robot.address_range(changed(interfaces=(('utun3', '100.64.0.2', 32),))).level == 'OK'
    assert robot.address_range(changed(interfaces=(('utun3', '100.64.0.9', 32),))).level == 'WARN'


def test_address_range_without_a_daemon():
    assert robot.address_range(Facts(interfaces=(('wwan0', '100.64.0.200', 24),))).level == 'WARN'
    assert robot.address_range(Facts()) is None


def test_a_laptop_is_in_the_group_of_its_user():
    laptop = replace(ME, tags=(), user='ana', name='laptop-1')
    verdict = robot.login(changed(status=replace(STATUS, self_node=laptop)))
    assert (verdict.level, verdict.what) == ('OK', 'laptop-1 is in the group of user ana at 100.64.0.2.')
    nobody = robot.login(changed(status=replace(STATUS, self_node=replace(laptop, user=''))))
    assert nobody.level == 'ERROR' and 'in no team' in nobody.what
